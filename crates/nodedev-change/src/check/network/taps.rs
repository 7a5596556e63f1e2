//! Cards that guests and containers reach their network through: by a bridge that an interface of theirs is in as well.
//!
//! Routes say nothing of these: the host itself need not have an address there.

use std::collections::HashSet;

use nodedev_model::{Effect, FindingKind};
use nodedev_sys::network::InterfaceName;

use super::{UNKNOWN, cards, way_on};
use crate::Result;
use crate::check::Scene;
use crate::check::claims::{Claim, Claims, Concern};
use crate::check::scene::who;

const REMEDY: &str = "stop the guest, or put its interface or the card into another bridge; with --force the guest loses its network";

/// Claims on what bridges are built upon that have a port of a process, by `/dev/net/tun`, or of another network namespace, by the
/// other end of a pair. A bridge without a card is one of its own: where its packets are led on to, routes say.
pub(in crate::check) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let interfaces = scene.interfaces()?;
    // Each bridge, and what is so of it.
    let mut users: Vec<(InterfaceName, String)> = Vec::new();
    for process in &scene.open_files()?.processes {
        for tap in &process.taps {
            // One that is not here is in another network namespace, and so is its bridge.
            let Some(bridge) = interfaces.master(&tap.as_slice().into())? else { continue };
            let [tap, upper] = [&**tap, &*bridge].map(String::from_utf8_lossy);
            let who = who(process.pid, &process.command);
            // A sandbox can have been given a tap of this namespace, or have one of its own of that name.
            let has = if process.is_network_elsewhere { "may have" } else { "has" };
            let what = format!("a guest: {who} {has} {tap}, a port of {upper}");
            users.push((bridge, what));
        }
    }
    for (bridge, port) in interfaces.led_elsewhere() {
        let [port, upper] = [port, bridge].map(|name| String::from_utf8_lossy(name));
        let what = format!(
            "a container or guest: {port} leads to another network namespace, and is a port of {upper}"
        );
        users.push((bridge.clone(), what));
    }
    let bridges: HashSet<InterfaceName> = users.iter().map(|(bridge, _)| bridge.clone()).collect();
    let cards = cards::below(interfaces, &bridges, &mut |error| {
        let problem = format!("the bridges of guests: {}", error.message());
        claims.unknown(Concern::Network, problem, UNKNOWN);
    });
    for (bridge, what) in users {
        for needed in cards.get(&bridge).into_iter().flatten() {
            claims.add(Claim {
                kind: FindingKind::HostNetwork,
                effect: Effect::RefusedUnlessForced,
                what: format!("carries the network of {what}{}", way_on(needed)),
                remedy: REMEDY.to_owned(),
                path: needed.path.clone(),
            });
        }
    }
    Ok(())
}
