//! `ssh`, played by a script that runs here what it should run elsewhere, and programs of the user's own.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nodedev_driver::contract::check;
use nodedev_driver::{ErrorCode, LibvirtCalls as _, ListFlags};
use nodedev_interop::Failure;
use nodedev_testkit::peer::{Daemon, Libvirt, Scene};
use nodedev_testkit::synthetic::Host;

use crate::contract::DAEMON;
use crate::open;

fn script(dir: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn daemon(dir: &Path) -> Result<(Daemon, String), Failure> {
    let tree = dir.join("tree");
    Host::new(60).mdev(true).write(&tree)?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(tree))?;
    let socket =
        daemon.uri().split_once("socket=").map(|(_, path)| path.to_owned()).ok_or("no socket".to_owned())?;
    Ok((daemon, socket))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_program_of_the_users_own_passes_everything_on() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (_daemon, socket) = daemon(dir.path())?;
    let program = script(dir.path(), "relay", &format!("exec socat - UNIX-CONNECT:{socket}\n"))?;
    let uri = format!("nodedev+ext:///system?command={}", program.display());
    let driver = open(&uri).map_err(|error| format!("{error:?}"))?;
    check(&driver, &DAEMON);
    Ok(())
}

/// A program that does as `ssh` does, with the other machine's shell being this one's. `/run` is what the daemon's
/// machine would have there.
fn ssh(dir: &Path, socket: &str) -> io::Result<PathBuf> {
    let inside = format!(
        "mount -t tmpfs none /run; mkdir /run/libvirt; ln -s {socket} /run/libvirt/libvirt-sock; \
         ln -s {socket} /run/libvirt/libvirt-sock-ro; exec sh -c \"$1\""
    );
    let text = format!(
        "while [ \"$1\" != -- ]; do shift; done\n[ \"$2\" = there ] || {{ echo \"no route to $2\" >&2; exit 255; }}\n\
         echo 'a warning, as ssh has many' >&2\nexec unshare --mount sh -c '{inside}' sh \"$3\"\n"
    );
    script(dir, "ssh", &text)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn every_way_that_ssh_has_leads_to_the_daemon() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (daemon, socket) = daemon(dir.path())?;
    let ssh = ssh(dir.path(), &socket)?;
    let ssh = ssh.display();
    let want = daemon.virsh(&["nodedev-list", "--all"])?.lines().count();
    for parameters in [
        "",
        "&proxy=native",
        "&proxy=netcat",
        "&proxy=auto&no_tty=1&no_verify=1",
        &format!("&socket={socket}"),
    ] {
        let uri = format!("nodedev+ssh://user@there:2222/system?command={ssh}{parameters}");
        let driver = open(&uri).map_err(|error| format!("{uri}: {error:?}"))?;
        assert_eq!(driver.list_names(ListFlags::empty()).map(|names| names.len()), Ok(want), "{uri}");
    }
    let driver =
        open(&format!("nodedev+ssh://there/system?command={ssh}")).map_err(|error| format!("{error:?}"))?;
    check(&driver, &DAEMON);
    Ok(())
}

#[test]
fn what_the_program_says_is_in_the_error() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let ssh = script(dir.path(), "ssh", "echo 'ssh: Could not resolve hostname there' >&2\nexit 255\n")?;
    let error =
        open(&format!("nodedev+ssh://there/system?command={}", ssh.display())).expect_err("no such host");
    assert_eq!(error.code(), ErrorCode::SYSTEM_ERROR);
    let want = "Cannot recv data: ssh: Could not resolve hostname there: Connection reset by peer";
    assert_eq!(error.message(), want);
    // More than a pipe holds, while the program is running; the last of it is kept.
    let noisy = "i=0; while [ $i -lt 3000 ]; do echo 'line of no importance to anybody' >&2; i=$((i+1)); done; echo last >&2";
    let noisy = script(dir.path(), "noisy", noisy)?;
    let error = open(&format!("nodedev+ext:///system?command={}", noisy.display())).expect_err("no daemon");
    assert!(error.message().ends_with("\nlast: Connection reset by peer"), "{error:?}");
    assert!(error.message().len() < 1200);
    Ok(())
}

#[test]
fn programs_that_are_not_there_or_talk_nonsense_are_errors() -> Result<(), Failure> {
    let error = open("nodedev+ext:///system?command=/does/not/exist").expect_err("no such program");
    assert_eq!(error.message(), "Cannot start '/does/not/exist': No such file or directory");
    for uri in ["nodedev+ext:///system", "nodedev+ext:///system?command="] {
        let error = open(uri).expect_err("no program");
        assert_eq!(
            error.message(),
            "invalid argument: remote_open: for 'ext' transport, command is required"
        );
    }
    // What is said comes back.
    let error = open("nodedev+ext:///system?command=/bin/cat").expect_err("no daemon");
    assert_eq!(error.message(), "got unexpected RPC call prog 536903814 vers 1 proc 66 type 0");
    Ok(())
}

/// Processes whose parent is this one, and that have ended and are not waited for, or run.
fn children() -> usize {
    let pid = std::process::id();
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .map_or(0, |text| text.split_whitespace().count())
}

#[test]
fn a_program_that_would_go_on_is_ended_with_the_connection() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let mark = dir.path().join("pid");
    let text = format!("echo $$ >{}\nexec sleep 1000\n", mark.display());
    let stubborn = script(dir.path(), "stubborn", &text)?;
    let uri = format!("nodedev+ext:///system?command={}", stubborn.display());
    // It never answers: whoever waits gives up, here by ending the program.
    let waiting = std::thread::spawn(move || open(&uri).map(drop));
    let pid = loop {
        match fs::read_to_string(&mark) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    };
    assert!(children() > 0 || Path::new(&format!("/proc/{pid}")).exists());
    std::process::Command::new("kill").arg(&pid).status()?;
    let error = waiting.join().expect("no panic").expect_err("it ended");
    assert_eq!(error.code(), ErrorCode::SYSTEM_ERROR);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it was waited for");
    Ok(())
}
