//! Where packets go: the routes of the host, as the kernel tells them by netlink and in the files of the first process.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nodedev_sys::HostAccess;
use nodedev_sys::network::{InterfaceName, Route, RouteKind};

use super::files;
use crate::Result;
use crate::check::lookup::is_name;

/// A route to more than this is as good as a default route: nothing that is one network is so large.
const WIDE: u8 = 8;
/// As good as a default route are also many routes through an interface that together lead to more than this many
/// addresses: a network of class A, and 65,536 providers of IPv6.
const MUCH_V4: u128 = 1 << 24;
const MUCH_V6: u128 = 1 << 112;
/// Networks that are not the Internet: private ones, this machine, the link's own, groups.
const PRIVATE_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
const PRIVATE_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 6);
const LINK_LOCAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// All routes, sorted so that the one for an address is found at once.
#[derive(Debug, Default)]
pub(super) struct Routes(Vec<Route>);

/// An interface that much of the world is reached through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DefaultLike {
    pub(super) interface: InterfaceName,
    /// Whether it is a default route, and not one or more of nearly its width.
    pub(super) is_whole: bool,
    /// The widest of them, or what they lead to.
    pub(super) what: String,
}

/// Where packets for an address go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// Nowhere else.
    Local,
    /// Through these interfaces; none if there is no route.
    Through(Vec<InterfaceName>),
}

impl Routes {
    /// Those of the kernel's own answer, and those in files.
    pub(super) fn new(asked: Vec<Route>, host: &dyn HostAccess) -> Result<Self> {
        let mut routes = asked;
        routes.extend(files::routes(host)?);
        for route in &mut routes {
            route.destination = network(route.destination, route.length);
        }
        routes.sort_by_key(key);
        Ok(Self(routes))
    }

    /// Interfaces of default routes, and of routes that together are as good as one: each once.
    pub(super) fn default_like(&self) -> Vec<DefaultLike> {
        let mut found: BTreeMap<InterfaceName, DefaultLike> = BTreeMap::new();
        let mut parts: BTreeMap<(InterfaceName, bool), Vec<(u128, u128)>> = BTreeMap::new();
        // The widest first.
        let mut all: Vec<&Route> = self.0.iter().filter(|route| route.kind == RouteKind::Unicast).collect();
        all.sort_by_key(|route| route.length);
        for route in all.into_iter().filter(|route| !is_private(route)) {
            for interface in route.interfaces.iter().filter(|name| is_outside(name)) {
                if found.contains_key(interface) {
                    continue;
                }
                if route.length < WIDE {
                    let like = DefaultLike {
                        interface: interface.clone(),
                        is_whole: route.length == 0,
                        what: format!("{}/{}", route.destination, route.length),
                    };
                    found.insert(interface.clone(), like);
                } else {
                    let key = (interface.clone(), route.destination.is_ipv6());
                    parts.entry(key).or_default().push(range(route));
                }
            }
        }
        for ((interface, is_v6), parts) in parts {
            let (much, what) = if is_v6 { (MUCH_V6, "much of IPv6") } else { (MUCH_V4, "much of IPv4") };
            if !found.contains_key(&interface) && covered(parts) > much {
                let like = DefaultLike { interface: interface.clone(), is_whole: false, what: what.into() };
                found.insert(interface, like);
            }
        }
        found.into_values().collect()
    }

    /// Where packets for an address go: in each table the way of the longest prefix that fits, and of those the one with the
    /// smallest priority; and all ways that are looked at before, but need not be taken.
    pub(super) fn to(&self, address: IpAddr) -> Way {
        let address = address.to_canonical();
        let (mut interfaces, mut decided) = (Vec::new(), HashSet::new());
        for length in (0..=width(address)).rev() {
            let wanted = (address.is_ipv6(), length, bits(network(address, length)));
            let at = self.0.partition_point(|route| short_key(route) < wanted);
            let fitting: Vec<&Route> =
                self.0[at..].iter().take_while(|route| short_key(route) == wanted).collect();
            let mut best: BTreeMap<u32, u32> = BTreeMap::new();
            let open = fitting.iter().filter(|route| !decided.contains(&route.table));
            let (limited, open): (Vec<&Route>, Vec<&Route>) = open.partition(|route| route.is_limited);
            let sent = limited.iter().filter(|route| route.kind == RouteKind::Unicast);
            interfaces.extend(sent.flat_map(|route| route.interfaces.iter().cloned()));
            for route in &open {
                let priority = best.entry(route.table).or_insert(route.priority);
                *priority = route.priority.min(*priority);
            }
            for route in open.iter().filter(|route| best.get(&route.table) == Some(&route.priority)) {
                match route.kind {
                    RouteKind::Local => return Way::Local,
                    RouteKind::DeadEnd => {}
                    RouteKind::Unicast => interfaces.extend(route.interfaces.iter().cloned()),
                }
            }
            decided.extend(best.into_keys());
        }
        interfaces.sort_unstable();
        interfaces.dedup();
        interfaces.retain(|name| is_outside(name));
        Way::Through(interfaces)
    }

