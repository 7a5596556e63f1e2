//! Devices that libvirt leaves out: in the native view with what they are and where they belong, never in libvirt's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{capability, host, names, native_parent, open, pci, tree, xml};
use nodedev_driver::{
    DetachOptions, Devices as _, ErrorCode, ExplainOptions, LibvirtCalls, Operations as _, View,
};
use nodedev_model::{Capability, Visibility};
use nodedev_testkit::tree::{Device, NodeKind};
use serde_json::json;

const PCI: &str = "devices/pci0000:00/0000:00:03.0";

fn class(path: &str, class: &str) -> Device {
    Device::new(path, format!("class/{class}"))
}

fn interface(name: &str, devtype: &str) -> Device {
    class(&format!("devices/virtual/net/{name}"), "net")
        .devtype(devtype)
        .uevent("INTERFACE", name)
        .attr("address", "02:00:00:00:00:0a")
        .attr("operstate", "up")
}

fn disk(path: &str, minor: u32) -> Device {
    let name = path.rsplit('/').next().unwrap();
    class(path, "block").node(NodeKind::Block, 300, minor, name).devtype("disk").attr("size", 8)
}

/// A device of the native view: how it is made, its name, its capability's word, its parent.
struct Case {
    device: Device,
    name: &'static str,
    kind: &'static str,
    parent: &'static str,
}

fn case(device: Device, name: &'static str, kind: &'static str, parent: &'static str) -> Case {
    Case { device, name, kind, parent }
}

fn below(path: &str) -> String {
    format!("{PCI}/{path}")
}

fn cases() -> Vec<Case> {
    const NIC: &str = "pci_0000_00_03_0";
    vec![
        case(interface("br0", "bridge"), "net_br0_02_00_00_00_00_0a", "net", "computer"),
        case(interface("bond0", "bond"), "net_bond0_02_00_00_00_00_0a", "net", "computer"),
        case(interface("eth0.7", "vlan"), "net_eth0_7_02_00_00_00_00_0a", "net", "computer"),
        case(disk("devices/virtual/block/loop0", 0), "block_loop0", "storage", "computer"),
        case(
            disk("devices/virtual/block/dm-0", 1).udev("E:DM_NAME=vg-lv").udev("E:DM_UUID=LVM-x"),
            "block_dm_0",
            "storage",
            "computer",
        ),
        case(disk("devices/virtual/block/md127", 2), "block_md127", "storage", "computer"),
        case(disk("devices/virtual/block/zram0", 3), "block_zram0", "storage", "computer"),
        case(class(&below("mmc_host/mmc0"), "mmc_host"), "mmc_host_mmc0", "mmc_host", NIC),
        case(
            Device::new(below("mmc_host/mmc0/mmc0:0001"), "bus/mmc")
                .attr("type", "MMC")
                .attr("name", "DF4064"),
            "mmc_mmc0_0001",
            "mmc",
            "mmc_host_mmc0",
        ),
        case(
            disk(&below("mmc_host/mmc0/mmc0:0001/block/mmcblk0"), 4),
            "block_mmcblk0",
            "storage",
            "mmc_mmc0_0001",
        ),
        case(
            class(&below("tape/st0"), "scsi_tape").node(NodeKind::Char, 9, 0, "st0"),
            "scsi_tape_st0",
            "tape",
            NIC,
        ),
        case(
            class(&below("drm/card64"), "drm")
                .node(NodeKind::Char, 226, 192, "dri/card64")
                .devtype("drm_minor"),
            "drm_card64",
            "drm",
            NIC,
        ),
        case(
            class(&below("accel/accel0"), "accel")
                .node(NodeKind::Char, 261, 0, "accel/accel0")
                .devtype("accel_minor"),
            "accel_accel0",
            "accel",
            NIC,
        ),
        case(
            class(&below("infiniband/mlx5_0"), "infiniband").attr("node_guid", "e41d:2d03:00a1:b2c4"),
            "infiniband_mlx5_0",
            "infiniband",
            NIC,
        ),
        case(
            class(&below("nvme/nvme0"), "nvme")
                .node(NodeKind::Char, 242, 0, "nvme0")
                .attr("model", "SSD  ")
                .attr("state", "live"),
            "nvme_nvme0",
            "nvme",
            NIC,
        ),
        case(
            class("devices/LNXSYSTM:00/MSFT0101:00/tpm/tpm0", "tpm")
                .node(NodeKind::Char, 10, 224, "tpm0")
                .attr("tpm_version_major", 2),
            "tpm_tpm0",
            "tpm",
            "computer",
        ),
        case(
            Device::new(below("usb1"), "bus/usb").devtype("usb_device").attr("idVendor", "1d6b"),
            "usb_usb1",
            "usb_device",
            NIC,
        ),
        case(
            class("devices/virtual/hwmon/hwmon0", "hwmon").attr("name", "coretemp"),
            "hwmon_hwmon0",
            "hwmon",
            "computer",
        ),
        case(class(&below("watchdog/watchdog0"), "watchdog"), "watchdog_watchdog0", "watchdog", NIC),
        case(
            Device::new(below("virtio0"), "bus/virtio").attr("device", "0x0002"),
            "virtio_virtio0",
            "virtio",
            NIC,
        ),
    ]
}

