//! What only the native view tells of a device: by type and unit, in recordings too, and of masked ones nothing that identifies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use std::path::Path;

use common::{capability, everything, open, pci, tree};
use nodedev_model::document::{self, Inventory};
use nodedev_record::{RecordOptions, record};
use nodedev_testkit::tree::{Device, NodeKind, Tree};
use serde_json::{Value, json};

const PCI: &str = "devices/pci0000:00/0000:00:03.0";
const SAS: &str = "devices/pci0000:00/0000:00:03.0/host6/port-6:0/end_device-6:0";
const ISCSI: &str = "devices/platform/host7/session1";

/// What tells one of these things from all others, or is a person's word.
const SECRETS: [&str; 13] = [
    "02000000000a",
    "192.0.2.17",
    "0x5000c500a1b2c3d6",
    "5000c500a1b2c3d6",
    "0x500304801f2e3d7f",
    "naa.5000c500a1b2c3d7",
    "e41d2d0300a1b2c4",
    "iqn.2001-05.com.example:vol-77",
    "iqn.1993-08.org.debian:01:7f3a9c",
    "QKR77Z0931",
    "/srv/images/payroll.img",
    "payroll-crypt",
    "CRYPT-LUKS2-0b7c7f5ad2a94d0d9f4b9e1f6f2a3c4d",
];

fn class(path: &str, class: &str) -> Device {
    Device::new(path, format!("class/{class}"))
}

fn interface(path: &str) -> Device {
    let name = path.rsplit('/').next().unwrap();
    class(path, "net")
        .uevent("INTERFACE", name)
        .attr("address", "02:00:00:00:00:0a")
        .attr("operstate", "down")
}

fn disk(name: &str, minor: u32) -> Device {
    class(&format!("devices/virtual/block/{name}"), "block")
        .node(NodeKind::Block, 300, minor, name)
        .devtype("disk")
        .attr("size", 8)
}

/// What the native view adds: where it is in the JSON of a device's capability, and what it is.
fn cases() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("pci_0000_00_03_0", "/subsystem", json!({"vendor": 0x15b3, "device": 0x16})),
        (
            "pci_0000_00_03_0",
            "/regions",
            json!([{"index": 0, "size_bytes": 0x200_0000, "io": false, "prefetchable": true, "wide": true}]),
        ),
        ("usb_1_2", "/serial", json!("QKR77Z0931")),
        ("usb_1_2", "/speed_kbits", json!(1500)),
        (
            "scsi_target6_0_0",
            "/sas",
            json!({"sas_address": "0x5000c500a1b2c3d6", "enclosure": "0x500304801f2e3d7f", "bay": 11}),
        ),
        ("scsi_6_0_0_0", "/vendor", json!("SEAGATE")),
        ("scsi_6_0_0_0", "/model", json!("ST8000NM0075")),
        ("scsi_6_0_0_0", "/wwid", json!("naa.5000c500a1b2c3d7")),
        (
            "enclosure_6_0_1_0",
            "/enclosure",
            json!({"vendor": "SMC", "model": "SC846", "id": "0x500304801f2e3d7f", "components": 24}),
        ),
        (
            "scsi_target7_0_0",
            "/iscsi",
            json!({
                "session": "session1", "target": "iqn.2001-05.com.example:vol-77",
                "initiator": "iqn.1993-08.org.debian:01:7f3a9c", "portal_group": 1, "state": "LOGGED_IN",
                "address": "192.0.2.17", "port": 3260
            }),
        ),
        ("net_pf0vf3_02_00_00_00_00_0a", "/port_name", json!("pf0vf3")),
        ("net_pf0vf3_02_00_00_00_00_0a", "/switch_id", json!("e41d2d0300a1b2c4")),
        ("net_pf0vf3_02_00_00_00_00_0a", "/dev_port", json!(1)),
        (
            "net_br0_02_00_00_00_00_0a",
            "/bridge",
            json!({"id": "8000.02000000000a", "stp": 1, "vlan_filtering": true, "ports": ["pf0vf3", "tap7"]}),
        ),
        (
            "net_bond0_02_00_00_00_00_0a",
            "/bond",
            json!({"mode": "active-backup", "members": ["eth1", "eth0"], "active_member": "eth1", "miimon_ms": 100}),
        ),
        ("net_br0_5_02_00_00_00_00_0a", "/vlan", json!({"id": 5, "interface": "br0"})),
        (
            "block_loop0",
            "/loop",
            json!({
                "backing_file": "/srv/images/payroll.img", "offset_bytes": 1_048_576, "limit_bytes": 0,
                "autoclear": true
            }),
        ),
        (
            "block_dm_0",
            "/device_mapper",
            json!({
                "name": "payroll-crypt", "uuid": "CRYPT-LUKS2-0b7c7f5ad2a94d0d9f4b9e1f6f2a3c4d-payroll-crypt",
                "suspended": false, "members": ["loop0"]
            }),
        ),
        (
            "block_md127",
            "/raid",
            json!({"level": "raid1", "disks": 2, "state": "clean", "degraded": 1, "metadata": "1.2"}),
        ),
        (
            "computer",
            "/machine",
            json!({
                "model": "Example Board rev 2", "serial": "QKR77Z0931",
                "compatible": ["example,board-2", "example,soc"]
            }),
        ),
        ("tpm_tpm0", "/tpm", json!({"version": 2})),
        (
            "nvme_nvme0",
            "/nvme",
            json!({"model": "SSD", "transport": "pcie", "state": "live", "controller_id": 6}),
        ),
    ]
}

