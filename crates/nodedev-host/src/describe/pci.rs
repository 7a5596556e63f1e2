//! PCI functions.

use std::rc::Rc;

use nodedev_model::{
    Capability, IdName, IommuGroup, PciAddress, PciCapability, PciPower, PciRegion, PciSubsystem, Text,
    VirtualFunctions,
};
use nodedev_sys::paths::{IOMMU_GROUPS, join};

use super::{Describer, mdev};
use crate::kernel::KernelDevice;
use crate::{number, pci_config, vpd};

/// PCI functions of an IOMMU group; absent when the group has no list.
pub(crate) type GroupMembers = Option<Rc<[PciAddress]>>;

pub(super) fn describe(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let address = PciAddress::from_bytes(device.sysname()).unwrap_or_else(|_| {
        device.issue("", "its name is not a PCI address");
        PciAddress::default()
    });
    let class = match device.kernel("PCI_CLASS").and_then(|class| number::i32(class, 16)) {
        // A negative one, which no kernel states, is none for libvirt.
        Some(stated) => u32::try_from(stated).ok(),
        None => device.u32("class", 16),
    };
    let config = config(device);
    let (vendor, product) = ids(device, config.map(|config| config.ids));
    let (vendor_name, product_name) = match (vendor, product) {
        (Some(vendor), Some(product)) => context.pci_ids.names(context.root, vendor, product),
        _ => (None, None),
    };
    let named = |id: Option<u32>, name: Option<&[u8]>| id.map(|id| IdName { id, name: name.map(Text::from) });
    Capability::Pci(Box::new(PciCapability {
        class,
        address,
        product: named(product, product_name),
        vendor: named(vendor, vendor_name),
        physical_function: function(context, device, "physfn"),
        virtual_functions: virtual_functions(context, device),
        header: config.and_then(|config| config.header),
        mdev_types: mdev::types(device),
        vpd: vital_product_data(device),
        iommu_group: iommu_group(context, device, address),
        numa_node: numa_node(device),
        express: config.and_then(|config| config.express),
        power: context.is_native.then(|| power(device, config)).flatten(),
        subsystem: context.is_native.then(|| subsystem(device)).flatten(),
        revision: context.is_native.then(|| revision(device, config)).flatten(),
        regions: if context.is_native { regions(device) } else { Vec::new() },
    }))
}

/// How awake a function is, as far as anything says so.
fn power(device: &KernelDevice<'_>, config: Option<pci_config::Summary>) -> Option<PciPower> {
    let text = |value: &[u8]| Text::from(value);
    let power = PciPower {
        state: device.attribute("power_state", text),
        runtime_status: device.attribute("power/runtime_status", text),
        answers: config.map(|config| !config.is_silent),
    };
    let is_known = power.state.is_some() || power.runtime_status.is_some() || power.answers == Some(false);
    if power.answers == Some(false) {
        let state = power.state.as_ref().map(|state| format!(" (power state {state})")).unwrap_or_default();
        device.issue("config", format!("the device does not answer{state}"));
    }
    is_known.then_some(power)
}

/// The numbers of the card, which the kernel states with the function's own. Bridges have zeros.
fn subsystem(device: &KernelDevice<'_>) -> Option<PciSubsystem> {
    let stated = device.kernel("PCI_SUBSYS_ID")?;
    let colon = stated.iter().position(|&b| b == b':')?;
    let (vendor, device) = (number::u32(&stated[..colon], 16)?, number::u32(&stated[colon + 1..], 16)?);
    ((vendor, device) != (0, 0)).then_some(PciSubsystem { vendor: Some(vendor), device: Some(device) })
}

/// Configuration space has it, and where that was not read, a file.
fn revision(device: &KernelDevice<'_>, config: Option<pci_config::Summary>) -> Option<u32> {
    match config {
        Some(config) => (!config.is_silent).then_some(config.revision.into()),
        None => device.u32("revision", 16),
    }
}

/// How many lines of `resource` are the function's own: six base address registers and the expansion ROM. Behind them are
/// those of its virtual functions, or the windows of a bridge.
const REGIONS: u32 = 7;

