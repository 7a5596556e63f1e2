//! What an interface is built upon, down to devices.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use nodedev_sys::network::{InterfaceName, Link};
use nodedev_sys::paths::{CLASS_NET, PROCESSES_OF_THE_HOST, VIRTUAL, basename, follow, join};
use nodedev_sys::{HostAccess, SysError};

use super::routes::{Routes, Way};
use crate::kernel::attribute_value;
use crate::operations::Result;
use crate::operations::check::lookup::is_name;

/// How many interfaces are gone through at most, as the bound of a walk.
const MOST_INTERFACES: usize = 1 << 17;
const SMALL: usize = 4096;
const PPPOE_LIMIT: usize = 1 << 20;
/// The interface of the kernel's Open vSwitch that all ports are parts of, and the kind of that one and of the internal ports.
const OVS_NAME: &[u8] = b"ovs-system";
const OVS_KIND: &str = "openvswitch";
/// Kinds of tunnels, whose packets are sent on as others.
const TUNNELS: &[&str] = &[
    "amt",
    "bareudp",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "gtp",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ovpn",
    "ppp",
    "sit",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
    "xfrm",
];
/// Kinds that lead nowhere.
const NOWHERE: &[&str] = &["dummy", "ifb", "nlmon"];

/// How an interface is needed for another; the later, the less is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// It is that one.
    Itself,
    /// That one is built upon it.
    Part,
    /// What that one sends goes on through it.
    Tunnel,
    /// It may be so.
    Maybe,
}

/// An interface that is needed for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needed {
    /// The other one; empty if that is not known.
    pub(super) upper: InterfaceName,
    pub(super) name: InterfaceName,
    pub(super) how: How,
    /// Relative to the root.
    pub(super) path: Vec<u8>,
}

/// The interfaces of a host.
#[derive(Debug)]
pub(crate) struct Interfaces<'a> {
    host: &'a dyn HostAccess,
    routes: Routes,
    links: HashMap<InterfaceName, Link>,
    /// The parts of bridges, bonds and the like.
    parts: HashMap<InterfaceName, Vec<InterfaceName>>,
    addresses: Vec<(IpAddr, InterfaceName)>,
    /// Names by the text of their numbers in sysfs.
    by_number: OnceCell<HashMap<Vec<u8>, InterfaceName>>,
    carriers: OnceCell<Vec<InterfaceName>>,
}

/// A walk from one interface to all that it needs.
#[derive(Debug, Default)]
struct Walk {
    open: Vec<(InterfaceName, How)>,
    seen: HashSet<InterfaceName>,
    found: Vec<(InterfaceName, How, Vec<u8>)>,
    /// Whether somewhere it is not known where it goes on.
    is_lost: bool,
    /// Whether all of Open vSwitch was added.
    has_switches: bool,
    /// An interface that goes on in another network namespace.
    elsewhere: Option<InterfaceName>,
}

