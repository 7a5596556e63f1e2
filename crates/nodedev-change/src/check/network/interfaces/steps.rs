//! What an interface is directly built upon.

use std::collections::HashMap;
use std::rc::Rc;

use nodedev_sys::attribute_value;
use nodedev_sys::network::InterfaceName;
use nodedev_sys::paths::{CLASS_NET, PROCESSES_OF_THE_HOST, follow, join};

use super::{How, Interfaces, is_real};
use crate::Result;
use crate::check::lookup::is_name;
use crate::check::network::routes::Way;

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
/// Where a walk comes by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::check::network) enum Node {
    Interface(InterfaceName),
    /// All of Open vSwitch.
    Switches,
    /// All that can carry what goes nobody knows where.
    Anywhere,
}

/// What is directly below a node.
#[derive(Debug, Default)]
pub(in crate::check::network) struct Step {
    /// That of an interface that is here, relative to the root.
    pub(in crate::check::network) path: Option<Vec<u8>>,
    pub(in crate::check::network) lower: Vec<(Node, How)>,
    /// Whether it goes on in another network namespace.
    pub(super) is_elsewhere: bool,
}

impl Interfaces<'_> {
    /// What is directly below a node, found out once.
    pub(in crate::check::network) fn step(&self, node: &Node) -> Result<Rc<Step>> {
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

#[cfg(test)]
mod tests {
    use std::cell::{OnceCell, RefCell};
    use std::collections::HashMap;

    use nodedev_sys::Root;
    use nodedev_sys::network::Link;

    use super::super::Routes;
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
