use nodedev_model::{DrmCapability, DrmKind, IdName, UsbDeviceCapability, UsbInterfaceCapability};

use super::number::unsigned;
use super::reader::{Reader, Step};
use crate::dom::NodeId;

/// `<vendor id='…'>name</vendor>` or `<product …>`, of which the id is mandatory.
pub(super) fn id_name(r: &mut Reader<'_, '_>, node: NodeId, child: &str, what: &str) -> Step<IdName> {
    let element = r.doc.element(node, child);
    let at = element.unwrap_or(node);
    let id = match element.and_then(|element| r.attribute(element, "id")) {
        None => {
            r.internal(at, format!("no {what} supplied"))?;
            0
        }
        Some(id) => match unsigned(id, 16) {
            Some(id) => id,
            None => {
                r.internal(at, format!("invalid {what} supplied"))?;
                0
            }
        },
    };
    Ok(IdName { id, name: r.string(node, child) })
}

pub(super) fn usb_device(r: &mut Reader<'_, '_>, node: NodeId) -> Step<UsbDeviceCapability> {
    Ok(UsbDeviceCapability {
        bus: r.required_number(node, "bus", "USB bus number")?,
        device: r.required_number(node, "device", "USB device number")?,
        vendor: id_name(r, node, "vendor", "USB vendor ID")?,
        product: id_name(r, node, "product", "USB product ID")?,
        ..UsbDeviceCapability::default()
    })
}

pub(super) fn usb_interface(r: &mut Reader<'_, '_>, node: NodeId) -> Step<UsbInterfaceCapability> {
    Ok(UsbInterfaceCapability {
        number: r.required_number(node, "number", "USB interface number")?,
        class: r.required_number(node, "class", "USB interface class")?,
        subclass: r.required_number(node, "subclass", "USB interface subclass")?,
        protocol: r.required_number(node, "protocol", "USB interface protocol")?,
        description: r.optional(node, "description"),
    })
}

/// `None`: a mistake was collected.
pub(super) fn drm(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<DrmCapability>> {
    let word = r.text(node, "type");
    let kind = word.as_deref().and_then(DrmKind::from_word);
    if kind.is_none() {
        let at = r.doc.element(node, "type").unwrap_or(node);
        r.unsupported(at, format!("unknown drm type '{}'", word.as_deref().unwrap_or("(null)")))?;
    }
    Ok(kind.map(|kind| DrmCapability { kind }))
}
