//! A recording says what its host says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use common::{everything, open, pci, tree};
use nodedev_driver::{Devices, LibvirtCalls};
use nodedev_host::HostDriver;
use nodedev_interop::made;
use nodedev_record::{RecordOptions, record};
use nodedev_testkit::fixtures;
use nodedev_testkit::synthetic::Host;
use nodedev_testkit::tree::{Device, Tree};

#[test]
fn recordings_of_hand_made_hosts_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("made.tar");
    for made in made::ALL {
        let tree = made.tree().unwrap();
        let driver = open(tree.root());
        record(driver.root(), &archive, RecordOptions::default()).unwrap();
        same(made.name, &driver, &open(&archive));
    }
}

#[test]
fn a_recording_says_what_its_host_says() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("again.tar.gz");
    for fixture in fixtures::all().unwrap() {
        let driver = open(&fixture.archive());
        let report = record(driver.root(), &archive, RecordOptions::default()).unwrap();
        assert!(report.devices > 0 && report.files > report.devices && report.masked == 0, "{report:?}");
        same(fixture.name(), &driver, &open(&archive));
    }
    let root = folder.path().join("synthetic");
    Host::new(300).mdev(true).write(&root).unwrap();
    let driver = open(&root);
    let archive = folder.path().join("again.tar");
    record(driver.root(), &archive, RecordOptions::default()).unwrap();
    same("synthetic", &driver, &open(&archive));
}

/// Both say the same, told device by device.
fn same(what: &str, host: &HostDriver, recording: &HostDriver) {
    let (host, recording) = (everything(host), everything(recording));
    let lost: Vec<_> = host
        .devices
        .iter()
        .filter(|device| !recording.devices.iter().any(|other| other.name == device.name))
        .map(|device| device.name.as_str())
        .collect();
    assert!(lost.is_empty(), "{what}: lost {lost:?}");
    for (device, other) in host.devices.iter().zip(&recording.devices) {
        assert_eq!(device, other, "{what}");
    }
    for (name, xml) in &host.xml {
        assert_eq!(
            String::from_utf8_lossy(xml),
            String::from_utf8_lossy(&recording.xml[name]),
            "{what}: {name}"
        );
    }
    assert_eq!(host.issues, recording.issues, "{what}");
    assert!(host == recording, "{what}");
}

#[test]
fn names_that_are_not_utf8_are_recorded() {
    let tree = tree(&[pci("0000:00:03.0")]);
    let sys = tree.root().join("sys");
    let name = OsStr::from_bytes(b"w\xffn");
    let folder = sys.join("devices/pci0000:00/0000:00:03.0/net").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(sys.join("class/net")).unwrap();
    let target = OsStr::from_bytes(b"../../devices/pci0000:00/0000:00:03.0/net/w\xffn");
    symlink(target, sys.join("class/net").join(name)).unwrap();
    symlink("../../../../../class/net", folder.join("subsystem")).unwrap();
    fs::write(folder.join("uevent"), b"INTERFACE=w\xffn\nIFINDEX=2\n").unwrap();
    fs::write(folder.join("address"), b"02:00:00:00:00:01\n").unwrap();
    let driver = open(tree.root());
    let archive = tree.root().join("again.tar");
    record(driver.root(), &archive, RecordOptions::default()).unwrap();
    let recording = open(&archive);
    let path = recording.device("net_w_n_02_00_00_00_00_01").unwrap().syspath.unwrap();
    assert_eq!(path.as_bytes(), b"/sys/devices/pci0000:00/0000:00:03.0/net/w\xffn");
    same("not UTF-8", &driver, &recording);
}

#[test]
fn names_of_vendors_and_products_are_recorded_from_where_they_are() {
    const TEXT: &[u8] = b"8086  Intel Corporation\n\t10d3  82574L\n";
    for path in ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"] {
        let mut tree = tree(&[pci("0000:00:03.0")]);
        tree.file(path, TEXT).unwrap();
        let driver = open(tree.root());
        let archive = tree.root().join("again.tar");
        record(driver.root(), &archive, RecordOptions { mask: true }).unwrap();
        let xml = common::xml(&open(&archive), "pci_0000_00_03_0");
        assert!(
            xml.contains("82574L</product>") && xml.contains("Intel Corporation</vendor>"),
            "{path}: {xml}"
        );
    }
}

#[test]
fn what_a_machine_tells_of_itself_is_recorded_but_its_name_and_uuid_where_it_is_masked() {
    let mut tree = Tree::temporary().unwrap();
    tree.file("proc/sys/kernel/hostname", b"big-host\n").unwrap();
    tree.file("proc/sys/kernel/arch", b"aarch64\n").unwrap();
    tree.file("proc/meminfo", b"MemTotal:       24566632 kB\n").unwrap();
    tree.file("proc/cpuinfo", b"processor\t: 0\ncpu MHz\t\t: 2445.404\n").unwrap();
    tree.sys_file("devices/virtual/dmi/id/product_uuid", b"2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10\n").unwrap();
    tree.add(&Device::new("devices/virtual/dmi/id", "class/dmi")).unwrap();
    tree.sys_file("devices/system/cpu/online", b"0-3,8-11\n").unwrap();
    for cpu in [0, 1, 2, 3, 8, 9, 10, 11] {
        let folder = format!("devices/system/cpu/cpu{cpu}/topology");
        tree.sys_file(&format!("{folder}/physical_package_id"), b"0\n").unwrap();
        tree.sys_file(&format!("{folder}/core_id"), format!("{}\n", cpu / 2).as_bytes()).unwrap();
    }
    let driver = open(tree.root());
    let want = driver.host_info().unwrap();
    assert_eq!((want.hostname.as_deref(), want.cpus, want.mhz), (Some("big-host"), 8, 2445));
    let archive = tree.root().join("host.tar");
    record(driver.root(), &archive, RecordOptions::default()).unwrap();
    assert_eq!(open(&archive).host_info().unwrap(), want);
    record(driver.root(), &archive, RecordOptions { mask: true }).unwrap();
    let masked = open(&archive).host_info().unwrap();
    assert_eq!((masked.hostname, masked.cpus), (None, 8));
    assert_ne!(masked.uuid, want.uuid);
}
