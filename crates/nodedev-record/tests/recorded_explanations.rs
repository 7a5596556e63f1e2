//! What is said of a device's way to a guest is the same of a recording as of the host that it was made from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../nodedev-host/tests/common/mod.rs"]
mod common;

use common::{everything, net, open, pci, tree};
use nodedev_driver::{ExplainOptions, Operations as _};
use nodedev_host::HostDriver;
use nodedev_model::CapabilityType;
use nodedev_record::{RecordOptions, record};
use nodedev_testkit::fixtures;
use nodedev_testkit::synthetic::Host;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

/// Drivers that can be named: a common one, one that is bound, one that a module brings, and one that is nowhere.
const DRIVERS: &[Option<&str>] =
    &[None, Some("vfio-pci"), Some("other-vfio-pci"), Some("brought"), Some("nowhere")];

/// What is said of each PCI function, for each driver.
fn explained(driver: &HostDriver, drivers: &[Option<&str>]) -> Vec<String> {
    let mut told = Vec::new();
    for device in everything(driver).devices {
        if !device.capability_types().any(|kind| kind == CapabilityType::Pci) {
            continue;
        }
        for kernel_driver in drivers {
            let options = ExplainOptions {
                kernel_driver: kernel_driver.map(str::to_owned),
                ..ExplainOptions::default()
            };
            told.push(format!("{kernel_driver:?} {:#?}", driver.explain(device.name.as_str(), &options)));
        }
    }
    told
}

fn assert_same(what: &str, driver: &HostDriver, options: RecordOptions, drivers: &[Option<&str>]) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("host.tar");
    record(driver.root(), &archive, options).unwrap();
    let unpacked = folder.path().join("host");
    tar::Archive::new(std::fs::File::open(&archive).unwrap()).unpack(&unpacked).unwrap();
    let host = explained(driver, drivers);
    for recording in [explained(&open(&archive), drivers), explained(&open(&unpacked), drivers)] {
        assert_eq!(host.len(), recording.len(), "{what}");
        for (host, recording) in host.iter().zip(&recording) {
            assert_eq!(host, recording, "{what}, {options:?}");
        }
    }
}