impl<'a> Interfaces<'a> {
    pub(crate) fn of(host: &'a dyn HostAccess) -> Result<Self> {
        let network = host.network()?;
        let mut parts: HashMap<InterfaceName, Vec<InterfaceName>> = HashMap::new();
        for link in &network.links {
            if let Some(master) = &link.master {
                parts.entry(master.clone()).or_default().push(link.name.clone());
            }
        }
        Ok(Self {
            host,
            routes: Routes::new(network.routes, host)?,
            links: network.links.into_iter().map(|link| (link.name.clone(), link)).collect(),
            parts,
            addresses: network.addresses,
            by_number: OnceCell::new(),
            carriers: OnceCell::new(),
        })
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The interfaces that have an address.
    pub(super) fn with_address(&self, address: IpAddr) -> impl Iterator<Item = &InterfaceName> {
        let address = address.to_canonical();
        self.addresses.iter().filter(move |(known, _)| known.to_canonical() == address).map(|(_, name)| name)
    }

    /// An interface and all that it is built upon.
    pub(super) fn below(&self, upper: &[u8]) -> Result<Vec<Needed>> {
        let upper = InterfaceName::from(upper);
        let mut walk = Walk { open: vec![(upper.clone(), How::Itself)], ..Walk::default() };
        self.go(&mut walk)?;
        let leads_nowhere = self.links.get(&upper).is_some_and(|link| NOWHERE.contains(&link.kind.as_str()));
        // None at all: it is none of this network.
        let is_lost =
            !walk.found.is_empty() && !leads_nowhere && !walk.found.iter().any(|(.., path)| is_real(path));
        if walk.is_lost || is_lost {
            walk.open.extend(self.carriers()?.iter().map(|name| (name.clone(), How::Maybe)));
            self.go(&mut walk)?;
        }
        if let Some(name) = &walk.elsewhere
            && !walk.found.iter().any(|(.., path)| is_real(path))
        {
            let problem = "it leads to another network namespace, and what is there cannot be seen from here";
            return Err(SysError::malformed(&join(CLASS_NET.as_bytes(), name), problem).into());
        }
        Ok(needed(&upper, walk))
    }

    /// What packets for an address go through.
    pub(super) fn to(&self, address: IpAddr) -> Result<Vec<Needed>> {
        let names = match self.routes.to(address) {
            Way::Local => return Ok(Vec::new()),
            _ if address.is_loopback() || self.with_address(address).next().is_some() => {
                return Ok(Vec::new());
            }
            Way::Through(names) => names,
        };
        if names.is_empty() {
            return self.any();
        }
        let mut all = Vec::new();
        for name in names {
            all.extend(self.below(&name)?);
        }
        Ok(all)
    }

    /// What packets could go through of which nobody knows where they go.
    pub(super) fn any(&self) -> Result<Vec<Needed>> {
        let open = self.carriers()?.iter().map(|name| (name.clone(), How::Maybe)).collect();
        let mut walk = Walk { open, ..Walk::default() };
        self.go(&mut walk)?;
        Ok(needed(&InterfaceName::from(&b""[..]), walk))
    }

    fn go(&self, walk: &mut Walk) -> Result<()> {
        while let Some((name, how)) = walk.open.pop() {
            if !is_name(&name) || !walk.seen.insert(name.clone()) {
                continue;
            }
            if walk.seen.len() > MOST_INTERFACES {
                let problem = format!("more than {MOST_INTERFACES} interfaces are built upon each other");
                return Err(SysError::malformed(CLASS_NET.as_bytes(), problem).into());
            }
            let at = join(CLASS_NET.as_bytes(), &name);
            // One that sysfs does not show is in another network namespace.
            let Some(link) = self.host.read_link(&at)? else { continue };
            let path = follow(CLASS_NET.as_bytes(), &link);
            self.step(walk, &name, how, &at, &path)?;
            walk.found.push((name, how, path));
        }
        Ok(())
    }

    /// Adds what an interface is directly built upon.
    fn step(&self, walk: &mut Walk, name: &InterfaceName, how: How, at: &[u8], path: &[u8]) -> Result<()> {
        let link = self.links.get(name);
        let kind = link.map_or("", |link| link.kind.as_str());
        let part = how.max(How::Part);
        let entries = self.host.names(at)?.unwrap_or_default();
        let mut lower: Vec<InterfaceName> = entries
            .iter()
            .filter_map(|entry| entry.strip_prefix(b"lower_"))
            .map(InterfaceName::from)
            .collect();
        lower.extend(self.parts.get(name).into_iter().flatten().cloned());
        let peer = match link.and_then(|link| link.lower.clone()) {
            Some(peer) => Some(peer),
            None if lower.is_empty() && !is_real(path) => self.by_number(at)?,
            None => None,
        };
        if kind == OVS_KIND && !std::mem::replace(&mut walk.has_switches, true) {
            let all = self.links.values().filter(|link| link.kind == OVS_KIND);
            lower.extend(all.map(|link| link.name.clone()));
        }
        if TUNNELS.contains(&kind) {
            let way = how.max(How::Tunnel);
            let mut is_known = peer.is_some();
            for end in link.into_iter().flat_map(|link| &link.ends) {
                if let Way::Through(names) = self.routes.to(*end) {
                    is_known |= names.iter().any(|end| end != name);
                    walk.open.extend(names.into_iter().map(|name| (name, way)));
                }
            }
            walk.open.extend(peer.map(|peer| (peer, way)));
            walk.is_lost |= !is_known;
        } else if let Some(peer) = peer.filter(|peer| !lower.contains(peer)) {
            // The other end of a pair, which can be in a bridge.
            walk.open.extend(self.master(&peer)?.map(|master| (master, part)));
            walk.open.push((peer, part));
        } else if link.is_some_and(|link| link.is_lower_elsewhere) {
            walk.elsewhere = Some(name.clone());
        }
        walk.open.extend(lower.into_iter().map(|name| (name, part)));
        Ok(())
    }

    /// The bridge, bond or the like that an interface is a part of. `None` if there is none, or no such interface here.
    pub(super) fn master(&self, name: &InterfaceName) -> Result<Option<InterfaceName>> {
        if let Some(link) = self.links.get(name) {
            return Ok(link.master.clone());
        }
        let link = self.host.read_link(&join(&join(CLASS_NET.as_bytes(), name), b"master"))?;
        Ok(link.map(|link| basename(&link).into()))
    }

    /// The interface whose number another one names in sysfs as that which it is built upon, or the other end of a pair.
    fn by_number(&self, at: &[u8]) -> Result<Option<InterfaceName>> {
        let number = |at: &[u8], file: &[u8]| -> Result<Vec<u8>> {
            let value = self.host.read(&join(at, file), SMALL)?.unwrap_or_default();
            Ok(attribute_value(&value).to_vec())
        };
        let (own, other) = (number(at, b"ifindex")?, number(at, b"iflink")?);
        if own == other || other.is_empty() || other == b"0" {
            return Ok(None);
        }
        if self.by_number.get().is_none() {
            let mut known = HashMap::new();
            for name in self.host.names(CLASS_NET.as_bytes())?.unwrap_or_default() {
                known.insert(
                    number(&join(CLASS_NET.as_bytes(), &name), b"ifindex")?,
                    InterfaceName::from(&*name),
                );
            }
            let _ = self.by_number.set(known);
        }
        Ok(self.by_number.get().and_then(|known| known.get(&other).cloned()))
    }

    /// Interfaces that carry what goes nobody knows where: switches whose ports nobody tells apart, those of PPP over Ethernet,
    /// and all that have a route to anywhere.
    fn carriers(&self) -> Result<&[InterfaceName]> {
        if let Some(known) = self.carriers.get() {
            return Ok(known);
        }
        let mut names = self.routes.all_interfaces();
        let switches = self.links.values().filter(|link| link.kind == OVS_KIND);
        names.extend(switches.map(|link| link.name.clone()));
        names.push(OVS_NAME.into());
        for process in PROCESSES_OF_THE_HOST {
            let path = join(process.as_bytes(), b"net/pppoe");
            let table = self.host.read(&path, PPPOE_LIMIT)?.unwrap_or_default();
            let lines = table.split(|&b| b == b'\n').skip(1);
            names.extend(lines.filter_map(|line| {
                line.split(|b| b.is_ascii_whitespace())
                    .filter(|field| !field.is_empty())
                    .nth(2)
                    .map(Into::into)
            }));
        }
        Ok(self.carriers.get_or_init(|| names))
    }
}

/// Whether an interface is that of a device, and not only of the kernel.
fn is_real(path: &[u8]) -> bool {
    !path.starts_with(VIRTUAL.as_bytes())
}

fn needed(upper: &InterfaceName, walk: Walk) -> Vec<Needed> {
    let needed = |(name, how, path)| Needed { upper: upper.clone(), name, how, path };
    walk.found.into_iter().map(needed).collect()
}

#[cfg(test)]
mod tests {
    use nodedev_sys::Root;

    use super::*;

    #[test]
    fn all_ports_of_a_switch_are_added_to_a_walk_once() {
        let folder = tempfile::tempdir().unwrap();
        for port in 0..50 {
            std::fs::create_dir_all(folder.path().join(format!("sys/devices/virtual/net/p{port}"))).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let port = |number: u32| Link {
            name: format!("p{number}").into_bytes().into(),
            kind: OVS_KIND.into(),
            ..Link::default()
        };
        let interfaces = Interfaces {
            host: &root,
            routes: Routes::default(),
            links: (0..50).map(port).map(|link| (link.name.clone(), link)).collect(),
            parts: HashMap::new(),
            addresses: Vec::new(),
            by_number: OnceCell::new(),
            carriers: OnceCell::new(),
        };
        let mut walk = Walk::default();
        for name in interfaces.links.keys() {
            let at = join(VIRTUAL.as_bytes(), b"net");
            let path = join(&at, name);
            interfaces.step(&mut walk, name, How::Part, &path, &path).unwrap();
        }
        assert_eq!(walk.open.len(), 50);
    }
}
