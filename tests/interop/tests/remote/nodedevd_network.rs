//! nodedevd on the loopback interface without TLS, with libvirt's own client.

use std::process::{Command, Output};

use nodedev_interop::Failure;
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use crate::listening::free_port;

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
