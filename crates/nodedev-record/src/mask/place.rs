//! Names and addresses of a network in the paths that lead to a disk: iSCSI, NVMe over fabrics, Fibre Channel.

use std::net::IpAddr;

/// Who gives names to things of many owners: their names tell of a product.
const COMMON_AUTHORITIES: &[&[u8]] = &[
    b"org.debian",
    b"org.kernel",
    b"org.linux-iscsi",
    b"org.nvmexpress",
    b"org.nvmexpress.discovery",
    b"org.open-iscsi",
    b"org.qemu",
    b"com.intel",
    b"com.redhat",
    b"com.samsung",
    b"com.suse",
];

/// An address of the Internet, also in brackets or with an interface behind it.
pub(super) fn ip(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.split('%').next()?.parse().ok()
}

/// A qualified name: `iqn.DATE.AUTHORITY:OWN`, of iSCSI or NVMe.
pub(super) struct Qualified<'a> {
    /// The kind and the date, with their dots.
    start: &'a [u8],
    pub(super) authority: &'a [u8],
    /// What stands between the authority and the name of its own: `:`, `:uuid:`.
    between: &'a [u8],
    pub(super) own: &'a [u8],
}

impl Qualified<'_> {
    pub(super) fn is_common_authority(&self) -> bool {
        COMMON_AUTHORITIES.contains(&self.authority)
    }

    /// The name with another authority, unless it is a common one, and another name of its own.
    pub(super) fn with(&self, authority: &[u8], own: &[u8]) -> Vec<u8> {
        let authority = if self.is_common_authority() { self.authority } else { authority };
        [self.start, authority, self.between, own].concat()
    }
}

/// The parts of a qualified name; `None` for any other text.
pub(super) fn qualified(value: &[u8]) -> Option<Qualified<'_>> {
    const DATE: usize = "2001-04.".len();
    let rest = [&b"iqn."[..], b"nqn."].iter().find_map(|kind| value.strip_prefix(*kind))?;
    // Some write the date with a dot.
    let is_date = rest.len() > DATE
        && rest[..DATE].iter().enumerate().all(|(at, b)| match at {
            4 => matches!(b, b'-' | b'.'),
            7 => *b == b'.',
            _ => b.is_ascii_digit(),
        });
    if !is_date {
        return None;
    }
    let (start, rest) = value.split_at(4 + DATE);
    let colon = rest.iter().position(|&b| b == b':').unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(colon);
    let between = if rest.starts_with(b":uuid:") { 6 } else { rest.len().min(1) };
    let (between, own) = rest.split_at(between);
    Some(Qualified { start, authority, between, own })
}

/// What is found in the path to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InPath<'a> {
    /// A machine, by its name or its address.
    Machine(&'a [u8]),
    /// The name of a port or a disk.
    Name(&'a [u8]),
}

/// Calls `found` with each name and address in the path to a disk as udev writes it:
/// `ip-192.0.2.1:3260-iscsi-iqn.2001-04.com.example:disk-lun-1`, `pci-0000:00:04.0-sas-0x5000c500a1b2c3d6-lun-0`.
pub(super) fn in_path(path: &[u8], found: &mut dyn FnMut(InPath<'_>)) {
    for part in path.split(|&b| b == b'-').filter(|part| part.starts_with(b"0x")) {
        found(InPath::Name(part));
    }
    if let Some((before, name)) = split_at_word(path, b"-iscsi-") {
        let portal = split_at_word(before, b"ip-").map_or(before, |(_, portal)| portal);
        found(InPath::Machine(host_of(portal)));
        let end = name.windows(5).rposition(|window| window == b"-lun-").unwrap_or(name.len());
        found(InPath::Name(&name[..end]));
    } else if let Some((_, portal)) = split_at_word(path, b"ip-") {
        let end = portal.iter().position(|&b| b == b'-').unwrap_or(portal.len());
        found(InPath::Machine(host_of(&portal[..end])));
    }
}

/// Without the port.
pub(super) fn host_of(portal: &[u8]) -> &[u8] {
    if ip(portal).is_some() {
        return portal;
    }
    let colon = portal.iter().rposition(|&b| b == b':').unwrap_or(portal.len());
    let host = &portal[..colon];
    host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host)
}

fn split_at_word<'a>(text: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(word.len()).position(|window| window == word)?;
    Some((&text[..at], &text[at + word.len()..]))
}

