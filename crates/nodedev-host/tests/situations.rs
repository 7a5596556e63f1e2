//! Hosts with parts missing, broken or odd: what is shown all the same, and what is reported.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use common::{capability, everything, host, names, net, open, pci, pci_below, tree, xml};
use nodedev_driver::{Devices as _, ErrorCode, LibvirtCalls, View};
use nodedev_host::HostDriver;
use nodedev_model::{Capability, PciCapability, PciExpress, PciHeader, StorageCapability};
use nodedev_testkit::pci_bytes::Config;
use nodedev_testkit::tree::{Device, NodeKind};

fn pci_of(driver: &HostDriver, name: &str) -> PciCapability {
    match capability(driver, name) {
        Capability::Pci(pci) => *pci,
        other => panic!("{name} is {other:?}"),
    }
}

fn storage_of(driver: &HostDriver, name: &str) -> StorageCapability {
    match capability(driver, name) {
        Capability::Storage(storage) => *storage,
        other => panic!("{name} is {other:?}"),
    }
}

fn json(driver: &HostDriver, name: &str) -> serde_json::Value {
    serde_json::to_value(driver.device(name).unwrap()).unwrap()
}

#[test]
fn a_device_that_vanished_before_the_scan_is_skipped_without_an_issue() {
    let tree = tree(&[pci("0000:00:03.0"), pci("0000:00:04.0"), pci("0000:00:05.0")]);
    let sys = tree.root().join("sys");
    fs::remove_file(sys.join("devices/pci0000:00/0000:00:03.0/uevent")).unwrap();
    fs::remove_dir_all(sys.join("devices/pci0000:00/0000:00:04.0")).unwrap();
    let driver = open(tree.root());
    assert_eq!(names(&driver, View::Native), ["computer", "pci_0000_00_05_0"]);
    assert_eq!(driver.issues().unwrap(), []);
}

#[test]
fn a_device_that_vanishes_after_the_scan_is_missing_from_descriptions_alone() {
    let (tree, driver) = host(&[pci("0000:00:03.0"), pci("0000:00:04.0")]);
    fs::remove_dir_all(tree.root().join("sys/devices/pci0000:00/0000:00:03.0")).unwrap();
    let error = driver.device("pci_0000_00_03_0").unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_NODE_DEVICE);
    assert!(driver.xml("pci_0000_00_03_0", Default::default()).is_err());
    let told: Vec<_> = everything(&open(tree.root())).devices.into_iter().map(|device| device.name).collect();
    assert_eq!(told.len(), 2);
    let mut seen = Vec::new();
    let issues = driver
        .visit(View::Native, &mut |device| {
            seen.push(device.name.as_str().to_owned());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!((seen, issues), (vec!["computer".to_owned(), "pci_0000_00_04_0".into()], vec![]));
}

#[test]
fn a_broken_attribute_costs_its_field_and_is_reported_with_device_path_and_problem() {
    let vpd = b"\x82\x05\0hello\x90".to_vec();
    for (file, content, problem) in [
        ("numa_node", &b"many\n"[..], "'many' is not a number"),
        ("config", b"\x86\x80", "less than the 256 bytes of a configuration space"),
        ("vpd", &vpd, "invalid Vital Product Data at offset 8"),
        ("sriov_totalvfs", b"x\n", "'x' is not a number"),
        ("numa_node", &[b'7'; 100_000], "larger than 65536 bytes"),
    ] {
        let plain = Device::new("devices/pci0000:00/0000:00:03.0", "bus/pci")
            .uevent("PCI_CLASS", "20000")
            .uevent("PCI_ID", "8086:10D3");
        let (_tree, driver) = host(&[plain.bytes(file, content), pci("0000:00:04.0")]);
        let issues = driver.issues().unwrap();
        assert_eq!(issues.len(), 1, "{file}: {issues:?}");
        assert_eq!(issues[0].device.as_ref().unwrap().as_str(), "pci_0000_00_03_0");
        assert_eq!(issues[0].path, format!("/sys/devices/pci0000:00/0000:00:03.0/{file}"));
        assert!(issues[0].problem.contains(problem), "{}", issues[0].problem);
        let described = pci_of(&driver, "pci_0000_00_03_0");
        assert_eq!((described.numa_node, described.vpd, described.virtual_functions), (None, None, None));
        assert_eq!(described.vendor.unwrap().id, 0x8086, "the rest is there");
        assert!(xml(&driver, "pci_0000_00_03_0").contains("<vendor id='0x8086'/>"));
    }
}

#[test]
fn a_device_whose_uevent_is_empty_is_known_by_its_place_and_reported() {
    let (tree, _) =
        host(&[pci("0000:00:03.0"), net("devices/pci0000:00/0000:00:03.0", "eth0", 2, "02:00:00:00:00:01")]);
    let device = tree.root().join("sys/devices/pci0000:00/0000:00:03.0");
    fs::write(device.join("uevent"), "").unwrap();
    fs::write(device.join("net/eth0/uevent"), "").unwrap();
    let driver = open(tree.root());
    assert_eq!(names(&driver, View::Libvirt), ["computer", "net_eth0_02_00_00_00_00_01", "pci_0000_00_03_0"]);
    let described = pci_of(&driver, "pci_0000_00_03_0");
    assert_eq!((described.vendor.unwrap().id, described.class), (0x8086, Some(0x2_0000)));
    let issues = driver.issues().unwrap();
    let mut paths: Vec<_> = issues.iter().map(|issue| issue.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "/sys/devices/pci0000:00/0000:00:03.0/net/eth0/uevent",
            "/sys/devices/pci0000:00/0000:00:03.0/uevent"
        ]
    );
}

