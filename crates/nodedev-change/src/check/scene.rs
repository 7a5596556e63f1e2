//! What several checks need to know, read once for all functions that are looked at.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use nodedev_sys::HostAccess;
use nodedev_sys::open_files::{OpenFiles, vfio_node};
use nodedev_sys::paths::{DEV_VFIO, basename};

use super::blocks::Blocks;
use super::claims::{Below, Claims, Concern};
use super::descriptors::{self, Unexplained};
use super::functions::Functions;
use super::mounts::Mounts;
use super::network::{self, Interfaces, Remote};
use super::nodes::Nodes;
use super::sharing::Users;
use super::storage::Elsewhere;
use super::{driver_nodes, platform, sharing, storage, user_space};
use crate::group::Group;
use crate::kernel_driver::{Chosen, Drivers};
use crate::{PciFunction, Result, once};

/// What the names of groups begin with that have no IOMMU (kernel, `CONFIG_VFIO_NOIOMMU`).
const NO_IOMMU: &str = "noiommu-";

/// A process that has a node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: u32,
    /// Name of its program, at most 15 bytes.
    pub(crate) command: String,
    /// The node, as it is called.
    pub(crate) node: String,
}

/// A host, and what was found out about it.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) host: &'a dyn HostAccess,
    /// Address of the host that whoever asks is connected to over a network.
    pub(super) connected_at: Option<IpAddr>,
    functions: Functions<'a>,
    drivers: Drivers<'a>,
    blocks: OnceCell<Blocks>,
    mounts: OnceCell<Option<Mounts>>,
    elsewhere: OnceCell<Elsewhere>,
    open_files: OnceCell<OpenFiles>,
    nodes: OnceCell<Nodes>,
    holders: OnceCell<HashMap<String, Holder>>,
    unexplained: OnceCell<Unexplained>,
    below: OnceCell<Below>,
    interfaces: OnceCell<Interfaces<'a>>,
    remotes: OnceCell<Vec<Remote>>,
    xen: OnceCell<Option<bool>>,
    minors: OnceCell<HashMap<Vec<u8>, Option<u32>>>,
    advice: OnceCell<String>,
    /// By the group's number.
    users: RefCell<HashMap<u32, Rc<Users>>>,
    claims: OnceCell<Claims>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(host: &'a dyn HostAccess) -> Self {
        Self::for_caller(host, None)
    }

    pub(crate) fn for_caller(host: &'a dyn HostAccess, connected_at: Option<IpAddr>) -> Self {
        Self {
            host,
            connected_at,
            functions: Functions::of(host),
            drivers: Drivers::of(host),
            blocks: OnceCell::new(),
            mounts: OnceCell::new(),
            elsewhere: OnceCell::new(),
            open_files: OnceCell::new(),
            nodes: OnceCell::new(),
            holders: OnceCell::new(),
            unexplained: OnceCell::new(),
            below: OnceCell::new(),
            interfaces: OnceCell::new(),
            remotes: OnceCell::new(),
            xen: OnceCell::new(),
            minors: OnceCell::new(),
            advice: OnceCell::new(),
            users: RefCell::default(),
            claims: OnceCell::new(),
        }
    }

    /// The PCI functions, and what is known of each.
    pub(crate) fn functions(&self) -> &Functions<'a> {
        &self.functions
    }

    /// The kernel drivers and their modules.
    pub(crate) fn drivers(&self) -> &Drivers<'a> {
        &self.drivers
    }

    /// The driver of the host that serves a function for VFIO of itself, and is to keep it.
    pub(crate) fn host_provider(&self, function: &PciFunction) -> Result<Option<String>> {
        self.functions.host_provider(&self.drivers, function)
    }

    /// The driver for guests: that of a name, or the one that fits a function.
    pub(crate) fn choose(&self, function: &PciFunction, requested: Option<&str>) -> Result<Chosen> {
        self.drivers.choose(function, requested, || self.host_provider(function))
    }

    /// Whether the driver that is chosen for a function serves it for VFIO.
    pub(crate) fn is_for_vfio(&self, function: &PciFunction, chosen: &Chosen) -> Result<bool> {
        let is_bound = self.functions.driver(function)?.as_deref() == Some(&chosen.driver);
        Ok(is_bound && self.functions.is_bound_to_vfio(function)? || self.drivers.is_made_for_vfio(chosen)?)
    }

    /// The members of a group that the host uses.
    pub(super) fn users(&self, group: &Group) -> Result<Rc<Users>> {
        if let Some(known) = self.users.borrow().get(&group.number) {
            return Ok(Rc::clone(known));
        }
        let found = Rc::new(Users::of(self, group)?);
        self.users.borrow_mut().insert(group.number, Rc::clone(&found));
        Ok(found)
    }

    /// What helps where there is no IOMMU.
    pub(super) fn advice(&self) -> Result<String> {
        once(&self.advice, || platform::advice(self)).cloned()
    }

    /// All claims on devices.
    pub(super) fn claims(&self) -> &Claims {
        self.claims.get_or_init(|| Claims::gather(self))
    }

    pub(super) fn blocks(&self) -> Result<&Blocks> {
        once(&self.blocks, || Blocks::of(self.host))
    }

    /// The file systems of the host. `None` if nothing tells.
    pub(super) fn mounts(&self) -> Result<Option<&Mounts>> {
        Ok(once(&self.mounts, || storage::mounts_of_host(self))?.as_ref())
    }

    /// File systems that are mounted in other namespaces alone, each with a process that sees it.
    pub(super) fn mounts_elsewhere(&self) -> Result<&Elsewhere> {
        once(&self.elsewhere, || storage::mounts_elsewhere(self))
    }

    pub(super) fn open_files(&self) -> Result<&OpenFiles> {
        once(&self.open_files, || Ok(OpenFiles::of(self.host)?))
    }

    pub(super) fn nodes(&self) -> Result<&Nodes> {
        once(&self.nodes, || Nodes::of(self.host))
    }

    pub(super) fn below(&self) -> Result<&Below> {
        once(&self.below, || Below::of(self))
    }

    pub(super) fn interfaces(&self) -> Result<&Interfaces<'a>> {
        once(&self.interfaces, || Interfaces::of(self.host))
    }

    /// What the host has on other machines.
    pub(super) fn remotes(&self) -> Result<&[Remote]> {
        Ok(once(&self.remotes, || network::remotes(self))?)
    }

    /// The numbers of the nodes of devices whose driver tells them.
    pub(super) fn minors(&self, served: &[Vec<u8>]) -> Result<&HashMap<Vec<u8>, Option<u32>>> {
        once(&self.minors, || driver_nodes::minors(self, served))
    }

    /// Whether the machine runs on Xen, and if so as its first domain.
    pub(super) fn xen(&self) -> Result<Option<bool>> {
        once(&self.xen, || platform::xen(self.host)).copied()
    }

    /// Whether what a source of claims tells can be of a function.
    pub(super) fn concerns(&self, function: &PciFunction, concern: Concern) -> Result<bool> {
        let is_hidden = concern == Concern::Nodes && self.has_hidden_nodes(function)?;
        Ok(is_hidden || self.below()?.has(function, concern))
    }

    /// Whether a process can have a function by a node that is no device's in sysfs, or of a device that comes later.
    fn has_hidden_nodes(&self, function: &PciFunction) -> Result<bool> {
        let Some(driver) = self.functions.driver(function)? else { return Ok(false) };
        Ok(driver_nodes::has_own(&driver)
            || self.functions.is_bound_to_vfio(function)?
            || !user_space::uio_nodes(self.host, function)?.is_empty()
            || self.host.names(&function.file("mdev_supported_types"))?.is_some())
    }

    /// Descriptors of VFIO's of which the kernel does not say what device they are of.
    pub(super) fn unexplained(&self) -> Result<&Unexplained> {
        once(&self.unexplained, || Unexplained::of(self))
    }

    /// The first process of each node of VFIO and of uio, and of each descriptor that VFIO made of a device.
    fn holders(&self) -> Result<&HashMap<String, Holder>> {
        once(&self.holders, || {
            let mut holders = HashMap::new();
            for process in &self.open_files()?.processes {
                let node = |file| vfio_node(self.host, file).or_else(|| user_space::uio_node(file));
                let devices = process.vfio_devices.iter().flatten();
                let descriptors = devices.map(|path| descriptors::of_device(basename(path)));
                for node in process.files.iter().filter_map(node).chain(descriptors) {
                    let (pid, command) = (process.pid, process.command.clone());
                    holders.entry(node.clone()).or_insert(Holder { pid, command, node });
                }
            }
            Ok(holders)
        })
    }

    /// Groups that a process has open, by number.
    pub(super) fn open_groups(&self) -> Result<BTreeMap<u32, &Holder>> {
        let of_groups = self.holders()?.values();
        Ok(of_groups.filter_map(|holder| Some((group_of_node(&holder.node)?, holder))).collect())
    }

    /// The first process that has one of some nodes of VFIO open.
    pub(crate) fn holder(&self, nodes: &[String]) -> Result<Option<&Holder>> {
        if nodes.is_empty() {
            return Ok(None);
        }
        let holders = self.holders()?;
        Ok(nodes.iter().filter_map(|node| holders.get(node)).min_by_key(|holder| holder.pid))
    }

    /// Nodes through which a guest has a function, or a program that drives it itself: none if no driver serves it for them.
    pub(crate) fn vfio_nodes(&self, function: &PciFunction) -> Result<Vec<String>> {
        let Some(driver) = self.functions.driver(function)? else { return Ok(Vec::new()) };
        let mut nodes = user_space::uio_nodes(self.host, function)?;
        if self.functions.is_bound_to_vfio(function)? {
            nodes.extend(self.own_nodes(function)?);
        }
        // Who has a group open has all of it that a driver serves, whatever that is called: the kernel gives no other.
        if !sharing::is_harmless(&driver)
            && let Some(group) = self.functions.group(function)?
        {
            nodes.extend(group_nodes(&group));
        }
        nodes.push(descriptors::of_device(function.address.to_string().as_bytes()));
        Ok(nodes)
    }

    /// Nodes for a function alone: they are since Linux 6.6, the folder that names them since 6.1.
    pub(crate) fn own_nodes(&self, function: &PciFunction) -> Result<Vec<String>> {
        let names = self.host.names(&function.file("vfio-dev"))?.unwrap_or_default();
        let node = |name: &[u8]| format!("/{DEV_VFIO}/devices/{}", String::from_utf8_lossy(name));
        Ok(names.iter().map(|name| node(name)).collect())
    }
}

/// The nodes of a group, with and without an IOMMU.
pub(crate) fn group_nodes(group: &Group) -> [String; 2] {
    [format!("/{DEV_VFIO}/{}", group.number), format!("/{DEV_VFIO}/{NO_IOMMU}{}", group.number)]
}

/// The number of the group, with or without an IOMMU, that a node is of.
pub(super) fn group_of_node(node: &str) -> Option<u32> {
    let name = node.rsplit('/').next()?;
    name.strip_prefix(NO_IOMMU).unwrap_or(name).parse().ok()
}

/// How a process is told of.
pub(crate) fn told(holder: &Holder) -> String {
    format!("{} has {} open", who(holder.pid, &holder.command), holder.node)
}

/// A process by its number and its program, as it is told.
pub(super) fn who(pid: u32, command: &str) -> String {
    let command: String = command.chars().filter(|c| !c.is_control()).collect();
    format!("process {pid} ({command})")
}
