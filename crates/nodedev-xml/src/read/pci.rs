use nodedev_model::{
    IommuGroup, PciAddress, PciCapability, PciExpress, PciHeader, PciLink, PcieSpeed, VirtualFunctions,
};

use super::bus::id_name;
use super::mediated;
use super::number::unsigned;
use super::reader::{Reader, Step};
use super::vpd::vpd;
use crate::dom::NodeId;
use crate::{ErrorCode, ErrorDomain};

pub(super) fn pci(r: &mut Reader<'_, '_>, node: NodeId) -> Step<PciCapability> {
    let mut pci = PciCapability { class: class(r, node)?, ..PciCapability::default() };
    pci.address = PciAddress {
        domain: r.required_number(node, "domain", "PCI domain ID")?,
        bus: r.required_number(node, "bus", "PCI bus ID")?,
        slot: r.required_number(node, "slot", "PCI slot ID")?,
        function: r.required_number(node, "function", "PCI function ID")?,
    };
    pci.vendor = Some(id_name(r, node, "vendor", "PCI vendor ID")?);
    pci.product = Some(id_name(r, node, "product", "PCI product ID")?);
    for nested in r.elements(node, "capability") {
        nested_capability(r, nested, &mut pci)?;
    }
    if let Some(group) = r.doc.element(node, "iommuGroup") {
        let number = r.required_number_attribute(group, "number", 10)?;
        let mut devices = Vec::new();
        for device in r.elements(group, "address") {
            devices.push(address(r, device)?);
        }
        pci.iommu_group = Some(IommuGroup { number, devices });
    }
    if let Some(numa) = r.doc.element(node, "numa") {
        let text = r.attribute(numa, "node");
        pci.numa_node = r.optional_int(numa, text, 10, "NUMA node ID")?;
    }
    if let Some(express) = r.doc.element(node, "pci-express") {
        pci.express = Some(PciExpress {
            capability: link(r, express, "cap")?,
            status: link(r, express, "sta")?.map(|link| PciLink { port: None, ..link }),
        });
    }
    Ok(pci)
}

fn class(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<u32>> {
    let text = r.text(node, "class");
    let at = r.doc.element(node, "class").unwrap_or(node);
    let class = r.optional_int(at, text.as_deref(), 16, "PCI class")?;
    if class.is_some_and(|class| class > 0xff_ffff) {
        r.internal(at, "invalid PCI class supplied")?;
    }
    Ok(class)
}

fn nested_capability(r: &mut Reader<'_, '_>, node: NodeId, pci: &mut PciCapability) -> Step {
    let Some(kind) = r.doc.property(node, "type") else { return r.xml(node, "Missing capability type") };
    match kind {
        "phys_function" => match r.doc.element(node, "address") {
            Some(at) => pci.physical_function = Some(address(r, at)?),
            None => r.xml(node, "Missing address in 'phys_function' capability")?,
        },
        "virt_functions" => pci.virtual_functions = Some(virtual_functions(r, node)?),
        "pci-bridge" => pci.header = pci.header.or(Some(PciHeader::PciBridge)),
        "cardbus-bridge" => pci.header = pci.header.or(Some(PciHeader::CardbusBridge)),
        "mdev_types" => mediated::types(r, node, &mut pci.mdev_types)?,
        "vpd" => pci.vpd = Some(vpd(r, node)?.into()),
        _ => {}
    }
    Ok(())
}

fn virtual_functions(r: &mut Reader<'_, '_>, node: NodeId) -> Step<VirtualFunctions> {
    let mut functions = Vec::new();
    for function in r.elements(node, "address") {
        functions.push(address(r, function)?);
    }
    let text = r.attribute(node, "maxCount");
    let max_count = text.map_or(Some(0), |text| unsigned(text, 10));
    if max_count.is_none() {
        r.xml(node, "Malformed 'maxCount' parameter")?;
    }
    Ok(VirtualFunctions { max_count: max_count.unwrap_or_default(), functions })
}

/// An `<address>`, whose parts are 0 where they are missing.
fn address(r: &mut Reader<'_, '_>, node: NodeId) -> Step<PciAddress> {
    let mut part = |name| r.number_attribute(node, name, 0).map(Option::unwrap_or_default);
    let address = PciAddress {
        domain: part("domain")?,
        bus: part("bus")?,
        slot: part("slot")?,
        function: part("function")?,
    };
    let PciAddress { domain, bus, slot, function } = address;
    if (domain, bus, slot) != (0, 0, 0) {
        let checks = [("bus", bus, 0xff), ("slot", slot, 0x1f), ("function", function, 7)];
        if let Some((name, value, max)) = checks.into_iter().find(|(_, value, max)| value > max) {
            let detail = match name {
                "function" => format!("Invalid PCI address function=0x{value:x}, must be <= 7"),
                _ => format!("Invalid PCI address {name}='0x{value:x}', must be <= 0x{max:X}"),
            };
            r.mistake(node, ErrorDomain::NONE, ErrorCode::XML_ERROR, detail)?;
        }
    }
    Ok(address)
}

/// The first `<link>` of a validity.
fn link(r: &mut Reader<'_, '_>, express: NodeId, validity: &str) -> Step<Option<PciLink>> {
    let mut links = r.elements(express, "link");
    let Some(link) = links.find(|link| r.doc.attribute(*link, "validity") == Some(validity)) else {
        return Ok(None);
    };
    let speed = |word: &str| PcieSpeed::ALL.into_iter().find(|speed| speed.as_str() == word);
    Ok(Some(PciLink {
        width: r.required_number_attribute(link, "width", 0)?,
        speed: r.optional_word(link, "speed", speed)?,
        port: r.int_attribute(link, "port")?,
    }))
}
