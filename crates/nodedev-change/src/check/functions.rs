//! What is known of PCI functions, each asked once.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use nodedev_model::PciAddress;
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{PCI_DEVICES, basename};

use super::claims::functions_above;
use super::lookup::devices_in;
use super::vital::{self, Vital};
use crate::function::KEEPERS;
use crate::group::{self, Group};
use crate::kernel_driver::{Drivers, VFIO_PCI};
use crate::{PciFunction, Result, once};

/// Names of links to virtual functions begin so, and a number follows.
const VIRTUAL: &[u8] = b"virtfn";

/// The PCI functions of a host.
#[derive(Debug)]
pub(crate) struct Functions<'a> {
    host: &'a dyn HostAccess,
    tree: OnceCell<Tree>,
    known: RefCell<HashMap<PciAddress, Rc<Known>>>,
    groups: RefCell<HashMap<u32, Rc<Group>>>,
    /// By the driver's name.
    served: RefCell<HashMap<String, Rc<Vec<Vec<u8>>>>>,
}

/// What is known of one function.
#[derive(Debug, Default)]
struct Known {
    driver: OnceCell<Option<String>>,
    files: OnceCell<Rc<Files>>,
    is_bridge: OnceCell<bool>,
    group: OnceCell<Option<Rc<Group>>>,
    vital: OnceCell<Option<&'static Vital>>,
    provider: OnceCell<Option<String>>,
}

/// What a function's folder has of what is asked for.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Virtual functions, by their numbers.
    pub(crate) virtual_functions: Vec<PciFunction>,
    /// Whether a driver serves it for VFIO: it has a folder for the node.
    has_vfio_dev: bool,
    pub(crate) has_reset: bool,
    pub(crate) has_reset_subordinate: bool,
}

/// Where functions are.
#[derive(Debug, Default)]
struct Tree {
    paths: HashMap<PciAddress, Vec<u8>>,
    /// All functions below each, at whatever depth, sorted.
    below: HashMap<PciAddress, Vec<PciFunction>>,
}

impl<'a> Functions<'a> {
    pub(super) fn of(host: &'a dyn HostAccess) -> Self {
        Self {
            host,
            tree: OnceCell::new(),
            known: RefCell::default(),
            groups: RefCell::default(),
            served: RefCell::default(),
        }
    }

    fn known(&self, function: &PciFunction) -> Rc<Known> {
        Rc::clone(self.known.borrow_mut().entry(function.address).or_default())
    }

    /// The driver that is bound.
    pub(crate) fn driver(&self, function: &PciFunction) -> Result<Option<String>> {
        once(&self.known(function).driver, || function.driver(self.host)).cloned()
    }

    /// Whether the driver that is bound serves the function for VFIO.
    pub(crate) fn is_bound_to_vfio(&self, function: &PciFunction) -> Result<bool> {
        Ok(match self.driver(function)? {
            Some(driver) => driver == VFIO_PCI || self.has_vfio_dev(function)?,
            None => false,
        })
    }

    /// Whether the driver that is bound only keeps the function for somebody else.
    pub(crate) fn is_kept(&self, function: &PciFunction) -> Result<bool> {
        let is_keeper = self.driver(function)?.is_some_and(|driver| KEEPERS.contains(&driver.as_str()));
        Ok(is_keeper || self.is_bound_to_vfio(function)?)
    }

    fn has_vfio_dev(&self, function: &PciFunction) -> Result<bool> {
        Ok(self.files(function)?.has_vfio_dev)
    }

