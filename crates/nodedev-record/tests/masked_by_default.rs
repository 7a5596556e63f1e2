//! A masked recording of a host that has every kind of secret that we know of: none of them is in it in any spelling.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use std::fs;
use std::io::Read;
use std::path::Path;

use common::{net, open, pci, tree};
use nodedev_record::{RecordOptions, record};
use nodedev_testkit::pci_bytes;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

const MASKED: RecordOptions = RecordOptions { mask: true };
const FUNCTION: &str = "devices/pci0000:00/0000:00:03.0";

/// Paths, link targets and contents.
fn content(archive: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        all.extend_from_slice(&entry.path_bytes());
        all.push(b'\n');
        all.extend_from_slice(&entry.link_name_bytes().unwrap_or_default());
        all.push(b'\n');
        entry.read_to_end(&mut all).unwrap();
        all.push(b'\n');
    }
    all
}

/// Lower case, and without what can stand between digits.
fn squeezed(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|b| !b":-._ \0".contains(b)).map(u8::to_ascii_lowercase).collect()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(digits).ok()?;
    (text.len() % 2 == 0).then_some(())?;
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// The spellings of a secret that are found in a recording.
fn found(content: &[u8], secret: &str) -> Vec<String> {
    let has = |all: &[u8], part: &[u8]| all.windows(part.len()).any(|window| window == part);
    let (squeezed_content, plain) = (squeezed(content), squeezed(secret.as_bytes()));
    let mut spellings = vec![("as text", &squeezed_content[..], plain.clone())];
    spellings.push(("as digits of text", &squeezed_content, hex(secret.as_bytes())));
    let backwards = |bytes: &[u8]| bytes.iter().rev().copied().collect::<Vec<u8>>();
    if let Some(bytes) = unhex(&plain).filter(|bytes| bytes.len() > 5) {
        spellings.push(("digits backwards", &squeezed_content, hex(&backwards(&bytes))));
        spellings.push(("bytes", content, bytes.clone()));
        spellings.push(("bytes backwards", content, backwards(&bytes)));
        if let [a, b, c, d, e, f] = bytes[..] {
            for middle in [[0xff, 0xfe], [0xff, 0xff]] {
                let long = vec![a, b, c, middle[0], middle[1], d, e, f];
                spellings.push(("digits of EUI-64", &squeezed_content, hex(&long)));
                spellings.push(("EUI-64", content, long.clone()));
                spellings.push(("EUI-64 backwards", content, backwards(&long)));
            }
        }
    }
    spellings
        .into_iter()
        .filter(|(_, all, part)| has(all, part))
        .map(|(how, ..)| format!("{secret} {how}"))
        .collect()
}

/// An extended configuration space with a PCIe serial number.
fn with_serial(serial: [u8; 8]) -> Vec<u8> {
    let mut space = vec![0; 4096];
    space[..4].copy_from_slice(&[0x86, 0x80, 0xd3, 0x10]);
    space[0x100..0x104].copy_from_slice(&[3, 0, 1, 0]);
    for (at, byte) in serial.iter().rev().enumerate() {
        space[0x104 + at] = *byte;
    }
    space
}

fn disk(name: &str, minor: u32, lines: &[&str]) -> Device {
    let device = Device::new(format!("{FUNCTION}/block/{name}"), "class/block")
        .node(NodeKind::Block, 8, minor, name)
        .devtype("disk")
        .attr("size", 2048)
        .udev("E:ID_TYPE=disk");
    lines.iter().fold(device, |device, line| device.udev(*line))
}

