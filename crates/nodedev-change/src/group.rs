//! IOMMU groups: devices that can only be handed to a guest together.

use nodedev_model::PciAddress;
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{IOMMU_GROUPS, basename};
use nodedev_sys::pci_config;

use crate::check::is_vital;
use crate::journal::Journal;
use crate::{Engine, PciFunction, Result};

/// What the classes of bridges to other buses of the kind begin with: PCI, CardBus, semi-transparent PCI. Those to ISA and the
/// host itself have the header of an endpoint.
const BRIDGE_CLASSES: [&str; 3] = ["0x0604", "0x0607", "0x0609"];

/// An IOMMU group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) number: u32,
    /// Its PCI functions, sorted.
    pub(crate) members: Vec<PciFunction>,
}

impl Group {
    /// The group of a function. `None` without an IOMMU.
    pub(crate) fn of(host: &dyn HostAccess, function: &PciFunction) -> Result<Option<Self>> {
        Self::number_of(host, function)?.map(|number| Self::numbered(host, number)).transpose()
    }

    /// The number of the group of a function. `None` without an IOMMU.
    pub(crate) fn number_of(host: &dyn HostAccess, function: &PciFunction) -> Result<Option<u32>> {
        Ok(host.read_link(&function.file("iommu_group"))?.and_then(|link| Self::number_in(&link)))
    }

    /// The number of a group, by a device's link to it.
    pub(crate) fn number_in(link: &[u8]) -> Option<u32> {
        std::str::from_utf8(basename(link)).ok()?.parse().ok()
    }

    /// The group with a number.
    pub(crate) fn numbered(host: &dyn HostAccess, number: u32) -> Result<Self> {
        let names = host.names(format!("{IOMMU_GROUPS}/{number}/devices").as_bytes())?.unwrap_or_default();
        let addresses = names.iter().filter_map(|name| PciAddress::from_bytes(name).ok());
        let mut members: Vec<PciFunction> = addresses.map(PciFunction::new).collect();
        members.sort_unstable();
        Ok(Self { number, members })
    }
}

/// Whether a function is a bridge, of which guests get none. Source: type of the header in configuration space; the class
/// where that cannot be read.
pub(crate) fn is_bridge(host: &dyn HostAccess, function: &PciFunction) -> Result<bool> {
    // No more than that: reading what a device does not implement can hang some.
    match host.read_start(&function.file("config"), pci_config::HEADER) {
        // A device that does not answer any more reads as ones only.
        Ok(Some(space)) if space.len() >= pci_config::HEADER && !pci_config::is_silent(&space) => {
            Ok(!pci_config::is_endpoint(&space))
        }
        _ => {
            let class = function.attribute(host, "class")?.unwrap_or_default();
            Ok(BRIDGE_CLASSES.iter().any(|bridge| class.starts_with(bridge)))
        }
    }
}

impl Engine<'_> {
    /// All functions of a function's group that can be detached, itself among them, sorted.
    ///
    /// # Errors
    /// The group cannot be looked at.
    pub fn detachable_in_group(&self, function: &PciFunction) -> Result<Vec<PciFunction>> {
        let Some(group) = Group::of(self.host, function)? else { return Ok(vec![function.clone()]) };
        let mut functions = Vec::with_capacity(group.members.len());
        for member in group.members {
            if member == *function || self.is_detached_with_others(&member)? {
                functions.push(member);
            }
        }
        Ok(functions)
    }

    /// Whether a function has to be detached for another one of its group: a bridge has not, and neither a part of the chipset
    /// that nothing of the host drives.
    fn is_detached_with_others(&self, member: &PciFunction) -> Result<bool> {
        if is_bridge(self.host, member)? {
            return Ok(false);
        }
        Ok(member.driver(self.host)?.is_some() || !is_vital(self.host, member)?)
    }

    /// All functions of a function's group that are detached, and itself, sorted.
    ///
    /// # Errors
    /// The group or the journal cannot be looked at.
    pub fn detached_in_group(&self, function: &PciFunction) -> Result<Vec<PciFunction>> {
        let Some(group) = Group::of(self.host, function)? else { return Ok(vec![function.clone()]) };
        let mut functions = Vec::with_capacity(group.members.len());
        for member in group.members {
            if member == *function || self.is_detached(&member)? {
                functions.push(member);
            }
        }
        Ok(functions)
    }

    /// Whether a function was taken from the host, by us or by somebody else.
    fn is_detached(&self, function: &PciFunction) -> Result<bool> {
        Ok(function.is_kept(self.host)? || Journal::of(self.host).read(function.address)?.is_some())
    }
}
