use nodedev_model::{Text, VpdCapability, VpdField, VpdReadOnly, VpdReadWrite};

use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn vpd(r: &mut Reader<'_, '_>, node: NodeId) -> Step<VpdCapability> {
    let name = r.optional(node, "name");
    if name.is_none() && !r.lossless() {
        r.xml(node, "Could not read a device name from the <name> element")?;
    }
    let mut vpd = VpdCapability { name, ..VpdCapability::default() };
    for fields in r.elements(node, "fields") {
        match r.doc.property(fields, "access") {
            Some("readonly") => read_only(r, fields, vpd.read_only.get_or_insert_default())?,
            Some("readwrite") => read_write(r, fields, vpd.read_write.get_or_insert_default())?,
            Some(other) => r.xml(fields, format!("Unsupported VPD field access type '{other}'"))?,
            None => r.missing_attribute(fields, "access")?,
        }
    }
    Ok(vpd)
}

fn read_only(r: &mut Reader<'_, '_>, node: NodeId, fields: &mut VpdReadOnly) -> Step {
    custom_fields(r, node, "vendor_field", |index, value| put(&mut fields.vendor_fields, index, value))?;
    for (name, field) in [
        ("change_level", &mut fields.change_level),
        ("manufacture_id", &mut fields.manufacture_id),
        ("part_number", &mut fields.part_number),
        ("serial_number", &mut fields.serial_number),
    ] {
        fixed_field(r, node, name, field);
    }
    Ok(())
}

fn read_write(r: &mut Reader<'_, '_>, node: NodeId, fields: &mut VpdReadWrite) -> Step {
    custom_fields(r, node, "vendor_field", |index, value| put(&mut fields.vendor_fields, index, value))?;
    custom_fields(r, node, "system_field", |index, value| match index {
        'A' => fields.asset_tag = Some(value),
        _ => put(&mut fields.system_fields, index, value),
    })?;
    fixed_field(r, node, "asset_tag", &mut fields.asset_tag);
    Ok(())
}

fn fixed_field(r: &Reader<'_, '_>, node: NodeId, name: &str, field: &mut Option<Text>) {
    if let Some(value) = r.optional(node, name) {
        *field = Some(value);
    }
}

/// Sets the field of an index: a later value takes the place of an earlier one.
fn put(fields: &mut Vec<VpdField>, index: char, value: Text) {
    match fields.iter_mut().find(|field| field.index == index) {
        Some(field) => field.value = value,
        None => fields.push(VpdField { index, value }),
    }
}

fn custom_fields(
    r: &mut Reader<'_, '_>,
    node: NodeId,
    name: &'static str,
    mut put: impl FnMut(char, Text),
) -> Step {
    for element in r.elements(node, name) {
        let value = Text::from(&*r.doc.text(element));
        let Some(index) = r.doc.property(element, "index") else {
            r.missing_attribute(element, "index")?;
            continue;
        };
        match *index.as_bytes() {
            [index] => put(char::from(index), value),
            _ => r.xml(element, format!("'{name}' 'index' value '{index}' malformed"))?,
        }
    }
    Ok(())
}