/// What the flags of a region say (Linux, `include/linux/ioport.h`).
const REGION_IO: u64 = 0x100;
const REGION_MEMORY: u64 = 0x200;
const REGION_PREFETCHABLE: u64 = 0x2000;
const REGION_WIDE: u64 = 0x10_0000;

fn regions(device: &KernelDevice<'_>) -> Vec<PciRegion> {
    device.attribute("resource", parse_regions).unwrap_or_default()
}

/// Reads lines of first address, last address and flags. A register that is not used has zeros.
fn parse_regions(list: &[u8]) -> Vec<PciRegion> {
    let region = |(index, line): (u32, &[u8])| {
        let mut numbers = line.split(|&b| b == b' ').map(|number| number::u64(number, 16));
        let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let size_bytes = end.checked_sub(start)?.checked_add(1)?;
        (flags & (REGION_IO | REGION_MEMORY) != 0).then_some(PciRegion {
            index,
            size_bytes,
            io: flags & REGION_IO != 0,
            prefetchable: flags & REGION_PREFETCHABLE != 0,
            wide: flags & REGION_WIDE != 0,
        })
    };
    (0..REGIONS).zip(list.split(|&b| b == b'\n')).filter_map(region).collect()
}

/// Vendor and product, from the files of these names. They need not be read where `PCI_ID`, which the kernel prints from
/// the same numbers, agrees with configuration space (in that of a virtual function the numbers are not); and where they
/// are missing or broken, `PCI_ID` says it as well.
fn ids(device: &KernelDevice<'_>, config: Option<(u16, u16)>) -> (Option<u32>, Option<u32>) {
    let stated = device.kernel("PCI_ID").and_then(|value| {
        let colon = value.iter().position(|&b| b == b':')?;
        Some((number::u32(&value[..colon], 16)?, number::u32(&value[colon + 1..], 16)?))
    });
    if let (Some((vendor, product)), Some(config)) = (stated, config)
        && (vendor, product) == (config.0.into(), config.1.into())
    {
        return (Some(vendor), Some(product));
    }
    let (vendor, product) = stated.unzip();
    (device.u32("vendor", 16).or(vendor), device.u32("device", 16).or(product))
}

/// What configuration space says. An ordinary user can read only its first 64 bytes, from which libvirt takes nothing.
fn config(device: &KernelDevice<'_>) -> Option<pci_config::Summary> {
    if !device.root.is_privileged() {
        return None;
    }
    let mut space = Vec::with_capacity(pci_config::LENGTH);
    let read = device.folder()?.read_start(b"config", &mut space, pci_config::LENGTH);
    match read {
        Ok(content) => {
            let content = content?;
            let mut length = content.len() as u64;
            if content.len() < pci_config::CONVENTIONAL {
                if device.root.is_live() {
                    // In a container root may see no more than the beginning; libvirt goes by the length that is stated.
                    length = device.folder()?.length(b"config").unwrap_or(length);
                } else {
                    device.issue("config", "less than the 256 bytes of a configuration space");
                }
            }
            let summary = pci_config::parse(content, length);
            if summary.header.is_none() && !summary.is_silent {
                device.issue("config", "unknown type of header");
            }
            Some(summary)
        }
        Err(error) => {
            device.issues.error(&error);
            None
        }
    }
}

/// Address of the function that a link leads to.
fn function(context: &Describer<'_>, device: &KernelDevice<'_>, link: &str) -> Option<PciAddress> {
    let target = context.followed_link(device, link)?;
    let address = PciAddress::from_bytes(&target).ok();
    if address.is_none() {
        device.malformed(link, &target, "a PCI address");
    }
    address
}

