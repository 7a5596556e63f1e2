//! Machines that the host has disks and file systems on.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nodedev_model::PciAddress;
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{
    CLASS_FC_HOST, CLASS_ISCSI_CONNECTION, CLASS_ISCSI_HOST, CLASS_ISCSI_SESSION, CLASS_NVME, NVME_FABRICS,
    RBD_DEVICES, basename, join,
};

use super::mounts;
use crate::Result;
use crate::check::Scene;
use crate::check::lookup::{devices_in, is_name};

mod sockets;

const SMALL: usize = 4096;

/// Something that the host has on another machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    /// What it is, as it is told: `the iSCSI session with 10.0.0.1`.
    pub(super) what: String,
    pub(super) peer: Peer,
}

/// How the other machine is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// By a route to this address.
    Address(IpAddr),
    /// Through this interface.
    Interface(Vec<u8>),
    /// Through this device in sysfs, whose path is relative to the root.
    Device(Vec<u8>),
    /// That is not known.
    Unknown,
}

/// All that the host has on other machines.
pub(crate) fn all(scene: &Scene<'_>) -> Result<Vec<Remote>> {
    let (host, block) = (scene.host, scene.blocks()?.paths());
    let mut all = mounts::all(scene)?;
    for source in [iscsi, nvme, fibre_channel_over_ethernet, nbd, aoe] {
        all.extend(source(host, block)?);
    }
    all.extend(rbd(host)?);
    Ok(all)
}

/// The machine that text names by its address, with or without a port; an address with a scope is on the link of an interface.
pub(super) fn peer_of(text: &str) -> Option<Peer> {
    let text = text.trim();
    let text = match text.strip_prefix('[') {
        Some(inner) => inner.split(']').next()?,
        // A port behind an address of IPv4.
        None => text.rsplit_once(':').map_or(text, |(host, _)| if host.contains(':') { text } else { host }),
    };
    match text.split_once('%') {
        Some((address, scope)) => {
            let is_one = address.parse::<IpAddr>().is_ok() && is_name(scope.as_bytes());
            is_one.then(|| Peer::Interface(scope.as_bytes().to_vec()))
        }
        None => text.parse().ok().map(Peer::Address),
    }
}

/// The machines that texts name; none if one of them names none, since that one is not known then.
pub(super) fn peers_in<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Peer> {
    let peers: Option<BTreeSet<Peer>> = texts.filter(|text| !text.is_empty()).map(peer_of).collect();
    peers.unwrap_or_default().into_iter().collect()
}

/// What is told of something on other machines; of one that is not known if there are none.
fn remotes(what: &str, link: &str, peers: Vec<Peer>) -> Vec<Remote> {
    let peers = if peers.is_empty() { vec![Peer::Unknown] } else { peers };
    let told = |peer: &Peer| match peer {
        Peer::Address(address) => format!("{what} {link} {address}"),
        _ => what.to_owned(),
    };
    peers.into_iter().map(|peer| Remote { what: told(&peer), peer }).collect()
}

/// An attribute as text; absent if it has none. What only root may read is absent to others, to whom the machine is not known
/// then.
fn text(host: &dyn HostAccess, path: &[u8], name: &str) -> Result<Option<String>> {
    let value = match host.read(&join(path, name.as_bytes()), SMALL) {
        Err(error) if error.is_permission() => None,
        value => value?,
    };
    let text = value.map(|value| String::from_utf8_lossy(attribute_value(&value)).trim().to_owned());
    Ok(text.filter(|text| !text.is_empty() && text != "<NULL>" && text != "(null)"))
}

/// Whether a device is one of PCI or below one: then it is found there.
fn is_below_pci(path: &[u8]) -> bool {
    PciAddress::in_path(path).next().is_some()
}

/// The devices of a class that are below no PCI function.
fn of_this_machine(host: &dyn HostAccess, class: &str) -> Result<BTreeSet<Vec<u8>>> {
    Ok(devices_in(host, class)?.into_iter().filter(|path| !is_below_pci(path)).collect())
}

/// The part of a path that begins with a word and goes on with digits.
fn numbered<'p>(path: &'p [u8], word: &str) -> Option<&'p [u8]> {
    path.split(|&b| b == b'/').find(|part| {
        part.strip_prefix(word.as_bytes())
            .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    })
}

