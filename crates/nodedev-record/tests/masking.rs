//! A masked recording: nothing that identifies a machine or its parts is in it, and all else is as it was.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use common::{capability, everything, net, open, pci, tree};
use nodedev_driver::contract::{Expect, check};
use nodedev_host::HostDriver;
use nodedev_interop::made;
use nodedev_model::{Capability, NodeDevice};
use nodedev_record::{RecordOptions, record};
use nodedev_sys::Root;
use nodedev_testkit::synthetic::Host;
use nodedev_testkit::tree::{Device, NodeKind, Tree};
use nodedev_testkit::{fixtures, pci_bytes};

const MASKED: RecordOptions = RecordOptions { mask: true };

/// Paths, link targets and contents of a recording, one after the other.
fn text(archive: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        // The database of vendors is public.
        if entry.path_bytes().ends_with(b"pci.ids") {
            continue;
        }
        text.extend_from_slice(&entry.path_bytes());
        text.push(b'\n');
        text.extend_from_slice(&entry.link_name_bytes().unwrap_or_default());
        text.push(b'\n');
        entry.read_to_end(&mut text).unwrap();
        text.push(b'\n');
    }
    text
}

/// A value as it could be spelt: in both cases, with and without colons and `0x`.
fn spellings(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let bare = value.strip_prefix(b"0x").unwrap_or(value);
    let joined: Vec<u8> = bare.iter().copied().filter(|b| *b != b':').collect();
    [value, bare, &joined]
        .iter()
        .flat_map(|text| [text.to_vec(), text.to_ascii_lowercase(), text.to_ascii_uppercase()])
        .collect()
}

fn assert_without(what: &str, text: &[u8], secrets: &BTreeSet<Vec<u8>>) {
    let spellings: Vec<Vec<u8>> = secrets.iter().flat_map(|secret| spellings(secret)).collect();
    let finder = aho_corasick::AhoCorasick::new(&spellings).unwrap();
    let found: BTreeSet<String> = finder
        .find_iter(text)
        .map(|hit| {
            let around = &text[hit.start().saturating_sub(60)..(hit.end() + 30).min(text.len())];
            format!("{} in {}", spellings[hit.pattern()].escape_ascii(), around.escape_ascii())
        })
        .collect();
    assert!(found.is_empty(), "{what}: {found:#?}");
}

/// What identifies the host's parts, as its description tells it, where it is more than a word or a number.
fn secrets(driver: &HostDriver) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut add = |value: &[u8]| {
        let digits = value.iter().filter(|b| b.is_ascii_hexdigit()).collect::<BTreeSet<_>>();
        // Zeros are no identity, and five characters are often part of something else.
        if value.len() > 5 && digits.len() > 1 {
            found.insert(value.to_vec());
        }
    };
    for device in everything(driver).devices {
        for capability in &device.capabilities {
            match capability {
                Capability::Net(net) => net.address.iter().for_each(|value| add(value)),
                Capability::ScsiHost(host) => {
                    if let Some(fc) = &host.fc_host {
                        [&fc.wwnn, &fc.wwpn, &fc.fabric_wwn]
                            .into_iter()
                            .flatten()
                            .for_each(|value| add(value));
                    }
                }
                Capability::ScsiTarget(target) => {
                    target.fc_remote_port.iter().for_each(|port| add(&port.wwpn));
                }
                Capability::System(system) => {
                    system.hardware.serial.iter().for_each(|value| add(value));
                    add(system.hardware.uuid.to_string().as_bytes());
                }
                Capability::Mdev(mdev) => {
                    let uuid = mdev.uuid.map(|uuid| uuid.to_string());
                    uuid.iter().for_each(|uuid| add(uuid.as_bytes()));
                }
                Capability::Pci(pci) => {
                    let fields = pci.vpd.as_ref().and_then(|vpd| vpd.read_only.as_ref());
                    fields
                        .and_then(|fields| fields.serial_number.as_ref())
                        .iter()
                        .for_each(|value| add(value));
                }
                _ => {}
            }
        }
    }
    found
}