/// Calls `found` with each address in the `address` of an NVMe controller over fabrics:
/// `traddr=192.0.2.1,trsvcid=4420,host_traddr=…`, `traddr=nn-0x…:pn-0x…`.
pub(super) fn in_fabric_address(address: &[u8], found: &mut dyn FnMut(&[u8])) {
    for field in address.trim_ascii().split(|&b| b == b',') {
        let Some(equals) = field.iter().position(|&b| b == b'=') else { continue };
        if FABRIC_ADDRESSES.contains(&&field[..equals]) {
            in_transport_address(&field[equals + 1..], found);
        }
    }
}

/// Calls `found` with what an address of a transport is made of: one of the Internet, or two World Wide Names.
pub(super) fn in_transport_address(value: &[u8], found: &mut dyn FnMut(&[u8])) {
    let is_channel = value.starts_with(b"nn-") || value.starts_with(b"pn-");
    if is_channel {
        value.split(|&b| matches!(b, b'-' | b':')).filter(|part| part.len() > 2).for_each(found);
    } else {
        found(value);
    }
}

/// Fields of such an address that lead to a machine.
const FABRIC_ADDRESSES: &[&[u8]] = &[b"traddr", b"host_traddr", b"src_addr"];
/// Fields that tell of no machine.
pub(super) const FABRIC_KEPT: &[&[u8]] = &[b"trsvcid", b"host_iface", b"queue_size"];

#[cfg(test)]
mod tests {
    use super::*;

    type Find = fn(&[u8], &mut dyn FnMut(&[u8]));

    fn all(find: Find, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        find(text.as_bytes(), &mut |part| found.push(String::from_utf8_lossy(part).into_owned()));
        found
    }

    #[test]
    fn names_and_addresses_are_found_in_paths() {
        for (path, want) in [
            (
                "ip-10.0.0.5:3260-iscsi-iqn.2001-04.com.example:a-lun-b-lun-1",
                &["10.0.0.5", "iqn.2001-04.com.example:a-lun-b"][..],
            ),
            (
                "pci-0000:01:00.0-ip-[fd00::5]:3260-iscsi-iqn.2001-04.x:y-lun-0-part1",
                &["fd00::5", "iqn.2001-04.x:y"],
            ),
            ("pci-0000:00:04.0-sas-0x5000c500a1b2c3d6-lun-0", &["0x5000c500a1b2c3d6"]),
            ("pci-0000:00:04.0-scsi-0:0:0:0", &[]),
        ] {
            let mut found = Vec::new();
            in_path(path.as_bytes(), &mut |part| {
                let (InPath::Machine(text) | InPath::Name(text)) = part;
                found.push(String::from_utf8_lossy(text).into_owned());
            });
            assert_eq!(found, want, "{path}");
        }
        let address = "traddr=10.1.2.3,trsvcid=4420,host_traddr=fd00::9,host_iface=eth0";
        assert_eq!(all(in_fabric_address, address), ["10.1.2.3", "fd00::9"]);
        assert_eq!(all(in_transport_address, "nn-0x1:pn-0x22"), ["0x1", "0x22"]);
    }

    #[test]
    fn a_qualified_name_has_an_authority_and_a_name_of_its_own() {
        let name = qualified(b"nqn.2014-08.org.nvmexpress:uuid:1-2").unwrap();
        assert!(name.is_common_authority());
        assert_eq!(name.own, b"1-2");
        assert_eq!(name.with(b"x", b"3-4"), b"nqn.2014-08.org.nvmexpress:uuid:3-4");
        let name = qualified(b"iqn.2001-04.com.acme.store").unwrap();
        assert_eq!((name.authority, name.own), (&b"com.acme.store"[..], &b""[..]));
        for other in ["iqn.", "nqn.2014-08", "nqn.discovery", "sda", "nqn.20x4-08.a:b"] {
            assert!(qualified(other.as_bytes()).is_none(), "{other}");
        }
    }
}
