//! What an interface is built upon, down to devices.

mod steps;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;

use nodedev_sys::network::{InterfaceName, Link};
use nodedev_sys::paths::{CLASS_NET, VIRTUAL, basename, join};
use nodedev_sys::{HostAccess, SysError};

pub(super) use self::steps::Node;
use self::steps::Step;
use super::routes::{Routes, Way};
use crate::Result;

/// How many interfaces are gone through at most, as the bound of a walk.
const MOST_INTERFACES: usize = 1 << 17;
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

    /// The bridge, bond or the like that an interface is a part of. `None` if there is none, or no such interface here.
    pub(super) fn master(&self, name: &InterfaceName) -> Result<Option<InterfaceName>> {
        if let Some(link) = self.links.get(name) {
            return Ok(link.master.clone());
        }
        let link = self.host.read_link(&join(&join(CLASS_NET.as_bytes(), name), b"master"))?;
        Ok(link.map(|link| basename(&link).into()))
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
