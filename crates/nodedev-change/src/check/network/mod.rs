//! Interfaces that the host reaches its network, its storage and whoever asks through.
//!
//! What counts is what carries packets in the end: from an interface it goes down to all that it is built upon
//! ([`interfaces`]). Routes are those of all tables, whether or not a rule leads to them ([`routes`]); where storage is on
//! another machine, the route to that machine counts ([`peers`]).

mod cards;
mod files;
mod interfaces;
mod mounts;
mod netconsole;
mod peers;
mod routes;
mod taps;

pub(super) use mounts::is_of_network;
pub(super) use taps::claims as bridges_of_guests;

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::paths::basename;

pub(crate) use self::interfaces::Interfaces;
use self::interfaces::{How, Needed};
use self::peers::Peer;
pub(crate) use self::peers::{Remote, all as remotes};
use super::claims::{Claim, Claims, Concern};
use super::{Intent, Scene, finding};
use crate::Result;

const ROUTE: &str = "move the route to another interface; with --force the host loses its network";
const CONNECTION: &str = "connect through another interface; with --force this connection is lost";
const STORAGE: &str = "unmount or log out of it, or lead its route through another interface; with --force the host loses what is on it";

const CONSOLE: &str = "stop netconsole, or name another interface; with --force its messages are lost";
const CONSOLE_UNKNOWN: &str =
    "make it say so (configfs), or remove the module netconsole; --force takes the device without knowing";
const UNKNOWN: &str = "ask as root, and again; --force takes the device without knowing";
/// What the classes of network controllers begin with.
const NETWORK_CLASS: &str = "0x02";
const INFINIBAND_CLASS: &str = "0x0207";

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

/// Claims of the host's network, of its storage on other machines, and of the connection of whoever asks. What cannot be found out
/// of one way keeps nothing of the others from being told.
pub(super) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let interfaces = scene.interfaces()?;
    let mut through = Vec::new();
    let mut add = |claims: &mut Claims, what: &str, needed: Result<Vec<Needed>>, kind, remedy| match needed {
        Ok(needed) => through.extend(told(what, needed, kind, remedy)),
        Err(error) => claims.unknown(Concern::Network, format!("{what}: {}", error.message()), UNKNOWN),
    };
    for route in interfaces.routes().default_like() {
        let what = if route.is_whole {
            "its default route".to_owned()
        } else {
            format!("its default route in parts ({})", route.what)
        };
        add(claims, &what, interfaces.below(&route.interface), FindingKind::HostNetwork, ROUTE);
    }
    if let Some(address) = scene.connected_at.filter(|address| !address.to_canonical().is_loopback()) {
        let what = format!("your connection to {address}");
        for interface in interfaces.with_address(address) {
            add(claims, &what, interfaces.below(interface), FindingKind::HostNetwork, CONNECTION);
        }
    }
    for Remote { what, peer } in scene.remotes()? {
        let needed = match peer {
            // Told by a source of their own.
            Peer::Device(_) => continue,
            Peer::Interface(name) => interfaces.below(name),
            Peer::Address(address) => interfaces.to(*address),
            Peer::Unknown => interfaces.any(),
        };
        add(claims, what, needed, FindingKind::HostStorage, STORAGE);
    }
    // What is sure is told first.
    through.sort_by_key(|through| through.is_guess);
    for Through { kind, why, remedy, path, .. } in through {
        claims.add(Claim::needed(kind, why, remedy, path));
    }
    Ok(())
}

/// Claims of the kernel itself, which writes its log through an interface.
pub(super) fn consoles(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let mut unknown = |why: String| {
        let problem = format!("the kernel writes its log over the network (netconsole), and {why}");
        claims.unknown(Concern::Network, problem, CONSOLE_UNKNOWN);
    };
    let Some(names) = netconsole::interfaces(scene.host)? else {
        unknown("nobody says through which interface".to_owned());
        return Ok(());
    };
    let mut all = Vec::new();
    for name in names {
        let needed = scene.interfaces()?.below(&name)?;
        if needed.is_empty() {
            let name = String::from_utf8_lossy(&name);
            unknown(format!("the interface that it is said to be through is not here: {name:?}"));
        }
        all.extend(needed);
    }
    let what = "its console over the network (netconsole)";
    for Through { kind, why, remedy, path, .. } in told(what, all, FindingKind::HostConsole, CONSOLE) {
        claims.add(Claim::needed(kind, why, remedy, path));
    }
    Ok(())
}

/// Claims of storage on other machines, or on the hypervisor, that a device of this one leads to by itself.
pub(super) fn remote_devices(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    for Remote { what, peer } in scene.remotes()? {
        if let Peer::Device(path) = peer {
            let why = format!("{what} is through {}", String::from_utf8_lossy(basename(path)));
            claims.add(Claim::needed(FindingKind::HostStorage, why, STORAGE, path.clone()));
        }
    }
    Ok(())
}

/// A function whose interface is in another network namespace, as in a container: what is there cannot be seen from here.
pub(super) fn elsewhere(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(pid) = scene.open_files()?.other_network else { return Ok(Vec::new()) };
    let class = function.attribute(scene.host, "class")?.unwrap_or_default();
    let Some(driver) = scene.functions().driver(function)? else { return Ok(Vec::new()) };
    let is_seen = !class.starts_with(NETWORK_CLASS)
        || scene.functions().is_kept(function)?
        || scene.below()?.has(function, Concern::Network)
        // InfiniBand need not have an interface, and its nodes are everywhere.
        || class.starts_with(INFINIBAND_CLASS) && scene.below()?.has(function, Concern::Nodes);
    let problem = format!(
        "it is not known whether PCI device {} is in use: driver {driver} has no interface here, and there are other network \
         namespaces (process {pid}), where it can be",
        function.address
    );
    let remedy = "look into them (ip netns, lsns -t net); --force takes the device without knowing";
    Ok(if is_seen {
        Vec::new()
    } else {
        vec![finding(FindingKind::Unknown, Effect::RefusedUnlessForced, problem, remedy)]
    })
}

/// Paths of the devices that an interface is, or is built upon, and whether that is only what it may be.
pub(super) fn devices_below(scene: &Scene<'_>, interface: &[u8]) -> Result<Vec<(Vec<u8>, bool)>> {
    let below = scene.interfaces()?.below(interface)?.into_iter();
    Ok(below.map(|needed| (needed.path, needed.how == How::Maybe)).collect())
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

/// How it goes on from an interface, of which it was said where it is, to another one.
fn way_on(needed: &Needed) -> String {
    let name = String::from_utf8_lossy(&needed.name);
    match needed.how {
        How::Itself | How::Part => format!(", of which {name} is a part"),
        How::Tunnel => format!(", a tunnel of which is through {name}"),
        How::Maybe => format!(", and may lead on through {name}"),
    }
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
