//! What the kernel says of its routes and interfaces, against `ip`; and what the guard makes of that.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::{DetachOptions, Operations as _};
use nodedev_host::HostDriver;
use nodedev_interop::Failure;
use nodedev_interop::network::{ip, private};
use nodedev_sys::network::{Network, RouteKind};
use nodedev_sys::{HostAccess, Root};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, Tree};
use serde_json::Value;

/// Two cards, which are pairs here, with a network on each.
const CARDS: &str = "link set lo up
link add nic0 type veth peer name far0
link add nic1 type veth peer name far1
link set nic0 up
link set nic1 up
link set far0 up
link set far1 up
addr add 10.0.0.1/24 dev nic0
addr add 10.1.0.1/24 dev nic1
addr add fd00::1/64 dev nic0 nodad
";

/// Situations: what is told of them, commands, and whether the kernel must know all kinds in them. The default route leads
/// through `nic0` in each, and not through `nic1`.
const SITUATIONS: &[(&str, &str, bool)] = &[
    ("a default route", "route add default via 10.0.0.2 dev nic0", true),
    ("one of IPv6", "route add default via fd00::2 dev nic0", true),
    (
        "another table",
        "route add default via 10.0.0.2 dev nic0 table 4711\nrule add from 10.9.0.0/16 table 4711",
        true,
    ),
    ("halves", "route add 0.0.0.0/1 via 10.0.0.2\nroute add 128.0.0.0/1 via 10.0.0.2", true),
    (
        "several next hops",
        "route add default nexthop via 10.0.0.2 dev nic0 nexthop via 10.0.0.3 dev nic0",
        true,
    ),
    (
        "a group of next hop objects",
        "nexthop add id 1 via 10.0.0.2 dev nic0\nnexthop add id 2 via 10.0.0.3 dev nic0\nnexthop add id 10 group 1/2\n\
         route add default nhid 10",
        true,
    ),
    (
        "a bridge",
        "addr flush dev nic0\nlink add br0 type bridge\nlink set nic0 master br0\nlink set br0 up\n\
         addr add 10.0.0.1/24 dev br0\nroute add default via 10.0.0.2 dev br0",
        true,
    ),
    (
        "a macvlan",
        "addr flush dev nic0\nlink add mac0 link nic0 type macvlan\nlink set mac0 up\naddr add 10.0.0.1/24 dev mac0\n\
         route add default via 10.0.0.2 dev mac0",
        true,
    ),
    (
        "VXLAN to one machine",
        "link add vx0 type vxlan id 5 dstport 4789 remote 10.0.0.9\nlink set vx0 up\naddr add 10.7.0.1/24 dev vx0\n\
         route add default via 10.7.0.2 dev vx0",
        true,
    ),
    (
        "VXLAN bound to an interface",
        "addr flush dev nic0\nlink add vx0 type vxlan id 5 dstport 4789 group 239.1.1.1 dev nic0\nlink set vx0 up\n\
         addr add 10.7.0.1/24 dev vx0\nroute add default via 10.7.0.2 dev vx0",
        true,
    ),
    (
        "a VLAN",
        "addr flush dev nic0\nlink add link nic0 name vlan5 type vlan id 5\nlink set vlan5 up\naddr add 10.0.0.1/24 dev vlan5\n\
         route add default via 10.0.0.2 dev vlan5",
        false,
    ),
    (
        "a VRF",
        "link add blue type vrf table 100\nlink set blue up\nlink set nic0 master blue\n\
         route add default via 10.0.0.2 dev nic0 vrf blue",
        false,
    ),
    (
        "a VRF that a route leads to",
        "link add blue type vrf table 100\nlink set blue up\nlink set nic0 master blue\nroute add default dev blue",
        false,
    ),
    (
        "a team",
        "addr flush dev nic0\nlink add team0 type team\nlink set nic0 down\nlink set nic0 master team0\nlink set team0 up\n\
         addr add 10.0.0.1/24 dev team0\nroute add default via 10.0.0.2 dev team0",
        false,
    ),
    (
        "a pair whose other end is in a bridge",
        "addr flush dev nic0\nlink add br0 type bridge\nlink set nic0 master br0\nlink set br0 up\n\
         link add in0 type veth peer name in1\nlink set in1 master br0\nlink set in0 up\nlink set in1 up\n\
         addr add 10.0.0.1/24 dev in0\nroute add default via 10.0.0.2 dev in0",
        true,
    ),
    (
        "IPv6 in IPv4",
        "link add sit9 type sit local 10.0.0.1 remote 10.0.0.9\nlink set sit9 up\naddr add fd07::1/64 dev sit9\n\
         route add default via fd07::2 dev sit9",
        false,
    ),
    (
        "VTI",
        "link add vti9 type vti local 10.0.0.1 remote 10.0.0.9 key 5\nlink set vti9 up\naddr add 10.7.0.1/24 dev vti9\n\
         route add default via 10.7.0.2 dev vti9",
        false,
    ),
    (
        "XFRM",
        "link add xfrm9 type xfrm dev nic0 if_id 5\nlink set xfrm9 up\naddr add 10.7.0.1/24 dev xfrm9\n\
         route add default via 10.7.0.2 dev xfrm9",
        false,
    ),
    (
        "a tunnel in a tunnel",
        "link add vx0 type vxlan id 5 dstport 4789 remote 10.0.0.9\nlink set vx0 up\naddr add 10.7.0.1/24 dev vx0\n\
         link add vx1 type vxlan id 6 dstport 4790 remote 10.7.0.9\nlink set vx1 up\naddr add 10.8.0.1/24 dev vx1\n\
         route add default via 10.8.0.2 dev vx1",
        true,
    ),
    (
        "a bond",
        "addr flush dev nic0\nlink add bond0 type bond\nlink set nic0 down\nlink set nic0 master bond0\nlink set bond0 up\n\
         addr add 10.0.0.1/24 dev bond0\nroute add default via 10.0.0.2 dev bond0",
        false,
    ),
    (
        "GRE",
        "link add gre9 type gre local 10.0.0.1 remote 10.0.0.9\nlink set gre9 up\naddr add 10.7.0.1/24 dev gre9\n\
         route add default via 10.7.0.2 dev gre9",
        false,
    ),
    (
        "IP in IP",
        "link add ip9 type ipip local 10.0.0.1 remote 10.0.0.9\nlink set ip9 up\naddr add 10.7.0.1/24 dev ip9\n\
         route add default via 10.7.0.2 dev ip9",
        false,
    ),
    (
        "IPv6 in IPv6",
        "link add six9 type ip6tnl local fd00::1 remote fd00::9\nlink set six9 up\naddr add fd07::1/64 dev six9\n\
         route add default via fd07::2 dev six9",
        false,
    ),
    (
        "Geneve",
        "link add gen0 type geneve id 5 remote 10.0.0.9\nlink set gen0 up\naddr add 10.7.0.1/24 dev gen0\n\
         route add default via 10.7.0.2 dev gen0",
        false,
    ),
];

