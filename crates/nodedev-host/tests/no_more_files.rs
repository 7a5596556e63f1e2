//! Where no more files may be open, nobody knows what there is: that is an error, and never told as nothing.
//!
//! The limit is that of the whole program, so there is one test alone here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::ops::ControlFlow;

use common::{host, open, pci, tree};
use nodedev_driver::{Driver, Error, ListFlags, View, XmlFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Opens files until no more may be.
fn all_files() -> Vec<File> {
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

fn is_told<T: std::fmt::Debug>(what: &str, answer: Result<T, Error>) {
    let error = answer.expect_err(what);
    assert!(error.message().contains("open files"), "{what}: {error}");
    assert!(error.help().is_some_and(|help| help.contains("raise the number of files")), "{what}: {error}");
}

#[test]
fn what_cannot_be_looked_at_since_no_more_files_may_be_open_is_an_error_and_is_found_later() {
    let kind = "devices/pci0000:00/0000:00:03.0/mdev_supported_types/t-1";
    let devices = [
        pci("0000:00:03.0")
            .attr("mdev_supported_types/t-1/device_api", "vfio-pci")
            .attr("mdev_supported_types/t-1/available_instances", 3),
        pci("0000:00:04.0"),
    ];
    let tree = tree(&devices);
    assert!(tree.root().join("sys").join(kind).exists());
    let driver = open(tree.root());
    let (_other, known) = host(&devices);
    let all = known.list_names(ListFlags::empty()).unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();

    // The first look itself.
    let files = all_files();
    is_told("list", driver.list_names(ListFlags::empty()));
    is_told("entries", driver.entries(View::Native));
    is_told("lookup", driver.lookup("pci_0000_00_03_0"));
    drop(files);
    assert_eq!(driver.list_names(ListFlags::empty()).unwrap(), all);

    // Types that are nested in others, and descriptions.
    let files = all_files();
    is_told("types", driver.list_names(ListFlags::CAP_MDEV_TYPES));
    is_told("product data", driver.list_names(ListFlags::CAP_VPD));
    is_told("document", driver.xml("pci_0000_00_03_0", XmlFlags::empty()));
    let mut told = 0;
    driver
        .visit_xml(ListFlags::CAP_PCI_DEV, XmlFlags::empty(), &mut |_, document| {
            is_told("documents", document);
            told += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(told, 2);
    drop(files);
    assert_eq!(driver.list_names(ListFlags::CAP_MDEV_TYPES).unwrap().len(), 1);
    setrlimit(Resource::Nofile, limit).unwrap();
}