/// Sessions of iSCSI that this machine's own software keeps: those of cards are below these.
fn iscsi(host: &dyn HostAccess, block: &[Vec<u8>]) -> Result<Vec<Remote>> {
    let mut sessions = of_this_machine(host, CLASS_ISCSI_SESSION)?;
    // Disks of sessions that are not told of.
    let known: BTreeSet<Vec<u8>> =
        sessions.iter().filter_map(|path| numbered(path, "session")).map(<[u8]>::to_vec).collect();
    for path in block.iter().filter(|path| !is_below_pci(path)) {
        sessions.extend(numbered(path, "session").filter(|name| !known.contains(*name)).map(<[u8]>::to_vec));
    }
    let mut connections = Vec::new();
    if !sessions.is_empty() {
        connections = host.names(CLASS_ISCSI_CONNECTION.as_bytes())?.unwrap_or_default();
    }
    let mut all = Vec::new();
    for path in sessions {
        let Some(number) = numbered(&path, "session").and_then(|name| name.strip_prefix(b"session")) else {
            continue;
        };
        let first = [b"connection", number, b":"].concat();
        let mut peers = BTreeSet::new();
        for name in connections.iter().filter(|name| name.starts_with(&first)) {
            let path = join(CLASS_ISCSI_CONNECTION.as_bytes(), name);
            for attribute in ["address", "persistent_address"] {
                peers.extend(text(host, &path, attribute)?.as_deref().and_then(peer_of));
            }
        }
        let name = numbered(&path, "host").unwrap_or_default();
        let at = join(CLASS_ISCSI_HOST.as_bytes(), name);
        let what = format!("the iSCSI session {}", String::from_utf8_lossy(number));
        all.extend(remotes(&what, "with", peers.into_iter().collect()));
        if let Some(interface) = text(host, &at, "netdev")?.filter(|name| name != "default") {
            all.push(Remote { what, peer: Peer::Interface(interface.into_bytes()) });
        }
    }
    Ok(all)
}

