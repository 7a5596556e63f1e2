//! What guests reach their network through.

use nodedev_driver::{DetachOptions, Operations as _};
use nodedev_model::{Effect, FindingKind};
use nodedev_sys::network::{Link, Network};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::Tree;

use crate::claims::guests::info;
use crate::host::{PINNED, UNUSED, detach, explain, name, over, process, program};

use super::{Build, FREE, NIC, Say, bytes, link, nic_path, no_network, route, virtual_, with_cards};

/// A guest with an interface by `/dev/net/tun`.
fn guest(kernel: &FakeKernel, interface: &str) {
    process(kernel.folder(), 5003, "qemu-kvm", &["/dev/null", "/dev/net/tun"]);
    info(kernel, 5003, 1, &format!("pos:\t0\nflags:\t0104002\niff:\t{interface}\n"));
}

/// Interfaces that are parts of a bridge, as the kernel tells them.
fn ports(net: &mut Network, bridge: &str, ports: &[(&str, &str)]) {
    net.links.push(link(bridge, "bridge"));
    let port = |(name, kind): &(&str, &str)| Link { master: Some(bytes(bridge)), ..link(name, kind) };
    net.links.extend(ports.iter().map(port));
}

/// The link of a port to its bridge, in sysfs.
fn port(tree: &mut Tree, path: &str, bridge: &str) {
    tree.link(&format!("{path}/master"), &format!("devices/virtual/net/{bridge}")).unwrap();
}

#[test]
fn a_card_in_a_bridge_with_a_guest_is_refused_unless_forced_and_one_in_another_is_not() {
    let rows: &[(&str, Build, Say, &str)] = &[
        (
            "a bridge, as netlink has it",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "br0", &[]);
            },
            |net| ports(net, "br0", &[("vnet7", "tun"), (NIC, "")]),
            "has vnet7, a port of br0, of which eth0 is a part",
        ),
        (
            "a bridge, as sysfs has it",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "br0", &["vnet7", NIC]);
                port(tree, "devices/virtual/net/vnet7", "br0");
                port(tree, &nic_path(NIC, UNUSED), "br0");
            },
            no_network,
            "has vnet7, a port of br0, of which eth0 is a part",
        ),
        (
            "a VLAN of the card",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "eth0.5", &[NIC]);
                virtual_(tree, "br0", &[]);
            },
            |net| ports(net, "br0", &[("vnet7", "tun"), ("eth0.5", "vlan")]),
            "has vnet7, a port of br0, of which eth0 is a part",
        ),
        (
            "a datapath of Open vSwitch",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "ovs-system", &[]);
            },
            |net| {
                ports(net, "ovs-system", &[("vnet7", "tun"), (NIC, "")]);
                net.links[0].kind = "openvswitch".into();
            },
            "has vnet7, a port of ovs-system, of which eth0 is a part",
        ),
        (
            "a tunnel to other hosts",
            |tree| {
                for name in ["vnet7", "br0", "vxlan1"] {
                    virtual_(tree, name, &[]);
                }
            },
            |net| {
                ports(net, "br0", &[("vnet7", "tun"), ("vxlan1", "vxlan")]);
                net.links[2].ends = vec!["10.0.0.7".parse().unwrap()];
                net.routes = vec![route("10.0.0.0/24", &[NIC])];
            },
            "has vnet7, a port of br0, a tunnel of which is through eth0",
        ),
        (
            "a tunnel to hosts of which nobody knows",
            |tree| {
                for name in ["vnet7", "br0", "vxlan1"] {
                    virtual_(tree, name, &[]);
                }
            },
            |net| {
                ports(net, "br0", &[("vnet7", "tun"), ("vxlan1", "vxlan")]);
                net.routes = vec![route("10.0.0.0/24", &[NIC])];
            },
            "has vnet7, a port of br0, and may lead on through eth0",
        ),
        (
            "a tunnel of which nobody knows, and the card itself",
            |tree| {
                for name in ["vnet7", "br0", "vxlan1"] {
                    virtual_(tree, name, &[]);
                }
            },
            |net| {
                ports(net, "br0", &[("vnet7", "tun"), ("vxlan1", "vxlan"), (NIC, "")]);
                net.routes = vec![route("10.0.0.0/24", &[NIC])];
            },
            "has vnet7, a port of br0, of which eth0 is a part",
        ),
        (
            "a pair to a datapath of Open vSwitch",
            |tree| {
                ["vnet7", "qbr0", "qvb0", "qvo0", "ovs-system"]
                    .iter()
                    .for_each(|name| virtual_(tree, name, &[]))
            },
            |net| {
                ports(net, "ovs-system", &[("qvo0", "veth"), (NIC, "")]);
                net.links[0].kind = "openvswitch".into();
                ports(net, "qbr0", &[("vnet7", "tun"), ("qvb0", "veth")]);
                net.links.last_mut().unwrap().lower = Some(bytes("qvo0"));
            },
            "has vnet7, a port of qbr0, of which eth0 is a part",
        ),
    ];
    for (situation, build, network, told) in rows {
        let mut host = with_cards();
        build(&mut host);
        let kernel = over(host);
        kernel.network(network);
        guest(&kernel, "vnet7");
        let found = explain(&kernel, UNUSED).findings.remove(0);
        assert_eq!(
            (found.kind, found.effect),
            (FindingKind::HostNetwork, Effect::RefusedUnlessForced),
            "{situation}: {found:?}"
        );
        let want =
            format!("PCI device {UNUSED} carries the network of a guest: process 5003 (qemu-kvm) {told}");
        let error = detach(&kernel, UNUSED, false).expect_err(situation);
        assert!(error.message().contains(&want), "{situation}: {error}");
        assert_eq!((error.code().0, kernel.writes()), (55, Vec::new()), "{situation}");
        detach(&kernel, PINNED, false).expect(situation);
        detach(&kernel, UNUSED, true).expect(situation);
    }
}