#[test]
fn what_libvirt_leaves_out_is_in_the_native_view_with_its_parent() {
    let devices: Vec<_> =
        std::iter::once(pci("0000:00:03.0")).chain(cases().into_iter().map(|case| case.device)).collect();
    let (_tree, driver) = host(&devices);
    assert_eq!(names(&driver, View::Libvirt), ["computer", "pci_0000_00_03_0"]);
    let mut want: Vec<_> = cases().iter().map(|case| case.name).collect();
    want.extend(["computer", "pci_0000_00_03_0"]);
    want.sort_unstable();
    assert_eq!(names(&driver, View::Native), want);
    let entries = driver.entries(View::Native).unwrap();
    for case in cases() {
        let name = case.name;
        let entry = entries.iter().find(|entry| entry.name.as_str() == name).unwrap();
        assert_eq!((&*entry.kind, entry.visibility), (case.kind, Visibility::Native), "{name}");
        assert_eq!(native_parent(&driver, name), case.parent, "{name}");
        let described = driver.device(name).unwrap();
        assert_eq!(described.parent.unwrap().as_str(), case.parent, "{name}");
        assert_eq!(described.syspath.unwrap(), format!("/sys/{}", case.device.path()).as_str());
        assert_eq!(driver.lookup(name).unwrap_err().code(), ErrorCode::NO_NODE_DEVICE, "{name}");
    }
    assert_eq!(driver.issues().unwrap(), []);
}

#[test]
fn properties_of_native_devices_come_from_sysfs_without_padding() {
    let devices: Vec<_> =
        std::iter::once(pci("0000:00:03.0")).chain(cases().into_iter().map(|case| case.device)).collect();
    let (_tree, driver) = host(&devices);
    for (name, details) in [
        ("nvme_nvme0", json!({"model": "SSD", "state": "live"})),
        ("tpm_tpm0", json!({"version": 2})),
        ("infiniband_mlx5_0", json!({"node_guid": "e41d:2d03:00a1:b2c4"})),
        ("hwmon_hwmon0", json!([{"name": "name", "value": "coretemp"}])),
        ("virtio_virtio0", json!({"device": 2})),
    ] {
        let Capability::Native(native) = capability(&driver, name) else { panic!("{name}") };
        let found = serde_json::to_value(&native.details).unwrap();
        assert_eq!(found.as_object().unwrap().values().collect::<Vec<_>>(), [&details], "{name}");
    }
    let Capability::Native(accel) = capability(&driver, "accel_accel0") else { panic!() };
    assert_eq!(accel.details, None);
    assert_eq!(driver.device("nvme_nvme0").unwrap().devnode.unwrap(), "/dev/nvme0");
}

