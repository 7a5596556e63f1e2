//! Interfaces, what they are built upon, and their addresses.
//!
//! Format: `RTM_NEWLINK` and `RTM_NEWADDR`, `include/uapi/linux/if_link.h`, `if_tunnel.h` and `if_addr.h`.

use std::io;
use std::net::IpAddr;

use super::{InterfaceName, Link, Names};
use crate::attributes::{Attributes, push, text, u32_at};
use crate::dump::Asker;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// `struct ifinfomsg` and `struct ifaddrmsg`; both have the interface's number at the same place.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const INDEX: usize = 4;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

/// Kinds of tunnels, with the attributes of the interface that they are bound to and of their far end.
const TUNNELS: &[(&str, u16, &[u16])] = &[
    ("gre", 1, &[7]),
    ("gretap", 1, &[7]),
    ("erspan", 1, &[7]),
    ("ip6gre", 1, &[7]),
    ("ip6gretap", 1, &[7]),
    ("ip6erspan", 1, &[7]),
    ("ipip", 1, &[3]),
    ("sit", 1, &[3]),
    ("ip6tnl", 1, &[3]),
    ("vti", 1, &[5]),
    ("vti6", 1, &[5]),
    ("vxlan", 3, &[2, 16]),
    ("geneve", NONE, &[2, 7]),
    ("xfrm", 1, &[]),
];
/// No attribute has this type.
const NONE: u16 = 0;

/// An interface, with others by number.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) index: u32,
    pub(super) link: Link,
    lower: Option<u32>,
    master: Option<u32>,
}

impl Found {
    /// Gives the other interfaces their names. Those in other network namespaces have none here.
    pub(super) fn named(self, names: &Names) -> Link {
        let name = |index: Option<u32>| names.get(index?).ok();
        let lower = if self.link.is_lower_elsewhere { None } else { name(self.lower) };
        Link { lower, master: name(self.master), ..self.link }
    }
}

pub(super) fn ask(asker: &mut Asker) -> io::Result<Vec<Found>> {
    let mut body = vec![0; LINK_HEADER];
    push(&mut body, IFLA_EXT_MASK, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    asker.all(RTM_GETLINK, &body, |kind, body| (kind == RTM_NEWLINK).then(|| link(body))?)
}

pub(super) fn addresses(asker: &mut Asker, names: &Names) -> io::Result<Vec<(IpAddr, InterfaceName)>> {
    let found = asker.all(RTM_GETADDR, &[0; ADDRESS_HEADER], |kind, body| {
        (kind == RTM_NEWADDR).then(|| address_of(body))?
    })?;
    found.into_iter().map(|(address, index)| Ok((address, names.get(index)?))).collect()
}

fn link(body: &[u8]) -> Option<Found> {
    let index = u32_at(body, INDEX)?;
    let attributes = Attributes::behind(body, LINK_HEADER);
    let name = text(attributes.find(IFLA_IFNAME)?);
    let info = attributes.within(IFLA_LINKINFO);
    let kind = String::from_utf8_lossy(text(info.find(IFLA_INFO_KIND).unwrap_or_default())).into_owned();
    let data = info.within(IFLA_INFO_DATA);
    let mut ends = Vec::new();
    let mut bound_to = None;
    if let Some((_, bound, far)) = TUNNELS.iter().find(|(tunnel, ..)| *tunnel == kind) {
        bound_to = data.number(*bound);
        ends.extend(far.iter().filter_map(|far| address(data.find(*far)?)).filter(is_machine));
    }
    // An interface of hardware is told to be upon itself by some.
    let lower = [attributes.number(IFLA_LINK), bound_to];
    let lower = lower.into_iter().flatten().find(|lower| *lower != 0 && *lower != index);
    let link = Link {
        name: name.into(),
        kind,
        is_lower_elsewhere: attributes.find(IFLA_LINK_NETNSID).is_some(),
        ends,
        ..Link::default()
    };
    Some(Found { index, link, lower, master: attributes.number(IFLA_MASTER) })
}

fn address_of(body: &[u8]) -> Option<(IpAddr, u32)> {
    let attributes = Attributes::behind(body, ADDRESS_HEADER);
    // Where they differ, the first is that of the other end.
    let value = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
    Some((address(value)?, u32_at(body, INDEX)?))
}

/// An address by its length.
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn is_machine(address: &IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::nested;

    /// A message of a link, with attributes within attributes.
    fn message(index: u32, attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = vec![0; LINK_HEADER];
        body[INDEX..INDEX + 4].copy_from_slice(&index.to_ne_bytes());
        body.extend(nested(attributes));
        body
    }

    fn number(value: u32) -> Vec<u8> {
        value.to_ne_bytes().to_vec()
    }

    #[test]
    fn the_far_ends_of_every_kind_of_tunnel_are_read() {
        let v4: IpAddr = "10.0.0.9".parse().unwrap();
        let v6: IpAddr = "fd00::9".parse().unwrap();
        let bytes = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        for (kind, end, at, bound) in [
            ("gre", v4, 7, 1),
            ("ip6gre", v6, 7, 1),
            ("ipip", v4, 3, 1),
            ("sit", v4, 3, 1),
            ("ip6tnl", v6, 3, 1),
            ("vti", v4, 5, 1),
            ("vxlan", v4, 2, 3),
            ("vxlan", v6, 16, 3),
            ("geneve", v4, 2, 0),
            ("geneve", v6, 7, 0),
        ] {
            let data = nested(&[(at, bytes(end)), (if bound == 0 { 99 } else { bound }, number(4))]);
            let info = nested(&[(IFLA_INFO_KIND, format!("{kind}\0").into_bytes()), (IFLA_INFO_DATA, data)]);
            let found = link(&message(7, &[(IFLA_IFNAME, b"t0\0".to_vec()), (IFLA_LINKINFO, info)])).unwrap();
            assert_eq!((found.index, &*found.link.name, found.link.kind.as_str()), (7, &b"t0"[..], kind));
            assert_eq!(found.link.ends, [end], "{kind}");
            assert_eq!(found.lower, (bound != 0).then_some(4), "{kind}");
        }
    }

    #[test]
    fn a_group_of_machines_is_no_far_end_and_an_interface_of_hardware_is_not_upon_itself() {
        let data = nested(&[(2, vec![239, 1, 1, 1]), (3, number(0))]);
        let info = nested(&[(IFLA_INFO_KIND, b"vxlan".to_vec()), (IFLA_INFO_DATA, data)]);
        let found = link(&message(7, &[(IFLA_IFNAME, b"\xff0\0".to_vec()), (IFLA_LINKINFO, info)])).unwrap();
        assert_eq!(
            (found.link.ends.as_slice(), found.lower, &*found.link.name),
            (&[][..], None, &b"\xff0"[..])
        );
        let found = link(&message(2, &[(IFLA_IFNAME, b"eth0\0".to_vec()), (IFLA_LINK, number(2))])).unwrap();
        assert_eq!(found.lower, None);
        assert!(link(&message(2, &[])).is_none() && link(&[]).is_none());
    }
}
