//! Where the certificates are, and reading them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nodedev_driver::{RemoteUri, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::failure;

/// More than any file of certificates has.
const LARGEST: u64 = 16 << 20;

/// The files of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) ca: PathBuf,
    pub(super) crl: PathBuf,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    /// The files that a URI means: all in the folder that it names. Otherwise the user's where there are such, and those
    /// of the system; root has no own ones.
    pub(super) fn of(uri: &RemoteUri) -> Self {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
        let own =
            home.filter(|_| !rustix::process::geteuid().is_root()).map(|home| home.join(".pki/libvirt"));
        Self::choose(uri.pkipath.as_deref(), own.as_deref(), Path::exists)
    }

    fn choose(pkipath: Option<&Path>, own: Option<&Path>, exists: impl Fn(&Path) -> bool) -> Self {
        let all_in = |dir: &Path| Self {
            ca: dir.join("cacert.pem"),
            crl: dir.join("cacrl.pem"),
            cert: dir.join("clientcert.pem"),
            key: dir.join("clientkey.pem"),
        };
        if let Some(dir) = pkipath {
            return all_in(dir);
        }
        let mut files = Self {
            ca: "/etc/pki/CA/cacert.pem".into(),
            crl: "/etc/pki/CA/cacrl.pem".into(),
            cert: "/etc/pki/libvirt/clientcert.pem".into(),
            key: "/etc/pki/libvirt/private/clientkey.pem".into(),
        };
        if let Some(own) = own.map(all_in) {
            if exists(&own.ca) {
                files.ca = own.ca;
            }
            if exists(&own.crl) {
                files.crl = own.crl;
            }
            // A certificate and a key of another would fit nothing.
            if exists(&own.cert) && exists(&own.key) {
                (files.cert, files.key) = (own.cert, own.key);
            }
        }
        files
    }

    pub(super) fn authorities(&self) -> Result<Vec<CertificateDer<'static>>> {
        let text = read(&self.ca).map_err(|error| {
            failure::system(format_args!("Cannot read CA certificate '{}'", self.ca.display()), &error)
                .with_help("copy the certificate of the authority that signed the daemon's; docs/remote.md tells how")
        })?;
        certificates(&text, &self.ca)
    }

    /// Certificates that are not valid any more; none if there is no list.
    pub(super) fn revoked(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let Some(text) = optional(&self.crl)? else { return Ok(Vec::new()) };
        let lists: std::result::Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(&text).collect();
        match lists {
            Ok(lists) if lists.is_empty() => {
                Err(malformed(&self.crl, &"it holds no list of revoked certificates"))
            }
            Ok(lists) => Ok(lists),
            Err(error) => Err(malformed(&self.crl, &error)),
        }
    }

    /// What this client shows the daemon; nothing if it has no certificate, which not every daemon asks for.
    pub(super) fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>> {
        let (Some(cert), Some(key)) = (optional(&self.cert)?, optional(&self.key)?) else { return Ok(None) };
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| malformed(&self.key, &error))?;
        Ok(Some((certificates(&cert, &self.cert)?, key)))
    }
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(malformed(path, &"it holds no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(malformed(path, &error)),
    }
}

fn malformed(path: &Path, why: &dyn std::fmt::Display) -> nodedev_driver::Error {
    failure::tls(format!("Unable to import '{}': {why}", path.display()))
        .with_help("the file has to be PEM, as certtool and openssl write it")
}

/// A file that need not be there.
fn optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failure::system(format_args!("Cannot read '{}'", path.display()), &error)
            .with_help("the user who connects has to be allowed to read it")),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::from(rustix::io::Errno::FBIG));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_files_come_first_and_a_key_never_without_its_certificate() {
        let own = Path::new("/h/.pki/libvirt");
        let chosen = |there: &[&str]| {
            let exists = |path: &Path| there.iter().any(|name| path == own.join(name));
            let Files { ca, cert, key, .. } = Files::choose(None, Some(own), exists);
            [ca, cert, key].map(|path| path.starts_with(own))
        };
        assert_eq!(chosen(&[]), [false, false, false]);
        assert_eq!(chosen(&["cacert.pem"]), [true, false, false]);
        assert_eq!(chosen(&["clientcert.pem"]), [false, false, false]);
        assert_eq!(chosen(&["cacert.pem", "clientcert.pem", "clientkey.pem"]), [true, true, true]);
        let all = Files::choose(Some(Path::new("/p")), Some(own), |_| true);
        assert!([all.ca, all.crl, all.cert, all.key].iter().all(|path| path.starts_with("/p")));
    }
}
