//! A PCI function as operations see it.

use nodedev_model::{DeviceName, DriverBinding, PciAddress};
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{PCI_DEVICES, basename, follow};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::kernel_driver::VFIO_PCI;

/// Bound of the attributes that are read here.
const ATTRIBUTE_LIMIT: usize = 4096;
/// What `driver_override` says if there is none.
const NO_OVERRIDE: &[u8] = b"(null)";
/// Drivers that keep a device from everybody: no guest has it from them.
pub(crate) const KEEPERS: &[&str] = &["pci-stub", "pciback", "xen-pciback"];

/// A PCI function: its address, and the name that libvirt gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PciFunction {
    /// Where it is.
    pub address: PciAddress,
    /// libvirt's name of it.
    pub name: DeviceName,
}

/// What tells a device from another that is put into its place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    pub(crate) vendor: String,
    pub(crate) device: String,
    pub(crate) subsystem_vendor: String,
    pub(crate) subsystem_device: String,
    /// Where it is in the tree of devices: for people, as it can change while the device stays the same.
    pub(crate) syspath: String,
}

impl Identity {
    /// Whether both are the same device, as far as anybody can tell.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let Self { vendor, device, subsystem_vendor, subsystem_device, syspath: _ } = self;
        (vendor, device, subsystem_vendor, subsystem_device)
            == (&other.vendor, &other.device, &other.subsystem_vendor, &other.subsystem_device)
    }
}

impl PciFunction {
    /// The function at an address, whether or not there is one.
    pub fn new(address: PciAddress) -> Self {
        let name = DeviceName::from_parts(b"pci", address.to_string().as_bytes(), None);
        Self { address, name }
    }

    /// A file in the function's folder in sysfs, relative to the root; the folder itself for an empty name.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        let separator = if name.is_empty() { "" } else { "/" };
        format!("{PCI_DEVICES}/{}{separator}{name}", self.address).into_bytes()
    }

    /// Who serves the function. `None` if it is gone.
    pub(crate) fn binding(&self, host: &dyn HostAccess) -> Result<Option<DriverBinding>> {
        let Some(found) = host.read(&self.file("driver_override"), ATTRIBUTE_LIMIT)? else {
            // Old kernels have no override; everything has a vendor.
            let there = host.read(&self.file("vendor"), ATTRIBUTE_LIMIT)?.is_some();
            let binding = DriverBinding { kernel_driver: self.driver(host)?, driver_override: None };
            return Ok(there.then_some(binding));
        };
        let value = attribute_value(&found);
        let driver_override = (value != NO_OVERRIDE && !value.is_empty()).then(|| text(value));
        Ok(Some(DriverBinding { kernel_driver: self.driver(host)?, driver_override }))
    }

    /// The driver that is bound.
    pub(crate) fn driver(&self, host: &dyn HostAccess) -> Result<Option<String>> {
        let link = host.read_link(&self.file("driver"))?;
        Ok(link.map(|target| text(basename(&target))).filter(|name| !name.is_empty()))
    }

    /// The override alone; absent if there is none.
    pub(crate) fn driver_override(&self, host: &dyn HostAccess) -> Result<Option<String>> {
        let value = host.read(&self.file("driver_override"), ATTRIBUTE_LIMIT)?.unwrap_or_default();
        let value = attribute_value(&value);
        Ok((value != NO_OVERRIDE && !value.is_empty()).then(|| text(value)))
    }

    /// What the function is. `None` if it is gone.
    pub(crate) fn identity(&self, host: &dyn HostAccess) -> Result<Option<Identity>> {
        let Some(link) = host.read_link(&self.file(""))? else { return Ok(None) };
        let value = |name: &str| -> Result<String> {
            let value = host.read(&self.file(name), ATTRIBUTE_LIMIT)?.unwrap_or_default();
            Ok(text(attribute_value(&value)))
        };
        Ok(Some(Identity {
            vendor: value("vendor")?,
            device: value("device")?,
            subsystem_vendor: value("subsystem_vendor")?,
            subsystem_device: value("subsystem_device")?,
            syspath: format!("/{}", text(&follow(PCI_DEVICES.as_bytes(), &link))),
        }))
    }

    /// An attribute's value as text. `None` if there is no such attribute.
    pub(crate) fn attribute(&self, host: &dyn HostAccess, name: &str) -> Result<Option<String>> {
        let value = host.read(&self.file(name), ATTRIBUTE_LIMIT)?;
        Ok(value.map(|value| text(attribute_value(&value))))
    }

    /// Whether a driver that is bound to the function only keeps it for somebody else.
    pub(crate) fn is_stub(&self, host: &dyn HostAccess, driver: &str) -> Result<bool> {
        Ok(KEEPERS.contains(&driver) || self.is_bound_to_vfio(host, driver)?)
    }

    /// Whether the function is bound to a driver that only keeps it for somebody else.
    pub(crate) fn is_kept(&self, host: &dyn HostAccess) -> Result<bool> {
        match self.driver(host)? {
            Some(driver) => self.is_stub(host, &driver),
            None => Ok(false),
        }
    }

    /// Whether the driver that is bound to the function serves it for VFIO.
    pub(crate) fn is_bound_to_vfio(&self, host: &dyn HostAccess, driver: &str) -> Result<bool> {
        Ok(driver == VFIO_PCI || host.names(&self.file("vfio-dev"))?.is_some())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
