//! Interfaces that the host reaches its network through, and whoever asks the host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nodedev_model::{Effect, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{CLASS_NET, PROCESSES_OF_THE_HOST, follow};

use super::Scene;
use super::claims::{Claim, Claims};
use crate::operations::Result;

/// Bound of a routing table: some hosts have all routes of the Internet.
const ROUTES_LIMIT: usize = 256 << 20;
/// How deep interfaces are built upon each other at most (kernel, `MAX_NEST_DEV`), as the bound of a walk.
const MOST_INTERFACES: usize = 4096;

/// An interface that the host needs, or one that that is built upon.
#[derive(Debug)]
pub(super) struct Through {
    /// Why, as it is told: `its default route is through eth0`.
    why: String,
    remedy: &'static str,
    /// Relative to the root.
    path: Vec<u8>,
}

/// Claims of default routes and of the connection of whoever asks on interfaces, be they below a bond, a bridge or a VLAN.
pub(super) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    for Through { why, remedy, path } in through(scene.host, scene.connected_at)? {
        claims.add(Claim {
            kind: FindingKind::HostNetwork,
            effect: Effect::RefusedUnlessForced,
            path,
            what: format!("is needed by the host: {why}"),
            remedy: remedy.to_owned(),
        });
    }
    Ok(())
}

/// Paths of the devices that an interface is, or is built upon.
pub(super) fn devices_below(host: &dyn HostAccess, interface: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut devices = Vec::new();
    for interface in all_below(host, &String::from_utf8_lossy(interface))? {
        let link = host.read_link(format!("{CLASS_NET}/{interface}").as_bytes())?;
        devices.extend(link.map(|link| follow(CLASS_NET.as_bytes(), &link)));
    }
    Ok(devices)
}

/// The interfaces of default routes and of a connection, and all those that they are built upon.
pub(super) fn through(host: &dyn HostAccess, connected_at: Option<IpAddr>) -> Result<Vec<Through>> {
    let mut through = Vec::new();
    let mut add = |what: &str, interfaces: &mut dyn Iterator<Item = String>, remedy| -> Result<()> {
        for upper in interfaces {
            for interface in all_below(host, &upper)? {
                let Some(link) = host.read_link(format!("{CLASS_NET}/{interface}").as_bytes())? else {
                    continue;
                };
                let mut why = format!("{what} is through {upper}");
                if interface != upper {
                    why.push_str(&format!(", of which {interface} is a part"));
                }
                through.push(Through { why, remedy, path: follow(CLASS_NET.as_bytes(), &link) });
            }
        }
        Ok(())
    };
    let remedy = "move the route to another interface; with --force the host loses its network";
    add("its default route", &mut default_routes(host).into_iter(), remedy)?;
    if let Some(address) = connected_at {
        let interfaces = host.interfaces_of(address)?;
        let remedy = "connect through another interface; with --force this connection is lost";
        let mut interfaces = interfaces.into_iter().filter(|name| is_interface(name));
        add(&format!("your connection to {address}"), &mut interfaces, remedy)?;
    }
    Ok(through)
}

/// Names of the interfaces that default routes lead through. Source: `net/route` and `net/ipv6_route` in `/proc/PID`.
fn default_routes(host: &dyn HostAccess) -> BTreeSet<String> {
    let mut interfaces = BTreeSet::new();
    for process in PROCESSES_OF_THE_HOST {
        let mut found = false;
        for (file, parse) in [("route", ipv4 as fn(&str) -> Option<&str>), ("ipv6_route", ipv6)] {
            // Another user's process shows its network to root only.
            let Ok(Some(table)) = host.read(format!("{process}/net/{file}").as_bytes(), ROUTES_LIMIT) else {
                continue;
            };
            found = true;
            interfaces.extend(String::from_utf8_lossy(&table).lines().filter_map(parse).map(str::to_owned));
        }
        if found {
            break;
        }
    }
    interfaces
}

/// The interface of a line of `net/route`, if the line is of a default route that is up.
fn ipv4(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [interface, destination, _gateway, flags, _, _, _, mask, ..] = fields[..] else { return None };
    let is_up = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0);
    (destination == "00000000" && mask == "00000000" && is_up && is_interface(interface)).then_some(interface)
}

/// The interface of a line of `net/ipv6_route`, if the line is of a default route that is up and no dead end.
fn ipv6(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [destination, length, _, _, _, _, _, _, flags, interface] = fields[..] else { return None };
    // RTF_UP, and not RTF_REJECT (include/uapi/linux/route.h).
    let leads = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 != 0 && flags & 0x200 == 0);
    let is_default = length == "00" && destination.bytes().all(|b| b == b'0');
    (is_default && leads && interface != "lo" && is_interface(interface)).then_some(interface)
}

fn is_interface(name: &str) -> bool {
    !name.is_empty() && !name.contains('/') && !matches!(name, "." | "..")
}

/// An interface and all that it is built upon.
fn all_below(host: &dyn HostAccess, interface: &str) -> Result<Vec<String>> {
    let mut all = vec![interface.to_owned()];
    let mut next = 0;
    while let Some(name) = all.get(next).cloned() {
        next += 1;
        let path = format!("{CLASS_NET}/{name}");
        for entry in host.names(path.as_bytes())?.unwrap_or_default() {
            let lower = std::str::from_utf8(&entry).ok().and_then(|entry| entry.strip_prefix("lower_"));
            if let Some(lower) = lower
                && all.len() < MOST_INTERFACES
                && !all.iter().any(|known| known == lower)
            {
                all.push(lower.to_owned());
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{ipv4, ipv6};

    #[test]
    fn default_routes_are_told_from_others() {
        for (line, want) in [
            ("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT", None),
            ("br0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", Some("br0")),
            ("eth1\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", None),
            ("eth1\t00000000\t0100A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0", None),
            ("../x\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0", None),
            ("", None),
        ] {
            assert_eq!(ipv4(line), want, "{line}");
        }
        let zero = "0".repeat(32);
        let line = |prefix: &str, flags: &str, interface: &str| {
            format!(
                "{zero} {prefix} {zero} 00 fe8000000000000000000000000000fe 00000400 00000001 00000000 {flags} {interface}"
            )
        };
        for (line, want) in [
            (line("00", "00450003", "eth0"), Some("eth0")),
            (line("40", "00450003", "eth0"), None),
            (line("00", "00200200", "lo"), None),
            (line("00", "00000201", "eth0"), None),
        ] {
            assert_eq!(ipv6(&line), want, "{line}");
        }
    }
}
