//! What is told of the machine that the devices are of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use nodedev_driver::{HostInfo, LibvirtCalls};
use nodedev_host::HostDriver;
use nodedev_sys::Root;
use nodedev_testkit::tree::{Device, Tree};

fn info(path: &Path) -> HostInfo {
    HostDriver::new(Root::open(path).unwrap()).host_info().unwrap()
}

/// Two sockets, each with two cores of two threads, on two nodes.
fn machine() -> Tree {
    let mut tree = Tree::temporary().unwrap();
    tree.file("proc/sys/kernel/hostname", b"big-host\n").unwrap();
    tree.file("proc/sys/kernel/arch", b"aarch64\n").unwrap();
    tree.file("proc/meminfo", b"MemTotal:       24566632 kB\nMemFree:        1 kB\n").unwrap();
    tree.file(
        "proc/cpuinfo",
        b"processor\t: 0\ncpu MHz\t\t: 2445.404\n\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n",
    )
    .unwrap();
    tree.sys_file("devices/virtual/dmi/id/product_uuid", b"2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10\n").unwrap();
    tree.add(&Device::new("devices/virtual/dmi/id", "class/dmi")).unwrap();
    tree.sys_file("devices/system/cpu/online", b"0-3,8-11\n").unwrap();
    for (at, cpu) in [0, 1, 2, 3, 8, 9, 10, 11].into_iter().enumerate() {
        let folder = format!("devices/system/cpu/cpu{cpu}/topology");
        tree.sys_file(&format!("{folder}/physical_package_id"), format!("{}\n", at / 4).as_bytes()).unwrap();
        tree.sys_file(&format!("{folder}/core_id"), format!("{}\n", at / 2 % 2).as_bytes()).unwrap();
    }
    for node in ["node0", "node1"] {
        tree.sys_file(&format!("devices/system/node/{node}/uevent"), b"").unwrap();
        tree.link(&format!("bus/node/devices/{node}"), &format!("devices/system/node/{node}")).unwrap();
    }
    tree
}

#[test]
fn a_machine_tells_of_itself() {
    let tree = machine();
    let want = HostInfo {
        hostname: Some("big-host".into()),
        uuid: "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10".parse().ok(),
        architecture: Some("aarch64".into()),
        memory_kib: 24_566_632,
        cpus: 8,
        mhz: 2445,
        nodes: 2,
        sockets: 1,
        cores: 2,
        threads: 2,
    };
    assert_eq!(info(tree.root()), want);
}

#[test]
fn what_is_not_known_is_absent_and_counts_are_at_least_one() {
    let tree = Tree::temporary().unwrap();
    let want = HostInfo { nodes: 1, sockets: 1, cores: 1, threads: 1, ..HostInfo::default() };
    assert_eq!(info(tree.root()), want);
}

#[test]
fn this_machine_is_what_the_kernel_says_of_it() {
    let told = info(Path::new("/"));
    let uname = |option: &str| {
        let output = Command::new("uname").arg(option).output().unwrap();
        Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    assert_eq!((told.hostname, told.architecture), (uname("-n"), uname("-m")));
    assert!(told.cpus >= 1 && told.memory_kib > 1024);
    assert_eq!(told.cpus, told.nodes * told.sockets * told.cores * told.threads);
}
