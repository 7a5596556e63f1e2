//! Routes of all tables, with all their next hops.
//!
//! Format: `RTM_NEWROUTE` and `RTM_NEWNEXTHOP`, `include/uapi/linux/rtnetlink.h` and `nexthop.h`.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{InterfaceName, Names, Route, RouteKind};
use crate::attributes::{Attributes, u16_at, u32_at};
use crate::dump::Asker;

const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_GETNEXTHOP: u16 = 106;
/// `struct rtmsg`.
const ROUTE_HEADER: usize = 12;
const FAMILY: usize = 0;
const LENGTH: usize = 1;
const SOURCE_LENGTH: usize = 2;
const SERVICE: usize = 3;
const TABLE: usize = 4;
const KIND: usize = 7;
const FLAGS: usize = 8;
/// What is remembered of a destination, and no route of a table.
const RTM_F_CLONED: u32 = 0x200;
/// A next hop is not reached (`RTNH_F_DEAD`, `RTNH_F_LINKDOWN`): in the flags of the route, and of each of several.
const UNREACHED: u32 = 0x1 | 0x10;
const HOP_FLAGS: usize = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PRIORITY: u16 = 6;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_NH_ID: u16 = 30;
/// `struct rtnexthop`: its length, and the interface's number.
const HOP_HEADER: usize = 8;
const HOP_INTERFACE: usize = 4;
/// `struct nhmsg`.
const NEXTHOP_HEADER: usize = 8;
const NHA_ID: u16 = 1;
const NHA_GROUP: u16 = 2;
const NHA_OIF: u16 = 5;
/// `struct nexthop_grp`, which begins with a number.
const GROUP_ENTRY: usize = 8;

/// Kinds of routes that matter, by the kernel's number (`RTN_UNICAST` and so on).
const KINDS: &[(u8, RouteKind)] = &[
    (1, RouteKind::Unicast),
    (2, RouteKind::Local),
    (6, RouteKind::DeadEnd),
    (7, RouteKind::DeadEnd),
    (8, RouteKind::DeadEnd),
];

/// A route, with interfaces and its next hop object by number.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    destination: IpAddr,
    length: u8,
    kind: RouteKind,
    table: u32,
    priority: u32,
    is_limited: bool,
    interfaces: Vec<u32>,
    next_hop: Option<u32>,
}

pub(super) fn ask(asker: &mut Asker, names: &Names) -> io::Result<Vec<Route>> {
    let found = asker
        .all(RTM_GETROUTE, &[0; ROUTE_HEADER], |kind, body| (kind == RTM_NEWROUTE).then(|| route(body))?)?;
    let hops =
        if found.iter().any(|route| route.next_hop.is_some()) { next_hops(asker)? } else { HashMap::new() };
    let mut known: HashMap<Vec<u32>, Arc<[InterfaceName]>> = HashMap::new();
    let mut routes = Vec::with_capacity(found.len());
    for Found { destination, length, kind, table, priority, is_limited, mut interfaces, next_hop } in found {
        interfaces.extend(next_hop.map_or(&[][..], |id| hops.get(&id).map_or(&[], Vec::as_slice)));
        interfaces.sort_unstable();
        interfaces.dedup();
        let interfaces = match known.get(&interfaces) {
            Some(known) => Arc::clone(known),
            None => {
                let named: Arc<[InterfaceName]> =
                    interfaces.iter().map(|index| names.get(*index)).collect::<io::Result<_>>()?;
                known.insert(interfaces, Arc::clone(&named));
                named
            }
        };
        routes.push(Route { destination, length, kind, table, priority, is_limited, interfaces });
    }
    Ok(routes)
}