#[test]
fn a_tap_of_that_name_that_a_process_of_another_network_has_may_be_the_one() {
    let mut host = with_cards();
    ["vnet7", "br0"].iter().for_each(|name| virtual_(&mut host, name, &[]));
    let kernel = over(host);
    kernel.network(|net| ports(net, "br0", &[("vnet7", "tun"), (NIC, "")]));
    guest(&kernel, "vnet7");
    for (process, network) in [(1, "net:[1]"), (5003, "net:[2]")] {
        let folder = kernel.folder().join(format!("proc/{process}/ns"));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(network, folder.join("net")).unwrap();
    }
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("(qemu-kvm) may have vnet7, a port of br0"), "{error}");
    detach(&kernel, PINNED, false).unwrap();
}

#[test]
fn guests_whose_bridge_has_no_card_or_that_have_no_bridge_keep_none() {
    let rows: &[(&str, Build, Say, &str)] = &[
        (
            "a network of the host's own, with routes beside it",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "virbr0", &["vnet7"]);
                port(tree, "devices/virtual/net/vnet7", "virbr0");
            },
            |net| net.routes = vec![route("10.0.0.0/24", &[NIC])],
            "vnet7",
        ),
        ("no bridge", |tree| virtual_(tree, "tun0", &[]), no_network, "tun0"),
        ("an interface of another network", |_| {}, no_network, "vnet7"),
        (
            "another bridge",
            |tree| {
                virtual_(tree, "vnet7", &[]);
                virtual_(tree, "br0", &[]);
                virtual_(tree, "br1", &[]);
            },
            |net| {
                ports(net, "br0", &[("vnet7", "tun"), (FREE, "")]);
                ports(net, "br1", &[(NIC, "")]);
            },
            "vnet7",
        ),
        (
            "a bridge that is upon theirs",
            |tree| {
                for name in ["vnet7", "br0", "br0.5", "br1"] {
                    virtual_(tree, name, &[]);
                }
            },
            |net| {
                ports(net, "br0", &[("vnet7", "tun"), (FREE, "")]);
                ports(net, "br1", &[("br0.5", "vlan"), (NIC, "")]);
                net.links[4].lower = Some(bytes("br0"));
            },
            "vnet7",
        ),
        (
            "a network of the host's own, with a container",
            |tree| ["vnet7", "virbr0", "veth0"].iter().for_each(|name| virtual_(tree, name, &[])),
            |net| {
                ports(net, "virbr0", &[("vnet7", "tun"), ("veth0", "veth")]);
                net.links[2].is_lower_elsewhere = true;
            },
            "vnet7",
        ),
    ];
    for (situation, build, network, interface) in rows {
        let mut host = with_cards();
        build(&mut host);
        let kernel = over(host);
        kernel.network(network);
        guest(&kernel, interface);
        detach(&kernel, UNUSED, false).unwrap_or_else(|error| panic!("{situation}: {error}"));
    }
}

