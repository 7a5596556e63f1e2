//! Whom nodedevd lets in over TLS, and why not whom it does not, beside the real daemon with the same certificates.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nodedev_interop::Failure;
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use crate::certificates::{Authority, EXPIRED};
use crate::listening::{Listening, free_port};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVER: &str = "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\n";
const FOR_A_SERVER: &str = "for a server";
const CLIENT: &str = "cn = allowed\ntls_www_client\n";

/// An authority, and both daemons with its certificate and the same further lines of configuration.
struct Scene {
    dir: tempfile::TempDir,
    authority: Authority,
}

struct Pair {
    real: Listening,
    ours: Nodedevd,
    port: u16,
}

impl Scene {
    fn new() -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        Host::new(50).write(&dir.path().join("host"))?;
        let authority = Authority::new(dir.path().join("pki"))?;
        authority.sign("server", SERVER)?;
        Ok(Self { dir, authority })
    }

    fn start(&self, lines: &str) -> Result<Pair, Failure> {
        let port = free_port()?;
        let ours = format!("{}{lines}", self.authority.serve(port));
        Ok(Pair {
            real: Listening::start(&self.authority, &format!("auth_tcp = \"none\"\n{lines}"))?,
            ours: Nodedevd::configured(&self.dir.path().join("host"), &ours)?,
            port,
        })
    }

    /// A folder with what a client needs: a certificate with these lines, signed by `authority`.
    fn client(&self, authority: &Authority, name: &str, lines: &str) -> Result<PathBuf, Failure> {
        authority.sign(name, lines)?;
        let folder = self.bare(name)?;
        std::fs::copy(authority.file(&format!("{name}cert.pem")), folder.join("clientcert.pem"))?;
        std::fs::copy(authority.file(&format!("{name}key.pem")), folder.join("clientkey.pem"))?;
        Ok(folder)
    }

    /// The same without a certificate: only that of the daemons' authority.
    fn bare(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::copy(self.authority.file("cacert.pem"), folder.join("cacert.pem"))?;
        Ok(folder)
    }
}

/// Whether virsh gets a list with the certificates in a folder; what it says if not.
fn lists(port: u16, pki: &Path) -> Result<Result<(), String>, Failure> {
    // What is wrong with the client's certificate is for the daemon to find.
    let uri = format!("nodedev+tls://localhost:{port}/system?no_sanity=1&pkipath={}", pki.display());
    let output = Command::new("virsh").args(["-c", &uri, "nodedev-list"]).env("LC_ALL", "C").output()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let listed = String::from_utf8_lossy(&output.stdout).lines().any(|name| name == "computer");
    assert_eq!(output.status.success(), listed, "{uri}: {complaint}");
    Ok(if listed { Ok(()) } else { Err(complaint) })
}

