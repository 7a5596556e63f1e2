use nodedev_model::{NetCapability, NetFeature, NetFeatures, NetKind, NetLink, NetLinkState};

use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn net(r: &mut Reader<'_, '_>, node: NodeId) -> Step<NetCapability> {
    let interface = r.string(node, "interface");
    if interface.is_none() {
        r.internal(node, "no network interface supplied")?;
    }
    let address = r.optional(node, "address");
    let features = features(r, node)?;
    let kind = kind(r, node)?;
    let link = match r.doc.element(node, "link") {
        None => NetLink::default(),
        Some(link) => NetLink {
            state: r.optional_word(link, "state", NetLinkState::from_word)?,
            raw_speed: r.number_attribute(link, "speed", 10)?.unwrap_or_default(),
        },
    };
    Ok(NetCapability {
        interface: interface.unwrap_or_default(),
        address,
        link,
        features,
        kind,
        ..NetCapability::default()
    })
}

fn features(r: &mut Reader<'_, '_>, node: NodeId) -> Step<NetFeatures> {
    let mut features = NetFeatures::default();
    for feature in r.elements(node, "feature") {
        match r.doc.property(feature, "name").map(|name| (name, NetFeature::from_word(name))) {
            Some((_, Some(feature))) => features.insert(feature),
            Some((name, None)) => r.xml(feature, format!("unknown network device feature '{name}'"))?,
            None => r.xml(feature, "missing network device feature name")?,
        }
    }
    Ok(features)
}

/// Kind of interface, which is the type of the first nested capability that has one.
fn kind(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<NetKind>> {
    let typed = r.elements(node, "capability").find_map(|c| r.doc.attribute(c, "type").map(|kind| (c, kind)));
    let Some((at, word)) = typed.filter(|(_, word)| !word.is_empty()) else { return Ok(None) };
    let kind = NetKind::from_word(word);
    if kind.is_none() {
        r.unsupported(at, "invalid network type supplied")?;
    }
    Ok(kind)
}
