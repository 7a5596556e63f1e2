//! What is said of a device's way to a guest is the same of a recording as of the host that it was made from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{everything, net, open, pci, tree};
use nodedev_driver::{Driver, ExplainOptions};
use nodedev_host::HostDriver;
use nodedev_host::record::{RecordOptions, record};
use nodedev_model::CapabilityType;
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
    ] {
        tree.file(path, content.as_bytes()).unwrap();
    }
    std::fs::create_dir_all(tree.root().join("proc/77/fd")).unwrap();
    for (name, target) in [("3", "/dev/nvme0n1"), ("4", "/home/jane/secret")] {
        std::os::unix::fs::symlink(target, tree.root().join("proc/77/fd").join(name)).unwrap();
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
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_same("telling", &open(tree.root()), RecordOptions::default(), DRIVERS);
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
        let links = ["3", "4"].map(|name| root.read_link(format!("proc/77/fd/{name}").as_bytes()).unwrap());
        assert_eq!(
            links.map(|link| link.is_some()),
            [!mask, false],
            "device nodes alone, and none if masked"
        );
    }
}