/// Controllers of NVMe over fabrics.
fn nvme(host: &dyn HostAccess, _: &[Vec<u8>]) -> Result<Vec<Remote>> {
    let mut controllers = of_this_machine(host, CLASS_NVME)?;
    for name in host.names(NVME_FABRICS.as_bytes())?.unwrap_or_default() {
        controllers.extend(numbered(&name, "nvme").map(|name| join(NVME_FABRICS.as_bytes(), name)));
    }
    let mut all = Vec::new();
    for path in controllers {
        let address = text(host, &path, "address")?.unwrap_or_default();
        let field = |name: &str| {
            address.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let what = format!("the NVMe controller {}", String::from_utf8_lossy(basename(&path)));
        let peers = match text(host, &path, "transport")?.as_deref() {
            // Of hardware, or of this machine's own software.
            Some("pcie" | "apple-nvme") => continue,
            Some("loop") => continue,
            Some("fc") => fibre_channel(host, field("host_traddr").unwrap_or_default())?,
            _ => peers_in(field("traddr").into_iter()),
        };
        all.extend(remotes(&what, "at", peers));
        if let Some(interface) = field("host_iface").filter(|name| is_name(name.as_bytes())) {
            all.push(Remote { what, peer: Peer::Interface(interface.as_bytes().to_vec()) });
        }
    }
    Ok(all)
}

/// The port of Fibre Channel that a controller of NVMe is reached through: all of them if it is not found.
fn fibre_channel(host: &dyn HostAccess, address: &str) -> Result<Vec<Peer>> {
    let wanted = address.rsplit("pn-").next().unwrap_or_default();
    let (mut all, mut found) = (Vec::new(), Vec::new());
    for path in devices_in(host, CLASS_FC_HOST)? {
        if text(host, &path, "port_name")?.is_some_and(|name| name == wanted) {
            found.push(Peer::Device(path.clone()));
        }
        all.push(Peer::Device(path));
    }
    Ok(if found.is_empty() { all } else { found })
}

/// Ports of Fibre Channel, and disks, that stand on a network interface.
fn fibre_channel_over_ethernet(host: &dyn HostAccess, block: &[Vec<u8>]) -> Result<Vec<Remote>> {
    let mut all = BTreeSet::new();
    for path in devices_in(host, CLASS_FC_HOST)? {
        let what = format!("the Fibre Channel port {}", String::from_utf8_lossy(basename(&path)));
        let name = text(host, &path, "symbolic_name")?.unwrap_or_default();
        let over = name.rsplit_once(" over ").map(|(_, interface)| interface.trim().as_bytes().to_vec());
        let below = below_interface(&path).map(<[u8]>::to_vec);
        all.extend(over.into_iter().chain(below).map(|interface| (what.clone(), interface)));
    }
    for path in block {
        let what = || format!("the disk {}", String::from_utf8_lossy(basename(path)));
        all.extend(below_interface(path).map(|interface| (what(), interface.to_vec())));
    }
    Ok(all.into_iter().map(|(what, interface)| Remote { what, peer: Peer::Interface(interface) }).collect())
}

/// The interface that a device stands below in sysfs.
fn below_interface(path: &[u8]) -> Option<&[u8]> {
    let mut parts = path.split(|&b| b == b'/').skip_while(|part| *part != b"net").skip(1);
    parts.next().filter(|_| parts.next().is_some())
}

/// Network block devices that are connected.
fn nbd(host: &dyn HostAccess, block: &[Vec<u8>]) -> Result<Vec<Remote>> {
    let mut all = Vec::new();
    for path in block.iter().filter(|path| numbered(basename(path), "nbd").is_some()) {
        let Some(pid) = text(host, path, "pid")? else { continue };
        let what = format!("the disk {}", String::from_utf8_lossy(basename(path)));
        match sockets::peers_of(host, &pid)? {
            // The process that connected it is gone, or may not be looked at.
            None => all.push(Remote { what, peer: Peer::Unknown }),
            Some(peers) if peers.is_empty() => {}
            Some(peers) => all.extend(remotes(&what, "of", peers.into_iter().map(Peer::Address).collect())),
        }
    }
    Ok(all)
}

/// Disks of ATA over Ethernet, which name their interfaces.
fn aoe(host: &dyn HostAccess, block: &[Vec<u8>]) -> Result<Vec<Remote>> {
    let mut all = Vec::new();
    for path in block.iter().filter(|path| basename(path).starts_with(b"etherd!")) {
        let names = text(host, path, "netif")?.unwrap_or_default();
        let what = format!("the disk {}", String::from_utf8_lossy(basename(path)));
        let peers = names.split([' ', ',', '\n']).filter(|name| !name.is_empty());
        all.extend(
            peers.map(|name| Remote { what: what.clone(), peer: Peer::Interface(name.as_bytes().to_vec()) }),
        );
    }
    Ok(all)
}

/// Disks of Ceph.
fn rbd(host: &dyn HostAccess) -> Result<Vec<Remote>> {
    let mut all = Vec::new();
    for name in host.names(RBD_DEVICES.as_bytes())?.unwrap_or_default() {
        let path = join(RBD_DEVICES.as_bytes(), &name);
        let config = text(host, &path, "config_info")?.unwrap_or_default();
        let monitors = config.split(' ').next().unwrap_or_default();
        let what = format!("the Ceph disk rbd{}", String::from_utf8_lossy(&name));
        all.extend(remotes(&what, "of", peers_in(monitors.split(','))));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_ports_brackets_and_scopes() {
        let address = |text: &str| Some(Peer::Address(text.parse().unwrap()));
        for (text, want) in [
            ("10.0.0.1", address("10.0.0.1")),
            ("10.0.0.1:6789", address("10.0.0.1")),
            ("[fd00::1]:6789", address("fd00::1")),
            ("fd00::1", address("fd00::1")),
            ("fe80::1%eth0", Some(Peer::Interface(b"eth0".to_vec()))),
            ("[fe80::1%eth0]:3260", Some(Peer::Interface(b"eth0".to_vec()))),
            ("fe80::1%", None),
            ("fe80::1%../x", None),
            ("server", None),
            ("", None),
        ] {
            assert_eq!(peer_of(text), want, "{text}");
        }
        assert_eq!(peers_in(["10.0.0.1", "server"].into_iter()), []);
    }

    #[test]
    fn what_stands_below_an_interface_is_told_from_the_interface() {
        let at = |path: &str| below_interface(path.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(at("sys/devices/virtual/net/eth2.7/ctlr_0/host7"), Some(b"eth2.7".to_vec()));
        assert_eq!(at("sys/devices/virtual/net/eth2.7"), None);
        assert_eq!(at("sys/devices/pci0000:00/x"), None);
        assert_eq!(numbered(b"a/host5/session12/x", "session"), Some(&b"session12"[..]));
        assert_eq!(numbered(b"a/sessions/session/x", "session"), None);
    }
}
