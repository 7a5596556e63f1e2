//! TLS with certtool's certificates.

use std::fs;

use nodedev_driver::contract::check;
use nodedev_driver::{Error, LibvirtCalls as _, ListFlags};
use nodedev_interop::Failure;

use crate::certificates::{Authority, EXPIRED};
use crate::contract::DAEMON;
use crate::listening::Listening;
use crate::open;

const CLIENT: &str = "cn = client\ntls_www_client\n";
const SERVER: &str = "cn = 127.0.0.1\nip_address = 127.0.0.1\ntls_www_server\n";

struct Scene {
    dir: tempfile::TempDir,
    authority: Authority,
    daemon: Listening,
}

impl Scene {
    fn new(server: &str) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::new(dir.path().join("pki"))?;
        authority.sign("server", server)?;
        authority.sign("client", CLIENT)?;
        let daemon = Listening::start(&authority, "auth_tcp = \"none\"\n")?;
        Ok(Self { dir, authority, daemon })
    }

    /// A connection with the certificates in a folder.
    fn open(
        &self,
        host: &str,
        pki: &Authority,
        more: &str,
    ) -> nodedev_driver::Result<nodedev_remote::RemoteDriver> {
        let port = self.daemon.tls;
        open(&format!("nodedev+tls://{host}:{port}/system?pkipath={}{more}", pki.dir().display()))
    }

    fn refused(&self, host: &str, pki: &Authority, message: &str, help: &str) {
        let error: Error = self.open(host, pki, "").expect_err(message);
        assert!(error.message().contains(message), "{error:?}");
        assert!(error.help().is_some_and(|text| text.contains(help)), "no '{help}' in {error:?}");
    }
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_daemon_with_certificates_is_reached_and_others_are_refused() -> Result<(), Failure> {
    let scene = Scene::new(SERVER)?;
    let driver = scene.open("127.0.0.1", &scene.authority, "").map_err(|error| format!("{error:?}"))?;
    check(&driver, &DAEMON);
    // Many records each way at once.
    let names = driver.names(None, None, 0).map_err(|error| error.to_string())?;
    let many: Vec<_> = names.iter().cycle().take(20_000).cloned().collect();
    assert_eq!(driver.parents(&many).map(|parents| parents.len()), Ok(many.len()));

    scene.refused(
        "localhost",
        &scene.authority,
        "certificate of 'localhost' is not valid",
        "subject alternative name",
    );
    let strangers = Authority::new(scene.dir.path().join("strangers"))?;
    strangers.sign("client", CLIENT)?;
    scene.refused("127.0.0.1", &strangers, "certificate of '127.0.0.1' is not valid", "cacert.pem");
    let none = Authority::new(scene.dir.path().join("none"))?;
    scene.refused("127.0.0.1", &none, "is not valid", "cacert.pem");

    // The daemon wants a certificate, and one that its authority signed.
    fs::copy(scene.authority.file("cacert.pem"), none.file("cacert.pem"))?;
    let refused = "server verification (of our certificate or IP address) failed";
    scene.refused("127.0.0.1", &none, refused, "clientcert.pem");
    fs::copy(scene.authority.file("cacert.pem"), strangers.file("cacert.pem"))?;
    scene.refused("127.0.0.1", &strangers, refused, "clientcert.pem");

    // Any certificate of the daemon will do with no_verify, whatever the authority and the name.
    let any = Authority::new(scene.dir.path().join("any"))?;
    for name in ["clientcert.pem", "clientkey.pem"] {
        fs::copy(scene.authority.file(name), any.file(name))?;
    }
    let driver = scene.open("localhost", &any, "&no_verify=1").map_err(|error| format!("{error:?}"))?;
    assert_eq!(driver.list_names(ListFlags::empty()).map(|names| names.is_empty()), Ok(false));
    assert!(scene.open("localhost", &any, "&no_verify=0").is_err());

    scene.authority.revoke("server")?;
    scene.refused("127.0.0.1", &scene.authority, "is not valid: Revoked", "docs/remote.md");

    // A list of another certificate is fine, even one that has expired as for libvirt's client, and one without anything in it is none.
    scene.authority.revoke("client")?;
    scene.open("127.0.0.1", &scene.authority, "").map_err(|error| format!("{error:?}"))?;
    scene.authority.revoke_until("client", EXPIRED)?;
    scene.open("127.0.0.1", &scene.authority, "").map_err(|error| format!("{error:?}"))?;
    scene.authority.revoke_until("server", EXPIRED)?;
    scene.refused("127.0.0.1", &scene.authority, "is not valid: Revoked", "docs/remote.md");
    let crl = scene.authority.file("cacrl.pem");
    for content in [Vec::new(), fs::read(scene.authority.file("cacert.pem"))?, vec![0x30, 0x82, 1, 0, 0]] {
        fs::write(&crl, content)?;
        scene.refused("127.0.0.1", &scene.authority, "it holds no list of revoked certificates", "PEM");
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_certificate_with_nothing_but_a_common_name_is_explained() -> Result<(), Failure> {
    let scene = Scene::new("cn = 127.0.0.1\ntls_www_server\n")?;
    scene.refused(
        "127.0.0.1",
        &scene.authority,
        "certificate of '127.0.0.1' is not valid",
        "common name alone",
    );
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_port_without_tls_is_explained() -> Result<(), Failure> {
    let scene = Scene::new(SERVER)?;
    let pki = scene.authority.dir().display();
    let error = open(&format!("nodedev+tls://127.0.0.1:{}/system?pkipath={pki}", scene.daemon.tcp));
    let error = error.expect_err("no TLS");
    assert!(error.message().starts_with("TLS handshake with '127.0.0.1' failed: "), "{error:?}");
    Ok(())
}

#[test]
fn missing_certificates_are_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().display();
    let error = open(&format!("nodedev+tls://127.0.0.1/system?pkipath={path}")).expect_err("no certificates");
    assert_eq!(
        error.message(),
        format!("Cannot read CA certificate '{path}/cacert.pem': No such file or directory")
    );
    fs::write(dir.path().join("cacert.pem"), "nothing").expect("a file");
    let error = open(&format!("nodedev+tls://127.0.0.1/system?pkipath={path}")).expect_err("no certificates");
    assert!(error.message().starts_with(&format!("Unable to import '{path}/cacert.pem': ")), "{error:?}");
}