/// libvirt's parent passes over what libvirt does not show; the native one does not.
#[test]
fn a_device_below_a_native_one_has_a_parent_in_each_view() {
    let namespace = class(&below("nvme/nvme0/nvme0n1"), "block")
        .node(NodeKind::Block, 259, 0, "nvme0n1")
        .devtype("disk")
        .attr("size", 8);
    let (_tree, driver) = host(&[pci("0000:00:03.0"), class(&below("nvme/nvme0"), "nvme"), namespace]);
    assert_eq!(driver.parent("block_nvme0n1").unwrap().unwrap().as_str(), "pci_0000_00_03_0");
    assert_eq!(native_parent(&driver, "block_nvme0n1"), "nvme_nvme0");
    assert!(xml(&driver, "block_nvme0n1").contains("<parent>pci_0000_00_03_0</parent>"));
}

#[test]
fn further_names_of_the_same_thing_and_parts_of_it_are_in_no_view() {
    let (_tree, driver) = host(&[
        class("devices/x/tape/nst0", "scsi_tape"),
        class("devices/x/tape/st0a", "scsi_tape"),
        class("devices/x/tape/nst0m", "scsi_tape"),
        class("devices/virtual/block/sda/sda1", "block")
            .node(NodeKind::Block, 8, 1, "sda1")
            .devtype("partition"),
        class("devices/x/drm/card0-DP-1", "drm"),
        class("devices/virtual/mem/null", "mem").node(NodeKind::Char, 1, 3, "null"),
        class("devices/virtual/tty/tty1", "tty").node(NodeKind::Char, 4, 1, "tty1"),
        Device::new("devices/system/cpu/cpu0", "bus/cpu"),
    ]);
    assert_eq!(names(&driver, View::Native), ["computer"]);
}

#[test]
fn json_has_the_native_parent_and_libvirts_under_a_name_of_its_own() {
    let controller = "devices/pci0000:00/0000:00:06.0/nvme/nvme0";
    let (_tree, driver) = host(&[
        pci("0000:00:06.0"),
        Device::new(controller, "class/nvme"),
        Device::new(format!("{controller}/nvme0n1"), "class/block")
            .node(NodeKind::Block, 259, 0, "nvme0n1")
            .devtype("disk")
            .attr("size", 2048),
    ]);
    let json = |name: &str| serde_json::to_value(driver.device(name).unwrap()).unwrap();
    let disk = json("block_nvme0n1");
    assert_eq!(
        (&disk["parent"], &disk["libvirt_parent"]),
        (&"nvme_nvme0".into(), &"pci_0000_00_06_0".into())
    );
    let controller = json("nvme_nvme0");
    assert_eq!(controller["parent"], "pci_0000_00_06_0");
    assert!(controller.get("libvirt_parent").is_none(), "libvirt does not show it: {controller}");
    assert!(json("computer").get("parent").is_none());
    // XML and the call have libvirt's.
    assert_eq!(driver.parent("block_nvme0n1").unwrap().unwrap().as_str(), "pci_0000_00_06_0");
    let text = driver.xml("block_nvme0n1", nodedev_driver::XmlFlags::empty()).unwrap();
    assert!(String::from_utf8_lossy(&text).contains("<parent>pci_0000_00_06_0</parent>"));
}

