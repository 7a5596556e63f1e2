use nodedev_model::{
    IdName, IommuGroup, MdevType, PciAddress, PciCapability, PciExpress, PciHeader, PciLink, VpdCapability,
    VpdField,
};

use super::out::Out;

pub(super) fn write(out: &mut Out<'_>, pci: &PciCapability) {
    if let Some(class) = pci.class {
        out.hex("class", class, 6);
    }
    let PciAddress { domain, bus, slot, function } = pci.address;
    for (name, number) in [("domain", domain), ("bus", bus), ("slot", slot), ("function", function)] {
        out.number(name, number);
    }
    for (name, id) in [("product", &pci.product), ("vendor", &pci.vendor)] {
        if let Some(IdName { id, name: text }) = id {
            let line = out.start(name).hex("id", *id, 4);
            match text {
                Some(text) => line.text(text).end(name),
                None => line.end_empty(),
            }
        }
    }
    if let Some(physical) = pci.physical_function {
        out.open_capability("phys_function");
        address(out, physical);
        out.close("capability");
    }
    if let Some(virtual_functions) = &pci.virtual_functions {
        let mut line = out.start("capability").attribute("type", b"virt_functions");
        if virtual_functions.max_count > 0 {
            line = line.number("maxCount", virtual_functions.max_count);
        }
        if virtual_functions.functions.is_empty() {
            line.end_empty();
        } else {
            line.end_open();
            virtual_functions.functions.iter().for_each(|function| address(out, *function));
            out.close("capability");
        }
    }
    match pci.header {
        Some(PciHeader::PciBridge) => out.empty_capability("pci-bridge"),
        Some(PciHeader::CardbusBridge) => out.empty_capability("cardbus-bridge"),
        Some(PciHeader::Endpoint) | None => {}
    }
    mdev_types(out, &pci.mdev_types);
    if let Some(data) = &pci.vpd {
        vpd(out, data);
    }
    if let Some(IommuGroup { number, devices }) = pci.iommu_group.as_ref().filter(|g| !g.devices.is_empty()) {
        out.start("iommuGroup").number("number", *number).end_open();
        devices.iter().for_each(|device| address(out, *device));
        out.close("iommuGroup");
    }
    if let Some(node) = pci.numa_node {
        out.start("numa").number("node", node).end_empty();
    }
    match &pci.express {
        None => {}
        Some(PciExpress { capability: None, status: None }) => out.start("pci-express").end_empty(),
        Some(PciExpress { capability, status }) => {
            out.open("pci-express");
            link(out, "cap", capability.as_ref());
            link(out, "sta", status.as_ref());
            out.close("pci-express");
        }
    }
}

fn address(out: &mut Out<'_>, address: PciAddress) {
    out.start("address")
        .hex("domain", address.domain, 4)
        .hex("bus", address.bus, 2)
        .hex("slot", address.slot, 2)
        .function("function", address.function)
        .end_empty();
}

fn link(out: &mut Out<'_>, validity: &str, link: Option<&PciLink>) {
    if let Some(PciLink { port, speed, width }) = link {
        let mut line = out.start("link").attribute("validity", validity.as_bytes());
        if let Some(port) = port {
            line = line.number("port", *port);
        }
        if let Some(speed) = speed {
            line = line.attribute("speed", speed.as_str().as_bytes());
        }
        line.number("width", *width).end_empty();
    }
}

/// The nested capability `mdev_types`, if there are types.
pub(super) fn mdev_types(out: &mut Out<'_>, types: &[MdevType]) {
    if types.is_empty() {
        return;
    }
    out.open_capability("mdev_types");
    for kind in types {
        out.start("type").attribute("id", &kind.id).end_open();
        out.optional("name", kind.name.as_ref());
        out.text("deviceAPI", &kind.device_api);
        out.number("availableInstances", kind.available_instances);
        out.close("type");
    }
    out.close("capability");
}

fn vpd(out: &mut Out<'_>, data: &VpdCapability) {
    out.open_capability("vpd");
    out.optional("name", data.name.as_ref());
    if let Some(fields) = &data.read_only {
        out.start("fields").attribute("access", b"readonly").end_open();
        out.optional("change_level", fields.change_level.as_ref());
        out.optional("manufacture_id", fields.manufacture_id.as_ref());
        out.optional("part_number", fields.part_number.as_ref());
        out.optional("serial_number", fields.serial_number.as_ref());
        custom_fields(out, "vendor_field", &fields.vendor_fields);
        out.close("fields");
    }
    if let Some(fields) = &data.read_write {
        out.start("fields").attribute("access", b"readwrite").end_open();
        out.optional("asset_tag", fields.asset_tag.as_ref());
        custom_fields(out, "vendor_field", &fields.vendor_fields);
        custom_fields(out, "system_field", &fields.system_fields);
        out.close("fields");
    }
    out.close("capability");
}

fn custom_fields(out: &mut Out<'_>, name: &str, fields: &[VpdField]) {
    for VpdField { index, value } in fields {
        let line = out.start(name).attribute("index", index.encode_utf8(&mut [0; 4]).as_bytes());
        if value.is_empty() { line.end_empty() } else { line.text(value).end(name) }
    }
}