/// What masking must leave alone: kinds, states, and kinds of parents, counted.
fn shape(driver: &HostDriver) -> BTreeMap<String, usize> {
    let devices = everything(driver).devices;
    let kinds: BTreeMap<&str, String> =
        devices.iter().map(|device| (device.name.as_str(), kind(device))).collect();
    let mut shape = BTreeMap::new();
    for device in &devices {
        let parent = device.parent.as_ref().map_or("", |parent| &kinds[parent.as_str()]);
        let place = device.syspath.as_ref().map_or(0, |path| path.split(|&b| b == b'/').count());
        let about = format!(
            "{} {:?} {:?} {:?} depth {place} links {} below {parent}",
            kinds[device.name.as_str()],
            device.visibility,
            device.state,
            device.kernel_driver,
            device.devlinks.len()
        );
        *shape.entry(about).or_insert(0) += 1;
    }
    shape
}

fn kind(device: &NodeDevice) -> String {
    let kinds: Vec<_> = device.capability_types().map(|kind| kind.as_str()).collect();
    format!("{} {kinds:?}", device.subsystem.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// Masks a host and holds the recording against it.
fn masked(what: &str, host: &HostDriver, archive: &Path) -> HostDriver {
    let report = record(host.root(), archive, MASKED).unwrap();
    let recording = open(archive);
    let secrets = secrets(host);
    assert!(report.masked > 0 || secrets.is_empty(), "{what}: {report:?}");
    assert_without(what, &text(archive), &secrets);
    assert_eq!(shape(host), shape(&recording), "{what}");
    assert_eq!(everything(host).issues.len(), everything(&recording).issues.len(), "{what}");
    check(&recording, &Expect::HOST);
    recording
}

#[test]
fn masked_recordings_of_hosts_keep_their_shape_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("masked.tar");
    for fixture in fixtures::all().unwrap() {
        masked(fixture.name(), &open(&fixture.archive()), &archive);
    }
    let root = folder.path().join("synthetic");
    Host::new(200).mdev(true).write(&root).unwrap();
    masked("synthetic", &open(&root), &archive);
}

#[test]
fn masked_recordings_of_hand_made_hosts_have_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("masked.tar");
    for host in made::ALL {
        let tree = host.tree().unwrap();
        let driver = open(tree.root());
        record(driver.root(), &archive, MASKED).unwrap();
        assert_without(host.name, &text(&archive), &secrets(&driver));
        check(&open(&archive), &Expect::HOST);
    }
}

