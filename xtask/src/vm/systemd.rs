//! systemd for the guest: what runs services, with few of its units, and the daemon's as they are installed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nodedev_testkit::repository;

use super::root::{copy, files, libraries};

const UNITS: &str = "usr/lib/systemd/system";
/// What the units of a service and its sockets ask for.
const UNITS_FILES: &[&str] = &[
    "basic.target",
    "modprobe@.service",
    "network.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
];
/// The first program, and those that talk to it.
const PROGRAMS: &[&str] = &["usr/lib/systemd/systemd", "usr/bin/systemctl", "usr/bin/systemd-analyze"];
/// Since systemd 255 the first program has this one start services.
const EXECUTOR: &str = "usr/lib/systemd/systemd-executor";
/// The unit that does what is left of the tests.
const TESTS: &str = "nodedev-vm.service";

/// Whether it is installed on this machine.
pub(super) fn is_installed() -> bool {
    PROGRAMS.iter().all(|program| Path::new("/").join(program).is_file())
}

/// Puts it into the guest's file system, and gives the libraries that it needs.
pub(super) fn make(root: &Path) -> Result<Vec<PathBuf>> {
    let mut linked = Vec::new();
    for program in PROGRAMS.iter().chain(&[EXECUTOR]) {
        let from = Path::new("/").join(program);
        if from.is_file() {
            copy(&from, &root.join(program))?;
            linked.extend(libraries(&from)?);
        }
    }
    for unit in UNITS_FILES {
        copy(&Path::new("/").join(UNITS).join(unit), &root.join(UNITS).join(unit))?;
    }
    // As `cargo xtask install --prefix /usr` does.
    files(&repository().join("packaging/systemd"), &root.join(UNITS))?;
    symlink("../bin/nodedevd", root.join("usr/sbin/nodedevd"))?;
    fs::create_dir_all(root.join("etc/systemd/system"))?;
    symlink(format!("/vm/{TESTS}"), root.join("etc/systemd/system").join(TESTS))?;
    Ok(linked)
}
