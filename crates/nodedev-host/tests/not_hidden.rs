//! Devices that libvirt drops for one thing that is wrong with them, one test each row of `docs/compatibility.md`: they are
//! shown without that part, and it is reported.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{capability, host, open, pci, tree, xml};
use nodedev_driver::{Devices as _, LibvirtCalls};
use nodedev_testkit::pci_bytes::Config;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

/// A device is shown with `part` in its document and without `missing`, and one issue says `problem`.
fn shown(host: &(Tree, nodedev_host::HostDriver), name: &str, part: &str, missing: &str, problem: &str) {
    let driver = &host.1;
    assert!(
        driver.list(nodedev_driver::ListFlags::ACTIVE).unwrap().iter().any(|d| d.name.as_str() == name),
        "{name}"
    );
    let document = xml(driver, name);
    assert!(document.contains(part), "{document}");
    assert!(!document.contains(missing), "{document}");
    let issues = driver.issues().unwrap();
    let found = issues.iter().any(|i| {
        i.device.as_ref().is_some_and(|device| device.as_str() == name) && i.problem.contains(problem)
    });
    assert!(found, "{name}: {issues:?}");
}

#[test]
fn a_pci_function_whose_numbers_nobody_states_is_shown_without_them() {
    let device = Device::new("devices/pci0000:00/0000:00:03.0", "bus/pci").uevent("PCI_CLASS", "20000");
    let (_tree, driver) = host(&[device.attr("vendor", "junk")]);
    let document = xml(&driver, "pci_0000_00_03_0");
    assert!(document.contains("<class>0x020000</class>") && !document.contains("<vendor"), "{document}");
    assert!(driver.issues().unwrap().iter().any(|issue| issue.path.ends_with("/vendor")));
}

#[test]
fn a_pci_function_with_an_unknown_header_type_is_shown_without_it() {
    let space = Config { vendor: 0x8086, device: 0x10d3, class: 0x2_0000, header_type: 5, express: None };
    let odd = host(&[pci("0000:00:03.0").bytes("config", space.to_bytes())]);
    shown(&odd, "pci_0000_00_03_0", "<vendor id='0x8086'/>", "bridge", "unknown type of header");
}

#[test]
fn a_member_of_an_iommu_group_that_is_no_pci_function_is_left_out() {
    let mut tree = tree(&[pci("0000:00:03.0")]);
    tree.add(&Device::new("devices/platform/dma", "bus/platform")).unwrap();
    tree.iommu_group(7, "devices/pci0000:00/0000:00:03.0").unwrap();
    tree.iommu_group(7, "devices/platform/dma").unwrap();
    let driver = open(tree.root());
    let part = "<iommuGroup number='7'>\n      <address domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>\n    </";
    shown(&(tree, driver), "pci_0000_00_03_0", part, "platform", "no PCI function");
}

#[test]
fn an_interface_with_an_unknown_state_or_an_odd_speed_is_shown_without_it() {
    let eth0 = |state: &str, speed: &str| {
        Device::new("devices/pci0000:00/0000:00:03.0/net/eth0", "class/net")
            .uevent("INTERFACE", "eth0")
            .uevent("IFINDEX", "2")
            .attr("operstate", state)
            .attr("speed", speed)
    };
    let broken = host(&[pci("0000:00:03.0"), eth0("odd", "1000")]);
    shown(&broken, "net_eth0", "<interface>eth0</interface>", "<link", "not a state");
    let broken = host(&[pci("0000:00:03.0"), eth0("up", "fast")]);
    shown(&broken, "net_eth0", "<link state='up'/>", "speed=", "not a speed");
}

#[test]
fn a_vdpa_device_without_its_node_and_a_mediated_device_without_group_are_shown() {
    let vdpa = host(&[Device::new("devices/vdpa0", "bus/vdpa").dir("vhost-vdpa-0")]);
    shown(&vdpa, "vdpa_vdpa0", "<capability type='vdpa'>", "<chardev>", "does not exist");
    let path = "devices/pci0000:00/0000:00:03.0/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    let mdev = host(&[pci("0000:00:03.0"), Device::new(path, "bus/mdev")]);
    let name = "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001_0000_00_03_0";
    shown(&mdev, name, "<iommuGroup number='0'/>", "<driver>", "IOMMU group is missing");
}

#[test]
fn a_group_of_channel_devices_without_members_or_with_an_odd_name_is_shown() {
    for (name, device, address) in [
        ("0.0.bd00", "ccwgroup_0_0_bd00", "<devno>0xbd00</devno>"),
        ("odd", "ccwgroup_odd", "<devno>0x0000</devno>"),
    ] {
        let group = Device::new(format!("devices/qeth/{name}"), "bus/ccwgroup").devtype("qeth_layer2");
        shown(&host(&[group]), device, address, "<members>", "no members");
    }
}

#[test]
fn a_machine_without_a_uuid_has_zeros_and_none_in_json() {
    let dmi = Device::new("devices/virtual/dmi/id", "class/dmi").attr("sys_vendor", "Maker");
    let (_tree, driver) = host(&[dmi]);
    let document = xml(&driver, "computer");
    assert!(document.contains("<vendor>Maker</vendor>"), "{document}");
    assert!(document.contains("<uuid>00000000-0000-0000-0000-000000000000</uuid>"), "{document}");
    let json = serde_json::to_string(&capability(&driver, "computer")).unwrap();
    assert!(json.contains("Maker") && !json.contains("uuid"), "{json}");
}

