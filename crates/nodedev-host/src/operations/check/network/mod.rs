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

use std::net::IpAddr;

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::basename;

use self::interfaces::{How, Interfaces, Needed};
use self::peers::{Peer, Remote};
use super::scene::is_below;
use super::{Intent, Scene, finding};
use crate::operations::Result;

const ROUTE: &str = "move the route to another interface; with --force the host loses its network";
const CONNECTION: &str = "connect through another interface; with --force this connection is lost";
const STORAGE: &str = "unmount or log out of it, or lead its route through another interface; with --force the host loses what is on it";

/// A device that the host needs.
#[derive(Debug)]
pub(super) struct Through {
    pub(super) kind: FindingKind,
    pub(super) effect: Effect,
    /// Why, as it is told: `its default route is through eth0`.
    pub(super) why: String,
    pub(super) remedy: &'static str,
    /// Relative to the root.
    pub(super) path: Vec<u8>,
    /// Whether it may be another device as well.
    pub(super) is_guess: bool,
}

/// Whether the host's network, its storage on other machines or the connection of whoever asks leads through the function.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let needed = |through: &Through| {
        finding(
            through.kind,
            through.effect,
            format!("PCI device {} is needed by the host: {}", function.address, through.why),
            through.remedy,
        )
    };
    let all = match scene.through() {
        Ok(all) => all,
        // What cannot be found out is never taken for nothing.
        Err(error) => {
            let problem = format!(
                "PCI device {} may be needed by the host, of which not everything could be found out: {}",
                function.address,
                error.told()
            );
            let remedy = "ask as root, and again; with --force the host may lose what it needs";
            return Ok(vec![finding(FindingKind::Unknown, Effect::RefusedUnlessForced, problem, remedy)]);
        }
    };
    // One of a kind is enough: a host can have very many.
    let mut findings: Vec<Finding> = Vec::new();
    for through in all.iter().filter(|through| is_below(&through.path, function)) {
        if !findings.iter().any(|found| (found.kind, found.effect) == (through.kind, through.effect)) {
            findings.push(needed(through));
        }
    }
    Ok(findings)
}

impl Through {
    /// A device that is refused for what the host does with it, unless forced.
    pub(super) fn new(kind: FindingKind, why: String, remedy: &'static str, path: Vec<u8>) -> Self {
        Self { kind, effect: Effect::RefusedUnlessForced, why, remedy, path, is_guess: false }
    }
}

/// All that the network of the host, and the connection of whoever asks, leads through. `block` are the paths of the host's
/// block devices.
pub(super) fn through(
    host: &dyn HostAccess,
    connected_at: Option<IpAddr>,
    block: &[Vec<u8>],
) -> Result<Vec<Through>> {
    let interfaces = Interfaces::of(host)?;
    let mut through = Vec::new();
    for route in interfaces.routes().default_like() {
        let what = if route.is_whole {
            "its default route".to_owned()
        } else {
            format!("its default route in parts ({})", route.what)
        };
        through.extend(told(&what, interfaces.below(&route.interface)?, FindingKind::HostNetwork, ROUTE));
    }
    if let Some(address) = connected_at.filter(|address| !address.to_canonical().is_loopback()) {
        let what = format!("your connection to {address}");
        for interface in interfaces.with_address(address) {
            through.extend(told(&what, interfaces.below(interface)?, FindingKind::HostNetwork, CONNECTION));
        }
    }
    for Remote { what, peer } in peers::all(host, block)? {
        let kind = FindingKind::HostStorage;
        match peer {
            Peer::Device(path) => {
                let why = format!("{what} is through {}", String::from_utf8_lossy(basename(&path)));
                through.push(Through::new(kind, why, STORAGE, path));
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
        Through { is_guess, ..Through::new(kind, why, remedy, needed.path) }
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