    /// Interfaces with a route to any other machine, but for the addresses that every interface has by itself: each once.
    pub(super) fn all_interfaces(&self) -> Vec<InterfaceName> {
        let mut names: Vec<InterfaceName> = Vec::new();
        for route in self.0.iter().filter(|route| route.kind == RouteKind::Unicast && !is_of_link(route)) {
            // Many routes share their next hops.
            names.extend(
                route
                    .interfaces
                    .iter()
                    .filter(|name| names.last() != Some(name))
                    .cloned()
                    .collect::<Vec<_>>(),
            );
        }
        names.sort_unstable();
        names.dedup();
        names.retain(|name| is_outside(name));
        names
    }
}

/// Whether something can leave the machine there.
fn is_outside(name: &[u8]) -> bool {
    name != b"lo" && is_name(name)
}

fn key(route: &Route) -> (bool, u8, u128, u32, u32) {
    let (is_v6, length, bits) = short_key(route);
    (is_v6, length, bits, route.table, route.priority)
}

fn short_key(route: &Route) -> (bool, u8, u128) {
    (route.destination.is_ipv6(), route.length, bits(route.destination))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The first address of the network of some length that an address is in.
fn network(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(length.into())).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(length.into())).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

/// First and last address of a route.
fn range(route: &Route) -> (u128, u128) {
    let first = bits(route.destination);
    let rest = u32::from(width(route.destination)).saturating_sub(route.length.into());
    let size = 1u128.checked_shl(rest).map_or(u128::MAX, |size| size - 1);
    (first, first.saturating_add(size))
}

/// How many addresses some ranges have together.
fn covered(mut ranges: Vec<(u128, u128)>) -> u128 {
    ranges.sort_unstable();
    let (mut sum, mut next) = (0u128, 0u128);
    for (first, last) in ranges {
        let first = first.max(next);
        if first <= last {
            sum = sum.saturating_add(last - first).saturating_add(1);
            next = last.saturating_add(1);
        }
    }
    sum
}

fn is_private(route: &Route) -> bool {
    let within = |network_: IpAddr, length: u8| {
        route.length >= length && network(route.destination, length) == network_
    };
    match route.destination {
        IpAddr::V4(_) => PRIVATE_V4.iter().any(|(network, length)| within((*network).into(), *length)),
        IpAddr::V6(_) => within(PRIVATE_V6.0.into(), PRIVATE_V6.1),
    }
}

