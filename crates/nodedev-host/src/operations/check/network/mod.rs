//! Interfaces that the host reaches its network, its storage and whoever asks through.
//!
//! What counts is what carries packets in the end: from an interface it goes down to all that it is built upon
//! ([`interfaces`]). Routes are those of all tables, whether or not a rule leads to them ([`routes`]); where storage is on
//! another machine, the route to that machine counts ([`peers`]).

mod files;
mod interfaces;
mod mounts;
mod peers;
mod routes;

use nodedev_model::FindingKind;
use nodedev_sys::paths::basename;

pub(crate) use self::interfaces::Interfaces;
use self::interfaces::{How, Needed};
use self::peers::{Peer, Remote};
use super::Scene;
use super::claims::{Claim, Claims};
use crate::operations::Result;

const ROUTE: &str = "move the route to another interface; with --force the host loses its network";
const CONNECTION: &str = "connect through another interface; with --force this connection is lost";
const STORAGE: &str = "unmount or log out of it, or lead its route through another interface; with --force the host loses what is on it";

/// A device that the host needs.
#[derive(Debug)]
struct Through {
    kind: FindingKind,
    /// Why, as it is told: `its default route is through eth0`.
    why: String,
    remedy: &'static str,
    /// Relative to the root.
    path: Vec<u8>,
    /// Whether it may be another device as well.
    is_guess: bool,
}

/// Claims of the host's network, of its storage on other machines, and of the connection of whoever asks.
pub(super) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    for Through { kind, why, remedy, path, .. } in through(scene)? {
        claims.add(Claim::needed(kind, why, remedy, path));
    }
    Ok(())
}

/// Paths of the devices that an interface is, or is built upon.
pub(super) fn devices_below(scene: &Scene<'_>, interface: &[u8]) -> Result<Vec<Vec<u8>>> {
    Ok(scene.interfaces()?.below(interface)?.into_iter().map(|needed| needed.path).collect())
}

/// All that the network of the host, and the connection of whoever asks, leads through.
fn through(scene: &Scene<'_>) -> Result<Vec<Through>> {
    let interfaces = scene.interfaces()?;
    let mut through = Vec::new();
    for route in interfaces.routes().default_like() {
        let what = if route.is_whole {
            "its default route".to_owned()
        } else {
            format!("its default route in parts ({})", route.what)
        };
        through.extend(told(&what, interfaces.below(&route.interface)?, FindingKind::HostNetwork, ROUTE));
    }
    if let Some(address) = scene.connected_at.filter(|address| !address.to_canonical().is_loopback()) {
        let what = format!("your connection to {address}");
        for interface in interfaces.with_address(address) {
            through.extend(told(&what, interfaces.below(interface)?, FindingKind::HostNetwork, CONNECTION));
        }
    }
    for Remote { what, peer } in peers::all(scene)? {
        let kind = FindingKind::HostStorage;
        match peer {
            Peer::Device(path) => {
                let why = format!("{what} is through {}", String::from_utf8_lossy(basename(&path)));
                through.push(Through { kind, why, remedy: STORAGE, path, is_guess: false });
            }
            Peer::Interface(name) => {
                through.extend(told(&what, interfaces.below(&name)?, kind, STORAGE));
            }
            Peer::Address(address) => through.extend(told(&what, interfaces.to(address)?, kind, STORAGE)),
            Peer::Unknown => through.extend(told(&what, interfaces.any()?, kind, STORAGE)),
        }
    }
    // What is sure is told first.
    through.sort_by_key(|through| through.is_guess);
    Ok(through)
}

/// What needs some interfaces, as it is told.
fn told(
    what: &str,
    interfaces: Vec<Needed>,
    kind: FindingKind,
    remedy: &'static str,
) -> impl Iterator<Item = Through> {
    interfaces.into_iter().map(move |needed| {
        let why = way(what, &needed);
        let is_guess = needed.how == How::Maybe;
        Through { kind, why, remedy, path: needed.path, is_guess }
    })
}

/// What leads through an interface, and how.
fn way(what: &str, needed: &Needed) -> String {
    let [upper, name] = [&needed.upper, &needed.name].map(|name| String::from_utf8_lossy(name));
    match needed.how {
        How::Itself => format!("{what} is through {name}"),
        How::Part => format!("{what} is through {upper}, of which {name} is a part"),
        How::Tunnel => format!("{what} is through {upper}, a tunnel that is through {name}"),
        How::Maybe if upper.is_empty() => {
            format!("{what} may be through {name}: no other way there is known")
        }
        How::Maybe => {
            format!("{what} is through {upper}, and may lead on through {name}: nobody says where it does")
        }
    }
}
