//! Certificates, made by certtool the way libvirt's documentation makes them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// When a list was right that is not any more.
pub(crate) const EXPIRED: &str =
    "crl_this_update_date = \"2001-01-01 00:00:00\"\ncrl_next_update_date = \"2001-02-01 00:00:00\"\n";

/// An authority and its folder.
pub(crate) struct Authority {
    dir: PathBuf,
}

fn certtool(arguments: &[&str], files: &[(&str, &Path)]) -> io::Result<()> {
    let mut command = Command::new("certtool");
    command.args(arguments);
    for (option, path) in files {
        command.arg(option).arg(path);
    }
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("certtool {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))))
}

fn key(path: &Path) -> io::Result<()> {
    certtool(&["--generate-privkey", "--key-type", "rsa", "--bits", "2048"], &[("--outfile", path)])
}

impl Authority {
    /// Makes it in a folder, which is created; its certificate is `cacert.pem`.
    pub(crate) fn new(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let this = Self { dir };
        let (key_file, template) = (this.file("cakey.pem"), this.file("ca.info"));
        key(&key_file)?;
        fs::write(&template, "cn = test\nca\ncert_signing_key\ncrl_signing_key\nexpiration_days = 2\n")?;
        let cert = this.file("cacert.pem");
        let files = [
            ("--load-privkey", key_file.as_path()),
            ("--template", template.as_path()),
            ("--outfile", cert.as_path()),
        ];
        certtool(&["--generate-self-signed"], &files)?;
        Ok(this)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lines of a daemon's configuration, libvirt's or ours, for a port of the loopback interface with the
    /// certificate `server`.
    pub(crate) fn serve(&self, port: u16) -> String {
        let pki = self.dir.display();
        format!(
            "listen_tls = 1\nlisten_addr = \"127.0.0.1\"\ntls_port = \"{port}\"\nauth_tls = \"none\"\n\
             ca_file = \"{pki}/cacert.pem\"\ncert_file = \"{pki}/servercert.pem\"\nkey_file = \"{pki}/serverkey.pem\"\n"
        )
    }

    /// Makes `NAMEkey.pem` and `NAMEcert.pem` from the lines of a template.
    pub(crate) fn sign(&self, name: &str, lines: &str) -> io::Result<()> {
        let (key_file, cert) = (self.file(&format!("{name}key.pem")), self.file(&format!("{name}cert.pem")));
        let template = self.file(&format!("{name}.info"));
        key(&key_file)?;
        let days = if lines.contains("expiration_date") { "" } else { "expiration_days = 2\n" };
        let organization = if lines.contains("dn = ") { "" } else { "organization = test\n" };
        fs::write(&template, format!("{organization}{days}signing_key\nencryption_key\n{lines}"))?;
        let (ca, ca_key) = (self.file("cacert.pem"), self.file("cakey.pem"));
        let files = [
            ("--load-privkey", key_file.as_path()),
            ("--load-ca-certificate", ca.as_path()),
            ("--load-ca-privkey", ca_key.as_path()),
            ("--template", template.as_path()),
            ("--outfile", cert.as_path()),
        ];
        certtool(&["--generate-certificate"], &files)
    }

    /// The same for a client that has no name at all: its subject is empty.
    pub(crate) fn sign_nameless(&self, name: &str) -> io::Result<()> {
        let (key_file, request, cert) = (
            self.file(&format!("{name}key.pem")),
            self.file(&format!("{name}.csr")),
            self.file(&format!("{name}cert.pem")),
        );
        key(&key_file)?;
        let openssl = |words: &[&str], files: &[(&str, &Path)]| -> io::Result<()> {
            let mut command = Command::new("openssl");
            command.args(words);
            for (option, path) in files {
                command.arg(option).arg(path);
            }
            let output = command.stdin(Stdio::null()).output()?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
        };
        openssl(&["req", "-new", "-subj", "/"], &[("-key", &key_file), ("-out", &request)])?;
        let extensions = self.file("nameless.ext");
        fs::write(&extensions, "extendedKeyUsage = clientAuth\nsubjectAltName = critical,DNS:nameless\n")?;
        let (ca, ca_key) = (self.file("cacert.pem"), self.file("cakey.pem"));
        let files: [(&str, &Path); 5] = [
            ("-in", &request),
            ("-CA", &ca),
            ("-CAkey", &ca_key),
            ("-extfile", &extensions),
            ("-out", &cert),
        ];
        openssl(&["x509", "-req", "-days", "2", "-set_serial", "77"], &files)
    }

    /// Makes `cacrl.pem`, which takes back the certificate of `name`.
    pub(crate) fn revoke(&self, name: &str) -> io::Result<()> {
        self.revoke_until(name, "crl_next_update = 2\n")
    }

    /// The same with lines of a template that say until when the list is right.
    pub(crate) fn revoke_until(&self, name: &str, lines: &str) -> io::Result<()> {
        let template = self.file("crl.info");
        fs::write(&template, format!("{lines}crl_number = 1\n"))?;
        let (ca, ca_key) = (self.file("cacert.pem"), self.file("cakey.pem"));
        let (cert, crl) = (self.file(&format!("{name}cert.pem")), self.file("cacrl.pem"));
        let files = [
            ("--load-ca-certificate", ca.as_path()),
            ("--load-ca-privkey", ca_key.as_path()),
            ("--load-certificate", cert.as_path()),
            ("--template", template.as_path()),
            ("--outfile", crl.as_path()),
        ];
        certtool(&["--generate-crl"], &files)
    }
}