/// Waits until a daemon has said so since `before` was its log, and returns what it said.
fn logged(log: impl Fn() -> String, before: &str, text: &str) -> Result<String, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let now = log();
        // The end of a log is known, as far back as some lines.
        let new: Vec<&str> = now.lines().filter(|line| !before.contains(*line)).collect();
        if let Some(line) = new.iter().find(|line| line.contains(text)) {
            return Ok((*line).to_owned());
        }
        if Instant::now() > until {
            return Err(format!("nobody says '{text}': {now}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn each_refusal_over_tls_has_its_own_reason() -> Result<(), Failure> {
    let scene = Scene::new()?;
    let authority = &scene.authority;
    let strangers = Authority::new(scene.dir.path().join("strangers"))?;
    let past = "activation_date = \"2001-01-01\"\nexpiration_date = \"2002-01-01\"\n";
    let future = "activation_date = \"2091-01-01\"\nexpiration_date = \"2092-01-01\"\n";
    let clients = [
        ("right", scene.client(authority, "right", CLIENT)?, None),
        ("without a certificate", scene.bare("bare")?, Some("peer sent no certificates")),
        // Which has the same name.
        ("of another authority", scene.client(&strangers, "foreign", CLIENT)?, Some("BadSignature")),
        (
            "expired",
            scene.client(authority, "expired", &format!("{CLIENT}{past}"))?,
            Some("certificate expired"),
        ),
        (
            "not valid yet",
            scene.client(authority, "early", &format!("{CLIENT}{future}"))?,
            Some("certificate not valid yet"),
        ),
        ("taken back", scene.client(authority, "revoked", CLIENT)?, Some("Revoked")),
        (
            FOR_A_SERVER,
            scene.client(authority, "server-only", "cn = allowed\ntls_www_server\n")?,
            Some("certificate does not allow extended key usage"),
        ),
        (
            "of another name",
            scene.client(authority, "other", "cn = other\ntls_www_client\n")?,
            Some("the certificate's name O=test,CN=other is not in tls_allowed_dn_list"),
        ),
    ];
    authority.revoke("revoked")?;
    let pair = scene.start(&format!(
        "crl_file = \"{}\"\ntls_allowed_dn_list = [ \"CN=nobody,*\", \"O=test,CN=allow?d*\" ]\n",
        authority.file("cacrl.pem").display()
    ))?;
    for (what, pki, reason) in &clients {
        let before = pair.ours.log();
        let found = lists(pair.port, pki)?;
        assert_eq!(found.is_ok(), reason.is_none(), "a certificate {what}: {found:?} {}", pair.ours.log());
        let real = lists(pair.real.tls, pki)?;
        // GnuTLS, as libvirt uses it, does not mind what else than a client a certificate is for.
        let expected = reason.is_none() || *what == FOR_A_SERVER;
        assert_eq!(real.is_ok(), expected, "a certificate {what}: {real:?} {}", pair.real.daemon.log());
        if let Some(reason) = reason {
            let line = logged(|| pair.ours.log(), &before, reason)?;
            assert!(line.contains("a client was not let in") && line.contains("127.0.0.1"), "{what}: {line}");
        }
    }
    // Who does not even speak TLS.
    let before = pair.ours.log();
    TcpStream::connect(("127.0.0.1", pair.port))?.write_all(&[0, 0, 0, 28, 0x20, 0, 0x80, 0x86])?;
    logged(|| pair.ours.log(), &before, "received corrupt message")?;
    // Nobody else suffers from it.
    assert_eq!(lists(pair.port, &clients[0].1)?, Ok(()));
    Ok(())
}

/// Names of clients as their certificates can have them, in certtool's template.
const NAMES: &[(&str, &str)] = &[
    ("plain", "cn = host\n"),
    ("parts", "cn = host\nunit = one\nunit = two\nlocality = Town\nstate = S\ncountry = DE\n"),
    ("account", "cn = host\nuid = someone\ndc = example\ndc = org\n"),
    ("mail", "cn = host\npkcs9_email = someone@example.org\n"),
    ("signs", "cn = a+b;c<d>e=f\nunit = #1\nunit = a#b\n"),
    ("comma", "cn = \"one, two\"\n"),
    ("quotes", "cn = 'say \"x\"'\n"),
    ("spaces", "cn = ' x  y '\n"),
    ("umlaut", "cn = M\u{fc}ller\n"),
    ("person", "dn_oid = \"2.5.4.12 Dr\"\ndn_oid = \"2.5.4.42 Given\"\ndn_oid = \"2.5.4.4 Name\"\n"),
    ("place", "dn_oid = \"2.5.4.9 1 Road\"\ndn_oid = \"2.5.4.17 12345\"\ndn_oid = \"2.5.4.5 777\"\n"),
    ("rare", "dn_oid = \"2.5.4.65 pseudo\"\ndn_oid = \"2.5.4.41 name\"\ndn_oid = \"2.5.4.46 qualifier\"\n"),
];

/// What libvirt's own tool, which its documentation sends administrators to, prints of a certificate.
fn told(certificate: &Path) -> Result<String, Failure> {
    let output = Command::new("virt-pki-query-dn").arg(certificate).output()?;
    assert!(output.status.success(), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}

/// A name is written as libvirt writes it, so that its lists of allowed names mean the same.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn names_in_certificates_are_written_as_libvirt_writes_them() -> Result<(), Failure> {
    let scene = Scene::new()?;
    let mut clients = Vec::new();
    for (name, lines) in NAMES {
        let pki = scene.client(&scene.authority, name, &format!("{lines}tls_www_client\n"))?;
        clients.push((told(&pki.join("clientcert.pem"))?, pki));
    }
    let list = |names: &[&str]| {
        // Patterns know no escape, so what begins one stands for any character.
        let quoted: Vec<_> = names.iter().map(|name| format!("'{}'", name.replace('\'', "?"))).collect();
        format!("tls_allowed_dn_list = [ {} ]\n", quoted.join(", "))
    };
    let names: Vec<&str> = clients.iter().map(|(name, _)| name.as_str()).collect();
    let (all, none) = (scene.start(&list(&names))?, scene.start(&list(&["nobody"]))?);
    for (name, pki) in &clients {
        assert_eq!(lists(all.real.tls, pki)?, Ok(()), "{name}: libvirt");
        assert_eq!(lists(all.port, pki)?, Ok(()), "{name}: {}", all.ours.log());
        assert!(lists(none.real.tls, pki)?.is_err(), "{name}: libvirt");
        assert!(lists(none.port, pki)?.is_err(), "{name}");
        logged(
            || none.ours.log(),
            "",
            &format!("the certificate's name {name} is not in tls_allowed_dn_list"),
        )?;
    }
    Ok(())
}

/// A list that has expired still says who was taken back until then, and to GnuTLS as libvirt uses it that is all: neither daemon
/// lets in whom it names, both let in others, and so do both clients. Ours says that the list is old.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn an_expired_list_of_revoked_certificates_goes_on_to_count_and_is_warned_of() -> Result<(), Failure> {
    let scene = Scene::new()?;
    let authority = &scene.authority;
    let right = scene.client(authority, "right", CLIENT)?;
    let revoked = scene.client(authority, "revoked", CLIENT)?;
    let lines = format!("crl_file = \"{}\"\n", authority.file("cacrl.pem").display());
    for (until, is_old) in [("crl_next_update = 2\n", false), (EXPIRED, true)] {
        authority.revoke_until("revoked", until)?;
        let pair = scene.start(&lines)?;
        for (pki, is_let_in) in [(&right, true), (&revoked, false)] {
            let [real, ours] = [lists(pair.real.tls, pki)?, lists(pair.port, pki)?];
            assert_eq!(real.is_ok(), is_let_in, "libvirt: {until}: {real:?} {}", pair.real.daemon.log());
            assert_eq!(ours.is_ok(), is_let_in, "{until}: {ours:?} {}", pair.ours.log());
        }
        let warned = pair.ours.log().contains("the list of revoked certificates has expired");
        assert_eq!(warned, is_old, "{}", pair.ours.log());
        // The other way round: the client has the list, and the daemon's certificate is not on it.
        std::fs::copy(authority.file("cacrl.pem"), right.join("cacrl.pem"))?;
        assert_eq!(lists(pair.real.tls, &right)?, Ok(()), "libvirt's client: {until}");
        std::fs::remove_file(right.join("cacrl.pem"))?;
    }
    Ok(())
}

/// Files that hold nothing that they should: neither an empty list nor an empty chain is made of them.
#[test]
#[ignore = "asks certtool: cargo xtask test"]
fn files_that_hold_something_else_are_named_at_start() -> Result<(), Failure> {
    let scene = Scene::new()?;
    let authority = &scene.authority;
    authority.revoke("server")?;
    let der = |name: &str, kind: &str| -> Result<Vec<u8>, Failure> {
        let mut command = Command::new("openssl");
        command.args([kind, "-outform", "DER", "-in"]).arg(authority.file(name));
        Ok(command.output()?.stdout)
    };
    let wrong = [
        (
            "crl_file",
            "cacrl.pem",
            Some(der("cacrl.pem", "crl")?),
            "holds no list of revoked certificates in PEM",
        ),
        ("crl_file", "cacrl.pem", Some(Vec::new()), "holds no list of revoked certificates in PEM"),
        ("crl_file", "cacert.pem", None, "holds no list of revoked certificates in PEM"),
        ("crl_file", "nothing.pem", None, "cannot read"),
        (
            "crl_file",
            "cacrl.pem",
            Some(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n".to_vec()),
            "cannot use",
        ),
        ("ca_file", "cacert.pem", Some(der("cacert.pem", "x509")?), "holds no certificate in PEM"),
        ("ca_file", "serverkey.pem", None, "holds no certificate in PEM"),
        ("cert_file", "servercert.pem", Some(Vec::new()), "holds no certificate in PEM"),
        ("cert_file", "cacrl.pem", None, "holds no certificate in PEM"),
        ("key_file", "servercert.pem", None, "cannot read"),
    ];
    for (key, file, content, complaint) in wrong {
        let path = match content {
            None => authority.file(file),
            Some(content) => {
                let path = scene.dir.path().join(file);
                std::fs::write(&path, content)?;
                path
            }
        };
        let port = free_port()?;
        let kept: String = authority
            .serve(port)
            .lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let lines = format!("{kept}{key} = \"{}\"\n", path.display());
        let Err(error) = Nodedevd::configured(&scene.dir.path().join("host"), &lines) else {
            return Err(format!("{key} = {}: it serves", path.display()).into());
        };
        let said = error.to_string();
        let place = path.display().to_string();
        assert!(said.contains(complaint) && said.contains(&place), "{key} = {place}: {said}");
    }
    Ok(())
}

/// A certificate that says nothing about whose it is opens no door, with a list of names or without one.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_certificate_without_a_name_is_refused() -> Result<(), Failure> {
    let scene = Scene::new()?;
    let nameless = scene.bare("nameless")?;
    scene.authority.sign_nameless("nameless")?;
    for (from, to) in [("namelesscert.pem", "clientcert.pem"), ("namelesskey.pem", "clientkey.pem")] {
        std::fs::copy(scene.authority.file(from), nameless.join(to))?;
    }
    for list in ["", "tls_allowed_dn_list = [ \"*\" ]\n"] {
        let pair = scene.start(list)?;
        assert!(lists(pair.real.tls, &nameless)?.is_err(), "libvirt {list}");
        assert!(lists(pair.port, &nameless)?.is_err(), "{list}");
        logged(|| pair.ours.log(), "", "the certificate has no name")?;
    }
    Ok(())
}