fn machine() -> Tree {
    let mut tree = tree(&[
        pci("0000:00:03.0")
            .uevent("PCI_SUBSYS_ID", "15B3:0016")
            .bytes("resource", "0x0000380000000000 0x0000380001ffffff 0x000000000014220c\n0x0 0x0 0x0\n"),
        Device::new(format!("{PCI}/usb1/1-2"), "bus/usb")
            .devtype("usb_device")
            .attr("serial", "QKR77Z0931")
            .attr("speed", "1.5"),
        Device::bare(SAS),
        class(&format!("{SAS}/sas_device/end_device-6:0"), "sas_device")
            .attr("sas_address", "0x5000c500a1b2c3d6")
            .attr("enclosure_identifier", "0x500304801f2e3d7f")
            .attr("bay_identifier", 11),
        Device::new(format!("{SAS}/target6:0:0"), "bus/scsi").devtype("scsi_target"),
        Device::new(format!("{SAS}/target6:0:0/6:0:0:0"), "bus/scsi")
            .devtype("scsi_device")
            .attr("type", 0)
            .attr("vendor", "SEAGATE ")
            .attr("model", "ST8000NM0075    ")
            .attr("wwid", "naa.5000c500a1b2c3d7"),
        Device::new(format!("{PCI}/host6/target6:0:1/6:0:1:0"), "bus/scsi")
            .devtype("scsi_device")
            .attr("type", 13)
            .attr("vendor", "SMC     ")
            .attr("model", "SC846           "),
        class(&format!("{PCI}/host6/target6:0:1/6:0:1:0/enclosure/6:0:1:0"), "enclosure")
            .attr("components", 24)
            .attr("id", "0x500304801f2e3d7f")
            .link("device", format!("{PCI}/host6/target6:0:1/6:0:1:0")),
        Device::bare(ISCSI),
        class(&format!("{ISCSI}/iscsi_session/session1"), "iscsi_session")
            .attr("targetname", "iqn.2001-05.com.example:vol-77")
            .attr("initiatorname", "iqn.1993-08.org.debian:01:7f3a9c")
            .attr("tpgt", 1)
            .attr("state", "LOGGED_IN"),
        class(&format!("{ISCSI}/connection1:0/iscsi_connection/connection1:0"), "iscsi_connection")
            .attr("persistent_address", "192.0.2.17")
            .attr("persistent_port", 3260),
        Device::new(format!("{ISCSI}/target7:0:0"), "bus/scsi").devtype("scsi_target"),
        interface(&format!("{PCI}/net/pf0vf3"))
            .attr("phys_port_name", "pf0vf3")
            .attr("phys_switch_id", "e41d2d0300a1b2c4")
            .attr("dev_port", 1),
        interface("devices/virtual/net/br0")
            .devtype("bridge")
            .attr("bridge/bridge_id", "8000.02000000000a")
            .attr("bridge/stp_state", 1)
            .attr("bridge/vlan_filtering", 1)
            .link("brif/tap7", "devices/virtual/net/tap7/brport")
            .link("brif/pf0vf3", format!("{PCI}/net/pf0vf3/brport")),
        interface("devices/virtual/net/bond0")
            .devtype("bond")
            .attr("bonding/mode", "active-backup 1")
            .attr("bonding/slaves", "eth1 eth0")
            .attr("bonding/active_slave", "eth1")
            .attr("bonding/miimon", 100),
        interface("devices/virtual/net/br0.5").devtype("vlan"),
        disk("loop0", 0)
            .attr("loop/backing_file", "/srv/images/payroll.img")
            .attr("loop/offset", 1_048_576)
            .attr("loop/sizelimit", 0)
            .attr("loop/autoclear", 1),
        disk("dm-0", 1)
            .attr("dm/name", "payroll-crypt")
            .attr("dm/uuid", "CRYPT-LUKS2-0b7c7f5ad2a94d0d9f4b9e1f6f2a3c4d-payroll-crypt")
            .attr("dm/suspended", 0)
            .link("slaves/loop0", "devices/virtual/block/loop0"),
        disk("md127", 2)
            .attr("md/level", "raid1")
            .attr("md/raid_disks", 2)
            .attr("md/array_state", "clean")
            .attr("md/degraded", 1)
            .attr("md/metadata_version", "1.2"),
        class("devices/platform/tpm/tpm0", "tpm").attr("tpm_version_major", 2),
        class(&format!("{PCI}/nvme/nvme0"), "nvme")
            .attr("model", "SSD   ")
            .attr("transport", "pcie")
            .attr("state", "live")
            .attr("cntlid", 6),
    ]);
    tree.sys_file("devices/system/cpu/modalias", b"cpu:type:aarch64:feature:,0000\n").unwrap();
    tree.sys_file("firmware/devicetree/base/model", b"Example Board rev 2\0").unwrap();
    tree.sys_file("firmware/devicetree/base/serial-number", b"QKR77Z0931\0").unwrap();
    tree.sys_file("firmware/devicetree/base/compatible", b"example,board-2\0example,soc\0").unwrap();
    let vlans: &[u8] =
        b"VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_PLUS_VID\nbr0.5          | 5  | br0\n";
    tree.file("proc/net/vlan/config", vlans).unwrap();
    tree
}

