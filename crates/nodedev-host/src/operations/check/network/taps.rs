//! Cards that guests reach their network through: by a bridge that an interface of theirs is in as well.
//!
//! Routes say nothing of these: the host itself need not have an address there.

use std::collections::HashMap;

use nodedev_model::{Effect, FindingKind, PciAddress};
use nodedev_sys::network::InterfaceName;

use super::interfaces::{How, Needed};
use super::{UNKNOWN, way_on};
use crate::operations::Result;
use crate::operations::check::Scene;
use crate::operations::check::claims::{Claim, Claims, Concern};
use crate::operations::check::scene::who;

const REMEDY: &str = "stop the guest, or put its interface or the card into another bridge; with --force the guest loses its network";

/// Claims of processes that have an interface by `/dev/net/tun`, on what the bridge is built upon that it is a port of.
pub(in crate::operations::check) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let mut bridges: HashMap<InterfaceName, Vec<Needed>> = HashMap::new();
    for process in &scene.open_files()?.processes {
        for tap in &process.taps {
            let interfaces = scene.interfaces()?;
            // One that is not here is in another network namespace, and so is its bridge.
            let Some(bridge) = interfaces.master(&tap.as_slice().into())? else { continue };
            if !bridges.contains_key(&bridge) {
                let below = interfaces.below(&bridge).unwrap_or_else(|error| {
                    let problem = format!(
                        "{} is a bridge of guests: {}",
                        String::from_utf8_lossy(&bridge),
                        error.told()
                    );
                    claims.unknown(Concern::Network, problem, UNKNOWN);
                    Vec::new()
                });
                // A bridge without a card is one of its own: where its packets are led on to, routes say.
                let is_cards = |needed: &Needed| {
                    needed.how < How::Maybe && PciAddress::in_path(&needed.path).next().is_some()
                };
                bridges.insert(bridge.clone(), below.into_iter().filter(is_cards).collect());
            }
            let [tap, upper] = [&**tap, &*bridge].map(String::from_utf8_lossy);
            for needed in &bridges[&bridge] {
                let who = who(process.pid, &process.command);
                claims.add(Claim {
                    kind: FindingKind::HostNetwork,
                    effect: Effect::RefusedUnlessForced,
                    what: format!(
                        "carries the network of a guest: {who} has {tap}, a port of {upper}{}",
                        way_on(needed)
                    ),
                    remedy: REMEDY.to_owned(),
                    path: needed.path.clone(),
                });
            }
        }
    }
    Ok(())
}
