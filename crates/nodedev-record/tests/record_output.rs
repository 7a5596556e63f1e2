//! Where a recording goes: complete under its name, or not at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use common::{host, pci};
use nodedev_record::{RecordError, RecordOptions, record};
use nodedev_sys::Root;

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_recording_replaces_an_older_one_and_only_its_owner_can_read_it() {
    let (_tree, driver) = host(&[pci("0000:00:03.0")]);
    let folder = tempfile::tempdir().unwrap();
    for name in ["host.tar", "host.tar.gz", "host.tgz"] {
        let archive = folder.path().join(name);
        fs::write(&archive, "old").unwrap();
        let report = record(driver.root(), &archive, RecordOptions::default()).unwrap();
        assert_eq!((report.devices, report.issues), (1, vec![]), "{name}");
        assert!(Root::open(&archive).unwrap().exists(b"sys/bus/pci/devices/0000:00:03.0/uevent"), "{name}");
        assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(entries(folder.path()), ["host.tar", "host.tar.gz", "host.tgz"]);
}

#[test]
fn a_failed_recording_says_where_and_leaves_nothing_behind() {
    let (_tree, driver) = host(&[pci("0000:00:03.0")]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // A folder in the place of the archive, and one in that of the unfinished file; a folder that is not there.
    fs::create_dir_all(path("folder.tar/x")).unwrap();
    fs::create_dir_all(path("kept.tar.partial/x")).unwrap();
    fs::write(path("kept.tar"), "old").unwrap();
    let before = entries(folder.path());
    for name in ["folder.tar", "kept.tar", "missing/host.tar"] {
        let error = record(driver.root(), &path(name), RecordOptions::default()).unwrap_err();
        assert!(matches!(&error, RecordError::Write { path, .. } if path.ends_with(name)), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(std::error::Error::source(&error).is_some(), "{error} has a reason");
    }
    assert_eq!(fs::read(path("kept.tar")).unwrap(), b"old");
    assert_eq!(entries(folder.path()), before);
    for name in ["host.zip", "host", "tar"] {
        let error = record(driver.root(), &path(name), RecordOptions::default()).unwrap_err();
        assert!(
            matches!(error, RecordError::Format { .. }) && error.to_string().contains(".tar.gz"),
            "{error}"
        );
    }
    assert_eq!(entries(folder.path()), before);
}

#[test]
fn an_unfinished_file_of_somebody_else_is_not_written_through() {
    let (_tree, driver) = host(&[pci("0000:00:03.0")]);
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    symlink(&theirs, folder.path().join("host.tar.partial")).unwrap();
    record(driver.root(), &folder.path().join("host.tar"), RecordOptions::default()).unwrap();
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    assert_eq!(entries(folder.path()), ["host.tar", "theirs"]);
}