fn virtual_functions(context: &Describer<'_>, device: &KernelDevice<'_>) -> Option<VirtualFunctions> {
    let total = device.attribute("sriov_totalvfs", |value| {
        let total = number::leading_u32(value, 10);
        if total.is_none() {
            device.malformed("sriov_totalvfs", value, "a number");
        }
        total
    });
    let mut functions = Vec::new();
    // The links are numbered without a gap.
    while let Some(address) = function(context, device, &format!("virtfn{}", functions.len())) {
        functions.push(address);
    }
    let max_count = total.flatten().unwrap_or(0);
    (max_count > 0 || !functions.is_empty()).then_some(VirtualFunctions { max_count, functions })
}

pub(super) fn vital_product_data(device: &KernelDevice<'_>) -> Option<Box<nodedev_model::VpdCapability>> {
    let mut data = Vec::new();
    // Absent on most devices; a device that refuses the read has none for libvirt either.
    let content = match device.folder()?.read_start(b"vpd", &mut data, vpd::MAX_LENGTH) {
        Ok(content) => content?,
        Err(error) => {
            device.issues.only_exhausted(&error);
            return None;
        }
    };
    if content.is_empty() {
        return None;
    }
    match vpd::parse(content) {
        Ok(vpd) => Some(Box::new(vpd)),
        Err(problem) => {
            device.issue("vpd", problem.to_string());
            None
        }
    }
}

fn iommu_group(context: &Describer<'_>, device: &KernelDevice<'_>, own: PciAddress) -> Option<IommuGroup> {
    let name = device.link("iommu_group")?;
    let Some(number) = number::i32(&name, 10).and_then(|number| u32::try_from(number).ok()) else {
        device.malformed("iommu_group", &name, "the number of a group");
        return None;
    };
    let known = context.groups.borrow().get(&name).cloned();
    let members = match known {
        Some(members) => members,
        None => {
            let members = group_members(device, &name);
            context.groups.borrow_mut().insert(name, members.clone());
            members
        }
    };
    // A group without a list of its members has at least this one.
    let devices = members.map_or_else(|| vec![own], |members| members.to_vec());
    Some(IommuGroup { number, devices })
}

fn group_members(device: &KernelDevice<'_>, group: &[u8]) -> GroupMembers {
    let path = [IOMMU_GROUPS.as_bytes(), b"/", group, b"/devices"].concat();
    let mut members = Vec::new();
    let listed = device.root.list(&path, |name| match PciAddress::from_bytes(name) {
        Ok(address) => members.push(address),
        Err(_) => device.issues.push(
            format!("/{}", Text::from(join(&path, name))),
            "a member of the IOMMU group that is no PCI function".into(),
        ),
    });
    match listed {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => device.issues.error(&error),
    }
    members.sort_unstable();
    Some(members.into())
}

fn numa_node(device: &KernelDevice<'_>) -> Option<u32> {
    let node = device.number("numa_node", 10, number::i32)?;
    u32::try_from(node).ok()
}

#[cfg(test)]
mod tests {
    use nodedev_model::PciRegion;

    use super::parse_regions;

    #[test]
    fn regions_are_those_that_are_used() {
        let list = b"0x00000000f7d00000 0x00000000f7d1ffff 0x0000000000040200\n\
            0x0000000000000000 0x0000000000000000 0x0000000000000000\n\
            0x000000000000e000 0x000000000000e01f 0x0000000000040101\n\
            0x0000380000000000 0x00003803ffffffff 0x000000000014220c\n\
            junk\n\
            0x0000000000000001 0x0000000000000000 0x0000000000000200\n\
            0x00000000f7c00000 0x00000000f7c3ffff 0x0000000000046200\n\
            0x00000000f7e00000 0x00000000f7efffff 0x0000000000000200\n";
        let region = |index, size_bytes, io, prefetchable, wide| PciRegion {
            index,
            size_bytes,
            io,
            prefetchable,
            wide,
        };
        assert_eq!(
            parse_regions(list),
            [
                region(0, 128 << 10, false, false, false),
                region(2, 32, true, false, false),
                region(3, 16 << 30, false, true, true),
                region(6, 256 << 10, false, true, false),
            ]
        );
        assert_eq!(parse_regions(b"0x0 0xffffffffffffffff 0x200"), []);
        assert_eq!(parse_regions(b""), []);
    }
}