#[test]
fn what_no_kernel_states_is_left_out_and_the_rest_is_shown() {
    let port = "devices/platform/store/host3";
    let dasd = Device::new("devices/css0/block/dasda", "class/block")
        .node(NodeKind::Block, 94, 0, "dasda")
        .devtype("disk")
        .attr("size", 2048)
        .udev("E:ID_TYPE=dasd");
    let group = "kernel/iommu_groups/7";
    let mdev = "devices/pci0000:00/0000:00:03.0/3627463D-B7F0-4FEA-B468-F1DA537D301B";
    let odd = host(&[
        Device::new(port, "bus/scsi").devtype("scsi_host"),
        Device::new(format!("{port}/fc_host/host3"), "class/fc_host")
            .attr("port_name", "0x1000000000000001")
            .attr("node_name", "0x2000000000000001")
            .attr("vport_create", "")
            .attr("max_npiv_vports", -1)
            .attr("npiv_vports_inuse", 0),
        dasd,
        pci("0000:00:03.0"),
        Device::new("devices/pci0000:00/0000:00:04.0", "bus/pci")
            .uevent("PCI_CLASS", "-1")
            .attr("vendor", "0x8086")
            .attr("device", "0x10d3")
            .attr("class", "0x020000"),
        Device::new(mdev, "bus/mdev").link("iommu_group", group),
    ]);
    shown(&odd, "scsi_host3", "<wwpn>1000000000000001</wwpn>", "vport_ops", "their number is negative");
    let driver = &odd.1;
    assert!(xml(driver, "block_dasda").contains("<drive_type>dasd</drive_type>"));
    assert!(!xml(driver, "pci_0000_00_04_0").contains("<class>"), "libvirt takes no class either");
    let name = "mdev_3627463D_B7F0_4FEA_B468_F1DA537D301B_0000_00_03_0";
    assert!(xml(driver, name).contains("<uuid>3627463d-b7f0-4fea-b468-f1da537d301b</uuid>"));
}

#[test]
fn texts_that_are_not_utf8_are_readable_in_xml_and_whole_in_the_native_view() {
    let unit = "devices/pci0000:00/0000:00:03.0/host0/target0:0:0/0:0:0:0";
    let mut tree = tree(&[
        pci("0000:00:03.0"),
        Device::new("devices/virtual/dmi/id", "class/dmi")
            .bytes("product_name", &b"\xcb   \n"[..])
            .bytes("sys_vendor", &b"Dell\xff Inc.\n"[..]),
        Device::new(unit, "bus/scsi").devtype("scsi_device"),
        Device::new(format!("{unit}/block/sda"), "class/block")
            .node(NodeKind::Block, 8, 0, "sda")
            .devtype("disk")
            .attr("size", 2048)
            .udev("E:ID_TYPE=disk")
            .link("device", unit),
        Device::new("devices/virtual/net/odd", "class/net")
            .uevent("INTERFACE", "odd")
            .uevent("IFINDEX", "2")
            .attr("address", "52:54:00:aa:0f:10"),
    ]);
    for (name, content) in [("vendor", &b"G\xe9n\xe9rik \n"[..]), ("model", b"\xb5SD Flash\n")] {
        tree.file(&format!("sys/{unit}/{name}"), content).unwrap();
    }
    let uevent = tree.root().join("sys/devices/virtual/net/odd/uevent");
    std::fs::write(uevent, b"INTERFACE=w\xfflan\nIFINDEX=2\n").unwrap();
    let driver = open(tree.root());
    let host = (tree, driver);
    let replacement = "\u{fffd}";
    let driver = &host.1;
    for device in driver.list(nodedev_driver::ListFlags::ACTIVE).unwrap() {
        // Every document can be read.
        let text = driver.xml(device.name.as_str(), nodedev_driver::XmlFlags::empty()).unwrap();
        nodedev_xml::parse(&text, nodedev_xml::ParseOptions::default()).unwrap();
    }
    shown(&host, "computer", &format!("<product>{replacement}   </product>"), "\0", "'product' is not UTF-8");
    shown(
        &host,
        "computer",
        &format!("<vendor>Dell{replacement} Inc.</vendor>"),
        "\0",
        "'vendor' is not UTF-8",
    );
    let block = format!("<vendor>G{replacement}n{replacement}rik</vendor>");
    shown(&host, "block_sda", &block, "\0", "'vendor' is not UTF-8");
    shown(&host, "block_sda", &format!("<model>{replacement}SD Flash</model>"), "\0", "'model' is not UTF-8");
    let interface = format!("<interface>w{replacement}lan</interface>");
    shown(&host, "net_odd_52_54_00_aa_0f_10", &interface, "\0", "'interface' is not UTF-8");
    match capability(driver, "block_sda") {
        nodedev_model::Capability::Storage(storage) => {
            assert_eq!(storage.vendor.unwrap().as_bytes(), b"G\xe9n\xe9rik");
        }
        other => panic!("{other:?}"),
    }
}
