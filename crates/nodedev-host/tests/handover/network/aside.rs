//! What is beside the way is free, whatever it has in common with what is on it.

use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{BRIDGE, PINNED, UNUSED, explain, over, process};

use super::{Build, FREE, MOUNTS, NIC, Say, link, no_network, no_tree, route, virtual_, with_cards};

/// Numbers of an interface in sysfs: its own, and that of what it is built upon.
fn numbers(tree: &mut Tree, interface: &str, own: u32, lower: u32) {
    for (name, number) in [("ifindex", own), ("iflink", lower)] {
        tree.sys_file(&format!("class/net/{interface}/{name}"), format!("{number}\n").as_bytes()).unwrap();
    }
}

fn below(function: &str, path: &str) -> String {
    format!("devices/pci0000:00/{BRIDGE}/{function}/{path}")
}

fn disk(tree: &mut Tree, path: &str, minor: u32) {
    let name = path.rsplit('/').next().unwrap().to_owned();
    tree.add(&Device::new(path, "class/block").node(NodeKind::Block, 43, minor, name).devtype("disk"))
        .unwrap();
}

/// An iSCSI session of some device, whose host has an interface of some name.
fn session(tree: &mut Tree, above: &str, interface: &str) {
    let host = format!("{above}/host5");
    tree.add(&Device::new(format!("{host}/session1/iscsi_session/session1"), "class/iscsi_session")).unwrap();
    let host = Device::new(format!("{host}/iscsi_host/host5"), "class/iscsi_host");
    tree.add(&host.attr("netdev", interface)).unwrap();
}

/// A port of Fibre Channel.
fn port(tree: &mut Tree, function: &str, host: &str, name: &str) {
    let path = below(function, &format!("{host}/fc_host/{host}"));
    tree.add(&Device::new(path, "class/fc_host").attr("port_name", name)).unwrap();
}

fn fabric(tree: &mut Tree, transport: &str, address: &str) {
    let controller = Device::new("devices/virtual/nvme-fabrics/ctl/nvme1", "class/nvme");
    tree.add(&controller.attr("transport", transport).attr("address", address)).unwrap();
}

/// A default route through a tunnel, and a route of either card.
fn tunnel(net: &mut nodedev_sys::network::Network, ends: &[&str]) {
    let mut tunnel = link("wg0", "wireguard");
    tunnel.ends = ends.iter().map(|end| end.parse().unwrap()).collect();
    net.links = vec![tunnel];
    net.routes =
        vec![route("0.0.0.0/0", &["wg0"]), route("10.1.0.0/24", &[NIC]), route("10.2.0.0/24", &[FREE])];
}

/// What the host needs of [`UNUSED`], with [`NIC`], and of [`PINNED`], with [`FREE`]: nothing, or what is told last of it.
type Row = (&'static str, Build, Say, [Option<&'static str>; 2]);