fn route(body: &[u8]) -> Option<Found> {
    let any: IpAddr = match i32::from(*body.get(FAMILY)?) {
        libc::AF_INET => Ipv4Addr::UNSPECIFIED.into(),
        libc::AF_INET6 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    let kind = KINDS.iter().find(|(number, _)| body.get(KIND) == Some(number))?.1;
    let flags = u32_at(body, FLAGS)?;
    if flags & RTM_F_CLONED != 0 {
        return None;
    }
    let attributes = Attributes::behind(body, ROUTE_HEADER);
    let destination = match attributes.find(RTA_DST) {
        Some(bytes) => super::links::address(bytes)?,
        None => any,
    };
    let mut interfaces: Vec<u32> = attributes.number(RTA_OIF).into_iter().collect();
    let (hops, is_unreached) = attributes.find(RTA_MULTIPATH).map(multipath).unwrap_or_default();
    interfaces.extend(hops);
    let is_limited = body[SOURCE_LENGTH] != 0 || body[SERVICE] != 0 || flags & UNREACHED != 0 || is_unreached;
    Some(Found {
        destination,
        length: body[LENGTH],
        kind,
        table: attributes.number(RTA_TABLE).unwrap_or(body[TABLE].into()),
        priority: attributes.number(RTA_PRIORITY).unwrap_or(0),
        is_limited,
        interfaces,
        next_hop: attributes.number(RTA_NH_ID),
    })
}

/// The interfaces of a route with several next hops, and whether one of these is not reached.
fn multipath(mut hops: &[u8]) -> (Vec<u32>, bool) {
    let (mut interfaces, mut is_unreached) = (Vec::new(), false);
    while let Some(length) = u16_at(hops, 0).map(usize::from).filter(|length| *length >= HOP_HEADER) {
        interfaces.extend(u32_at(hops, HOP_INTERFACE));
        is_unreached |= hops.get(HOP_FLAGS).is_some_and(|flags| u32::from(*flags) & UNREACHED != 0);
        hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    (interfaces, is_unreached)
}

/// The interfaces of all objects for next hops, by their numbers; those of a group are those of its members.
fn next_hops(asker: &mut Asker) -> io::Result<HashMap<u32, Vec<u32>>> {
    let found = asker.all(RTM_GETNEXTHOP, &[0; NEXTHOP_HEADER], |kind, body| {
        (kind == RTM_NEWNEXTHOP).then(|| next_hop(body))?
    })?;
    let members: HashMap<u32, &Vec<u32>> = found.iter().map(|(id, members, _)| (*id, members)).collect();
    let single: HashMap<u32, u32> =
        found.iter().filter_map(|(id, _, interface)| Some((*id, (*interface)?))).collect();
    Ok(found.iter().map(|(id, ..)| (*id, reached(*id, &members, &single))).collect())
}

/// The interfaces of an object and of all its members, each once.
fn reached(id: u32, members: &HashMap<u32, &Vec<u32>>, single: &HashMap<u32, u32>) -> Vec<u32> {
    let (mut open, mut seen, mut interfaces) = (vec![id], BTreeSet::new(), Vec::new());
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            interfaces.extend(single.get(&id));
            open.extend(members.get(&id).into_iter().copied().flatten());
        }
    }
    interfaces
}

