//! What the host reaches its network and its storage through, whatever is in between.

mod aside;
mod guests;
mod netconsole;
mod routes;
mod storage;

use std::net::IpAddr;

use nodedev_driver::{Caller, DetachOptions, Operations as _};
use nodedev_model::{Effect, FindingKind};
use nodedev_sys::network::{InterfaceName, Link, Network, Route, RouteKind};
use nodedev_testkit::fake_kernel::errno;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{BRIDGE, PINNED, UNUSED, detach, explain, is_needed, name, over, process, program, tree};

/// The interface of [`UNUSED`], whose function must be refused in every row.
const NIC: &str = "eth0";
/// That of [`PINNED`], which must not.
const FREE: &str = "eth9";
const ROUTE: &str = "proc/1/net/route";
const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
/// 10.0.0.0/24 through [`NIC`], as the file has it.
const TEN: &str = "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
const MOUNTS: &str = "proc/1/mountinfo";

fn nic_path(interface: &str, function: &str) -> String {
    format!("devices/pci0000:00/{BRIDGE}/{function}/net/{interface}")
}

/// A host with a network card in either function.
fn with_cards() -> Tree {
    let mut tree = tree();
    for (interface, function) in [(NIC, UNUSED), (FREE, PINNED)] {
        tree.add(&Device::new(nic_path(interface, function), "class/net")).unwrap();
    }
    tree
}

/// An interface that is only the kernel's, with links to what it is built upon.
fn virtual_(tree: &mut Tree, name: &str, lower: &[&str]) {
    let mut device = Device::new(format!("devices/virtual/net/{name}"), "class/net");
    for lower in lower {
        let target =
            if *lower == NIC { nic_path(NIC, UNUSED) } else { format!("devices/virtual/net/{lower}") };
        device = device.link(format!("lower_{lower}"), target);
    }
    tree.add(&device).unwrap();
}

fn bytes(text: &str) -> InterfaceName {
    text.as_bytes().into()
}

fn route(destination: &str, interfaces: &[&str]) -> Route {
    let (address, length) = destination.split_once('/').unwrap();
    Route {
        destination: address.parse().unwrap(),
        length: length.parse().unwrap(),
        kind: RouteKind::Unicast,
        table: 254,
        priority: 0,
        is_limited: false,
        interfaces: interfaces.iter().map(|name| bytes(name)).collect(),
    }
}

fn link(name: &str, kind: &str) -> Link {
    Link { name: bytes(name), kind: kind.into(), ..Link::default() }
}

/// What a route of the file is, by destination and mask as they are in memory.
fn line(interface: &str, destination: &str, mask: &str) -> String {
    format!("{interface}\t{destination}\t0100A8C0\t0003\t0\t0\t0\t{mask}\t0\t0\t0\n")
}

type Build = fn(&mut Tree);
type Say = fn(&mut Network);

struct Row {
    situation: &'static str,
    tree: Build,
    network: Say,
    kind: FindingKind,
    /// What the message says behind `is needed by the host: `.
    told: &'static str,
}

/// Nothing of a tree, or of the kernel's answers.
fn no_tree(_: &mut Tree) {}
fn no_network(_: &mut Network) {}

const NET: FindingKind = FindingKind::HostNetwork;
const DISK: FindingKind = FindingKind::HostStorage;

#[test]
fn every_way_that_the_host_needs_is_refused_and_a_card_that_is_free_is_not() {
    for Row { situation, tree, network, kind, told } in routes::ROUTES.iter().chain(storage::STORAGE) {
        let mut host = with_cards();
        tree(&mut host);
        let kernel = over(host);
        kernel.network(network);
        is_needed(&kernel, situation, *kind, told);
    }
}

