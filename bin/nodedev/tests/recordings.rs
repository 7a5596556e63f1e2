//! Commands on recordings: small hand-made trees, which are recorded, compared and listed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{command, ran, run};
use nodedev_testkit::fixtures;

/// A PCI function with a network interface, and a bridge that libvirt does not show.
fn host(root: &Path, driver: &str, state: &str) {
    let device = root.join("sys/devices/pci0000:00/0000:00:03.0");
    let net = device.join("net/eth0");
    let bridge = root.join("sys/devices/virtual/net/br0");
    let bus = root.join("sys/bus/pci/drivers").join(driver);
    for folder in [&net, &bridge, &bus, &root.join("sys/class/net"), &root.join("sys/bus/pci/devices")] {
        fs::create_dir_all(folder).unwrap();
    }
    symlink("../../../bus/pci", device.join("subsystem")).unwrap();
    symlink(format!("../../../bus/pci/drivers/{driver}"), device.join("driver")).unwrap();
    symlink("../../../../../class/net", net.join("subsystem")).unwrap();
    symlink("../../../../class/net", bridge.join("subsystem")).unwrap();
    symlink("../../../devices/pci0000:00/0000:00:03.0", root.join("sys/bus/pci/devices/0000:00:03.0"))
        .unwrap();
    symlink("../../devices/pci0000:00/0000:00:03.0/net/eth0", root.join("sys/class/net/eth0")).unwrap();
    symlink("../../devices/virtual/net/br0", root.join("sys/class/net/br0")).unwrap();
    for (path, text) in [
        (
            device.join("uevent"),
            format!("DRIVER={driver}\nPCI_CLASS=20000\nPCI_ID=8086:10D3\nPCI_SLOT_NAME=0000:00:03.0\n"),
        ),
        (device.join("vendor"), "0x8086\n".into()),
        (device.join("device"), "0x10d3\n".into()),
        (device.join("class"), "0x020000\n".into()),
        (device.join("numa_node"), "-1\n".into()),
        (net.join("uevent"), "INTERFACE=eth0\nIFINDEX=2\n".into()),
        (net.join("ifindex"), "2\n".into()),
        (net.join("address"), "52:54:00:aa:bb:cc\n".into()),
        (net.join("operstate"), format!("{state}\n")),
        (net.join("speed"), "1000\n".into()),
        (bridge.join("uevent"), "DEVTYPE=bridge\nINTERFACE=br0\nIFINDEX=3\n".into()),
        (bridge.join("ifindex"), "3\n".into()),
        (bridge.join("address"), "52:54:00:00:00:01\n".into()),
        (bridge.join("operstate"), "up\n".into()),
    ] {
        fs::write(path, text).unwrap();
    }
}

#[test]
fn libvirts_view_leaves_out_what_the_extended_list_has() {
    let folder = tempfile::tempdir().unwrap();
    host(folder.path(), "e1000e", "up");
    let root = folder.path().display();
    let plain = "computer\nnet_eth0_52_54_00_aa_bb_cc\npci_0000_00_03_0\n";
    assert_eq!(run(&format!("--root {root} list")).stdout, plain);
    let bridge = "net_br0_52_54_00_00_00_01";
    let extended = run(&format!("--root {root} list --extended"));
    assert!(extended.stdout.lines().any(|name| name == bridge), "{}", extended.stdout);
    assert_eq!(run(&format!("--connect nodedev:///system?root={root} list")).stdout, plain);
    assert_eq!(run(&format!("--root {root} list --cap net")).stdout, "net_eth0_52_54_00_aa_bb_cc\n");
    let ran = run(&format!("--root {root} dumpxml {bridge}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("nodedev show"), "{}", ran.stderr);
    let ran = run(&format!("--root {root} show {bridge}"));
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("not shown by libvirt"), "{}", ran.stdout);
    let unknown = run(&format!("--root {root} list --extended --cap nothing"));
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("ccwgroup_member"), "{}", unknown.stderr);
}