/// Number, members and interface of an object.
fn next_hop(body: &[u8]) -> Option<(u32, Vec<u32>, Option<u32>)> {
    let attributes = Attributes::behind(body, NEXTHOP_HEADER);
    let group = attributes.find(NHA_GROUP).unwrap_or_default();
    let members = group.chunks_exact(GROUP_ENTRY).filter_map(|entry| u32_at(entry, 0)).collect();
    Some((attributes.number(NHA_ID)?, members, attributes.number(NHA_OIF)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::push;

    fn message(header: [u8; ROUTE_HEADER], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = header.to_vec();
        for (kind, value) in attributes {
            push(&mut body, *kind, value);
        }
        body
    }

    fn hop(interface: u32) -> Vec<u8> {
        let mut hop = vec![16, 0, 0, 0];
        hop.extend(interface.to_ne_bytes());
        push(&mut hop, 5, &[10, 0, 0, 1]);
        hop
    }

    #[test]
    fn a_route_has_its_table_and_all_its_next_hops() {
        let hops = [hop(3), hop(4)].concat();
        let body = message(
            [2, 0, 0, 0, 252, 3, 0, 1, 0, 0, 0, 0],
            &[(RTA_TABLE, &51820u32.to_ne_bytes()), (RTA_MULTIPATH, &hops), (RTA_NH_ID, &9u32.to_ne_bytes())],
        );
        let found = route(&body).unwrap();
        assert_eq!((found.destination, found.length, found.table), ("0.0.0.0".parse().unwrap(), 0, 51820));
        assert_eq!((found.interfaces, found.next_hop), (vec![3, 4], Some(9)));
        let body = message(
            [10, 64, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0],
            &[
                (RTA_DST, &"fd00::".parse::<Ipv6Addr>().unwrap().octets()),
                (RTA_OIF, &2u32.to_ne_bytes()),
                (RTA_PRIORITY, &1024u32.to_ne_bytes()),
            ],
        );
        let found = route(&body).unwrap();
        assert_eq!((found.destination, found.length, found.table), ("fd00::".parse().unwrap(), 64, 254));
        assert_eq!((found.interfaces, found.priority), (vec![2], 1024));
    }

    #[test]
    fn a_route_that_is_not_for_all_packets_or_leads_nowhere_now_is_limited() {
        for (source, service, flags, hop_flags, want) in [
            (0, 0, 0, 0, false),
            // That it was told by the kernel's own, or is offered to hardware, limits nothing.
            (0, 0, 0x40, 0x08, false),
            (64, 0, 0, 0, true),
            (0, 0x10, 0, 0, true),
            (0, 0, 0x01, 0, true),
            (0, 0, 0x10, 0, true),
            (0, 0, 0, 0x10, true),
        ] {
            let mut second = hop(4);
            second[HOP_FLAGS] = hop_flags;
            let body = message(
                [2, 24, source, service, 254, 3, 0, 1, flags, 0, 0, 0],
                &[(RTA_MULTIPATH, &[hop(3), second].concat())],
            );
            assert_eq!(route(&body).unwrap().is_limited, want, "{source} {service} {flags} {hop_flags}");
        }
    }

    #[test]
    fn only_what_is_sent_kept_or_dropped_is_a_route() {
        for (family, kind, flags, want) in [
            (2, 1, 0, Some(RouteKind::Unicast)),
            (2, 2, 0, Some(RouteKind::Local)),
            (10, 6, 0, Some(RouteKind::DeadEnd)),
            (10, 7, 0, Some(RouteKind::DeadEnd)),
            (2, 8, 0, Some(RouteKind::DeadEnd)),
            (2, 3, 0, None),
            (2, 5, 0, None),
            (2, 9, 0, None),
            (28, 1, 0, None),
            (128, 5, 0, None),
            (10, 1, 2, None),
        ] {
            let body = message([family, 0, 0, 0, 254, 0, 0, kind, 0, flags, 0, 0], &[]);
            assert_eq!(route(&body).map(|found| found.kind), want, "{family} {kind}");
        }
        assert_eq!(route(&[2, 0, 0]), None);
        assert_eq!(multipath(&[0; 16]), (vec![], false));
        assert_eq!(multipath(&[16, 0, 0]), (vec![], false));
    }

    #[test]
    fn a_group_leads_through_all_its_members_and_one_in_itself_ends() {
        let mut group = vec![0; NEXTHOP_HEADER];
        push(&mut group, NHA_ID, &10u32.to_ne_bytes());
        let entry = |id: u32| [&id.to_ne_bytes()[..], &[0; 4]].concat();
        push(&mut group, NHA_GROUP, &[entry(1), entry(2), entry(10)].concat());
        let (id, members, interface) = next_hop(&group).unwrap();
        assert_eq!((id, members.as_slice(), interface), (10, &[1, 2, 10][..], None));
        let members = HashMap::from([(10, &members)]);
        let mut interfaces = reached(10, &members, &HashMap::from([(1, 5), (2, 6)]));
        interfaces.sort_unstable();
        assert_eq!(interfaces, [5, 6]);
    }
}
