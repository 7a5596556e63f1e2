//! Where tunnels of WireGuard end.
//!
//! Format: kernel, `include/uapi/linux/wireguard.h`.

use std::io;
use std::net::IpAddr;

use rustix::net::netlink;

use super::{Link, links};
use crate::attributes::{Attributes, push, u16_at};
use crate::dump::{Asker, GENERIC_HEADER};

/// Name of the family, and kind of the interfaces.
const NAME: &str = "wireguard";
const WG_CMD_GET_DEVICE: u8 = 0;
const WGDEVICE_A_IFNAME: u16 = 2;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_A_ENDPOINT: u16 = 4;
/// Where addresses are in `struct sockaddr_in` and `struct sockaddr_in6`.
const ADDRESS_V4: std::ops::Range<usize> = 4..8;
const ADDRESS_V6: std::ops::Range<usize> = 8..24;

/// Adds the far ends of those among some interfaces. They stay unknown to those who may not ask (`CAP_NET_ADMIN`), which is
/// told by there being none.
pub(super) fn add_ends(all: &mut [Link]) {
    if !all.iter().any(|link| link.kind == NAME) {
        return;
    }
    if let Ok(mut asker) = Asker::open(Some(netlink::GENERIC))
        && let Ok(Some(family)) = asker.family(NAME.as_bytes())
    {
        for link in all.iter_mut().filter(|link| link.kind == NAME) {
            if let Ok(ends) = ask(&mut asker, family, &link.name) {
                link.ends = ends;
            }
        }
    }
}

/// The far ends of all peers of an interface.
fn ask(asker: &mut Asker, family: u16, name: &[u8]) -> io::Result<Vec<IpAddr>> {
    let mut body = vec![WG_CMD_GET_DEVICE, 1, 0, 0];
    push(&mut body, WGDEVICE_A_IFNAME, &[name, b"\0"].concat());
    let found = asker.all(family, &body, |_, body| Some(ends(body)))?;
    let mut ends: Vec<IpAddr> = found.into_iter().flatten().collect();
    ends.sort_unstable();
    ends.dedup();
    Ok(ends)
}

fn ends(body: &[u8]) -> Vec<IpAddr> {
    let peers = Attributes::behind(body, GENERIC_HEADER).within(WGDEVICE_A_PEERS);
    peers.filter_map(|(_, peer)| endpoint(Attributes(peer).find(WGPEER_A_ENDPOINT)?)).collect()
}

fn endpoint(address: &[u8]) -> Option<IpAddr> {
    match u16_at(address, 0).map(i32::from)? {
        libc::AF_INET => links::address(address.get(ADDRESS_V4)?),
        libc::AF_INET6 => links::address(address.get(ADDRESS_V6)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::nested;

    #[test]
    fn peers_end_where_they_were_heard_from_last_if_ever() {
        let mut v4 = vec![0; 16];
        v4[..2].copy_from_slice(&2u16.to_ne_bytes());
        v4[2..8].copy_from_slice(&[0xca, 0x6c, 192, 0, 2, 7]);
        let mut v6 = vec![0; 28];
        v6[..2].copy_from_slice(&10u16.to_ne_bytes());
        v6[8..24].copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let peers = nested(&[
            (0, nested(&[(1, vec![1; 32]), (WGPEER_A_ENDPOINT, v4)])),
            (1, nested(&[(1, vec![2; 32])])),
            (2, nested(&[(WGPEER_A_ENDPOINT, v6)])),
            (3, nested(&[(WGPEER_A_ENDPOINT, vec![0])])),
        ]);
        let mut body = vec![0; GENERIC_HEADER];
        body.extend(nested(&[(WGDEVICE_A_IFNAME, b"wg0\0".to_vec()), (WGDEVICE_A_PEERS, peers)]));
        let want: Vec<IpAddr> = ["192.0.2.7", "2001:db8::7"].map(|text| text.parse().unwrap()).into();
        assert_eq!(ends(&body), want);
    }
}