/// Every place that we know of where something identifies a part of the machine.
fn revealing() -> (Tree, Vec<&'static str>) {
    let nic = pci("0000:00:03.0").bytes(
        "vpd",
        pci_bytes::vpd(
            "Card",
            &[("PN", "PART-77"), ("SN", "VQ81"), ("V3", "9c2f6a31d4e84b7f"), ("V0", "FFV17.5.10")],
            &[("YA", "tagofjane")],
        ),
    );
    let store = "devices/pci0000:00/0000:00:04.0/host0/target0:0:0/0:0:0:0";
    let disk = |name: &str, minor: u32| {
        Device::new(format!("{store}/block/{name}"), "class/block")
            .node(NodeKind::Block, 8, minor, name)
            .devtype("disk")
            .link("device", store)
            .attr("size", 2048)
            .attr("queue/logical_block_size", 512)
            .udev("E:ID_TYPE=disk")
            .udev("E:ID_BUS=scsi")
    };
    let mut inquiry = b"\0\0\x06\x02\x5b\0\0\0MAKER   MODEL           0001".to_vec();
    inquiry.extend_from_slice(b"ZC1HIDDEN           ");
    let devices = [
        nic,
        net("devices/pci0000:00/0000:00:03.0", "enx00163e4a5b6c", 2, "00:16:3e:4a:5b:6c")
            .attr("phys_port_id", "00163e4a5b6c")
            .attr("phys_switch_id", "e41d2d0300a1b2c3")
            .udev("E:ID_NET_NAME_MAC=enx00163e4a5b6c"),
        pci("0000:00:04.0"),
        Device::new("devices/pci0000:00/0000:00:04.0/host0", "bus/scsi").devtype("scsi_host"),
        Device::new("devices/pci0000:00/0000:00:04.0/host0/target0:0:0", "bus/scsi").devtype("scsi_target"),
        Device::new(store, "bus/scsi")
            .devtype("scsi_device")
            .attr("model", "MODEL")
            .attr("wwid", "naa.5000c500a1b2c3d4")
            .bytes("inquiry", inquiry),
        disk("sda", 0)
            .udev("E:ID_VENDOR=MAKER")
            .udev("E:ID_MODEL=MODEL")
            .udev("E:ID_SERIAL=35000c500a1b2c3d4")
            .udev("E:ID_SERIAL_SHORT=5000c500a1b2c3d4")
            .udev("E:ID_WWN=0x5000c500a1b2c3d4")
            .udev("E:ID_SCSI_SERIAL=ZC1X")
            .udev("E:ID_PATH=pci-0000:00:04.0-sas-0x5000c500a1b2c3d6-lun-0")
            .udev("S:disk/by-path/pci-0000:00:04.0-sas-0x5000c500a1b2c3d6-lun-0")
            .udev("E:SCSI_IDENT_SERIAL=ZC1X")
            .udev("E:ID_FS_UUID=7452791a-1836-4f24-86aa-6ed9fd3712f5")
            .udev("E:ID_FS_LABEL=janes_photos")
            .udev("S:disk/by-label/janes_photos")
            .udev("S:disk/by-id/wwn-0x5000c500a1b2c3d4")
            .udev("S:disk/by-id/scsi-35000c500a1b2c3d4"),
        // A serial number that is a word, and one that is a short number.
        disk("sdb", 16)
            .udev("E:ID_VENDOR=MAKER")
            .udev("E:ID_MODEL=MODEL")
            .udev("E:ID_SERIAL=MAKER_MODEL_jane")
            .udev("E:ID_SERIAL_SHORT=jane")
            .udev("S:disk/by-id/usb-MAKER_MODEL_jane-0:0")
            .udev("S:disk/by-path/pci-0000:00:04.0-scsi-0:0:0:0"),
        disk("vdc", 32)
            .attr("serial", "janesdisk")
            .udev("E:ID_SERIAL=janesdisk")
            .udev("S:disk/by-id/virtio-janesdisk"),
        // Vendor and model alone are no secret.
        disk("sdd", 48).udev("E:ID_VENDOR=MAKER").udev("E:ID_MODEL=STICK").udev("E:ID_SERIAL=MAKER_STICK"),
        Device::new("devices/virtual/block/dm-0", "class/block")
            .node(NodeKind::Block, 253, 0, "dm-0")
            .devtype("disk")
            .udev("E:DM_NAME=vgjane-secretlv")
            .udev("E:DM_VG_NAME=vgjane")
            .udev("E:DM_LV_NAME=secretlv")
            .udev("E:DM_UUID=LVM-aB3dEfGh1jKlMn0p")
            .udev("S:mapper/vgjane-secretlv")
            .udev("S:vgjane/secretlv")
            .udev("S:disk/by-id/dm-name-vgjane-secretlv"),
        Device::new(format!("{store}/block/sda/sda1"), "class/block")
            .node(NodeKind::Block, 8, 1, "sda1")
            .devtype("partition")
            .uevent("PARTN", "1")
            .uevent("PARTNAME", "janes backup")
            .udev("E:ID_PART_ENTRY_NAME=janes\\x20backup")
            .udev("S:disk/by-partlabel/janes\\x20backup"),
        Device::new("devices/pci0000:00/0000:00:04.0/usb1", "bus/usb")
            .devtype("usb_device")
            .attr("serial", "0000:00:04.0"),
        Device::new("devices/pci0000:00/0000:00:04.0/usb1/1-2", "bus/usb")
            .devtype("usb_device")
            .attr("serial", "0A1B2C3D4E5F"),
        Device::new("devices/pci0000:00/0000:00:04.0/usb1/1-1", "bus/usb")
            .devtype("usb_device")
            .attr("serial", "KQ42Z")
            .udev("E:ID_SERIAL=MAKER_Keyboard_KQ42Z")
            .udev("E:ID_SERIAL_SHORT=KQ42Z"),
        Device::new("devices/pci0000:00/0000:00:04.0/usb1/1-1/0003:1.1", "bus/hid")
            .uevent("HID_UNIQ", "KQ42Z")
            .uevent("HID_PHYS", "usb-0000:00:04.0-1/input0"),
        Device::new("devices/virtual/hid/0005:2", "bus/hid")
            .uevent("HID_UNIQ", "a0:b1:c2:d3:e4:f5")
            .uevent("HID_PHYS", "f5:e4:d3:c2:b1:a0"),
        Device::new("devices/virtual/hid/0005:2/input/input3", "class/input")
            .uevent("UNIQ", "\"a0:b1:c2:d3:e4:f5\""),
        Device::new("devices/pci0000:00/0000:00:05.0/infiniband/mlx5_0", "class/infiniband")
            .attr("node_guid", "e41d:2d03:00a1:b2c4")
            .attr("sys_image_guid", "e41d:2d03:00a1:b2c4"),
        Device::new("devices/pci0000:00/0000:00:06.0/nvme/nvme0", "class/nvme")
            .attr("serial", "S4EWNX0R123456  ")
            .attr("model", "SSD 970")
            .attr("subsysnqn", "nqn.2019-08.org.qemu:S4EWNX0R123456"),
        Device::new("devices/domain0/0-0", "bus/thunderbolt")
            .attr("unique_id", "d5010000-0070-6d0e-03f7-ce8c9ff22d21")
            .attr("device_name", "Dock"),
        Device::new("devices/virtual/dmi/id", "class/dmi")
            .attr("product_name", "Server 9")
            .attr("product_serial", "JQ7")
            .attr("product_uuid", "4c4c4544-0051-3710-8030-b7c04f4a4b32")
            .attr("board_serial", "BOARDSN")
            .attr("chassis_serial", "CHASSISSN")
            .attr("chassis_asset_tag", "CHASSISTAG")
            .udev("E:MEMORY_DEVICE_0_SERIAL_NUMBER=4E11AA07")
            .udev("E:MEMORY_DEVICE_0_ASSET_TAG=DIMMTAG9"),
        Device::new("devices/virtual/power_supply/BAT0", "class/power_supply")
            .uevent("POWER_SUPPLY_SERIAL_NUMBER", "BATT1"),
    ];
    let mut tree = tree(&devices);
    let uuid = "2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e11";
    tree.file(
        &format!("etc/mdevctl.d/0000:00:03.0/{uuid}"),
        br#"{"mdev_type":"t-1","start":"auto","attrs":[]}"#,
    )
    .unwrap();
    let secrets = vec![
        "VQ81",
        "9c2f6a31d4e84b7f",
        "tagofjane",
        "00:16:3e:4a:5b:6c",
        "e41d2d0300a1b2c3",
        "5000c500a1b2c3d4",
        "5000c500a1b2c3d6",
        "ZC1X",
        "ZC1HIDDEN",
        "7452791a-1836-4f24-86aa-6ed9fd3712f5",
        "jane",
        "secretlv",
        "aB3dEfGh1jKlMn0p",
        "KQ42Z",
        "0A1B2C",
        "a0:b1:c2:d3:e4:f5",
        "f5:e4:d3:c2:b1:a0",
        "e41d:2d03:00a1:b2c4",
        "S4EWNX0R123456",
        "d5010000-0070-6d0e-03f7-ce8c9ff22d21",
        "JQ7",
        "4c4c4544-0051-3710-8030-b7c04f4a4b32",
        "BOARDSN",
        "CHASSISSN",
        "CHASSISTAG",
        "4E11AA07",
        "DIMMTAG9",
        "BATT1",
        uuid,
    ];
    (tree, secrets)
}

