//! What an ordinary user sees: every device, without what only root may read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, ran};
use nodedev_testkit::complete::leave_out;
use nodedev_testkit::synthetic::Host;

/// The user `nobody` of most systems; any that owns nothing will do.
const NOBODY: u32 = 65534;

/// Runs the program, copied to where everybody can run it, as root or as an ordinary user.
fn run(program: &Path, ordinary: bool, args: &str) -> Ran {
    let mut command = Command::new(program);
    command.args(args.split_whitespace()).stdin(Stdio::null()).current_dir("/");
    if ordinary {
        command.uid(NOBODY).gid(NOBODY);
    }
    ran(&command.output().unwrap())
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The files of PCI functions that the kernel gives to root alone.
fn close(devices: &Path) -> usize {
    let mut closed = 0;
    for entry in fs::read_dir(devices).unwrap() {
        for name in ["config", "vpd"] {
            let file = entry.as_ref().unwrap().path().join(name);
            if file.exists() {
                mode(&file, 0o400);
                closed += 1;
            }
        }
    }
    closed
}

#[test]
fn an_ordinary_user_sees_every_device_without_what_only_root_may_read() {
    let folder = tempfile::tempdir().unwrap();
    mode(folder.path(), 0o755);
    let program = folder.path().join("nodedev");
    fs::copy(env!("CARGO_BIN_EXE_nodedev"), &program).unwrap();
    mode(&program, 0o755);
    // Only root can become somebody else.
    let probe = Command::new(&program).arg("--version").uid(NOBODY).gid(NOBODY).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        leave_out("what root sees is not compared with what others see: this is run by an ordinary user")
            .unwrap();
        return;
    }
    let root = folder.path().join("host");
    Host::new(100).mdev(true).write(&root).unwrap();
    assert!(close(&root.join("sys/bus/pci/devices")) > 10);
    for host in [format!("--root {}", root.display()), String::new()] {
        let list = format!("{host} list --extended --all");
        let (by_root, by_user) = (run(&program, false, &list), run(&program, true, &list));
        assert_eq!((by_root.code, by_user.code, by_user.stderr.as_str()), (0, 0, ""), "{host}");
        assert_eq!(by_root.stdout, by_user.stdout, "{host}");
        assert!(by_user.stdout.contains("computer"), "{host}");
        let issues = run(&program, true, &format!("{host} list --issues"));
        assert_eq!((issues.code, issues.stdout.contains("ermission")), (0, false), "{}", issues.stdout);
        let all = run(&program, true, &format!("{host} dumpxml --all"));
        assert_eq!((all.code, all.stderr.as_str()), (0, ""), "{host}");
        assert!(!all.stdout.contains("<capability type='vpd'>"), "{host}: what root alone may read");
    }
    let host = format!("--root {}", root.display());
    let all = run(&program, false, &format!("{host} dumpxml --all"));
    assert!(all.stdout.contains("<capability type='vpd'>"), "root sees it");
    assert!(all.stdout.contains("<vendor id='0x8086'"));
}