#[test]
#[ignore = "makes network namespaces: cargo xtask test"]
fn routes_and_interfaces_are_those_that_ip_shows_and_the_card_below_them_is_kept() -> Result<(), Failure> {
    for (situation, commands, must) in SITUATIONS {
        private(|| {
            ip(CARDS)?;
            let made = commands.lines().try_for_each(ip);
            match made {
                Err(error) if *must => return Err(format!("{situation}: {error}").into()),
                Err(error) => {
                    println!("{situation}: this kernel lacks it ({error})");
                    return Ok(());
                }
                Ok(()) => {}
            }
            let network = settled(situation)?;
            guarded(situation, &network)
        })?;
    }
    Ok(())
}

/// The kernel's answer, once that is the same as what `ip` shows: interfaces get addresses of their links a while after they
/// came.
fn settled(situation: &str) -> Result<Network, Failure> {
    for attempt in 0.. {
        let network = Root::live().unwrap().network().unwrap();
        let (told, shown) = (told(&network), shown()?);
        if told == shown {
            return Ok(network);
        }
        assert!(attempt < 50, "{situation}\nwe: {told:?}\nip: {shown:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(Failure::from(situation.to_owned()))
}

/// Where packets are sent, as `ip` shows it: destination, table and interfaces.
type Shown = BTreeSet<(String, String, BTreeSet<String>)>;

fn shown() -> Result<Shown, Failure> {
    let mut all = Shown::new();
    for family in ["-4", "-6"] {
        let output =
            Command::new("ip").args(["-N", "-j", family, "route", "show", "table", "all"]).output()?;
        let routes: Value = serde_json::from_slice(&output.stdout).unwrap();
        for route in routes.as_array().into_iter().flatten() {
            if !matches!(route["type"].as_str(), None | Some("unicast" | "1")) {
                continue;
            }
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let destination = text(&route["dst"]).unwrap_or_default();
            let any = if family == "-4" { "0.0.0.0/0" } else { "::/0" };
            let destination = if destination == "default" { any.to_owned() } else { destination };
            let host = if family == "-4" { "/32" } else { "/128" };
            let destination = if destination.contains('/') { destination } else { destination + host };
            let hops = route["nexthops"].as_array().into_iter().flatten();
            let interfaces = hops.filter_map(|hop| text(&hop["dev"])).chain(text(&route["dev"])).collect();
            let table = text(&route["table"]).unwrap_or_else(|| "254".into());
            let table = if table == "main" { "254".into() } else { table };
            all.insert((destination, table, interfaces));
        }
    }
    Ok(all)
}

fn told(network: &Network) -> Shown {
    let routes = network.routes.iter().filter(|route| route.kind == RouteKind::Unicast);
    let told = routes.map(|route| {
        let interfaces =
            route.interfaces.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        (format!("{}/{}", route.destination, route.length), route.table.to_string(), interfaces)
    });
    told.collect()
}

/// A host with the two cards, whose other interfaces say nothing of each other in sysfs: the kernel's answer must do.
fn guarded(situation: &str, network: &Network) -> Result<(), Failure> {
    let cards = [("nic0", "0000:00:03.0"), ("nic1", "0000:00:04.0")];
    let mut tree = Tree::in_memory()?;
    for (group, (card, address)) in cards.into_iter().enumerate() {
        let function = Device::new(format!("devices/pci0000:00/{address}"), "bus/pci").driver("e1000e");
        let function = function.attr("vendor", "0x8086").attr("device", "0x10d3").attr("class", "0x020000");
        let function = function.uevent("PCI_CLASS", "20000").uevent("PCI_SLOT_NAME", address);
        tree.add(&function.bytes("config", vec![0u8; 256]))?;
        tree.iommu_group(group as u32, &format!("devices/pci0000:00/{address}"))?;
        tree.add(&Device::new(format!("devices/pci0000:00/{address}/net/{card}"), "class/net"))?;
    }
    // The far ends are elsewhere.
    for link in &network.links {
        let name = String::from_utf8_lossy(&link.name);
        if !cards.iter().any(|(card, _)| *card == name) && !name.starts_with("far") {
            tree.add(&Device::new(format!("devices/virtual/net/{name}"), "class/net"))?;
        }
    }
    let kernel = Arc::new(FakeKernel::over(tree)?);
    kernel.driver("vfio-pci", &[])?;
    kernel.network(|fake| *fake = network.clone());
    let driver = HostDriver::with_access(Root::open(kernel.folder()).unwrap(), Arc::clone(&kernel) as Arc<_>);
    let options = DetachOptions { dry_run: true, ..DetachOptions::default() };
    let error = driver.detach_with("pci_0000_00_03_0", &options).unwrap_err();
    println!("{situation}: {error}");
    assert!(error.message().contains("its default route"), "{situation}: {error}");
    driver.detach_with("pci_0000_00_04_0", &options).map_err(|error| format!("{situation}: {error}"))?;
    Ok(())
}