#[test]
fn what_can_be_taken_out_is_what_the_kernel_says_it_is() {
    let disk = |name: &str, minor: u32, size: u64, removable: u32, kind: &str| {
        Device::new(format!("devices/platform/store/block/{name}"), "class/block")
            .node(NodeKind::Block, 8, minor, name)
            .devtype("disk")
            .attr("size", size)
            .attr("removable", removable)
            .udev(format!("E:ID_TYPE={kind}"))
    };
    let (_tree, driver) = host(&[
        disk("sda", 0, 2048, 1, "disk"),
        disk("sdb", 16, 0, 1, "disk"),
        disk("sdc", 32, 2048, 0, "disk"),
        disk("sr0", 48, 2_097_151, 1, "cd"),
    ]);
    for (name, removable, medium) in [
        ("block_sda", true, Some(true)),
        ("block_sdb", true, Some(false)),
        ("block_sdc", false, None),
        ("block_sr0", true, Some(false)),
    ] {
        let json = serde_json::to_value(driver.device(name).unwrap()).unwrap();
        let storage = &json["capabilities"][0];
        assert_eq!(storage["removable"], removable, "{name}: {storage}");
        assert_eq!(storage.get("media_available").and_then(serde_json::Value::as_bool), medium, "{name}");
    }
    // libvirt asks drives with a medium of their own alone.
    let text = driver.xml("block_sda", nodedev_driver::XmlFlags::empty()).unwrap();
    assert!(!String::from_utf8_lossy(&text).contains("removable"));
}

#[test]
fn an_inactive_mediated_device_is_in_no_iommu_group() {
    let mut tree = tree(&[
        Device::new("devices/vfio_ap/matrix", "bus/matrix"),
        Device::new("devices/vfio_ap/matrix/2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e12", "bus/mdev")
            .link("iommu_group", "kernel/iommu_groups/0"),
    ]);
    let definition = br#"{"mdev_type":"vfio_ap-passthrough","start":"auto","attrs":[]}"#;
    tree.file("etc/mdevctl.d/matrix/2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e11", definition).unwrap();
    let driver = open(tree.root());
    let json = |uuid: &str| {
        let name = format!("mdev_2f1a9c36_5ad0_4c3f_8f59_{uuid}_matrix");
        serde_json::to_value(driver.device(&name).unwrap()).unwrap()["capabilities"][0].clone()
    };
    assert!(json("0a3b0c5d7e11").get("iommu_group").is_none());
    assert_eq!(json("0a3b0c5d7e12")["iommu_group"], 0, "a group can have that number");
}

#[test]
fn what_stands_on_a_pci_function_is_explained_by_it() {
    let function = "devices/pci0000:00/0000:00:05.0/0000:01:00.0";
    let unit = format!("{function}/host0/target0:0:0/0:0:0:0");
    let (_tree, driver) = host(&[
        pci("0000:00:05.0"),
        common::pci_below("devices/pci0000:00/0000:00:05.0", "0000:01:00.0"),
        common::net(function, "eth0", 2, "52:54:00:aa:0f:10"),
        Device::new(format!("{function}/host0"), "bus/scsi").devtype("scsi_host"),
        Device::new(&unit, "bus/scsi").devtype("scsi_device"),
        Device::new(format!("{unit}/block/sda"), "class/block")
            .node(NodeKind::Block, 8, 0, "sda")
            .devtype("disk")
            .udev("E:ID_TYPE=disk"),
        Device::new(format!("{function}/usb1"), "bus/usb").devtype("usb_device"),
        Device::new("devices/virtual/net/lo", "class/net").uevent("INTERFACE", "lo").uevent("IFINDEX", "1"),
    ]);
    let of = |name: &str| driver.explain(name, &ExplainOptions::default());
    let want = of("pci_0000_01_00_0").unwrap();
    for name in ["net_eth0_52_54_00_aa_0f_10", "scsi_host0", "scsi_0_0_0_0", "block_sda", "usb_usb1"] {
        assert_eq!(of(name).unwrap(), want, "{name}");
        // It is no PCI function all the same, and is not taken for one.
        let refused = driver.detach_with(name, &DetachOptions { dry_run: true, ..DetachOptions::default() });
        let refused = refused.unwrap_err();
        assert!(matches!(refused.code().0, 8 | 53), "{refused}");
        assert!(refused.help().unwrap_or_default().contains("pci_0000_01_00_0"), "{refused:?}");
    }
    for name in ["computer", "net_lo"] {
        assert_eq!(of(name).unwrap_err().code().0, 8, "{name}");
    }
}