/// A host of which everything that is asked about is told.
fn telling() -> Tree {
    let below = "devices/pci0000:00/0000:00:03.0";
    let devices = [
        pci("0000:00:03.0")
            .driver("e1000e")
            .attr("reset_method", "flr bus")
            .attr("reset", "")
            .attr("sriov_numvfs", "999"),
        net(below, "eth0", 2, "00:16:3e:4a:5b:6c"),
        pci("0000:00:04.0").attr("power_state", "D3cold").attr("power/runtime_status", "suspended"),
        pci("0000:00:05.0").driver("other-vfio-pci"),
        pci("0000:00:06.0").driver("nvme"),
        Device::new("devices/pci0000:00/0000:00:06.0/nvme/nvme0/nvme0n1", "class/block")
            .node(NodeKind::Block, 259, 0, "nvme0n1")
            .devtype("disk")
            .attr("size", 2048),
        // What is told of by the links of processes, and by what the kernel says of these.
        pci("0000:00:07.0").driver("vfio-pci").attr("enable", 1),
        pci("0000:00:08.0").driver("xhci_hcd"),
        Device::new("devices/pci0000:00/0000:00:08.0/usb1/1-5", "bus/usb")
            .driver("usbip-host")
            .attr("usbip_status", 2),
        Device::new("devices/virtual/block/nbd0", "class/block")
            .node(NodeKind::Block, 43, 0, "nbd0")
            .devtype("disk")
            .attr("pid", 79),
        Device::new("devices/virtual/net/br0", "class/net").link("lower_eth0", format!("{below}/net/eth0")),
        Device::new("devices/virtual/net/vnet7", "class/net").link("master", "devices/virtual/net/br0"),
    ];
    let mut tree = tree(&devices);
    for (path, content) in [
        ("sys/devices/pci0000:00/0000:00:03.0/reset_subordinate", ""),
        ("sys/devices/pci0000:00/0000:00:05.0/vfio-dev/vfio0/dev", "511:0\n"),
        ("sys/bus/pci/drivers/vfio-pci/uevent", ""),
        ("sys/module/brought/drivers/x", ""),
        ("proc/sys/kernel/osrelease", "6.12.0\n"),
        ("lib/modules/6.12.0/modules.dep", "kernel/drivers/net/e1000e.ko: kernel/x.ko\n"),
        (
            "proc/1/mountinfo",
            "22 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n23 1 0:9 / /x rw - tmpfs secret rw\n\
             24 1 0:40 / /srv rw - nfs4 192.168.0.9:/x rw,addr=192.168.0.9\n",
        ),
        (
            "proc/1/net/route",
            "Iface\tDestination\tGateway\neth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
        ),
        ("proc/swaps", "Filename\n"),
        ("proc/77/comm", "ceph-osd\n"),
        ("proc/77/status", "Name:\tceph-osd\n"),
        ("proc/78/comm", "qemu-kvm\n"),
        ("proc/78/fdinfo/4", "pos:\t0\niff:\tvnet7\n"),
        ("proc/78/fdinfo/5", "vfio-device-syspath: /sys/devices/pci0000:00/0000:00:07.0\n"),
        ("proc/79/comm", "nbd-client\n"),
        (
            "proc/79/net/tcp",
            "  sl  local_address rem_address   st\n\
             0: 0100A8C0:BC4C 0A00A8C0:2775 01 0:0 00:00000000 00000000 0 0 4711 1 0\n",
        ),
        ("sys/kernel/config/netconsole/log/dev_name", "eth0\n"),
        ("sys/kernel/config/netconsole/log/enabled", "1\n"),
    ] {
        tree.file(path, content.as_bytes()).unwrap();
    }
    for (at, target) in [
        ("77/fd/3", "/dev/nvme0n1"),
        ("77/fd/4", "/home/jane/secret"),
        ("77/fd/5", "/dev/shm/jane"),
        ("77/fd/6", "socket:[4711]"),
        ("77/task/81/fd/3", "/sys/devices/pci0000:00/0000:00:04.0/resource0"),
        ("78/fd/3", "anon_inode:kvm-vm"),
        ("78/fd/4", "/dev/net/tun"),
        ("78/fd/5", "anon_inode:[vfio-device]"),
        ("79/fd/3", "socket:[4711]"),
    ] {
        let at = tree.root().join("proc").join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, at).unwrap();
    }
    tree
}

