//! Clients that are told nothing but `nodedev:///system` find the daemon where libvirt's would be.

use std::process::{Command, Output, Stdio};

use nodedev_interop::Failure;
use nodedev_testkit::peer::{Nodedevd, unshare};

use crate::fixture;

/// Runs `client` where `/run` has nothing but a nodedevd with the arguments that come after it, and ends both.
const SCRIPT: &str = r#"
set -eu
mount --make-rprivate /
mount -t tmpfs none /run
client=$1
shift
"$@" &
until [ -S /run/libvirt/virtnodedevd-sock-ro ]; do
    kill -0 $! || { echo "nodedevd has ended" >&2; exit 99; }
    sleep 0.02
done
eval "$client"
"#;

fn run(root: &std::path::Path, client: &str) -> Result<Output, Failure> {
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), "auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nlog_level = 4\n")?;
    let mut command = unshare()?;
    command.args(["sh", "-c", SCRIPT, "sh", client]).arg(Nodedevd::program()?);
    command.arg("--root").arg(root).arg("--config").arg(config.path());
    // Nothing of the caller's may name a socket.
    command.env("LC_ALL", "C").env_remove("LIBVIRT_DEFAULT_URI").env_remove("XDG_RUNTIME_DIR");
    Ok(command.stdin(Stdio::null()).output()?)
}

fn text(output: &Output) -> Result<String, Failure> {
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn virsh_finds_the_daemon_by_itself_with_both_sockets() -> Result<(), Failure> {
    let root = fixture("kitchen-sink")?.unpack()?;
    let there = Nodedevd::at(root.path())?;
    let want = text(&there.client().output(&["nodedev-list"])?)?;
    assert!(want.lines().count() > 20, "{want}");
    for options in ["", "-r"] {
        let client = format!("virsh {options} -c nodedev:///system nodedev-list");
        assert_eq!(text(&run(root.path(), &client)?)?, want, "{client}");
    }
    // Through the other socket nothing is changed.
    let output = run(root.path(), "virsh -r -c nodedev:///system nodedev-destroy computer")?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("read only access"), "{complaint}");
    Ok(())
}

/// What `nodedev+ssh://` runs on the daemon's machine: it passes on what a client says.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn virt_ssh_helper_finds_the_daemon_by_itself() -> Result<(), Failure> {
    let root = fixture("kitchen-sink")?.unpack()?;
    let there = Nodedevd::at(root.path())?;
    let want = text(&there.client().output(&["nodedev-list"])?)?;
    for options in ["", "-r"] {
        let relay = tempfile::Builder::new().prefix("nodedev-ssh-").tempdir_in("/tmp")?;
        let ssh = relay.path().join("ssh");
        // The last argument is what ssh would run there.
        std::fs::write(&ssh, "#!/bin/sh\nfor last; do :; done\nexec sh -c \"$last\"\n")?;
        let made = Command::new("chmod").arg("755").arg(&ssh).status()?;
        assert!(made.success());
        let uri = format!("nodedev+ssh://there/system?command={}&proxy=native", ssh.display());
        let client = format!("virsh {options} -c '{uri}' nodedev-list");
        assert_eq!(text(&run(root.path(), &client)?)?, want, "{client}");
    }
    Ok(())
}
