//! What an interface is built upon, down to devices.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;

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

/// Kinds of interfaces in pairs, of which the other one can be in another network namespace.
const PAIRS: &[&str] = &["netkit", "veth"];

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

const ALL: [How; 4] = [How::Itself, How::Part, How::Tunnel, How::Maybe];

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
    steps: RefCell<HashMap<Node, Rc<Step>>>,
}

/// Where a walk comes by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Interface(InterfaceName),
    /// All of Open vSwitch.
    Switches,
    /// All that can carry what goes nobody knows where.
    Anywhere,
}

/// What is directly below a node.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// That of an interface that is here, relative to the root.
    pub(super) path: Option<Vec<u8>>,
    pub(super) lower: Vec<(Node, How)>,
    /// Whether it goes on in another network namespace.
    is_elsewhere: bool,
}

/// Nodes that are still to be looked at, by how they are needed: of several ways the surest counts.
#[derive(Debug, Default)]
pub(super) struct Open([Vec<Node>; ALL.len()]);

impl Open {
    pub(super) fn add(&mut self, node: Node, how: How) {
        self.0[how as usize].push(node);
    }

    pub(super) fn next(&mut self) -> Option<(Node, How)> {
        ALL.into_iter().find_map(|how| Some((self.0[how as usize].pop()?, how)))
    }
}

/// A walk from one interface to all that it needs.
#[derive(Debug, Default)]
struct Walk {
    open: Open,
    seen: HashSet<Node>,
    found: Vec<(InterfaceName, How, Vec<u8>)>,
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
            steps: RefCell::default(),
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

    /// Bridges and the like that another network namespace is led to through, each with the first of its ports whose other end is
    /// there.
    pub(super) fn led_elsewhere(&self) -> BTreeMap<&InterfaceName, &InterfaceName> {
        let mut bridges = BTreeMap::new();
        for link in self.links.values() {
            if link.is_lower_elsewhere
                && PAIRS.contains(&link.kind.as_str())
                && let Some(bridge) = &link.master
            {
                let first = bridges.entry(bridge).or_insert(&link.name);
                *first = (*first).min(&link.name);
            }
        }
        bridges
    }