/// The host, and what must not be told of it.
fn host() -> (Tree, Vec<&'static str>) {
    let mut damaged =
        pci_bytes::vpd("Card", &[("SN", "DAMAGED-91"), ("V7", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")], &[]);
    damaged.truncate(damaged.len() - 6);
    let mut raw = b"\x82\x06\0Card\x01\x02\x90\x30\0V1\x10".to_vec();
    raw.extend_from_slice(&[
        0x91, 0x44, 0x1e, 0x77, 0x02, 0xbd, 0x4c, 0x61, 0xa8, 0x05, 0x3e, 0x5d, 0x2c, 0x99, 0x13, 0x6f,
    ]);
    let mut inquiry = b"\x0d\0\x06\x02\x5b\0\0\0MAKER   SHELF           0001".to_vec();
    inquiry.extend_from_slice(&[0x50, 0x05, 0x07, 0x66, 0xa1, 0xb2, 0xc3, 0xf7]);
    inquiry.extend_from_slice(b"SHELFSN77");
    let devices = [
        pci("0000:00:03.0")
            .bytes("config", with_serial([0x00, 0x16, 0x3e, 0xff, 0xff, 0x4a, 0x5b, 0x6c]))
            .bytes("vpd", damaged),
        net(FUNCTION, "eth0", 2, "00:16:3e:4a:5b:6c"),
        // A card that no driver has: only its serial number tells its address.
        pci("0000:00:04.0").bytes("config", with_serial([0x3c, 0xfd, 0xfe, 0xff, 0xfe, 0x12, 0x9a, 0x7b])),
        // A serial number that is no address.
        pci("0000:00:05.0").bytes("config", with_serial([0x91, 0x22, 0x7a, 0x41, 0xc8, 0x5e, 0x66, 0x0d])).bytes("vpd", raw),
        Device::new(format!("{FUNCTION}/nvme/nvme0"), "class/nvme")
            .uevent("NVME_TRTYPE", "tcp")
            .uevent("NVME_TRADDR", "10.77.1.23")
            .uevent("NVME_HOST_TRADDR", "fd77::1234:5")
            .attr("transport", "tcp")
            .attr("address", "traddr=10.77.1.23,trsvcid=4420,host_traddr=fd77::1234:5,src_addr=10.77.1.99")
            .attr("hostnqn", "nqn.2014-08.org.nvmexpress:uuid:5b1c7f5e-2a4b-4d77-9c1e-0a9b8c7d6e5f")
            .attr("hostid", "5b1c7f5e-2a4b-4d77-9c1e-0a9b8c7d6e5f")
            .attr("subsysnqn", "nqn.2010-06.com.acme-storage:array.janes")
            .attr("serial", "NV77QX12"),
        Device::new(format!("{FUNCTION}/nvme/nvme0/nvme0n1"), "class/block")
            .node(NodeKind::Block, 259, 0, "nvme0n1")
            .devtype("disk")
            .attr("wwid", "nvme.144d-4e5637375158313220202020-4d4f44454c-00000001")
            .udev("E:ID_SERIAL=MODEL_NV77QX12")
            .udev("S:disk/by-id/nvme-MODEL_NV77QX12"),
        Device::new(format!("{FUNCTION}/nvme/nvme1"), "class/nvme")
            .attr("transport", "fc")
            .attr("address", "traddr=nn-0x20010090fab1c2d3:pn-0x10010090fab1c2d4,host_traddr=nn-0x20000025b5000a1f:pn-0x21000025b5000a1e"),
        Device::new(format!("{FUNCTION}/enclosure/0:0:4:0"), "class/enclosure").attr("id", "0x50050766a1b2c3f7"),
        Device::new(format!("{FUNCTION}/host0/target0:0:4/0:0:4:0"), "bus/scsi")
            .devtype("scsi_device")
            .bytes("inquiry", inquiry),
        disk("sda", 0, &[
            "E:ID_PATH=ip-10.77.1.40:3260-iscsi-iqn.2003-01.com.acme-storage.store01:janes-lun-1",
            "E:ID_PATH_TAG=ip-10_77_1_40_3260-iscsi-iqn_2003-01_com_acme-storage_store01_janes-lun-1",
            "S:disk/by-path/ip-10.77.1.40:3260-iscsi-iqn.2003-01.com.acme-storage.store01:janes-lun-1",
            "E:OWNER_OF_THIS=ownerjane",
            "E:ID_MODEL=Shelf_of_10.77.1.41_0016b4aa77c1",
            "E:ID_PART_TABLE_UUID=9d1c22ab-77",
            "E:SYSTEMD_WANTS=backup@janesvault.service",
            "G:janestag",
            "Q:janestag",
            "E:TAGS=:systemd:janestag:",
            "S:janeslink",
            "S:disk/by-whatever/janeswhat",
        ]),
        disk("sdc", 32, &[
            "E:ID_PATH=ip-filer.vaultjane.net:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-1",
            "S:disk/by-path/ip-filer.vaultjane.net:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-1",
        ]),
        // Servers that are named by a word alone, of either kind.
        disk("sdd", 48, &[
            "E:ID_PATH=ip-planjane:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-2",
            "E:ID_PATH_TAG=ip-planjane_3260-iscsi-iqn_2003-01_com_acme-storage_store01_more-lun-2",
            "S:disk/by-path/ip-planjane:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-2",
        ]),
        disk("sde", 64, &[
            "E:ID_PATH=ip-qj7:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-3",
            "E:ID_PATH_TAG=ip-qj7_3260-iscsi-iqn_2003-01_com_acme-storage_store01_more-lun-3",
            "S:disk/by-path/ip-qj7:3260-iscsi-iqn.2003-01.com.acme-storage.store01:more-lun-3",
        ]),
        disk("sdf", 80, &[
            "E:ID_PATH=pci-0000:00:03.0-ip-vaultqq-lun-0",
            "E:ID_PATH_TAG=pci-0000_00_03_0-ip-vaultqq-lun-0",
        ]),
        Device::new("devices/rbd/0", "bus/rbd")
            .attr("config_info", "10.77.1.60:6789 name=janeadmin,key=client.janeadmin janespool janesimage -"),
        disk("sdb", 16, &[
            "E:ID_FS_TYPE=LVM2_member",
            "E:ID_FS_UUID=aB3dEf-Gh1j-KlMn-0pQr-StUv-2xYz-C4dEfG",
            "S:disk/by-id/lvm-pv-uuid-aB3dEf-Gh1j-KlMn-0pQr-StUv-2xYz-C4dEfG",
            "E:ID_FS_LABEL=rpool77",
            "E:ID_FS_UUID_SUB=17293822569102704640",
            "E:ID_FS_PUBLISHER_ID=ACME PUBLISHING 7",
            "E:ID_FS_APPLICATION_ID=MASTERED BY JANE",
            "E:ID_FS_DATA_PREPARER_ID=PREPARER JANE",
        ]),
        Device::new("devices/virtual/block/md127", "class/block")
            .node(NodeKind::Block, 9, 127, "md127")
            .devtype("disk")
            .udev("E:MD_UUID=a1b2c3d4:e5f60718:293a4b5c:6d7e8f90")
            .udev("E:MD_NAME=janeshost01:vault")
            .udev("E:MD_DEVICE_ev_sda_DEV=/dev/janesdev")
            .udev("S:disk/by-id/md-uuid-a1b2c3d4:e5f60718:293a4b5c:6d7e8f90")
            .udev("S:disk/by-id/md-name-janeshost01:vault"),
        Device::new("devices/virtual/block/dm-0", "class/block")
            .node(NodeKind::Block, 253, 0, "dm-0")
            .devtype("disk")
            .udev("E:DM_NAME=vgjane-lvjane")
            .udev("E:DM_UUID=LVM-Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4Q1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6")
            .udev("S:disk/by-id/dm-uuid-LVM-Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4Q1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6"),
        Device::new("devices/virtual/block/zd0", "class/block")
            .node(NodeKind::Block, 230, 0, "zd0")
            .devtype("disk")
            .udev("S:zvol/tankjane/vm77"),
        Device::new("devices/virtual/misc/uhid/0005:046D:B342.0001", "bus/hid")
            .uevent("HID_ID", "0005:0000046D:0000B342")
            .uevent("HID_NAME", "Keyboard of Jane")
            .uevent("JANES_OWN", "janesvalue"),
        Device::new("devices/virtual/dmi/id", "class/dmi")
            .attr("product_name", "Server of janeshost01")
            .attr("board_serial", "BRD12345678")
            .attr("product_serial", "JQ7"),
    ];
    let mut tree = tree(&devices);
    for (path, text) in [
        ("proc/sys/kernel/hostname", "janeshost01.acme-storage.com\n"),
        ("proc/version", "Linux version 6.12.0-acme (jane@janesbuild) (gcc 14) #1 SMP\n"),
        ("proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2000.000\nSerial\t\t: 10000000abcd77ef\n"),
        (
            "etc/mdevctl.d/0000:00:03.0/2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e11",
            r#"{"mdev_type":"t-1","start":"auto","attrs":[{"assign_adapter":"5"},{"note":"janesnote"}]}"#,
        ),
    ] {
        tree.file(path, text.as_bytes()).unwrap();
    }
    let secrets = vec![
        "00:16:3e:4a:5b:6c",
        "3c:fd:fe:12:9a:7b",
        "91-22-7a-41-c8-5e-66-0d",
        "DAMAGED-91",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "91441e7702bd4c61a8053e5d2c99136f",
        "10.77.1.23",
        "10.77.1.99",
        "fd77::1234:5",
        "5b1c7f5e-2a4b-4d77-9c1e-0a9b8c7d6e5f",
        "acme-storage",
        "store01",
        "jane",
        "NV77QX12",
        "20010090fab1c2d3",
        "10010090fab1c2d4",
        "20000025b5000a1f",
        "21000025b5000a1e",
        "50050766a1b2c3f7",
        "SHELFSN77",
        "10.77.1.40",
        "10.77.1.41",
        "10.77.1.60",
        "vaultjane",
        "planjane",
        "qj7",
        "vaultqq",
        "0016b4aa77c1",
        "9d1c22ab-77",
        "aB3dEf-Gh1j-KlMn-0pQr-StUv-2xYz-C4dEfG",
        "rpool77",
        "17293822569102704640",
        "ACME PUBLISHING",
        "a1b2c3d4:e5f60718:293a4b5c:6d7e8f90",
        "Z9y8X7w6V5u4T3s2R1q0P9o8N7m6L5k4",
        "Q1w2E3r4T5y6U7i8O9p0A1s2D3f4G5h6",
        "vault",
        "tank",
        "BRD12345678",
        "10000000abcd77ef",
        "2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e11",
    ];
    (tree, secrets)
}

#[test]
fn no_secret_of_a_host_that_has_every_kind_is_in_its_recording() {
    let (tree, secrets) = host();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("masked.tar");
    let driver = open(tree.root());
    let unmasked = folder.path().join("plain.tar");
    record(driver.root(), &unmasked, RecordOptions::default()).unwrap();
    record(driver.root(), &archive, MASKED).unwrap();
    let content = content(&archive);
    let found: Vec<String> = secrets.iter().flat_map(|secret| found(&content, secret)).collect();
    assert!(found.is_empty(), "{found:#?}");
    // That the search finds what is there.
    let content = self::content(&unmasked);
    for secret in ["00:16:3e:4a:5b:6c", "3c:fd:fe:12:9a:7b", "91-22-7a-41-c8-5e-66-0d", "NV77QX12", "jane"] {
        assert!(!self::found(&content, secret).is_empty(), "{secret}");
    }
}

#[test]
fn values_keep_the_form_that_programs_read() {
    let (tree, _) = host();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("masked.tar");
    record(open(tree.root()).root(), &archive, MASKED).unwrap();
    let root = nodedev_sys::Root::open(&archive).unwrap();
    let read = |path: &str| {
        let mut buffer = Vec::new();
        let content = root.read(path.as_bytes(), &mut buffer, 1 << 20).unwrap();
        String::from_utf8_lossy(content.unwrap_or_default()).into_owned()
    };
    let fields: Vec<(String, String)> = read(&format!("sys/{FUNCTION}/nvme/nvme0/address"))
        .trim()
        .split(',')
        .map(|field| field.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["traddr", "trsvcid", "host_traddr", "src_addr"]);
    assert!(fields[0].1.parse::<std::net::Ipv4Addr>().is_ok(), "{fields:?}");
    assert_eq!(fields[1].1, "4420");
    assert!(fields[2].1.parse::<std::net::Ipv6Addr>().is_ok(), "{fields:?}");
    let uevent = read(&format!("sys/{FUNCTION}/nvme/nvme0/uevent"));
    assert!(uevent.contains(&format!("NVME_TRADDR={}\n", fields[0].1)), "{uevent}");
    let channel = read(&format!("sys/{FUNCTION}/nvme/nvme1/address"));
    assert!(channel.starts_with("traddr=nn-0x") && channel.contains(":pn-0x"), "{channel}");
    let record = read("run/udev/data/b8:0");
    for stays in [
        "E:ID_PATH=ip-198.1",
        ":3260-iscsi-iqn.2003-01.com.",
        "-lun-1\n",
        "E:TAGS=:systemd:\n",
        "E:ID_TYPE=disk\n",
    ] {
        assert!(record.contains(stays), "{stays} in {record}");
    }
    // The card's serial number goes with its masked address.
    let address = read(&format!("sys/{FUNCTION}/net/eth0/address"));
    let bytes: Vec<u8> =
        address.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mut buffer = Vec::new();
    let config =
        root.read(format!("sys/{FUNCTION}/config").as_bytes(), &mut buffer, 1 << 20).unwrap().unwrap();
    let serial: Vec<u8> = config[0x104..0x10c].iter().rev().copied().collect();
    assert_eq!(serial, [&bytes[..3], &[0xff, 0xff], &bytes[3..]].concat());
    assert!(read("proc/version").starts_with("Linux version 6.12.0-"));
    assert!(read("proc/cpuinfo").contains("cpu MHz\t\t: 2000.000\n"));
}
