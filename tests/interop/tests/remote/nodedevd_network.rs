//! nodedevd on the loopback interface, with libvirt's own client: with TLS and without.

use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nodedev_interop::Failure;
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use crate::certificates::Authority;

const SERVER: &str = "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\n";

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn virsh(uri: &str) -> Result<Output, Failure> {
    Ok(Command::new("virsh").args(["-c", uri, "nodedev-list"]).env("LC_ALL", "C").output()?)
}

fn listed(uri: &str, daemon: &Nodedevd) -> Result<(), Failure> {
    let output = virsh(uri)?;
    let want = daemon.client().output(&["nodedev-list"])?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{uri}: {complaint}{}", daemon.log());
    assert!(want.stdout.len() > 100 && output.stdout == want.stdout, "{uri}");
    Ok(())
}

fn refused(uri: &str) -> Result<String, Failure> {
    let output = virsh(uri)?;
    assert!(!output.status.success() && output.stdout.trim_ascii().is_empty(), "{uri}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Waits until the daemon has said so: clients know of the end of a connection a moment before.
fn logged(daemon: &Nodedevd, text: &str) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(20);
    while !daemon.log().contains(text) {
        if Instant::now() > until {
            return Err(format!("nodedevd does not say '{text}': {}", daemon.log()).into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn virsh_lists_over_tls_only_with_a_certificate_that_is_allowed() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let host = dir.path().join("host");
    Host::new(50).write(&host)?;
    let authority = Authority::new(dir.path().join("pki"))?;
    authority.sign("server", SERVER)?;
    authority.sign("client", "cn = allowed\ntls_www_client\n")?;
    let [port, strict_port] = [free_port()?, free_port()?];
    let lines = |port: u16, more: &str| {
        let pki = authority.dir().display();
        format!(
            "listen_tls = 1\nlisten_addr = \"127.0.0.1\"\ntls_port = \"{port}\"\nca_file = \"{pki}/cacert.pem\"\n\
             cert_file = \"{pki}/servercert.pem\"\nkey_file = \"{pki}/serverkey.pem\"\n{more}"
        )
    };
    let uri = |port: u16, pki: &Authority| {
        format!("nodedev+tls://localhost:{port}/system?pkipath={}", pki.dir().display())
    };
    let daemon = Nodedevd::configured(&host, &lines(port, ""))?;
    listed(&uri(port, &authority), &daemon)?;

    let strict = "tls_allowed_dn_list = [ \"CN=other,*\", \"O=test,CN=other\" ]\n";
    let strict = Nodedevd::configured(&host, &lines(strict_port, strict))?;
    refused(&uri(strict_port, &authority))?;
    logged(&strict, "is not in tls_allowed_dn_list")?;
    logged(&strict, "CN=allowed")?;

    // A client with the authority's certificate and none of its own, and one with another authority's.
    let bare = dir.path().join("bare");
    std::fs::create_dir(&bare)?;
    std::fs::copy(authority.file("cacert.pem"), bare.join("cacert.pem"))?;
    refused(&format!("nodedev+tls://localhost:{port}/system?pkipath={}", bare.display()))?;
    let foreign = Authority::new(dir.path().join("foreign"))?;
    foreign.sign("client", "cn = allowed\ntls_www_client\n")?;
    std::fs::copy(authority.file("cacert.pem"), foreign.file("cacert.pem"))?;
    refused(&uri(port, &foreign))?;
    logged(&daemon, "a client was not let in")?;
    // Nobody else suffers from it.
    listed(&uri(port, &authority), &daemon)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn virsh_lists_over_plain_tcp_if_that_is_asked_for() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(50).write(dir.path())?;
    let port = free_port()?;
    let uri = format!("nodedev+tcp://127.0.0.1:{port}/system");
    let lines = format!("listen_addr = \"127.0.0.1\"\ntcp_port = \"{port}\"\nauth_tcp = \"none\"\n");
    let silent = Nodedevd::configured(dir.path(), &lines)?;
    let complaint = refused(&uri)?;
    assert!(complaint.contains("Connection refused"), "{complaint}");
    drop(silent);
    let daemon = Nodedevd::configured(dir.path(), &format!("{lines}listen_tcp = 1\n"))?;
    listed(&uri, &daemon)
}
