//! Routes in the files of the first process, whose network need not be that of who asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nodedev_sys::network::{InterfaceName, Route, RouteKind};
use nodedev_sys::paths::{PROCESSES_OF_THE_HOST, join};
use nodedev_sys::{HostAccess, SysError};

use crate::Result;
use crate::check::lookup::is_name;

/// Bound of a routing table: some hosts have all routes of the Internet.
const ROUTES_LIMIT: usize = 256 << 20;
/// Flags of routes in the files (`include/uapi/linux/route.h`, `ipv6_route.h`): up, dead end, this machine's own, and of an
/// address that several machines have.
const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;
const RTF_ANYCAST: u32 = 0x0010_0000;
const RTF_LOCAL: u32 = 0x8000_0000;
/// What stands for the table in the files, which do not say: they can be those of another network than netlink's.
const FROM_FILES: u32 = 0;
/// The routes in `net/route` and `net/ipv6_route`, which have the main table only.
pub(super) fn routes(host: &dyn HostAccess) -> Result<Vec<Route>> {
    type Parse = fn(&[u8]) -> Option<Line>;
    let mut routes = Vec::new();
    for process in PROCESSES_OF_THE_HOST {
        let mut found = false;
        for (file, parse) in [("route", ipv4 as Parse), ("ipv6_route", ipv6)] {
            let path = join(process.as_bytes(), format!("net/{file}").as_bytes());
            let Some(table) = host.read(&path, ROUTES_LIMIT)? else { continue };
            found = true;
            for line in table.split(|&b| b == b'\n') {
                match parse(line) {
                    Some(Line::Route(route)) => routes.push(route),
                    Some(Line::Other) => {}
                    None => {
                        let problem = format!("the line '{}'", String::from_utf8_lossy(line));
                        return Err(SysError::malformed(&path, problem).into());
                    }
                }
            }
        }
        if found {
            break;
        }
    }
    Ok(routes)
}

/// What a line of a file says.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Route(Route),
    /// The head of the table, nothing, or a route that leads nobody anywhere.
    Other,
}

/// Reads a line of `net/route`; `None` for one that cannot be understood.
fn ipv4(line: &[u8]) -> Option<Line> {
    let fields: Vec<&[u8]> = fields(line);
    if matches!(fields[..], [] | [b"Iface", ..]) {
        return Some(Line::Other);
    }
    let [interface, destination, _gateway, flags, _, _, metric, mask, ..] = fields[..] else { return None };
    // Numbers as they are in memory, that is in the order of the network.
    let address = |field| Some(Ipv4Addr::from(number(field, 16)?.to_ne_bytes()));
    let length = u32::from(address(mask)?).leading_ones() as u8;
    route(interface, address(destination)?.into(), length, number(flags, 16)?, number(metric, 10)?)
}

/// Reads a line of `net/ipv6_route`; `None` for one that cannot be understood.
fn ipv6(line: &[u8]) -> Option<Line> {
    let fields: Vec<&[u8]> = fields(line);
    if fields.is_empty() {
        return Some(Line::Other);
    }
    let [destination, length, _, _, _, metric, _, _, flags, interface] = fields[..] else { return None };
    let destination = std::str::from_utf8(destination).ok().filter(|text| text.len() == 32)?;
    let address = Ipv6Addr::from(u128::from_str_radix(destination, 16).ok()?);
    let length = u8::try_from(number(length, 16)?).ok().filter(|length| *length <= 128)?;
    route(interface, address.into(), length, number(flags, 16)?, number(metric, 16)?)
}

fn route(interface: &[u8], destination: IpAddr, length: u8, flags: u32, priority: u32) -> Option<Line> {
    if flags & RTF_UP == 0 || flags & RTF_ANYCAST != 0 {
        return Some(Line::Other);
    }
    let kind = match flags {
        flags if flags & RTF_REJECT != 0 => RouteKind::DeadEnd,
        flags if flags & RTF_LOCAL != 0 => RouteKind::Local,
        _ => RouteKind::Unicast,
    };
    let interfaces: Arc<[InterfaceName]> = match kind {
        // `*`, or the interface of this machine itself.
        RouteKind::DeadEnd => Arc::from([]),
        _ if is_name(interface) => Arc::from([InterfaceName::from(interface)]),
        _ => return None,
    };
    Some(Line::Route(Route {
        destination,
        length,
        kind,
        table: FROM_FILES,
        priority,
        is_limited: false,
        interfaces,
    }))
}

fn fields(line: &[u8]) -> Vec<&[u8]> {
    line.split(|b| b.is_ascii_whitespace()).filter(|field| !field.is_empty()).collect()
}

fn number(field: &[u8], radix: u32) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(field).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unicast(text: &str, interface: &str, priority: u32) -> Option<Line> {
        let (destination, length) = text.split_once('/').unwrap();
        Some(Line::Route(Route {
            destination: destination.parse().unwrap(),
            length: length.parse().unwrap(),
            kind: RouteKind::Unicast,
            table: FROM_FILES,
            priority,
            is_limited: false,
            interfaces: [interface.as_bytes().into()].into(),
        }))
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_ipv4_are_routes_dead_ends_nothing_or_refused() {
        for (line, want) in [
            ("br0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", unicast("0.0.0.0/0", "br0", 100)),
            (
                "eth1\t0000A8C0\t00000000\t0001\t0\t0\t7\t00FFFFFF\t0\t0\t0",
                unicast("192.168.0.0/24", "eth1", 7),
            ),
            ("eth1\t00000000\t0100A8C0\t0002\t0\t0\t9\t00000000\t0\t0\t0", Some(Line::Other)),
            ("Iface\tDestination\tGateway \tFlags", Some(Line::Other)),
            ("", Some(Line::Other)),
            ("../x\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", None),
            ("eth0\t0000", None),
            ("eth0 x x 3 0 0 0 0 0", None),
        ] {
            assert_eq!(ipv4(line.as_bytes()), want, "{line}");
        }
        let dead = ipv4(b"*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0");
        let Some(Line::Route(dead)) = dead else { panic!("{dead:?}") };
        assert_eq!((dead.kind, dead.interfaces.len()), (RouteKind::DeadEnd, 0));
    }

    #[test]
    fn lines_of_ipv6_are_routes_dead_ends_this_machine_or_refused() {
        let zero = "0".repeat(32);
        let line = |destination: &str, prefix: &str, flags: &str, interface: &str| {
            let line = format!(
                "{destination} {prefix} {zero} 00 {zero} 00000400 00000001 00000000 {flags} {interface}"
            );
            ipv6(line.as_bytes())
        };
        assert_eq!(line(&zero, "00", "00450003", "eth0"), unicast("::/0", "eth0", 1024));
        assert_eq!(line(&zero, "00", "00200200", "lo"), Some(Line::Other));
        let kind = |line| match line {
            Some(Line::Route(route)) => Some(route.kind),
            _ => None,
        };
        assert_eq!(kind(line(&zero, "00", "00200201", "lo")), Some(RouteKind::DeadEnd));
        assert_eq!(kind(line(&"20".repeat(16), "80", "80200001", "eth0")), Some(RouteKind::Local));
        for (destination, prefix) in [(zero.as_str(), "81"), ("00", "00"), ("x", "00")] {
            assert_eq!(line(destination, prefix, "00450003", "eth0"), None, "{destination} {prefix}");
        }
    }
}