/// Whether a route is one of those that every interface of IPv6 has: to its link, and to groups.
fn is_of_link(route: &Route) -> bool {
    let IpAddr::V6(address) = route.destination else { return route.destination.is_multicast() };
    address.is_multicast() || network(address.into(), LINK_LOCAL_V6.1) == IpAddr::from(LINK_LOCAL_V6.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str, interfaces: &[&str], table: u32, priority: u32) -> Route {
        let (destination, length) = text.split_once('/').unwrap();
        Route {
            destination: destination.parse().unwrap(),
            length: length.parse().unwrap(),
            kind: RouteKind::Unicast,
            table,
            priority,
            is_limited: false,
            interfaces: interfaces.iter().map(|name| name.as_bytes().into()).collect(),
        }
    }

    fn routes(mut all: Vec<Route>) -> Routes {
        all.sort_by_key(key);
        Routes(all)
    }

    #[test]
    fn default_routes_and_what_is_as_good_as_one() {
        let like = |all: &[(&str, &[&str])]| -> Vec<String> {
            let all = all.iter().map(|(text, interfaces)| route(text, interfaces, 254, 0)).collect();
            routes(all)
                .default_like()
                .iter()
                .map(|like| String::from_utf8_lossy(&like.interface).into_owned())
                .collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(
            like(&[("0.0.0.0/0", &["a", "b"]), ("::/0", &["c"]), ("10.0.0.0/8", &["d"])]),
            ["a", "b", "c"]
        );
        assert_eq!(like(&[("0.0.0.0/1", &["a"]), ("128.0.0.0/1", &["b"])]), ["a", "b"]);
        assert_eq!(like(&[("2000::/3", &["a"]), ("fc00::/7", &["b"]), ("fe80::/10", &["b"])]), ["a"]);
        assert_eq!(like(&[("224.0.0.0/4", &["a"]), ("240.0.0.0/4", &["a"]), ("0.0.0.0/0", &["lo"])]), none);
        // Private networks, and one that is large.
        assert_eq!(
            like(&[("10.0.0.0/8", &["a"]), ("172.16.0.0/12", &["a"]), ("192.168.0.0/16", &["a"])]),
            none
        );
        assert_eq!(like(&[("44.0.0.0/8", &["a"]), ("44.0.0.0/9", &["a"]), ("2001:db8::/32", &["a"])]), none);
        // Many parts of the Internet.
        assert_eq!(like(&[("44.0.0.0/8", &["a"]), ("45.0.0.0/8", &["a"])]), ["a"]);
        assert_eq!(like(&[("2a00::/12", &["a"])]), ["a"]);
    }

    #[test]
    fn the_longest_prefix_of_each_table_decides_and_the_smallest_priority() {
        let mut all = vec![
            route("0.0.0.0/0", &["eth0"], 254, 0),
            route("10.0.0.0/24", &["eth2"], 254, 200),
            route("10.0.0.0/24", &["eth1"], 254, 100),
            route("10.0.0.0/16", &["wg0"], 51820, 0),
            route("fd00::/64", &["eth6"], 254, 0),
            Route { kind: RouteKind::Local, ..route("10.0.0.1/32", &["eth1"], 255, 0) },
            Route { kind: RouteKind::DeadEnd, ..route("10.9.0.0/16", &[], 254, 0) },
        ];
        all.push(route("0.0.0.0/0", &["eth3"], 100, 0));
        let routes = routes(all);
        for (address, want) in [
            ("10.0.0.9", Some(&["eth1", "eth3", "wg0"][..])),
            ("::ffff:10.0.0.9", Some(&["eth1", "eth3", "wg0"])),
            ("192.0.2.1", Some(&["eth0", "eth3"])),
            ("10.9.1.1", Some(&["eth3"])),
            ("10.0.0.1", None),
            ("fd00::1", Some(&["eth6"])),
            ("2001:db8::1", Some(&[])),
        ] {
            let want = want.map_or(Way::Local, |names| {
                Way::Through(names.iter().map(|name| name.as_bytes().into()).collect())
            });
            assert_eq!(routes.to(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn addresses_of_ranges_are_counted_once_and_to_the_last() {
        for (ranges, want) in [
            (&[][..], 0),
            (&[(5, 5)], 1),
            (&[(0, 9), (10, 19)], 20),
            (&[(10, 19), (0, 14)], 20),
            (&[(0, 9), (2, 3)], 10),
            (&[(0, u128::MAX)], u128::MAX),
        ] {
            assert_eq!(covered(ranges.to_vec()), want, "{ranges:?}");
        }
    }

    #[test]
    fn what_every_interface_has_by_itself_is_no_way_to_another_machine() {
        let mut all: Vec<Route> = [
            ("fe80::/64", "a"),
            ("fe80::1/128", "b"),
            ("ff00::/8", "c"),
            ("224.0.0.0/4", "d"),
            ("10.0.0.0/24", "e"),
            ("fd00::/64", "f"),
            ("2001:db8::/32", "g"),
            ("0.0.0.0/0", "lo"),
        ]
        .map(|(text, interface)| route(text, &[interface], 254, 0))
        .into();
        all.push(Route { kind: RouteKind::Local, ..route("10.0.0.1/32", &["h"], 255, 0) });
        let names = routes(all).all_interfaces();
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(names, ["e", "f", "g"]);
    }
}