const ROWS: &[Row] = &[
    (
        "an interface of a device that names another one as its lower",
        |tree| {
            numbers(tree, NIC, 2, 3);
            numbers(tree, FREE, 3, 3);
        },
        |net| net.routes = vec![route("0.0.0.0/0", &[NIC])],
        [Some("its default route is through eth0"), None],
    ),
    (
        "an interface that is in no switch, beside one that is",
        |tree| {
            virtual_(tree, "ovs-system", &[NIC]);
            virtual_(tree, "br-int", &[]);
        },
        |net| {
            net.links =
                vec![link("ovs-system", "openvswitch"), link("br-int", "openvswitch"), link(FREE, "")];
            net.routes = vec![route("0.0.0.0/0", &["br-int"])];
        },
        [Some("its default route is through br-int, of which eth0 is a part"), None],
    ),
    (
        "an interface that a tunnel does not go through",
        |tree| virtual_(tree, "wg0", &[]),
        |net| tunnel(net, &["10.1.0.9"]),
        [Some("its default route is through wg0, a tunnel that is through eth0"), None],
    ),
    (
        "interfaces that a tunnel may go through, whose end nobody tells",
        |tree| {
            virtual_(tree, "wg0", &[]);
            numbers(tree, "wg0", 4, 4);
        },
        |net| tunnel(net, &[]),
        [
            Some("its default route is through wg0, and may lead on through eth0: nobody says where it does"),
            Some("its default route is through wg0, and may lead on through eth9: nobody says where it does"),
        ],
    ),
    (
        "interfaces that a tunnel may go through, whose end is reached by itself alone",
        |tree| virtual_(tree, "wg0", &[]),
        |net| tunnel(net, &["192.0.2.1"]),
        [
            Some("its default route is through wg0, and may lead on through eth0: nobody says where it does"),
            Some("its default route is through wg0, and may lead on through eth9: nobody says where it does"),
        ],
    ),
    (
        "a card that a tunnel in a bridge may go through, beside the card of that bridge",
        |tree| {
            virtual_(tree, "vx0", &[]);
            numbers(tree, "vx0", 4, 4);
            virtual_(tree, "br0", &[NIC, "vx0"]);
        },
        |net| {
            net.links = vec![link("br0", "bridge"), link("vx0", "vxlan")];
            net.routes = vec![route("0.0.0.0/0", &["br0"]), route("10.2.0.0/24", &[FREE])];
        },
        [
            Some("its default route is through br0, of which eth0 is a part"),
            Some("its default route is through br0, and may lead on through eth9: nobody says where it does"),
        ],
    ),
    (
        "an interface with routes of the link alone, where nobody knows the way",
        |tree| tree.file(MOUNTS, b"22 1 0:30 / /m rw - fuse.sshfs me@nas:/m rw\n").unwrap(),
        |net| {
            net.links = vec![link(FREE, "")];
            net.routes = ["fe80::/64", "ff00::/8", "224.0.0.0/4"].map(|to| route(to, &[FREE])).into();
            net.routes.push(route("10.0.0.0/24", &[NIC]));
        },
        [
            Some(
                "the file system at /m (fuse.sshfs me@nas:/m) may be through eth0: no other way there is known",
            ),
            None,
        ],
    ),
    (
        "a network block device that is not connected",
        |tree| {
            disk(tree, "devices/virtual/block/nbd0", 0);
            tree.sys_file("devices/virtual/block/nbd0/pid", b"\n").unwrap();
        },
        |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
        [None, None],
    ),
    (
        "a session of iSCSI of the host's own, through the interface that its host names",
        |tree| session(tree, "devices/platform", NIC),
        |net| net.routes = vec![route("10.0.0.0/24", &[FREE])],
        [
            Some("the iSCSI session 1 is through eth0"),
            Some("the iSCSI session 1 may be through eth9: no other way there is known"),
        ],
    ),
    (
        "a session of iSCSI of the host's own, whose host names none",
        |tree| session(tree, "devices/platform", "default"),
        |net| net.routes = vec![route("10.0.0.0/24", &[FREE])],
        [None, Some("the iSCSI session 1 may be through eth9: no other way there is known")],
    ),
    (
        "a session of iSCSI that a card keeps itself",
        |tree| session(tree, &below(UNUSED, "x"), FREE),
        |net| net.routes = vec![route("10.0.0.0/24", &[FREE])],
        [None, None],
    ),
    (
        "a controller of NVMe in a slot, of a kernel that tells no transport",
        |tree| tree.add(&Device::new(below(UNUSED, "nvme/nvme0"), "class/nvme")).unwrap(),
        |net| net.routes = vec![route("10.0.0.0/24", &[FREE])],
        [None, None],
    ),
    (
        "a controller of NVMe behind one of two ports of Fibre Channel",
        |tree| {
            port(tree, UNUSED, "host7", "0xb");
            port(tree, PINNED, "host8", "0xa");
            fabric(tree, "fc", "traddr=nn-0x1:pn-0x2,host_traddr=nn-0x3:pn-0xb");
        },
        no_network,
        [Some("the NVMe controller nvme1 is through host7"), None],
    ),
    ("nothing", no_tree, no_network, [None, None]),
];

#[test]
fn what_is_beside_the_way_is_free() {
    for (situation, tree, network, want) in ROWS {
        let mut host = with_cards();
        tree(&mut host);
        let kernel = over(host);
        kernel.network(network);
        process(kernel.folder(), 1, "systemd", &["/dev/null"]);
        for (address, want) in [UNUSED, PINNED].into_iter().zip(want) {
            let told = explain(&kernel, address).findings;
            let needed = format!("PCI device {address} is needed by the host: ");
            let mut needed = told.iter().filter_map(|finding| finding.problem.strip_prefix(&needed));
            assert_eq!(needed.next_back(), *want, "{situation}: {told:?}");
        }
    }
}