    /// What the function is that the host lives by; `None` for any other.
    pub(super) fn vital(&self, function: &PciFunction) -> Result<Option<&'static Vital>> {
        once(&self.known(function).vital, || vital::kind_of(self.host, function)).copied()
    }

    /// Whether it is something that the host lives by.
    pub(crate) fn is_vital(&self, function: &PciFunction) -> Result<bool> {
        Ok(self.vital(function)?.is_some())
    }

    /// The driver of the host that is bound to a function and serves it for VFIO of itself: nobody has named it for the function,
    /// and it is not made for VFIO of such devices alone.
    pub(crate) fn host_provider(
        &self,
        drivers: &Drivers<'_>,
        function: &PciFunction,
    ) -> Result<Option<String>> {
        let find = || match self.driver(function)? {
            Some(driver) if driver != VFIO_PCI && self.has_vfio_dev(function)? => {
                drivers.provides_of_itself(function, driver)
            }
            _ => Ok(None),
        };
        once(&self.known(function).provider, find).cloned()
    }

    pub(crate) fn is_bridge(&self, function: &PciFunction) -> Result<bool> {
        once(&self.known(function).is_bridge, || group::is_bridge(self.host, function)).copied()
    }

    /// The group of a function. `None` without an IOMMU.
    pub(crate) fn group(&self, function: &PciFunction) -> Result<Option<Rc<Group>>> {
        let find = || {
            let Some(number) = Group::number_of(self.host, function)? else { return Ok(None) };
            if let Some(known) = self.groups.borrow().get(&number) {
                return Ok(Some(Rc::clone(known)));
            }
            let found = Rc::new(Group::numbered(self.host, number)?);
            self.groups.borrow_mut().insert(number, Rc::clone(&found));
            Ok(Some(found))
        };
        once(&self.known(function).group, find).cloned()
    }

    pub(crate) fn files(&self, function: &PciFunction) -> Result<Rc<Files>> {
        let find = || {
            let mut files = Files::default();
            for name in self.host.names(&function.file(""))?.unwrap_or_default() {
                match &*name {
                    b"vfio-dev" => files.has_vfio_dev = true,
                    b"reset" => files.has_reset = true,
                    b"reset_subordinate" => files.has_reset_subordinate = true,
                    name if name.starts_with(VIRTUAL) => {
                        let link = self.host.read_link(&function.file(&String::from_utf8_lossy(name)))?;
                        let address = link.and_then(|link| PciAddress::from_bytes(basename(&link)).ok());
                        files.virtual_functions.extend(address.map(PciFunction::new));
                    }
                    _ => {}
                }
            }
            Ok(Rc::new(files))
        };
        once(&self.known(function).files, find).cloned()
    }

    fn tree(&self) -> Result<&Tree> {
        once(&self.tree, || {
            let mut tree = Tree::default();
            for path in devices_in(self.host, PCI_DEVICES)? {
                let Ok(address) = PciAddress::from_bytes(basename(&path)) else { continue };
                for above in functions_above(&path).filter(|above| *above != address) {
                    tree.below.entry(above).or_default().push(PciFunction::new(address));
                }
                tree.paths.insert(address, path);
            }
            tree.below.values_mut().for_each(|below| below.sort_unstable());
            Ok(tree)
        })
    }

    /// All functions below a bridge.
    pub(crate) fn below(&self, bridge: &PciFunction) -> Result<&[PciFunction]> {
        Ok(self.tree()?.below.get(&bridge.address).map(Vec::as_slice).unwrap_or_default())
    }

    /// Where a function is in the tree of devices, relative to the root. `None` if it is gone.
    pub(crate) fn path(&self, function: &PciFunction) -> Result<Option<&[u8]>> {
        Ok(self.tree()?.paths.get(&function.address).map(Vec::as_slice))
    }

    /// Paths of the functions that a driver serves.
    pub(super) fn served_by(&self, driver: &str) -> Result<Rc<Vec<Vec<u8>>>> {
        if let Some(known) = self.served.borrow().get(driver) {
            return Ok(Rc::clone(known));
        }
        let mut served = Vec::new();
        for (address, path) in &self.tree()?.paths {
            if self.driver(&PciFunction::new(*address))?.as_deref() == Some(driver) {
                served.push(path.clone());
            }
        }
        served.sort_unstable();
        let served = Rc::new(served);
        self.served.borrow_mut().insert(driver.to_owned(), Rc::clone(&served));
        Ok(served)
    }
}