#[test]
fn without_udevs_database_disks_and_usb_devices_are_in_the_view_that_needs_no_udev() {
    let disk = |name: &str, major: u32, minor: u32| {
        Device::new(format!("devices/platform/store/block/{name}"), "class/block")
            .node(NodeKind::Block, major, minor, name)
            .devtype("disk")
            .attr("size", 4096)
            .attr("queue/logical_block_size", 512)
    };
    let usb = Device::new("devices/platform/usb1", "bus/usb")
        .devtype("usb_device")
        .uevent("BUSNUM", "001")
        .uevent("DEVNUM", "002")
        .attr("idVendor", "1d6b")
        .attr("idProduct", "0002")
        .attr("product", "A hub")
        .attr("manufacturer", "A maker");
    let tree = tree(&[disk("sda", 8, 0), disk("vda", 252, 0), disk("nvme0n1", 259, 0), usb]);
    fs::remove_dir_all(tree.root().join("run")).unwrap();
    let driver = open(tree.root());
    // libvirt knows disks of these names without udev's help, and no others.
    assert_eq!(names(&driver, View::Libvirt), ["block_nvme0n1", "block_vda", "computer"]);
    assert_eq!(
        names(&driver, View::Native),
        ["block_nvme0n1", "block_sda", "block_vda", "computer", "usb_usb1"]
    );
    assert_eq!(storage_of(&driver, "block_sda").size_bytes(), Some(4096 * 512));
    let Capability::UsbDevice(usb) = capability(&driver, "usb_usb1") else { panic!() };
    assert_eq!((usb.bus, usb.device, usb.vendor.id, usb.product.id), (1, 2, 0x1d6b, 2));
    assert_eq!(usb.product.name.as_ref().unwrap(), &"A hub");
    assert_eq!(driver.issues().unwrap(), []);
    let error = driver.xml("block_sda", Default::default()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NO_NODE_DEVICE, "libvirt does not show it");
}

#[test]
fn pci_domains_have_32_bits() {
    let (_tree, driver) = host(&[
        pci_below("devices/pci10000:00", "10000:00:03.0"),
        pci_below("devices/pciffffffff:7f", "ffffffff:7f:1f.7"),
    ]);
    assert_eq!(names(&driver, View::Libvirt), ["computer", "pci_10000_00_03_0", "pci_ffffffff_7f_1f_7"]);
    assert_eq!(pci_of(&driver, "pci_10000_00_03_0").address.domain, 0x1_0000);
    assert_eq!(json(&driver, "pci_ffffffff_7f_1f_7")["capabilities"][0]["address"], "ffffffff:7f:1f.7");
    assert!(xml(&driver, "pci_10000_00_03_0").contains("<domain>65536</domain>"));
    assert_eq!(driver.issues().unwrap(), []);
}

#[test]
fn names_and_values_that_are_not_utf8_are_escaped_in_json_and_replaced_in_xml() {
    let tree = tree(&[pci("0000:00:03.0")]);
    let sys = tree.root().join("sys");
    let name = OsStr::from_bytes(b"w\xffn");
    let folder = sys.join("devices/pci0000:00/0000:00:03.0/net").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(sys.join("class/net")).unwrap();
    symlink(
        OsStr::from_bytes(b"../../devices/pci0000:00/0000:00:03.0/net/w\xffn"),
        sys.join("class/net").join(name),
    )
    .unwrap();
    symlink("../../../../../class/net", folder.join("subsystem")).unwrap();
    fs::write(folder.join("uevent"), b"INTERFACE=w\xffn\nIFINDEX=2\n").unwrap();
    fs::write(folder.join("address"), b"02:00:00:00:00:01\n").unwrap();
    let driver = &open(tree.root());
    let device = "net_w_n_02_00_00_00_00_01";
    assert!(names(driver, View::Libvirt).contains(&device.to_owned()));
    assert_eq!(json(driver, device)["capabilities"][0]["interface"], "w\\xffn");
    assert_eq!(json(driver, device)["path"], "/sys/devices/pci0000:00/0000:00:03.0/net/w\\xffn");
    let xml = driver.xml(device, Default::default()).unwrap();
    let xml = String::from_utf8(xml).unwrap();
    assert!(xml.contains("<interface>w\u{fffd}n</interface>"), "{xml}");
    assert_eq!(driver.parent(device).unwrap().unwrap().as_str(), "pci_0000_00_03_0");
}