#[test]
fn explanations_of_recordings_are_those_of_their_hosts() {
    for options in [RecordOptions::default(), RecordOptions { mask: true }] {
        for fixture in fixtures::all().unwrap() {
            assert_same(fixture.name(), &open(&fixture.archive()), options, &DRIVERS[..1]);
        }
        let folder = tempfile::tempdir().unwrap();
        Host::new(100).mdev(true).write(folder.path()).unwrap();
        assert_same("synthetic", &open(folder.path()), options, &DRIVERS[..1]);
    }
    let tree = telling();
    let told = explained(&open(tree.root()), DRIVERS).concat();
    for part in [
        "the file system at /",
        "default route is through eth0",
        "the file system at /srv from 192.168.0.9 is through eth0",
        "process 77 (ceph-osd) has /dev/nvme0n1 open",
        "process 77 (ceph-osd) has /sys/devices/pci0000:00/0000:00:04.0/resource0 open",
        "process 78 (qemu-kvm) has vnet7, a port of br0, of which eth0 is a part",
        "process 78 (qemu-kvm) has VFIO's descriptor of 0000:00:07.0 open",
        "the disk nbd0 of 192.168.0.10 is through eth0",
        "another machine has its USB device 1-5",
        "its console over the network (netconsole) is through eth0",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_same("telling", &open(tree.root()), RecordOptions::default(), DRIVERS);
}

#[test]
fn a_function_below_a_folder_that_is_named_by_a_guid_is_explained_of_a_masked_recording_too() {
    let guid = "47505500-0001-0000-3130-444531334632";
    let above = format!("devices/LNXSYSTM:00/LNXSYBUS:00/ACPI0004:00/VMBUS:00/{guid}");
    let function = format!("{above}/pci3130:00/3130:00:00.0");
    let mut config = vec![0u8; 64];
    config[..4].copy_from_slice(&[0xde, 0x10, 0x34, 0x12]);
    let devices = [
        Device::new(above, "bus/vmbus").attr("device_id", format!("{{{guid}}}")),
        Device::new(function.clone(), "bus/pci")
            .uevent("PCI_CLASS", "30000")
            .uevent("PCI_SLOT_NAME", "3130:00:00.0")
            .attr("vendor", "0x10de")
            .attr("device", "0x1234")
            .attr("class", "0x030000")
            .bytes("config", config)
            .driver("nvidia"),
        Device::new(format!("{function}/drm/card1"), "class/drm").node(NodeKind::Char, 226, 1, "dri/card1"),
    ];
    let mut tree = tree(&devices);
    tree.iommu_group(3, &function).unwrap();
    let driver = open(tree.root());
    assert_eq!(explained(&driver, &[None]).len(), 1);
    for mask in [false, true] {
        assert_same("vmbus", &driver, RecordOptions { mask }, &DRIVERS[..2]);
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("host.tar");
        record(driver.root(), &archive, RecordOptions { mask }).unwrap();
        let content = String::from_utf8_lossy(&std::fs::read(&archive).unwrap()).into_owned();
        assert_eq!(content.contains(guid), !mask);
    }
}

#[test]
fn a_recording_has_what_can_be_told_without_waiting_for_the_kernel() {
    let mut tree = telling();
    let function = "sys/devices/pci0000:00/0000:00:03.0";
    for name in ["virtfn0", "virtfn1"] {
        let link = format!("devices/pci0000:00/0000:00:03.0/{name}");
        tree.link(&link, "devices/pci0000:00/0000:00:04.0").unwrap();
    }
    tree.file(&format!("{function}/sriov_vf_total_msix"), b"7\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("host.tar");
    for mask in [false, true] {
        record(open(tree.root()).root(), &archive, RecordOptions { mask }).unwrap();
        let root = nodedev_sys::Root::open(&archive).unwrap();
        let read = |path: &str| {
            let mut buffer = Vec::new();
            let content = root.read(path.as_bytes(), &mut buffer, 1 << 20).unwrap();
            content.map(|content| String::from_utf8_lossy(content).into_owned())
        };
        // The links were counted: the file says something else.
        assert_eq!(read(&format!("{function}/sriov_numvfs")).as_deref(), Some("2\n"));
        assert_eq!(read(&format!("{function}/sriov_vf_total_msix")), None);
        assert_eq!(read(&format!("{function}/reset")).as_deref(), Some(""));
        let sleeping = "sys/devices/pci0000:00/0000:00:04.0";
        assert_eq!(read(&format!("{sleeping}/power_state")).as_deref(), Some("D3cold\n"));
        assert_eq!(read(&format!("{sleeping}/power/runtime_status")).as_deref(), Some("suspended\n"));
        let mounts = read("proc/1/mountinfo");
        assert_eq!(mounts.is_none(), mask, "a masked recording does not tell what is mounted where");
        assert!(!mounts.unwrap_or_default().contains("secret"));
        let links = ["77/fd/3", "77/fd/4", "77/fd/5", "77/fd/6", "79/fd/3", "78/fd/5"];
        let links = links.map(|name| root.read_link(format!("proc/{name}").as_bytes()).unwrap());
        assert_eq!(
            links.map(|link| link.is_some()),
            [!mask, false, false, false, !mask, !mask],
            "devices alone and the connections of a network disk, and none if masked"
        );
        // Of USB devices that are given to others a masked recording tells, too.
        let usb = explained(&open(&archive), &[None]).concat();
        assert!(usb.contains("another machine has its USB device"), "{mask}: {usb}");
    }
}
