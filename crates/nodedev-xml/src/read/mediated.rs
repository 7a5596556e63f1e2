use nodedev_model::{
    Capability, MdevAttribute, MdevCapability, MdevConfig, MdevType, NodeDevice, Text, Uuid,
};

use super::number::unsigned;
use super::reader::{Reader, Step};
use crate::dom::NodeId;
use crate::{ErrorCode, ErrorDomain};

/// Makes the defined configuration of mediated devices the active one, too, as if they had been started; libvirt's
/// test driver does that to each document it is given, and so a document read can be printed in its live form.
pub fn activate(device: &mut NodeDevice) {
    for capability in &mut device.capabilities {
        if let Capability::Mdev(mdev) = capability {
            mdev.active.clone_from(&mdev.defined);
        }
    }
}

/// Reads a mediated device; its configuration is the defined one.
pub(super) fn device(r: &mut Reader<'_, '_>, node: NodeId) -> Step<MdevCapability> {
    let type_id = r.doc.element(node, "type").and_then(|kind| r.attribute(kind, "id"));
    if type_id.is_none() {
        r.unsupported(node, "missing type id attribute")?;
    }
    let uuid = uuid(r, node)?;
    let mut iommu_group = 0;
    if let Some(group) = r.doc.element(node, "iommuGroup")
        && let Some(text) = r.attribute(group, "number")
    {
        match unsigned(text, 10) {
            Some(number) => iommu_group = number,
            None => r.internal(group, "invalid iommuGroup number attribute")?,
        }
    }
    let mut attributes = Vec::new();
    for node in r.elements(node, "attr") {
        let (name, value) = (r.attribute(node, "name"), r.attribute(node, "value"));
        match name.filter(|_| value.is_some() || r.lossless()) {
            Some(name) => {
                let value = value.or(r.doc.attribute(node, "value")).map(Text::from);
                attributes.push(MdevAttribute { name: name.into(), value });
            }
            None => r.remark(node, "mdev attribute missing name or value")?,
        }
    }
    Ok(MdevCapability {
        uuid,
        parent_addr: r.extra(r.optional(node, "parent_addr")),
        iommu_group,
        active: None,
        defined: Some(MdevConfig { type_id: type_id.unwrap_or_default().into(), attributes }),
    })
}

fn uuid(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<Uuid>> {
    let Some(text) = r.text(node, "uuid") else { return Ok(None) };
    let uuid = text.parse().ok();
    if uuid.is_none() {
        let at = r.doc.element(node, "uuid").unwrap_or(node);
        let what = format!("Invalid uuid '{text}' for new mdev device");
        r.mistake(at, ErrorDomain::NODEDEV, ErrorCode::INTERNAL_ERROR, what)?;
    }
    Ok(uuid)
}

/// The types in the nested capabilities `mdev_types` of an element.
pub(super) fn nested_types(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Vec<MdevType>> {
    let mut all = Vec::new();
    for nested in r.elements(node, "capability") {
        match r.doc.property(nested, "type") {
            None => r.xml(nested, "Missing capability type")?,
            Some("mdev_types") => types(r, nested, &mut all)?,
            Some(_) => {}
        }
    }
    Ok(all)
}

/// Appends the types of one capability `mdev_types`.
pub(super) fn types(r: &mut Reader<'_, '_>, node: NodeId, all: &mut Vec<MdevType>) -> Step {
    for kind in r.elements(node, "type") {
        let Some(id) = r.attribute(kind, "id") else {
            r.xml(kind, "missing 'id' attribute for mediated device's <type> element")?;
            continue;
        };
        let device_api = r.string(kind, "deviceAPI");
        if device_api.is_none() {
            r.xml(kind, format!("missing device API for mediated device type '{id}'"))?;
        }
        let instances = r.text(kind, "availableInstances").and_then(|text| unsigned(&text, 10));
        if instances.is_none() {
            r.xml(kind, format!("missing number of available instances for mediated device type '{id}'"))?;
        }
        all.push(MdevType {
            id: id.into(),
            name: r.optional(kind, "name"),
            device_api: device_api.unwrap_or_default(),
            available_instances: instances.unwrap_or_default(),
        });
    }
    Ok(())
}