#[test]
fn a_card_in_a_bridge_with_a_pair_to_another_namespace_is_refused_unless_forced() {
    let elsewhere = |net: &mut Network| net.links[1].is_lower_elsewhere = true;
    let rows: &[(&str, Say, Option<&str>)] = &[
        (
            "a container's pair",
            |net| ports(net, "br1", &[("veth3", "veth"), (NIC, "")]),
            Some("veth3 leads to another network namespace, and is a port of br1, of which eth0 is a part"),
        ),
        (
            "a pair of netkit",
            |net| ports(net, "br1", &[("veth3", "netkit"), (NIC, "")]),
            Some("veth3 leads to another network namespace, and is a port of br1, of which eth0 is a part"),
        ),
        (
            "a datapath of Open vSwitch",
            |net| {
                ports(net, "ovs-system", &[("veth3", "veth"), (NIC, "")]);
                net.links[0].kind = "openvswitch".into();
            },
            Some(
                "veth3 leads to another network namespace, and is a port of ovs-system, of which eth0 is a part",
            ),
        ),
        (
            "a tunnel to other hosts",
            |net| {
                ports(net, "br1", &[("veth3", "veth"), ("vxlan1", "vxlan")]);
                net.links[2].ends = vec!["10.0.0.7".parse().unwrap()];
                net.routes = vec![route("10.0.0.0/24", &[NIC])];
            },
            Some("a port of br1, a tunnel of which is through eth0"),
        ),
        (
            "a bridge of containers alone, which routes lead on from",
            |net| {
                ports(net, "br1", &[("veth3", "veth")]);
                net.routes = vec![route("172.17.0.0/16", &["br1"]), route("10.0.0.0/24", &[NIC])];
            },
            None,
        ),
        (
            "another bridge",
            |net| {
                ports(net, "br1", &[("veth3", "veth"), (FREE, "")]);
                ports(net, "br2", &[(NIC, "")]);
            },
            None,
        ),
        ("no bridge", |net| net.links = vec![link(NIC, ""), link("veth3", "veth")], None),
        ("a VLAN of a card there", |net| ports(net, "br1", &[("veth3", "vlan"), (NIC, "")]), None),
    ];
    for (situation, network, told) in rows {
        let mut host = with_cards();
        for name in ["br1", "br2", "veth3", "vxlan1", "ovs-system"] {
            virtual_(&mut host, name, &[]);
        }
        let kernel = over(host);
        kernel.network(|net| {
            network(net);
            elsewhere(net);
        });
        let Some(told) = told else {
            detach(&kernel, UNUSED, false).unwrap_or_else(|error| panic!("{situation}: {error}"));
            continue;
        };
        let error = detach(&kernel, UNUSED, false).expect_err(situation);
        let want = format!("PCI device {UNUSED} carries the network of a container or guest: ");
        let message = error.message();
        assert!(message.contains(&want) && message.contains(told), "{situation}: {error}");
        detach(&kernel, PINNED, false).expect(situation);
        detach(&kernel, UNUSED, true).expect(situation);
    }
    // A pair with both of its ends here leads nowhere else.
    let mut host = with_cards();
    ["br1", "veth3", "veth4"].iter().for_each(|name| virtual_(&mut host, name, &[]));
    let kernel = over(host);
    kernel.network(|net| {
        ports(net, "br1", &[("veth3", "veth"), (NIC, "")]);
        net.links[1].lower = Some(bytes("veth4"));
    });
    detach(&kernel, UNUSED, false).unwrap();
}

#[test]
fn many_bridges_of_guests_that_lead_to_each_other_are_gone_through_once() {
    let steps_for = |count: u32| {
        let mut host = with_cards();
        virtual_(&mut host, "ovs-system", &[]);
        for number in 0..count {
            for name in ["tap", "qbr", "qvb", "qvo"] {
                virtual_(&mut host, &format!("{name}{number}"), &[]);
            }
        }
        let kernel = over(host);
        kernel.network(|net| {
            ports(net, "ovs-system", &[(NIC, "")]);
            for number in 0..count {
                let [tap, qbr, qvb, qvo] = ["tap", "qbr", "qvb", "qvo"].map(|name| format!("{name}{number}"));
                ports(net, &qbr, &[(&tap, "tun"), (&qvb, "veth")]);
                net.links.last_mut().unwrap().lower = Some(bytes(&qvo));
                net.links.push(Link {
                    master: Some(bytes("ovs-system")),
                    lower: Some(bytes(&qvb)),
                    ..link(&qvo, "veth")
                });
            }
        });
        process(kernel.folder(), 5003, "qemu-kvm", &vec!["/dev/net/tun"; count as usize]);
        for number in 0..count {
            info(&kernel, 5003, number, &format!("iff:\ttap{number}\n"));
        }
        kernel.restart();
        let told = explain(&kernel, UNUSED).findings.remove(0).problem;
        assert!(told.contains("has tap0, a port of qbr0, of which eth0 is a part"), "{told}");
        kernel.steps()
    };
    let (few, many) = (steps_for(20), steps_for(80));
    assert!(many < few * 4, "{few} steps for 20 bridges, {many} for 80");
}

#[test]
fn a_macvtap_whose_interface_is_not_here_refuses_cards_by_its_name_or_its_number() {
    let number = |major| nodedev_sys::DeviceNode { kind: nodedev_sys::NodeKind::Char, major, minor: 9 };
    for (node, called, refused) in [
        ("/dev/tap9", None, true),
        ("/dev/tap9", Some(number(236)), true),
        ("/dev/mine", Some(number(236)), true),
        ("/dev/tap9", Some(number(237)), false),
        ("/dev/tape", None, false),
        ("/dev/mine", None, false),
    ] {
        let mut host = with_cards();
        host.file("proc/devices", b"Character devices:\n  1 mem\n236 macvtap\n\nBlock devices:\n236 x\n")
            .unwrap();
        let kernel = over(host);
        process(kernel.folder(), 5003, "qemu-kvm", &[node]);
        if let Some(called) = called {
            kernel.node_at("proc/5003/fd/0", called);
        }
        let detached = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default());
        assert_eq!(detached.is_err(), refused, "{node} {called:?}: {detached:?}");
        if let Err(error) = detached {
            let told = format!("process 5003 (qemu-kvm) has {node} open, and its interface is not here");
            assert!(error.message().contains(&told), "{error}");
            detach(&kernel, UNUSED, true).unwrap();
        }
    }
}
