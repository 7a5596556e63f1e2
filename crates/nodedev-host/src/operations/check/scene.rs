//! What several checks need to know, read once for all functions of an operation.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use nodedev_sys::HostAccess;
use nodedev_sys::paths::{CLASS_BLOCK, DEV, DEV_VFIO, basename, follow};
use nodedev_sys::processes::{self, Holder, Holders, Node};

use super::network::{self, Through};
use super::storage::{self, Use};
use super::{consoles, keyboards, memory, user_space};
use crate::operations::group::Group;
use crate::operations::{PciFunction, Result};

/// A host, and what was found out about it.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) host: &'a dyn HostAccess,
    /// Address of the host that whoever asks is connected to over a network.
    connected_at: Option<IpAddr>,
    /// Paths of all block devices and partitions, relative to the root.
    block: OnceCell<Vec<Vec<u8>>>,
    holders: OnceCell<Holders>,
    opened: OnceCell<Vec<Opened>>,
    used: OnceCell<Vec<Use>>,
    through: OnceCell<Vec<Through>>,
}

/// A block device that a process has open, or one that that is built upon.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) holder: Holder,
    /// Relative to the root.
    pub(crate) path: Vec<u8>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(host: &'a dyn HostAccess) -> Self {
        Self::for_caller(host, None)
    }

    pub(crate) fn for_caller(host: &'a dyn HostAccess, connected_at: Option<IpAddr>) -> Self {
        Self {
            host,
            connected_at,
            block: OnceCell::new(),
            holders: OnceCell::new(),
            opened: OnceCell::new(),
            used: OnceCell::new(),
            through: OnceCell::new(),
        }
    }

    /// Processes that have any node of VFIO or of a block device open.
    fn holders(&self) -> Result<&Holders> {
        if let Some(known) = self.holders.get() {
            return Ok(known);
        }
        let block: HashMap<Vec<u8>, &Vec<u8>> =
            self.block_devices()?.iter().map(|path| (node(path), path)).collect();
        let wanted = |link: &[u8]| {
            let Some((node, path)) = processes::node_path(link).and_then(|path| block.get_key_value(path))
            else {
                return processes::vfio_node(self.host, link)
                    .or_else(|| user_space::uio_node(self.host, link));
            };
            let path_of_node = String::from_utf8_lossy(node).into_owned();
            Some(Node { path: path_of_node, number: processes::number(self.host, path) })
        };
        let found = processes::holders(self.host, &wanted)?;
        Ok(self.holders.get_or_init(|| found))
    }

    /// How many processes could not be looked at, where any had to be.
    pub(crate) fn unseen(&self) -> usize {
        self.holders.get().map_or(0, |holders| holders.unseen)
    }

    /// The first process that has one of some nodes open.
    pub(crate) fn holder(&self, nodes: &[String]) -> Result<Option<&Holder>> {
        if nodes.is_empty() {
            return Ok(None);
        }
        Ok(self.holders()?.found.iter().find(|holder| nodes.contains(&holder.node)))
    }

    pub(crate) fn block_devices(&self) -> Result<&[Vec<u8>]> {
        if let Some(known) = self.block.get() {
            return Ok(known);
        }
        let links = self.host.link_targets(CLASS_BLOCK.as_bytes())?.unwrap_or_default();
        let paths = links.iter().map(|link| follow(CLASS_BLOCK.as_bytes(), link)).collect();
        Ok(self.block.get_or_init(|| paths))
    }

    /// Block devices that processes have open, and all those that they are built upon: each once.
    pub(super) fn opened(&self) -> Result<&[Opened]> {
        if let Some(known) = self.opened.get() {
            return Ok(known);
        }
        let nodes: HashMap<Vec<u8>, &Vec<u8>> =
            self.block_devices()?.iter().map(|path| (node(path), path)).collect();
        let (mut opened, mut seen) = (Vec::new(), HashSet::new());
        for holder in &self.holders()?.found {
            let Some(path) = nodes.get(holder.node.as_bytes()) else { continue };
            for path in storage::all_below(self.host, path.to_vec(), &mut seen)? {
                opened.push(Opened { holder: holder.clone(), path });
            }
        }
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Block devices that the host has file systems or swap space on.
    pub(super) fn used(&self) -> Result<&[Use]> {
        match self.used.get() {
            Some(known) => Ok(known),
            None => {
                let used = storage::used(self.host)?;
                Ok(self.used.get_or_init(|| used))
            }
        }
    }

    /// Interfaces that the host, and whoever asks, need to reach each other and the network.
    pub(super) fn through(&self) -> Result<&[Through]> {
        match self.through.get() {
            Some(known) => Ok(known),
            None => {
                let mut through = network::through(self.host, self.connected_at, self.block_devices()?)?;
                for claims in [consoles::claims, memory::claims, keyboards::claims] {
                    through.extend(claims(self.host)?);
                }
                Ok(self.through.get_or_init(|| through))
            }
        }
    }

    /// Nodes through which a guest has a function, or a program that drives it itself: none if no driver serves it for them.
    pub(crate) fn vfio_nodes(&self, function: &PciFunction) -> Result<Vec<String>> {
        let Some(driver) = function.driver(self.host)? else { return Ok(Vec::new()) };
        let mut nodes = user_space::uio_nodes(self.host, function)?;
        if function.is_bound_to_vfio(self.host, &driver)? {
            nodes.extend(self.own_nodes(function)?);
            if let Some(group) = Group::of(self.host, function)? {
                nodes.extend(group_nodes(&group));
            }
        }
        Ok(nodes)
    }

    /// Nodes for a function alone, which kernels since 6.2 have.
    pub(crate) fn own_nodes(&self, function: &PciFunction) -> Result<Vec<String>> {
        let names = self.host.names(&function.file("vfio-dev"))?.unwrap_or_default();
        let node = |name: &[u8]| format!("/{DEV_VFIO}/devices/{}", String::from_utf8_lossy(name));
        Ok(names.iter().map(|name| node(name)).collect())
    }
}

/// The nodes that a group can have, with an IOMMU and without.
pub(crate) fn group_nodes(group: &Group) -> [String; 2] {
    ["", "noiommu-"].map(|prefix| format!("/{DEV_VFIO}/{prefix}{}", group.number))
}

/// The node of a block device, by the kernel's name of it: a `!` in that stands for a `/`.
fn node(path: &[u8]) -> Vec<u8> {
    let name = basename(path).iter().map(|&b| if b == b'!' { b'/' } else { b });
    format!("/{DEV}/").into_bytes().into_iter().chain(name).collect()
}

/// Whether a device is below a function in the tree of devices.
pub(crate) fn is_below(path: &[u8], function: &PciFunction) -> bool {
    let address = function.address.to_string();
    path.split(|&b| b == b'/').any(|part| part == address.as_bytes())
}

/// How a process is told of.
pub(crate) fn told(holder: &Holder) -> String {
    let command: String = holder.command.chars().filter(|c| !c.is_control()).collect();
    format!("process {} ({command}) has {} open", holder.pid, holder.node)
}
