//! The network as the kernel has it: interfaces, what they are built upon, and where routes lead.
//!
//! Source: rtnetlink(7), and the family `wireguard` of generic netlink, in the network namespace of the caller.

mod links;
mod routes;
mod wireguard;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use crate::dump::{Asker, ROUTE};
use crate::{Operation, SysError};

/// The kernel's name of an interface: bytes, not always UTF-8.
pub type InterfaceName = Arc<[u8]>;

/// Interfaces, routes and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// All interfaces.
    pub links: Vec<Link>,
    /// The routes of all tables and both families, but for those that lead nobody anywhere (broadcast, multicast).
    pub routes: Vec<Route>,
    /// Addresses of this machine, each with the interface that has it.
    pub addresses: Vec<(IpAddr, InterfaceName)>,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: InterfaceName,
    /// Its kind as `ip link` has it (`bridge`, `vlan`, `wireguard`; `IFLA_INFO_KIND`); empty for one of hardware.
    pub kind: String,
    /// The interface that it is built upon, or the other end of a pair (`IFLA_LINK`, and that of a tunnel); absent if there is
    /// none, or it is in another network namespace.
    pub lower: Option<InterfaceName>,
    /// Whether the interface that it is built upon is in another network namespace (`IFLA_LINK_NETNSID`).
    pub is_lower_elsewhere: bool,
    /// The bridge, bond, VRF or the like that it is a part of (`IFLA_MASTER`).
    pub master: Option<InterfaceName>,
    /// Addresses of the machines that a tunnel ends at; empty if it is none, or they are not known.
    pub ends: Vec<IpAddr>,
}

/// What becomes of a packet that a route fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RouteKind {
    /// It is sent through the route's interfaces.
    #[default]
    Unicast,
    /// It is for this machine itself.
    Local,
    /// It is dropped (`blackhole`, `unreachable`, `prohibit`).
    DeadEnd,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The part of the addresses that it is for.
    pub destination: IpAddr,
    /// How many bits of `destination` count.
    pub length: u8,
    /// What it does.
    pub kind: RouteKind,
    /// Number of its table: 254 is the main one, others are found by rules or belong to a VRF.
    pub table: u32,
    /// Of two routes in a table that fit alike, the one with the smaller number is taken.
    pub priority: u32,
    /// Whether it need not be taken for an address that it fits: it is for packets of one kind of service or from some addresses
    /// alone, or one of its next hops is not reached at the moment. Then a route that fits less well can be taken.
    pub is_limited: bool,
    /// The interfaces of all its next hops.
    pub interfaces: Arc<[InterfaceName]>,
}

/// How often the kernel is asked, where interfaces come while it is.
const ATTEMPTS: usize = 5;

/// Asks the kernel.
pub(crate) fn ask() -> Result<Network, SysError> {
    let mut answer = look();
    for _ in 1..ATTEMPTS {
        match &answer {
            Err(SysError::Io { source, .. }) if source.kind() == io::ErrorKind::Interrupted => {
                answer = look()
            }
            _ => break,
        }
    }
    answer
}

fn look() -> Result<Network, SysError> {
    let failed = |what: &'static str| {
        move |source| SysError::Io { operation: Operation::Ask, path: what.to_owned(), source }
    };
    let mut asker = Asker::open(ROUTE).map_err(failed("network"))?;
    let found = links::ask(&mut asker).map_err(failed("network interfaces"))?;
    let names = Names(found.iter().map(|found| (found.index, found.link.name.clone())).collect());
    let routes = routes::ask(&mut asker, &names).map_err(failed("routes"))?;
    let addresses = links::addresses(&mut asker, &names).map_err(failed("addresses"))?;
    let mut links: Vec<Link> = found.into_iter().map(|found| found.named(&names)).collect();
    wireguard::add_ends(&mut links);
    Ok(Network { links, routes, addresses })
}

/// Names of interfaces by their numbers.
#[derive(Debug)]
struct Names(HashMap<u32, InterfaceName>);

impl Names {
    /// The name of an interface; [`io::ErrorKind::Interrupted`] for one that came since all were asked for.
    fn get(&self, index: u32) -> io::Result<InterfaceName> {
        self.0.get(&index).cloned().ok_or_else(|| {
            let told = format!("interface {index} is new: interfaces change at the moment");
            io::Error::new(io::ErrorKind::Interrupted, told)
        })
    }
}
