use nodedev_model::{
    ApCardCapability, ApMatrixCapability, ApQueueCapability, CcwAddress, CcwCapability, CcwGroupCapability,
    CcwGroupMember, CcwState, CssCapability, QethKind, Text,
};

use super::mediated::nested_types;
use super::number::unsigned;
use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn ccw(r: &mut Reader<'_, '_>, node: NodeId) -> Step<CcwCapability> {
    let state = state(r, node)?;
    let address = address(r, node)?;
    let mut group_device = None;
    for nested in r.elements(node, "capability") {
        if r.doc.property(nested, "type") == Some("ccwgroup_member") {
            group_device = r.string(nested, "group_device");
            if group_device.is_none() {
                r.unsupported(nested, "missing group_device value")?;
            }
        }
    }
    Ok(CcwCapability { state, address, group_device })
}

pub(super) fn css(r: &mut Reader<'_, '_>, node: NodeId) -> Step<CssCapability> {
    let own = address(r, node)?;
    let mdev_types = nested_types(r, node)?;
    let channel_dev_addr = match r.doc.element(node, "channel_dev_addr") {
        Some(channel) => Some(address(r, channel)?),
        None => None,
    };
    Ok(CssCapability { address: own, channel_dev_addr, mdev_types })
}

pub(super) fn ccwgroup(r: &mut Reader<'_, '_>, node: NodeId) -> Step<CcwGroupCapability> {
    let state = state(r, node)?;
    let address = address(r, node)?;
    let mut group = CcwGroupCapability {
        state,
        address,
        members: Vec::new(),
        kind: QethKind::Generic,
        card_type: None,
        chpid: None,
    };
    let members = r.elements(node, "members").flat_map(|members| r.elements(members, "ccw_device"));
    for member in members.collect::<Vec<_>>() {
        let Some(reference) = r.doc.property(member, "ref") else {
            let what = r.about("Missing ref property on ccw_device in members");
            r.xml(member, what)?;
            continue;
        };
        let device = Text::from(&*r.doc.text(member));
        group.members.push(CcwGroupMember { reference: reference.into(), device });
    }
    if let Some(nested) = r.doc.element(node, "capability") {
        if let Some(kind) = r.required_word(nested, "type", QethKind::from_word)? {
            group.kind = kind;
        }
        group.card_type = r.optional(nested, "card_type");
        group.chpid = r.optional(nested, "chpid");
    }
    Ok(group)
}

fn state(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<CcwState>> {
    let Some(word) = r.text(node, "state") else { return Ok(None) };
    let state = CcwState::from_word(&word);
    if state.is_none() {
        let at = r.doc.element(node, "state").unwrap_or(node);
        r.unsupported(at, format!("unknown state '{word}'"))?;
    }
    Ok(state)
}

fn address(r: &mut Reader<'_, '_>, node: NodeId) -> Step<CcwAddress> {
    Ok(CcwAddress {
        cssid: value(r, node, "cssid", 0)?,
        ssid: value(r, node, "ssid", 0)?,
        devno: value(r, node, "devno", 16)?,
    })
}

/// A mandatory number whose mistakes libvirt calls unsupported.
fn value(r: &mut Reader<'_, '_>, node: NodeId, child: &str, base: u32) -> Step<u32> {
    let element = r.doc.element(node, child);
    let at = element.unwrap_or(node);
    match element.and_then(|element| r.content(element)) {
        None => r.unsupported(at, format!("missing {child} value"))?,
        Some(text) => match unsigned(&text, base) {
            Some(number) => return Ok(number),
            None => r.unsupported(at, format!("invalid {child} value '{text}'"))?,
        },
    }
    Ok(0)
}

pub(super) fn ap_card(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ApCardCapability> {
    Ok(ApCardCapability { adapter: value(r, node, "ap-adapter", 0)? })
}

pub(super) fn ap_queue(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ApQueueCapability> {
    let adapter = value(r, node, "ap-adapter", 0)?;
    let domain = value(r, node, "ap-domain", 0)?;
    if domain > 255 {
        let at = r.doc.element(node, "ap-domain").unwrap_or(node);
        let text = r.text(node, "ap-domain").unwrap_or_default();
        r.unsupported(at, format!("ap-domain value '{text}' is out of range"))?;
    }
    Ok(ApQueueCapability { adapter, domain })
}

pub(super) fn ap_matrix(r: &mut Reader<'_, '_>, node: NodeId) -> Step<ApMatrixCapability> {
    Ok(ApMatrixCapability { mdev_types: nested_types(r, node)? })
}