#[test]
fn routes_that_are_no_way_out_and_machines_that_are_this_one_keep_nothing() {
    let rows: &[(&str, Build, Say)] = &[
        ("routes to networks that are near", no_tree, |net| {
            net.routes =
                ["10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "fc00::/7", "fe80::/64", "ff00::/8"]
                    .map(|to| route(to, &[NIC]))
                    .into();
        }),
        ("groups", no_tree, |net| net.routes = vec![route("224.0.0.0/4", &[NIC])]),
        ("dead ends", no_tree, |net| {
            net.routes = vec![Route { kind: RouteKind::DeadEnd, ..route("0.0.0.0/0", &[NIC]) }];
        }),
        ("a default route of another network", no_tree, |net| {
            net.routes = vec![route("0.0.0.0/0", &["ens9"])]
        }),
        (
            "a default route to nowhere",
            |tree| virtual_(tree, "dummy0", &[]),
            |net| {
                net.links = vec![link("dummy0", "dummy")];
                net.routes = vec![route("0.0.0.0/0", &["dummy0"]), route("10.0.0.0/24", &[NIC])];
            },
        ),
        (
            "NFS of this machine",
            |tree| tree.file(MOUNTS, b"22 1 0:30 / /n rw - nfs4 me:/ rw,addr=10.0.0.1\n").unwrap(),
            |net| {
                let local = Route { kind: RouteKind::Local, table: 255, ..route("10.0.0.1/32", &[NIC]) };
                net.routes = vec![local, route("10.0.0.0/24", &[NIC])];
            },
        ),
        (
            "NFS of this machine over loopback",
            |tree| tree.file(MOUNTS, b"22 1 0:30 / /n rw - nfs4 me:/ rw,addr=127.0.0.1\n").unwrap(),
            |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        ),
        (
            "NFS through another interface, of the same network but a smaller priority",
            |tree| {
                virtual_(tree, "dummy0", &[]);
                tree.file(MOUNTS, b"22 1 0:30 / /n rw - nfs4 me:/ rw,addr=10.0.0.1\n").unwrap();
            },
            |net| {
                net.links = vec![link("dummy0", "dummy")];
                net.routes = vec![
                    Route { priority: 100, ..route("10.0.0.0/24", &[NIC]) },
                    route("10.0.0.0/24", &["dummy0"]),
                ];
            },
        ),
        (
            "a file system of a hypervisor's socket, and one of memory with an address for a name",
            |tree| {
                let mounts =
                    "22 1 0:30 / /n rw - 9p s rw,trans=fd\n22 1 0:30 / /n rw - tmpfs 10.0.0.1:/x rw\n";
                tree.file(MOUNTS, mounts.as_bytes()).unwrap();
            },
            |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        ),
        (
            "nbd of a process of this machine, and one that is not connected",
            |tree| {
                for (number, disk) in ["nbd0", "nbd1"].into_iter().enumerate() {
                    let path = format!("devices/virtual/block/{disk}");
                    let device =
                        Device::new(path, "class/block").node(NodeKind::Block, 43, number as u32, disk);
                    let device = if number == 0 { device.attr("pid", 900) } else { device };
                    tree.add(&device.devtype("disk")).unwrap();
                }
                process(tree.root(), 900, "qemu-nbd", &["socket:[77]"]);
                tree.file("proc/900/net/tcp", b"  sl  local_address\n").unwrap();
            },
            |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        ),
        (
            "NVMe of hardware and of this machine's own software",
            |tree| {
                for (number, transport) in [(0, "loop"), (1, "pcie")] {
                    let path = format!("devices/virtual/nvme-fabrics/ctl/nvme{number}");
                    tree.add(&Device::new(path, "class/nvme").attr("transport", transport)).unwrap();
                }
            },
            |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        ),
    ];
    for (situation, tree, network) in rows {
        let mut host = with_cards();
        tree(&mut host);
        let kernel = over(host);
        kernel.network(*network);
        detach(&kernel, UNUSED, false).unwrap_or_else(|error| panic!("{situation}: {error}"));
    }
}

#[test]
fn names_of_interfaces_are_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = tree();
    let sys = tree.root().join("sys");
    let folder = sys
        .join(format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/net"))
        .join(std::ffi::OsStr::from_bytes(b"e\xff"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::create_dir_all(sys.join("class/net")).unwrap();
    let at = sys.join("class/net").join(std::ffi::OsStr::from_bytes(b"e\xff"));
    std::os::unix::fs::symlink(folder, at).unwrap();
    let kernel = over(tree);
    kernel.network(|net| {
        net.routes = vec![Route {
            interfaces: [InterfaceName::from(&b"e\xff"[..])].into(),
            ..route("0.0.0.0/0", &[])
        }];
    });
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("its default route is through e\u{fffd}"), "{error}");
}

#[test]
fn a_connection_to_an_address_that_no_device_has_may_come_through_every_card_with_a_route() {
    let mut host = with_cards();
    virtual_(&mut host, "lo", &[]);
    let kernel = over(host);
    let address: IpAddr = "192.0.2.1".parse().unwrap();
    kernel.address(address, "lo");
    kernel.network(|net| net.routes = vec![route("198.51.100.0/24", &[NIC])]);
    let options = DetachOptions { caller: Caller::ConnectedAt(address), ..DetachOptions::default() };
    let error = program(&kernel).detach_with(&name(UNUSED), &options).unwrap_err();
    let told = "your connection to 192.0.2.1 is through lo, and may lead on through eth0";
    assert!(error.message().contains(told), "{error}");
    program(&kernel).detach_with(&name(PINNED), &options).unwrap();
}

#[test]
fn what_the_kernel_does_not_say_or_says_in_no_sense_is_never_taken_for_nothing() {
    let rows: &[(&str, Build, Option<i32>, &str)] = &[
        ("netlink refuses", no_tree, Some(errno::EACCES), "network"),
        (
            "a line of a table",
            |tree| tree.file(ROUTE, b"Iface\neth0\t0000\n").unwrap(),
            None,
            "/proc/1/net/route",
        ),
        (
            "a table of IPv6",
            |tree| tree.file("proc/1/net/ipv6_route", b"zz eth0\n").unwrap(),
            None,
            "ipv6_route",
        ),
    ];
    for (situation, tree, fails, told) in rows {
        let mut host = with_cards();
        tree(&mut host);
        let kernel = over(host);
        if let Some(errno) = fails {
            kernel.network_fails(*errno);
        }
        let error = detach(&kernel, UNUSED, false).expect_err(situation);
        assert!(error.message().contains(told), "{situation}: {error}");
        assert_eq!(kernel.writes(), [], "{situation}");
        let explanation = explain(&kernel, UNUSED);
        let found = &explanation.findings[0];
        assert_eq!(
            (found.kind, found.effect),
            (FindingKind::Unknown, Effect::RefusedUnlessForced),
            "{situation}"
        );
        detach(&kernel, UNUSED, true).expect(situation);
    }
}

#[test]
fn a_way_that_leads_to_another_namespace_is_never_taken_for_nothing() {
    let mut host = with_cards();
    virtual_(&mut host, "host0", &[]);
    let kernel = over(host);
    kernel.network(|net| {
        net.links = vec![Link { is_lower_elsewhere: true, ..link("host0", "veth") }];
        net.routes = vec![route("0.0.0.0/0", &["host0"])];
    });
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(
        error.message().contains("host0 cannot be understood: it leads to another network namespace"),
        "{error}"
    );
}

#[test]
fn a_guests_interface_that_may_lead_anywhere_keeps_a_card_only_unless_forced() {
    let mut tree = with_cards();
    tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
    virtual_(&mut tree, "dummy0", &[]);
    virtual_(&mut tree, "macvtap0", &["dummy0"]);
    let tap = Device::new("devices/virtual/net/macvtap0/macvtap/tap7", "class/macvtap");
    tree.add(&tap.node(NodeKind::Char, 236, 1, "tap7")).unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 5003, "qemu-kvm", &["/dev/tap7"]);
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("process 5003 (qemu-kvm) has /dev/tap7 open"), "{error}");
    detach(&kernel, UNUSED, true).unwrap();
}