#[test]
fn pci_ids_give_names_from_any_of_their_places_and_compressed_and_nobody_misses_them() {
    const TEXT: &[u8] =
        b"# comment\n8086  Intel Corporation\n\t10d3  82574L\n\t\t8086 0001  no\nffff  Other\n";
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(TEXT).unwrap();
    let packed = packed.finish().unwrap();
    let known = (Some("Intel Corporation".to_owned()), Some("82574L".to_owned()));
    for (path, content, want) in [
        ("usr/share/misc/pci.ids", TEXT, known.clone()),
        ("usr/share/hwdata/pci.ids", TEXT, known.clone()),
        ("usr/share/misc/pci.ids.gz", &packed, known.clone()),
        ("usr/share/misc/pci.ids.gz", &packed[..9], (None, None)),
        ("usr/share/misc/pci.ids", b"\xff\xfe\0\0", (None, None)),
        ("usr/share/misc/other", TEXT, (None, None)),
    ] {
        let mut tree = tree(&[pci("0000:00:03.0")]);
        tree.file(path, content).unwrap();
        let driver = open(tree.root());
        let pci = pci_of(&driver, "pci_0000_00_03_0");
        let name = |id: Option<nodedev_model::IdName>| id.unwrap().name.map(|name| name.to_string());
        assert_eq!((name(pci.vendor), name(pci.product)), want, "{path}");
    }
}

#[test]
fn missing_registers_of_configuration_space_count_as_zero_and_are_reported() {
    let space = Config { vendor: 0x8086, device: 0x10d3, class: 0x2_0000, header_type: 1, express: None };
    let start = pci("0000:00:03.0").bytes("config", &space.to_bytes()[..64]);
    let (_tree, driver) = host(&[start]);
    let described = pci_of(&driver, "pci_0000_00_03_0");
    assert_eq!(described.header, Some(PciHeader::PciBridge));
    assert_eq!(described.express, Some(PciExpress::default()), "as for each length but 256");
    assert!(driver.issues().unwrap()[0].problem.contains("less than the 256 bytes"));
}

#[test]
fn sizes_of_disks_with_4096_byte_blocks_are_right_in_json_and_libvirts_in_xml() {
    let disk = Device::new("devices/platform/store/block/sda", "class/block")
        .node(NodeKind::Block, 8, 0, "sda")
        .devtype("disk")
        .attr("size", 2048)
        .attr("queue/logical_block_size", 4096)
        .udev("E:ID_TYPE=disk");
    let (_tree, driver) = host(&[disk]);
    let json = json(&driver, "block_sda");
    assert_eq!(json["capabilities"][0]["size_bytes"], 1_048_576);
    assert_eq!(json["capabilities"][0]["logical_block_size"], 4096);
    let text = xml(&driver, "block_sda");
    assert!(
        text.contains("<size>8388608</size>") && text.contains("<num_blocks>2048</num_blocks>"),
        "{text}"
    );
}

#[test]
fn an_unknown_speed_is_absent_in_json_and_libvirts_in_xml() {
    for (state, speed, json_speed, in_xml) in [
        ("up", "-1", None, "<link speed='4294967295' state='up'/>"),
        ("up", "0", None, "<link state='up'/>"),
        ("up", "25000", Some(25_000), "<link speed='25000' state='up'/>"),
        ("down", "1000", None, "<link state='down'/>"),
        ("dormant", "1000", None, "<link state='dormant'/>"),
    ] {
        let device = Device::new("devices/virtual/net/eth0", "class/net")
            .uevent("INTERFACE", "eth0")
            .attr("address", "02:00:00:00:00:01")
            .attr("operstate", state)
            .attr("speed", speed);
        let (_tree, driver) = host(&[device]);
        let name = "net_eth0_02_00_00_00_00_01";
        let link = &json(&driver, name)["capabilities"][0]["link"];
        assert_eq!(link["speed_mbits"].as_u64(), json_speed, "{state} {speed}");
        assert_eq!(link["state"], state);
        assert!(xml(&driver, name).contains(in_xml), "{}", xml(&driver, name));
    }
}

#[test]
fn of_devices_with_one_name_the_later_path_is_shown() {
    let device = |path: &str| Device::new(path, "class/net").uevent("INTERFACE", "x").attr("operstate", "up");
    let (_tree, driver) = host(&[
        device("devices/virtual/net/a-b"),
        device("devices/virtual/net/a.b"),
        device("devices/virtual/net/a_b"),
    ]);
    assert_eq!(names(&driver, View::Native), ["computer", "net_a_b"]);
    let shown = driver.device("net_a_b").unwrap();
    assert_eq!(shown.syspath.unwrap(), "/sys/devices/virtual/net/a_b");
}