#[test]
fn everything_that_identifies_a_part_is_gone_wherever_it_stands() {
    let (tree, secrets) = revealing();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("masked.tar");
    let host = open(tree.root());
    let recording = masked("revealing", &host, &archive);
    let text = text(&archive);
    let secrets: BTreeSet<Vec<u8>> = secrets.into_iter().map(|secret| secret.as_bytes().to_vec()).collect();
    assert_without("revealing", &text, &secrets);
    let contains = |part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
    for stays in [
        "PART-77",
        "FFV17.5.10",
        "MAKER",
        "SSD 970",
        "E:ID_SERIAL=MAKER_MODEL_",
        "E:ID_SERIAL=MAKER_STICK\n",
        "pci-0000:00:04.0-scsi-0:0:0:0",
        "usb-0000:00:04.0-1/input0",
        "\n0000:00:04.0\n",
        "Server 9",
        "nqn.2019-08.org.qemu:",
        "naa.",
        "00:16:3e:",
    ] {
        assert!(contains(stays), "{stays} tells of no single thing and stays");
    }
    let parts = |driver: &HostDriver| match capability(driver, "pci_0000_00_03_0") {
        Capability::Pci(pci) => *pci.vpd.expect("the vital product data is valid"),
        other => panic!("{other:?}"),
    };
    let (old, new) = (parts(&host), parts(&recording));
    let (old, new) = (old.read_only.unwrap(), new.read_only.unwrap());
    assert_eq!(old.part_number, new.part_number);
    assert_ne!(old.serial_number, new.serial_number);
}

