//! What the host reaches its network and its storage through, whatever is in between.

use std::net::IpAddr;
use std::sync::Arc;

use nodedev_driver::{DetachOptions, Driver, ExplainOptions};
use nodedev_model::{Effect, FindingKind};
use nodedev_sys::network::{InterfaceName, Link, Network, Route, RouteKind};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{BRIDGE, PINNED, UNUSED, name, over, process, program, tree};

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

const ROUTES: &[Row] = &[
    Row {
        situation: "half of IPv4 through it",
        tree: |tree| {
            tree.file(ROUTE, format!("{HEAD}{}", line(NIC, "00000080", "00000080")).as_bytes()).unwrap()
        },
        network: no_network,
        kind: NET,
        told: "its default route in parts (128.0.0.0/1) is through eth0",
    },
    Row {
        situation: "a default route of another table, which the files do not have",
        tree: no_tree,
        network: |net| net.routes.push(Route { table: 100, ..route("0.0.0.0/0", &[NIC]) }),
        kind: NET,
        told: "its default route is through eth0",
    },
    Row {
        situation: "one of several next hops",
        tree: |tree| virtual_(tree, "dummy0", &[]),
        network: |net| net.routes.push(route("::/0", &["dummy0", NIC])),
        kind: NET,
        told: "its default route is through eth0",
    },
    Row {
        situation: "the whole Internet in parts",
        tree: no_tree,
        network: |net| {
            for part in 1..=99u8 {
                net.routes.push(route(&format!("{part}.0.0.0/8"), &[NIC]));
            }
        },
        kind: NET,
        told: "its default route in parts (much of IPv4) is through eth0",
    },
    Row {
        situation: "the public networks of IPv6",
        tree: no_tree,
        network: |net| net.routes.push(route("2000::/3", &[NIC])),
        kind: NET,
        told: "its default route in parts (2000::/3) is through eth0",
    },
    Row {
        situation: "a VLAN of a bond of a bridge, as sysfs has it",
        tree: |tree| {
            virtual_(tree, "bond0", &[NIC]);
            virtual_(tree, "br0", &["bond0"]);
            virtual_(tree, "br0.7", &["br0"]);
            tree.file(ROUTE, format!("{HEAD}{}", line("br0.7", "00000000", "00000000")).as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through br0.7, of which eth0 is a part",
    },
    Row {
        situation: "a team, as netlink alone has it",
        tree: |tree| virtual_(tree, "team0", &[]),
        network: |net| {
            net.links = vec![link("team0", "team"), Link { master: Some(bytes("team0")), ..link(NIC, "") }];
            net.routes.push(route("0.0.0.0/0", &["team0"]));
        },
        kind: NET,
        told: "its default route is through team0, of which eth0 is a part",
    },
    Row {
        situation: "a VRF that a default route leads to",
        tree: |tree| virtual_(tree, "blue", &[NIC]),
        network: |net| {
            net.links = vec![link("blue", "vrf"), Link { master: Some(bytes("blue")), ..link(NIC, "") }];
            net.routes.push(route("0.0.0.0/0", &["blue"]));
        },
        kind: NET,
        told: "its default route is through blue, of which eth0 is a part",
    },
    Row {
        situation: "a macvlan, as netlink alone has it",
        tree: |tree| virtual_(tree, "mac0", &[]),
        network: |net| {
            net.links = vec![Link { lower: Some(bytes(NIC)), ..link("mac0", "macvlan") }, link(NIC, "")];
            net.routes.push(route("0.0.0.0/0", &["mac0"]));
        },
        kind: NET,
        told: "its default route is through mac0, of which eth0 is a part",
    },
    Row {
        situation: "a pair whose other end is in a bridge, by the numbers in sysfs",
        tree: |tree| {
            virtual_(tree, "br0", &[NIC]);
            let end = |name: &str, own: u32, other: u32| {
                Device::new(format!("devices/virtual/net/{name}"), "class/net")
                    .attr("ifindex", own)
                    .attr("iflink", other)
            };
            tree.add(&end("veth0", 7, 8)).unwrap();
            tree.add(&end("veth1", 8, 7).link("master", "devices/virtual/net/br0")).unwrap();
            tree.file(ROUTE, format!("{HEAD}{}", line("veth0", "00000000", "00000000")).as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through veth0, of which eth0 is a part",
    },
    Row {
        situation: "an internal port of Open vSwitch, whose bridge nobody tells",
        tree: |tree| {
            virtual_(tree, "br-ex", &[]);
            virtual_(tree, "ovs-system", &[NIC]);
            tree.file(ROUTE, format!("{HEAD}{}", line("br-ex", "00000000", "00000000")).as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through br-ex, and may lead on through eth0",
    },
    Row {
        situation: "an internal port of Open vSwitch with a renamed datapath, as netlink has it",
        tree: |tree| {
            virtual_(tree, "br-ex", &[]);
            virtual_(tree, "dp0", &[NIC]);
        },
        network: |net| {
            net.links = vec![link("br-ex", "openvswitch"), link("dp0", "openvswitch"), link(NIC, "")];
            net.routes.push(route("0.0.0.0/0", &["br-ex"]));
        },
        kind: NET,
        told: "its default route is through br-ex, of which eth0 is a part",
    },
    Row {
        situation: "WireGuard whose peer is reached through it",
        tree: |tree| virtual_(tree, "wg0", &[]),
        network: |net| {
            let ends = vec!["192.0.2.7".parse().unwrap()];
            net.links = vec![Link { ends, ..link("wg0", "wireguard") }, link(NIC, ""), link(FREE, "")];
            net.routes = vec![
                Route { table: 51820, ..route("0.0.0.0/0", &["wg0"]) },
                route("192.0.2.7/32", &[NIC]),
                route("10.9.0.0/24", &[FREE]),
            ];
        },
        kind: NET,
        told: "its default route is through wg0, a tunnel that is through eth0",
    },
    Row {
        situation: "a tunnel in a tunnel that is bound to a VLAN",
        tree: |tree| {
            virtual_(tree, "gre1", &[]);
            virtual_(tree, "vxlan1", &[]);
            virtual_(tree, "vlan5", &[NIC]);
        },
        network: |net| {
            let gre = Link { ends: vec!["172.16.0.1".parse().unwrap()], ..link("gre1", "gre") };
            let vxlan = Link { lower: Some(bytes("vlan5")), ..link("vxlan1", "vxlan") };
            net.links = vec![gre, vxlan];
            net.routes = vec![route("0.0.0.0/0", &["gre1"]), route("172.16.0.0/12", &["vxlan1"])];
        },
        kind: NET,
        told: "its default route is through gre1, a tunnel that is through eth0",
    },
    Row {
        situation: "a tunnel of which nobody says where it ends",
        tree: |tree| {
            virtual_(tree, "wg0", &[]);
            let lines = line("wg0", "00000000", "00000000") + &line(NIC, "0A0A0A0A", "FFFFFFFF");
            tree.file(ROUTE, format!("{HEAD}{lines}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through wg0, and may lead on through eth0",
    },
    Row {
        situation: "tunnels through each other, and a route to the end",
        tree: |tree| {
            virtual_(tree, "a", &[]);
            virtual_(tree, "b", &[]);
        },
        network: |net| {
            let tunnel = |name, end: &str| Link { ends: vec![end.parse().unwrap()], ..link(name, "ipip") };
            net.links = vec![tunnel("a", "10.1.0.1"), tunnel("b", "10.2.0.1")];
            net.routes = vec![
                route("0.0.0.0/0", &["a"]),
                route("10.1.0.0/16", &["b"]),
                route("10.2.0.0/16", &["a"]),
                route("10.3.0.0/16", &[NIC]),
            ];
        },
        kind: NET,
        told: "its default route is through a, and may lead on through eth0",
    },
    Row {
        situation: "PPP over Ethernet, whose interface has no route",
        tree: |tree| {
            virtual_(tree, "ppp0", &[]);
            tree.file(
                "proc/1/net/pppoe",
                b"Id       Address              Device\n00000001 52:54:00:00:00:01 eth0\n",
            )
            .unwrap();
            tree.file(ROUTE, format!("{HEAD}{}", line("ppp0", "00000000", "00000000")).as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through ppp0, and may lead on through eth0",
    },
    Row {
        situation: "a synthetic interface of Hyper-V with its function",
        tree: |tree| {
            let vmbus = Device::new("devices/pci0000:00/VMBUS:00/x/net/hv0", "class/net");
            tree.add(&vmbus.link("lower_eth0", nic_path(NIC, UNUSED))).unwrap();
            tree.file(ROUTE, format!("{HEAD}{}", line("hv0", "00000000", "00000000")).as_bytes()).unwrap();
        },
        network: no_network,
        kind: NET,
        told: "its default route is through hv0, of which eth0 is a part",
    },
];

const STORAGE: &[Row] = &[
    Row {
        situation: "NFS, on a link without a default route",
        tree: |tree| {
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
            let mounts =
                "23 22 0:31 / /home rw - nfs4 nas:/home rw,addr=10.0.0.1\n22 1 0:30 / / rw - tmpfs x rw\n";
            tree.file(MOUNTS, mounts.as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /home from 10.0.0.1 is through eth0",
    },
    Row {
        situation: "NFS through a gateway, a bond and IPv6",
        tree: |tree| {
            virtual_(tree, "bond0", &[NIC]);
            tree.file(MOUNTS, b"22 1 0:30 / / rw - nfs [2001:db8::1]:/root rw,addr=2001:db8::1\n").unwrap();
        },
        network: |net| net.routes = vec![route("2001:db8::/32", &["bond0"]), route("fd00::/64", &[FREE])],
        kind: DISK,
        told: "the file system at / from 2001:db8::1 is through bond0, of which eth0 is a part",
    },
    Row {
        situation: "CIFS of a machine on the link of an interface",
        tree: |tree| tree.file(MOUNTS, b"22 1 0:30 / /s rw - cifs //nas/s rw,addr=fe80::1%eth0\n").unwrap(),
        network: no_network,
        kind: DISK,
        told: "the file system at /s (cifs //nas/s) is through eth0",
    },
    Row {
        situation: "the second of two servers of CIFS that only the sources name",
        tree: |tree| {
            let mounts =
                "22 1 0:30 / /s rw - cifs //10.7.0.1/s rw\n23 1 0:31 / /tt rw - cifs //10.0.0.2/s rw\n";
            tree.file(MOUNTS, mounts.as_bytes()).unwrap();
        },
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC]), route("10.7.0.0/24", &["lo"])],
        kind: DISK,
        told: "the file system at /tt from 10.0.0.2 is through eth0",
    },
    Row {
        situation: "Ceph of several monitors",
        tree: |tree| {
            tree.file(MOUNTS, b"22 1 0:30 / /c rw - ceph 10.7.0.1:6789,10.0.0.4:6789:/ rw,name=a\n").unwrap();
        },
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC]), route("10.7.0.0/24", &["lo"])],
        kind: DISK,
        told: "the file system at /c from 10.0.0.4 is through eth0",
    },
    Row {
        situation: "a user's file system of a machine that has a name only",
        tree: |tree| tree.file(MOUNTS, b"22 1 0:30 / /m rw - fuse.sshfs me@nas:/m rw\n").unwrap(),
        network: |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        kind: DISK,
        told: "the file system at /m (fuse.sshfs me@nas:/m) may be through eth0: no other way there is known",
    },
    Row {
        situation: "virtiofs of a device",
        tree: |tree| {
            let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/virtio3");
            tree.add(&Device::new(path, "bus/virtio").driver("virtiofs")).unwrap();
            tree.file(MOUNTS, b"22 1 0:30 / /v rw - virtiofs share rw\n").unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /v (virtiofs share) is through virtio3",
    },
    Row {
        situation: "9p of the device with its tag",
        tree: |tree| {
            for (function, number, tag) in [(UNUSED, 3, "mine"), (PINNED, 4, "other")] {
                let path = format!("devices/pci0000:00/{BRIDGE}/{function}/virtio{number}");
                let device = Device::new(path, "bus/virtio").driver("9pnet_virtio").bytes("mount_tag", tag);
                tree.add(&device).unwrap();
            }
            tree.file(MOUNTS, b"22 1 0:30 / /v rw - 9p mine rw,trans=virtio\n").unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the file system at /v (9p mine) is through virtio3",
    },
    Row {
        situation: "a session of iSCSI",
        tree: |tree| {
            tree.add(&Device::new(
                "devices/platform/host5/session1/iscsi_session/session1",
                "class/iscsi_session",
            ))
            .unwrap();
            let connection = "devices/platform/host5/session1/connection1:0/iscsi_connection/connection1:0";
            tree.add(&Device::new(connection, "class/iscsi_connection").attr("address", "10.0.0.9")).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the iSCSI session 1 with 10.0.0.9 is through eth0",
    },
    Row {
        situation: "a disk of a session of iSCSI that is not told of",
        tree: |tree| {
            let path = "devices/platform/host5/session1/target5:0:0/5:0:0:0/block/sda";
            let disk = Device::new(path, "class/block").node(NodeKind::Block, 8, 0, "sda").devtype("disk");
            tree.add(&disk).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the iSCSI session 1 may be through eth0",
    },
    Row {
        situation: "NVMe over TCP",
        tree: |tree| {
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            let address = "traddr=10.0.0.1,trsvcid=4420,src_addr=10.0.0.2";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "tcp").attr("address", address))
                .unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the NVMe controller nvme0 at 10.0.0.1 is through eth0",
    },
    Row {
        situation: "NVMe over TCP that is bound to an interface",
        tree: |tree| {
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            let address = "traddr=10.9.0.1,host_iface=eth0";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "tcp").attr("address", address))
                .unwrap();
        },
        network: |net| net.routes = vec![route("10.9.0.0/24", &["lo"])],
        kind: DISK,
        told: "the NVMe controller nvme0 is through eth0",
    },
    Row {
        situation: "NVMe over Fibre Channel",
        tree: |tree| {
            let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/host9/fc_host/host9");
            tree.add(&Device::new(path, "class/fc_host").attr("port_name", "0x10000090fa000001")).unwrap();
            let address = "traddr=nn-0x5:pn-0x6,host_traddr=nn-0x20000090fa000001:pn-0x10000090fa000001";
            let path = "devices/virtual/nvme-fabrics/ctl/nvme0";
            tree.add(&Device::new(path, "class/nvme").attr("transport", "fc").attr("address", address))
                .unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the NVMe controller nvme0 is through host9",
    },
    Row {
        situation: "Fibre Channel over a VLAN",
        tree: |tree| {
            virtual_(tree, "eth0.100", &[NIC]);
            let path = "devices/virtual/net/eth0.100/ctlr_0/host7/fc_host/host7";
            tree.add(&Device::new(path, "class/fc_host")).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Fibre Channel port host7 is through eth0.100, of which eth0 is a part",
    },
    Row {
        situation: "Fibre Channel over Ethernet, as its name says",
        tree: |tree| {
            let path = "devices/platform/host7/fc_host/host7";
            tree.add(&Device::new(path, "class/fc_host").attr("symbolic_name", "fcoe v0.1 over eth0"))
                .unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Fibre Channel port host7 is through eth0",
    },
    Row {
        situation: "nbd of a process that is connected",
        tree: |tree| {
            let disk =
                Device::new("devices/virtual/block/nbd0", "class/block").node(NodeKind::Block, 43, 0, "nbd0");
            tree.add(&disk.devtype("disk").attr("pid", 900)).unwrap();
            process(tree.root(), 900, "nbd-client", &["socket:[77]", "socket:[78]"]);
            let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
            let line = "   0: 0200000A:9C40 0100000A:2A51 01 00000000:00000000 00:00000000 00000000     0        0 77 1\n";
            tree.file("proc/900/net/tcp", format!("{head}{line}").as_bytes()).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk nbd0 of 10.0.0.1 is through eth0",
    },
    Row {
        situation: "nbd of a process that is gone",
        tree: |tree| {
            let disk =
                Device::new("devices/virtual/block/nbd0", "class/block").node(NodeKind::Block, 43, 0, "nbd0");
            tree.add(&disk.devtype("disk").attr("pid", 900)).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk nbd0 may be through eth0",
    },
    Row {
        situation: "a disk of Ceph",
        tree: |tree| {
            let config = "10.0.0.1:6789 name=admin,key=client.admin rbd disk -";
            tree.add(&Device::new("devices/rbd/0", "bus/rbd").attr("config_info", config)).unwrap();
            tree.file(ROUTE, format!("{HEAD}{TEN}").as_bytes()).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the Ceph disk rbd0 of 10.0.0.1 is through eth0",
    },
    Row {
        situation: "ATA over Ethernet",
        tree: |tree| {
            let disk = Device::new("devices/virtual/block/etherd!e1.0", "class/block");
            let disk =
                disk.node(NodeKind::Block, 152, 0, "etherd/e1.0").devtype("disk").attr("netif", "eth0");
            tree.add(&disk).unwrap();
        },
        network: no_network,
        kind: DISK,
        told: "the disk etherd!e1.0 is through eth0",
    },
];

fn detach(kernel: &Arc<FakeKernel>, address: &str, force: bool) -> Result<(), nodedev_driver::Error> {
    let options = DetachOptions { force, ..DetachOptions::default() };
    program(kernel).detach_with(&name(address), &options).map(drop)
}

#[test]
fn every_way_that_the_host_needs_is_refused_and_a_card_that_is_free_is_not() {
    for Row { situation, tree, network, kind, told } in ROUTES.iter().chain(STORAGE) {
        let mut host = with_cards();
        tree(&mut host);
        let kernel = over(host);
        kernel.network(network);
        let explanation = program(&kernel).explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        let found = &explanation.findings[0];
        assert_eq!(
            (found.kind, found.effect),
            (*kind, Effect::RefusedUnlessForced),
            "{situation}: {found:?}"
        );
        let error = detach(&kernel, UNUSED, false).expect_err(situation);
        let want = format!("PCI device {UNUSED} is needed by the host: {told}");
        assert!(error.message().contains(&want), "{situation}: {error}");
        assert!(error.help().is_some(), "{situation}");
        assert_eq!(error.code().0, 55, "{situation}");
        assert_eq!(program(&kernel).detach(&name(UNUSED), None).unwrap_err(), error, "{situation}");
        assert_eq!(kernel.writes(), [], "{situation}");
        detach(&kernel, PINNED, false).expect(situation);
        detach(&kernel, UNUSED, true).expect(situation);
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
    let options = DetachOptions { connected_at: Some(address), ..DetachOptions::default() };
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
        let explanation = program(&kernel).explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
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