fn assert_facts(host: &Path) {
    let driver = open(host);
    for (name, at, want) in cases() {
        let json = serde_json::to_value(capability(&driver, name)).unwrap();
        assert_eq!(json.pointer(at), Some(&want), "{name}: {json}");
    }
    let found = everything(&driver);
    assert_eq!(found.issues, []);
    let inventory = Inventory { devices: found.devices, issues: Some(found.issues), ..Inventory::default() };
    let mut json = Vec::new();
    inventory.write(&mut json).unwrap();
    assert_eq!(document::read::<Inventory>(&json).unwrap(), inventory);
}

#[test]
fn the_native_view_tells_what_the_kernel_does_by_type_and_unit() {
    assert_facts(machine().root());
}

#[test]
fn libvirts_view_has_nothing_of_it() {
    let tree = machine();
    for (name, xml) in everything(&open(tree.root())).xml {
        let xml = String::from_utf8(xml).unwrap();
        for secret in SECRETS {
            assert!(!xml.contains(secret), "{name}: {xml}");
        }
    }
}

#[test]
fn a_recording_tells_what_its_host_does() {
    let tree = machine();
    let archive = tree.root().join("recorded.tar");
    record(open(tree.root()).root(), &archive, RecordOptions::default()).unwrap();
    assert_facts(&archive);
    assert_eq!(everything(&open(&archive)), everything(&open(tree.root())));
}

#[test]
fn a_masked_recording_tells_the_same_of_other_things() {
    let tree = machine();
    let archive = tree.root().join("masked.tar");
    record(open(tree.root()).root(), &archive, RecordOptions { mask: true }).unwrap();
    let bytes = std::fs::read(&archive).unwrap();
    for secret in SECRETS {
        let found = bytes.windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret.as_bytes()));
        assert!(!found, "{secret}");
    }
    let driver = open(&archive);
    for (name, at, want) in cases() {
        // The bridge's address, and so its name, is another one.
        let Ok(device) = nodedev_driver::Devices::device(&driver, name) else { continue };
        let json = serde_json::to_value(&device.capabilities[0]).unwrap();
        let found = json.pointer(at).unwrap_or_else(|| panic!("{name}{at}: {json}"));
        let members =
            |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
        assert_eq!(members(found), members(&want), "{name}{at}");
        if !found.is_string() && !found.is_object() {
            assert_eq!(*found, want, "{name}{at}");
        }
    }
}