#[test]
fn the_same_value_becomes_the_same_one_everywhere_and_another_in_another_recording() {
    let (tree, _) = revealing();
    let folder = tempfile::tempdir().unwrap();
    let read = |root: &Root, path: &str| {
        let mut buffer = Vec::new();
        let content =
            root.read(path.as_bytes(), &mut buffer, 1 << 20).unwrap().expect("the file is recorded");
        String::from_utf8_lossy(content).trim_end().to_owned()
    };
    let mut seen = Vec::new();
    for name in ["a.tar", "b.tar"] {
        let archive = folder.path().join(name);
        record(open(tree.root()).root(), &archive, MASKED).unwrap();
        let root = Root::open(&archive).unwrap();
        let unit = "sys/devices/pci0000:00/0000:00:04.0/host0/target0:0:0/0:0:0:0";
        let wwid = read(&root, &format!("{unit}/wwid"));
        let wwn = wwid.strip_prefix("naa.").unwrap().to_owned();
        let record = read(&root, "run/udev/data/b8:0");
        for line in [
            format!("E:ID_SERIAL=3{wwn}"),
            format!("E:ID_SERIAL_SHORT={wwn}"),
            format!("E:ID_WWN=0x{wwn}"),
            format!("S:disk/by-id/wwn-0x{wwn}"),
        ] {
            assert!(record.lines().any(|found| found == line), "{line} in {record}");
        }
        let find = |record: &str, start: &str| {
            let line = record.lines().find(|line| line.starts_with(start)).unwrap();
            line[start.len()..].to_owned()
        };
        assert_eq!(find(&record, "E:ID_FS_LABEL="), find(&record, "S:disk/by-label/"));
        assert_eq!(find(&record, "E:ID_SCSI_SERIAL="), find(&record, "E:SCSI_IDENT_SERIAL="));
        let record = read(&root, "run/udev/data/b8:16");
        let short = find(&record, "E:ID_SERIAL_SHORT=");
        assert_eq!(find(&record, "E:ID_SERIAL="), format!("MAKER_MODEL_{short}"));
        assert_eq!(find(&record, "S:disk/by-id/"), format!("usb-MAKER_MODEL_{short}-0:0"));
        let nvme = "sys/devices/pci0000:00/0000:00:06.0/nvme/nvme0";
        assert!(read(&root, &format!("{nvme}/subsysnqn")).ends_with(&read(&root, &format!("{nvme}/serial"))));
        let usb = "sys/devices/pci0000:00/0000:00:04.0/usb1/1-1";
        let serial = read(&root, &format!("{usb}/serial"));
        assert_eq!(
            find(&read(&root, &format!("{usb}/0003:1.1/uevent")), "HID_UNIQ="),
            serial,
            "a short serial number"
        );
        seen.push(wwn);
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn masking_twice_and_masking_nothing_work() {
    let folder = tempfile::tempdir().unwrap();
    let empty = tree(&[]);
    masked("empty", &open(empty.root()), &folder.path().join("empty.tar"));
    let (tree, _) = revealing();
    let first = masked("once", &open(tree.root()), &folder.path().join("once.tar"));
    masked("twice", &first, &folder.path().join("twice.tar"));
}
