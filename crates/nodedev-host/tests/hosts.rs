//! The contract of drivers on recorded, synthetic and hand-made hosts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use common::{everything, open};
use nodedev_driver::contract::{Expect, check};
use nodedev_host::HostDriver;
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

/// Packs a folder, under another name.
fn pack(folder: &Path, archive: &Path, name: &str) {
    let mut builder = tar::Builder::new(fs::File::create(archive).unwrap());
    builder.follow_symlinks(false);
    builder.append_dir_all(name, folder).unwrap();
    builder.into_inner().unwrap().flush().unwrap();
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
        pack(unpacked.path(), &other, "bundle/host");
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
            let packed = tempfile::tempdir().unwrap();
            // From memory, as the suite asks for each device many times.
            let archive = packed.path().join("host.tar");
            pack(folder.path(), &archive, ".");
            driver = open(&archive);
        }
        check(&driver, &Expect::HOST);
    }
}

#[test]
fn hand_made_hosts_keep_the_contract() {
    for made in made::ALL {
        let tree = made.tree().unwrap();
        let driver = open(tree.root());
        check(&driver, &Expect::HOST);
    }
}

#[test]
fn this_machine_keeps_the_contract() {
    match Root::live() {
        Ok(root) => check(&HostDriver::new(root), &Expect::HOST),
        Err(error) => leave_out(error).unwrap(),
    }
}
