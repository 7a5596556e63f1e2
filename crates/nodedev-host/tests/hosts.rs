//! The contract of drivers, and recording, on recorded, synthetic and hand-made hosts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use common::{everything, open};
use nodedev_driver::contract::{Expect, check};
use nodedev_host::HostDriver;
use nodedev_host::record::{RecordOptions, record};
use nodedev_interop::made;
use nodedev_sys::Root;
use nodedev_testkit::complete::leave_out;
use nodedev_testkit::fixtures;
use nodedev_testkit::synthetic::Host;

/// Unpacks gzip.
fn gunzip(archive: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    flate2::read::GzDecoder::new(fs::File::open(archive).unwrap()).read_to_end(&mut content).unwrap();
    content
}

#[test]
fn recorded_hosts_keep_the_contract_and_answer_alike_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in fixtures::all().unwrap() {
        let name = fixture.name();
        let packed = open(&fixture.archive());
        check(&packed, &Expect::HOST);
        let want = everything(&packed);
        assert!(want.xml.contains_key("computer"), "{name}");

        let unpacked = fixture.unpack().unwrap();
        let driver = open(unpacked.path());
        check(&driver, &Expect::HOST);
        assert!(everything(&driver) == want, "{name} as a folder");

        let tar = gunzip(&fixture.archive());
        let plain = folder.path().join(format!("{name}.tar"));
        fs::write(&plain, &tar).unwrap();
        assert!(everything(&open(&plain)) == want, "{name} as .tar");

        let zstd = folder.path().join(format!("{name}.tar.zst"));
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        fs::write(&zstd, ruzstd::encoding::compress_to_vec(tar.as_slice(), level)).unwrap();
        assert!(everything(&open(&zstd)) == want, "{name} as .tar.zst");

        // The format goes by the content, and a folder above `sys` does not matter.
        let other = folder.path().join(format!("{name}.bin"));
        let mut builder = tar::Builder::new(fs::File::create(&other).unwrap());
        builder.follow_symlinks(false);
        builder.append_dir_all("bundle/host", unpacked.path()).unwrap();
        builder.into_inner().unwrap().flush().unwrap();
        assert!(everything(&open(&other)) == want, "{name} packed by the name of its folder");
    }
}

#[test]
fn synthetic_hosts_keep_the_contract() {
    for (devices, mdev) in [(0, false), (100, true), (2000, true)] {
        let folder = tempfile::tempdir().unwrap();
        let made = Host::new(devices).mdev(mdev).seed(5).share_contents(true).write(folder.path()).unwrap();
        let mut driver = open(folder.path());
        let active = common::names(&driver, nodedev_driver::View::Libvirt);
        assert_eq!(active.len(), made.total() + made.names("inactive").len() + 1);
        assert_eq!(everything(&driver).issues, []);
        if devices > 100 {
            // From memory, as the suite asks for each device many times.
            let archive = folder.path().join("recorded.tar");
            record(driver.root(), &archive, RecordOptions::default()).unwrap();
            driver = open(&archive);
        }
        check(&driver, &Expect::HOST);
    }
}

#[test]
fn hand_made_hosts_keep_the_contract_and_their_recordings_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("made.tar");
    for made in made::ALL {
        let tree = made.tree().unwrap();
        let driver = open(tree.root());
        check(&driver, &Expect::HOST);
        record(driver.root(), &archive, RecordOptions::default()).unwrap();
        same(made.name, &driver, &open(&archive));
    }
}

#[test]
fn this_machine_keeps_the_contract() {
    match Root::live() {
        Ok(root) => check(&HostDriver::new(root), &Expect::HOST),
        Err(error) => leave_out(error).unwrap(),
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