#[test]
fn differences_are_told_value_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    host(&a, "e1000e", "up");
    host(&b, "vfio-pci", "up");
    fs::remove_dir_all(b.join("sys/devices/pci0000:00/0000:00:03.0/net")).unwrap();
    let other = b.join("sys/devices/pci0000:00/0000:00:04.0");
    fs::create_dir_all(&other).unwrap();
    symlink("../../../bus/pci", other.join("subsystem")).unwrap();
    fs::write(other.join("uevent"), "PCI_CLASS=20000\nPCI_ID=8086:10D3\nPCI_SLOT_NAME=0000:00:04.0\n")
        .unwrap();
    symlink("../../../devices/pci0000:00/0000:00:04.0", b.join("sys/bus/pci/devices/0000:00:04.0")).unwrap();
    let (a, b) = (a.display(), b.display());
    let ran = run(&format!("diff {a} {b}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    assert_eq!(
        ran.stdout,
        "- net_eth0_52_54_00_aa_bb_cc (net)\n\
         ~ pci_0000_00_03_0 (pci)\n    driver: e1000e -> vfio-pci\n\
         + pci_0000_00_04_0 (pci)\n"
    );
    let same = run(&format!("diff {a} {a}"));
    assert_eq!((same.code, same.stdout.as_str(), same.stderr.as_str()), (0, "", ""));
    // The second host can be named by the global option too.
    assert_eq!(run(&format!("--root {b} diff {a}")).stdout, ran.stdout);
}

#[test]
fn a_recording_has_the_devices_of_its_host_and_masks_them_if_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    host(&root, "e1000e", "up");
    let archive = folder.path().join("host.tar.gz");
    let (root, archive) = (root.display(), archive.display());
    let ran = run(&format!("--root {root} record -o {archive}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("--mask"), "{}", ran.stderr);
    let same = run(&format!("diff {root} {archive}"));
    assert_eq!((same.code, same.stdout.as_str()), (0, ""));
    let ran = run(&format!("--root {root} record --mask -o {archive}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let all = run(&format!("--root {archive} show --all --json")).stdout;
    assert!(all.contains("e1000e") && !all.contains("52:54:00:aa:bb:cc"), "{all}");
    let ran = run(&format!("record -o {archive}.zip"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains(".tar.gz"), "{}", ran.stderr);
    let ran = run("--connect test:///default record -o x.tar");
    assert_eq!(ran.code, 2);
}

/// A Fibre Channel port, which virsh names by its World Wide Names too.
#[test]
fn a_scsi_host_can_be_named_by_its_world_wide_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let scsi = root.join("sys/devices/virtual/host7");
    let fc = scsi.join("fc_host/host7");
    for folder in [&fc, &root.join("sys/bus/scsi/devices"), &root.join("sys/class/fc_host")] {
        fs::create_dir_all(folder).unwrap();
    }
    symlink("../../../bus/scsi", scsi.join("subsystem")).unwrap();
    symlink("../../../../../../class/fc_host", fc.join("subsystem")).unwrap();
    symlink("../../../devices/virtual/host7", root.join("sys/bus/scsi/devices/host7")).unwrap();
    symlink("../../devices/virtual/host7/fc_host/host7", root.join("sys/class/fc_host/host7")).unwrap();
    for (path, text) in [
        (scsi.join("uevent"), "DEVTYPE=scsi_host\n"),
        (fc.join("uevent"), ""),
        (fc.join("node_name"), "0x2000000012341234\n"),
        (fc.join("port_name"), "0x1000000012341234\n"),
        (fc.join("fabric_name"), "0x0\n"),
    ] {
        fs::write(path, text).unwrap();
    }
    let root = root.display();
    let ran = run(&format!("--root {root} info 2000000012341234,1000000012341234"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.starts_with("Name:           scsi_host7\n"), "{}", ran.stdout);
    let ran = run(&format!("--root {root} dumpxml 2000000012341234,1000000012341235"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("no SCSI host has the World Wide Names"), "{}", ran.stderr);
}

#[test]
fn the_number_of_threads_does_not_show() {
    let fixture = fixtures::all().unwrap().remove(0);
    let root = fixture.archive().display().to_string();
    for what in ["list", "list --extended --json", "dumpxml --all", "show --all --json", "show --all"] {
        let want = run(&format!("--root {root} --jobs 1 {what}"));
        assert!(want.code == 0 && !want.stdout.is_empty(), "{what}");
        let commands =
            ["", "--jobs 2", "--jobs 8"].map(|jobs| command(&format!("--root {root} {jobs} {what}")));
        // There is no room for the stack of a thread, so that none can be started.
        let mut alone = command(&format!("--root {root} --jobs 8 {what}"));
        alone.env("RUST_MIN_STACK", (1u64 << 46).to_string());
        for mut command in commands.into_iter().chain([alone]) {
            let seen = ran(&command.output().unwrap());
            assert!(
                (seen.code, &seen.stdout, &seen.stderr) == (0, &want.stdout, &want.stderr),
                "{command:?}"
            );
        }
    }
    assert_eq!(run(&format!("--root {root} --jobs 0 list")).code, 2);
    let elsewhere = run("--connect test:///default --jobs 2 list");
    assert!(elsewhere.code == 0 && elsewhere.stderr.contains("--jobs has no effect"), "{}", elsewhere.stderr);
}
