//! systemd's own program for trying socket activation starts the daemon at the first connection.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodedev_driver::{ConnectUri, Error, LibvirtCalls as _, ListFlags};
use nodedev_interop::Failure;
use nodedev_remote::{Options, RemoteDriver};
use nodedev_testkit::peer::Nodedevd;

use crate::fixture;

const PATIENCE: Duration = Duration::from_secs(30);

/// The program, and later the daemon that takes its place, with the same process number.
struct Activated(Child);

impl Drop for Activated {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > until {
            return Err(format!("in vain: waiting until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

fn open(uri: &str, read_only: bool) -> Result<RemoteDriver, Failure> {
    let failed = |error: Error| Failure::from(error.to_string());
    let ConnectUri::Remote(uri) = uri.parse().map_err(failed)? else {
        return Err("no daemon".to_owned().into());
    };
    RemoteDriver::open(&uri, &Options { read_only, ..Options::default() }).map_err(failed)
}

#[test]
#[ignore = "asks systemd and the real libvirt: cargo xtask test"]
fn systemd_starts_it_at_the_first_connection_and_both_sockets_are_served() -> Result<(), Failure> {
    let root = fixture("kitchen-sink")?.unpack()?;
    let work = tempfile::Builder::new().prefix("nodedev-systemd-").tempdir_in("/tmp")?;
    let (config, log) = (work.path().join("conf"), work.path().join("log"));
    std::fs::write(&config, "auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n")?;
    let socket = |name: &str| work.path().join(name).display().to_string();
    let (both, only_looks) = (socket("rw"), socket("ro"));
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--listen", &both, "--listen", &only_looks]);
    command.arg("--fdname=virtnodedevd.socket:virtnodedevd-ro.socket").arg(Nodedevd::program()?);
    command.arg("--root").arg(root.path()).arg("--config").arg(&config).arg("--run-dir").arg(work.path());
    let log_file = File::create(&log)?;
    let mut activated =
        Activated(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file).spawn()?);
    let pid = activated.0.id();
    wait_for("both sockets are there", || [&both, &only_looks].iter().all(|path| Path::new(path).exists()))?;
    assert_ne!(name(pid), "nodedevd", "it is started before anybody needs it");

    // One client goes before it is served; that it came starts the daemon nevertheless.
    drop(UnixStream::connect(&only_looks)?);
    wait_for("the daemon is started", || name(pid) == "nodedevd")?;
    let there = Nodedevd::at(root.path())?;
    let want = there.client().text(&["nodedev-list", "--all"])?;
    for (path, read_only) in [(&both, false), (&only_looks, true)] {
        let uri = format!("nodedev:///system?socket={path}");
        let virsh = |words: &[&str]| {
            let mut command = Command::new("virsh");
            command.args(["-c", &uri]).args(words).env("LC_ALL", "C").stdin(Stdio::null()).output()
        };
        let listed = String::from_utf8_lossy(&virsh(&["nodedev-list", "--all"])?.stdout).into_owned();
        assert_eq!(listed.trim_end(), want.trim_end(), "{path}");
        let ours =
            open(&uri, read_only)?.list_names(ListFlags::empty()).map_err(|error| error.to_string())?;
        assert!(ours.iter().any(|name| name.as_str() == "computer"), "{path}: {ours:?}");
        // The socket decides, also about a client that does not ask to only look.
        let refused = virsh(&["nodedev-reset", "computer"])?;
        let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{path}");
        assert_eq!(complaint.contains("read only access"), read_only, "{path}: {complaint}");
    }

    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    assert_eq!(children, "", "it has started processes");
    let told = Command::new("kill").arg(pid.to_string()).status()?;
    assert!(told.success());
    wait_for("it has ended", || matches!(activated.0.try_wait(), Ok(Some(_))))?;
    assert_eq!(activated.0.wait()?.code(), Some(0), "{}", std::fs::read_to_string(&log)?);
    assert!(Path::new(&both).exists(), "the sockets are systemd's");
    Ok(())
}

#[test]
#[ignore = "asks systemd: cargo xtask test"]
fn systemd_understands_the_units() -> Result<(), Failure> {
    let work = tempfile::tempdir()?;
    let program = Nodedevd::program()?;
    let folder = program.parent().ok_or_else(|| "the program is in no folder".to_owned())?;
    let mut verify = Command::new("systemd-analyze");
    verify.arg("verify").env("LC_ALL", "C");
    for entry in std::fs::read_dir(nodedev_testkit::repository().join("packaging/systemd"))? {
        let entry = entry?;
        // As installing does it: a program that is not there is a mistake, too.
        let unit =
            std::fs::read_to_string(entry.path())?.replace("/usr/sbin/", &format!("{}/", folder.display()));
        let copy = work.path().join(entry.file_name());
        std::fs::write(&copy, unit)?;
        verify.arg(copy);
    }
    let output = verify.output()?;
    // What it does not know it passes over, and says so.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    Ok(())
}

/// What the service may do beyond what it needs, as systemd counts it: 0 is nothing, 10 everything.
#[test]
#[ignore = "asks systemd: cargo xtask test"]
fn systemd_finds_little_that_the_service_could_do_without() -> Result<(), Failure> {
    let unit = nodedev_testkit::repository().join("packaging/systemd/nodedevd.service");
    let mut judge = Command::new("systemd-analyze");
    // The threshold is in tenths.
    judge.args(["security", "--offline=true", "--threshold=30", "--no-pager"]).arg(unit).env("LC_ALL", "C");
    let output = judge.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Overall exposure level"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    Ok(())
}
