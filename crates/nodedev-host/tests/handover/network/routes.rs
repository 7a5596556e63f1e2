//! Ways of the host's network, each of which leads through the card.

use nodedev_sys::network::{Link, Route};
use nodedev_testkit::tree::Device;

use crate::host::UNUSED;

use super::{
    FREE, HEAD, NET, NIC, ROUTE, Row, bytes, line, link, nic_path, no_network, no_tree, route, virtual_,
};

pub(super) const ROUTES: &[Row] = &[
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
