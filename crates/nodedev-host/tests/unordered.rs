//! What has no order of its own is sorted, in whatever order a folder gives it: that of ext4 is one of hashes, that of tmpfs the
//! last first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use common::{capability, open, pci, xml};
use nodedev_testkit::tree::{Device, Tree};

/// Where the order of a folder is that in which its files were made, or its reverse; and where it is another.
const FILE_SYSTEMS: &[&str] = &["/dev/shm", "/tmp"];

/// A channel group, an IOMMU group and types of mediated devices whose files are made in the order of `numbers`.
fn made(root: &Path, numbers: &[u32]) {
    let mut tree = Tree::create(root).unwrap();
    let mut group = Device::new("devices/qeth/0.0.0600", "bus/ccwgroup").devtype("qeth_layer2");
    let mut parent = pci("0000:00:1f.0");
    for number in numbers {
        group =
            group.link(format!("cdev{number}"), format!("devices/css0/0.0.00{number:02}/0.0.06{number:02}"));
        let kind = format!("mdev_supported_types/t-{number:02}");
        parent = parent
            .attr(format!("{kind}/device_api"), "vfio-pci")
            .attr(format!("{kind}/available_instances"), number);
    }
    for number in numbers {
        tree.add(&Device::new(format!("devices/css0/0.0.00{number:02}"), "bus/css")).unwrap();
        tree.add(&Device::new(format!("devices/css0/0.0.00{number:02}/0.0.06{number:02}"), "bus/ccw"))
            .unwrap();
        tree.add(&pci(&format!("0000:00:{number:02x}.0"))).unwrap();
        tree.iommu_group(7, &format!("devices/pci0000:00/0000:00:{number:02x}.0")).unwrap();
    }
    tree.add(&group).unwrap();
    tree.add(&parent).unwrap();
}

#[test]
fn members_and_types_are_sorted_whatever_the_order_of_their_folder() {
    let mut all = Vec::new();
    for file_system in FILE_SYSTEMS.iter().filter(|place| Path::new(place).is_dir()) {
        for numbers in [[0, 1, 2, 10, 11], [11, 10, 2, 1, 0], [2, 11, 0, 10, 1]] {
            let folder = tempfile::tempdir_in(file_system).unwrap();
            made(folder.path(), &numbers);
            let driver = open(folder.path());
            let names = ["ccwgroup_0_0_0600", "pci_0000_00_1f_0", "pci_0000_00_02_0"];
            let documents = names.map(|name| xml(&driver, name)).concat();
            let json = names.map(|name| serde_json::to_string(&capability(&driver, name)).unwrap()).concat();
            all.push((documents, json));
        }
    }
    let (documents, json) = &all[0];
    for (text, before) in [(documents, "ref='"), (documents, "<type id='"), (json, "\"ref\":\"")] {
        let found: Vec<&str> =
            text.split(before).skip(1).filter_map(|rest| rest.split(['\'', '"']).next()).collect();
        let links = ["cdev0", "cdev1", "cdev2", "cdev10", "cdev11"];
        let types = ["t-00", "t-01", "t-02", "t-10", "t-11"];
        assert_eq!(found, if before.contains("ref") { links } else { types }, "{text}");
    }
    let slots: Vec<&str> =
        documents.split("<address ").skip(1).filter_map(|rest| rest.split("slot=").nth(1)).collect();
    assert!(slots.len() == 5 && slots.is_sorted(), "{documents}");
    for other in &all {
        assert_eq!(other, &all[0]);
    }
}