    /// An interface and all that it is built upon.
    pub(super) fn below(&self, upper: &[u8]) -> Result<Vec<Needed>> {
        let upper = InterfaceName::from(upper);
        let mut walk = Walk::default();
        walk.open.add(Node::Interface(upper.clone()), How::Itself);
        self.go(&mut walk)?;
        let leads_nowhere = self.links.get(&upper).is_some_and(|link| NOWHERE.contains(&link.kind.as_str()));
        // None at all: it is none of this network.
        if !walk.found.is_empty() && !leads_nowhere && !walk.found.iter().any(|(.., path)| is_real(path)) {
            walk.open.add(Node::Anywhere, How::Maybe);
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
        let mut walk = Walk::default();
        walk.open.add(Node::Anywhere, How::Maybe);
        self.go(&mut walk)?;
        Ok(needed(&InterfaceName::from(&b""[..]), walk))
    }

    fn go(&self, walk: &mut Walk) -> Result<()> {
        while let Some((node, how)) = walk.open.next() {
            if !walk.seen.insert(node.clone()) {
                continue;
            }
            bounded(walk.seen.len())?;
            let step = self.step(&node)?;
            for (lower, way) in &step.lower {
                walk.open.add(lower.clone(), how.max(*way));
            }
            if let (Node::Interface(name), Some(path)) = (node, &step.path) {
                if step.is_elsewhere {
                    walk.elsewhere = Some(name.clone());
                }
                walk.found.push((name, how, path.clone()));
            }
        }
        Ok(())
    }

    /// What is directly below a node, found out once.
    pub(super) fn step(&self, node: &Node) -> Result<Rc<Step>> {
        if let Some(known) = self.steps.borrow().get(node) {
            return Ok(Rc::clone(known));
        }
        let step = Rc::new(match node {
            Node::Interface(name) => self.step_of(name)?,
            Node::Switches => {
                let all = self.links.values().filter(|link| link.kind == OVS_KIND);
                let lower = all.map(|link| (Node::Interface(link.name.clone()), How::Part)).collect();
                Step { lower, ..Step::default() }
            }
            Node::Anywhere => {
                let all = self.carriers()?.into_iter();
                let lower = all.map(|name| (Node::Interface(name), How::Maybe)).collect();
                Step { lower, ..Step::default() }
            }
        });
        self.steps.borrow_mut().insert(node.clone(), Rc::clone(&step));
        Ok(step)
    }

    /// What an interface is directly built upon.
    fn step_of(&self, name: &InterfaceName) -> Result<Step> {
        let at = join(CLASS_NET.as_bytes(), name);
        // One that sysfs does not show is in another network namespace.
        let Some(path) = (if is_name(name) { self.host.read_link(&at)? } else { None }) else {
            return Ok(Step::default());
        };
        let path = follow(CLASS_NET.as_bytes(), &path);
        let link = self.links.get(name);
        let kind = link.map_or("", |link| link.kind.as_str());
        let entries = self.host.names(&at)?.unwrap_or_default();
        let mut lower: Vec<InterfaceName> = entries
            .iter()
            .filter_map(|entry| entry.strip_prefix(b"lower_"))
            .map(InterfaceName::from)
            .collect();
        lower.extend(self.parts.get(name).into_iter().flatten().cloned());
        let peer = match link.and_then(|link| link.lower.clone()) {
            Some(peer) => Some(peer),
            None if lower.is_empty() && !is_real(&path) => self.by_number(&at)?,
            None => None,
        };
        let mut step = Step::default();
        let mut add = |name, how| step.lower.push((Node::Interface(name), how));
        if TUNNELS.contains(&kind) {
            let mut is_known = peer.is_some();
            for end in link.into_iter().flat_map(|link| &link.ends) {
                if let Way::Through(names) = self.routes.to(*end) {
                    is_known |= names.iter().any(|end| end != name);
                    names.into_iter().for_each(|name| add(name, How::Tunnel));
                }
            }
            peer.into_iter().for_each(|peer| add(peer, How::Tunnel));
            if !is_known {
                step.lower.push((Node::Anywhere, How::Maybe));
            }
        } else if let Some(peer) = peer.filter(|peer| !lower.contains(peer)) {
            // The other end of a pair, which can be in a bridge.
            self.master(&peer)?.into_iter().for_each(|master| add(master, How::Part));
            add(peer, How::Part);
        } else {
            step.is_elsewhere = link.is_some_and(|link| link.is_lower_elsewhere);
        }
        if kind == OVS_KIND {
            step.lower.push((Node::Switches, How::Part));
        }
        step.lower.extend(lower.into_iter().map(|name| (Node::Interface(name), How::Part)));
        step.path = Some(path);
        Ok(step)
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
    fn carriers(&self) -> Result<Vec<InterfaceName>> {
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
        Ok(names)
    }
}

/// Whether an interface is that of a device, and not only of the kernel.
fn is_real(path: &[u8]) -> bool {
    !path.starts_with(VIRTUAL.as_bytes())
}

/// Refuses more interfaces than there can be.
pub(super) fn bounded(count: usize) -> Result<()> {
    if count > MOST_INTERFACES {
        let problem = format!("more than {MOST_INTERFACES} interfaces are built upon each other");
        return Err(SysError::malformed(CLASS_NET.as_bytes(), problem).into());
    }
    Ok(())
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
        std::fs::create_dir_all(folder.path().join("sys/class/net")).unwrap();
        for port in 0..50 {
            let path = format!("devices/virtual/net/p{port}");
            std::fs::create_dir_all(folder.path().join("sys").join(&path)).unwrap();
            let at = folder.path().join(format!("sys/class/net/p{port}"));
            std::os::unix::fs::symlink(format!("../../{path}"), at).unwrap();
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
            steps: RefCell::default(),
        };
        let mut steps = vec![Node::Switches];
        steps.extend(interfaces.links.keys().cloned().map(Node::Interface));
        let steps = steps.iter().map(|node| interfaces.step(node).unwrap().lower.len());
        assert_eq!(steps.sum::<usize>(), 50 + 50);
        assert_eq!(interfaces.below(b"p7").unwrap().len(), 50);
    }
}
