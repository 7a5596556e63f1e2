//! The cards below many interfaces, which one walk finds for all of them: each of a thousand bridges can lead to all others.

use std::collections::{HashMap, HashSet};

use nodedev_model::PciAddress;
use nodedev_sys::network::InterfaceName;

use super::interfaces::{How, Interfaces, Needed, Node, Open, bounded};
use crate::OpsError;

/// A card's interface, and its path relative to the root.
type Card = (InterfaceName, Vec<u8>);
/// What is directly above each node, and how that needs it.
type Above = HashMap<Node, Vec<(Node, How)>>;

/// The cards that each of some interfaces is built upon, the surest first; `failed` is told what cannot be found out.
pub(super) fn below(
    interfaces: &Interfaces<'_>,
    uppers: &HashSet<InterfaceName>,
    failed: &mut dyn FnMut(&OpsError),
) -> HashMap<InterfaceName, Vec<Needed>> {
    let (cards, above) = down(interfaces, uppers, failed);
    let mut found: HashMap<InterfaceName, Vec<Needed>> = HashMap::new();
    for (name, path) in cards {
        let (mut open, mut seen) = (Open::default(), HashSet::new());
        open.add(Node::Interface(name.clone()), How::Itself);
        while let Some((node, how)) = open.next() {
            if !seen.insert(node.clone()) {
                continue;
            }
            for (upper, way) in above.get(&node).into_iter().flatten() {
                open.add(upper.clone(), how.max(*way));
            }
            if let Node::Interface(upper) = node
                && uppers.contains(&upper)
            {
                let (name, path) = (name.clone(), path.clone());
                found.entry(upper.clone()).or_default().push(Needed { upper, name, how, path });
            }
        }
    }
    for needed in found.values_mut() {
        needed.sort_by(|a, b| (a.how, &a.name).cmp(&(b.how, &b.name)));
    }
    found
}

/// Goes down from all of some interfaces.
fn down(
    interfaces: &Interfaces<'_>,
    uppers: &HashSet<InterfaceName>,
    failed: &mut dyn FnMut(&OpsError),
) -> (Vec<Card>, Above) {
    let (mut cards, mut above) = (Vec::new(), Above::new());
    let mut open: Vec<Node> = uppers.iter().cloned().map(Node::Interface).collect();
    let mut seen: HashSet<Node> = open.iter().cloned().collect();
    while let Some(node) = open.pop() {
        if let Err(error) = bounded(seen.len()) {
            failed(&error);
            break;
        }
        let step = match interfaces.step(&node) {
            Ok(step) => step,
            Err(error) => {
                failed(&error);
                continue;
            }
        };
        for (lower, how) in &step.lower {
            if seen.insert(lower.clone()) {
                open.push(lower.clone());
            }
            above.entry(lower.clone()).or_default().push((node.clone(), *how));
        }
        if let (Node::Interface(name), Some(path)) = (node, &step.path)
            && PciAddress::in_path(path).next().is_some()
        {
            cards.push((name, path.clone()));
        }
    }
    (cards, above)
}
