//! Who registered for which events.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nodedev_driver::{Error, ErrorDomain};
use nodedev_rpc::Fault;

use super::watchers::Watchers;
use super::{Listener, Refused};
use crate::identity::Identity;
use crate::ledger::{Charge, Kind as Held};

/// Registrations that one client may have: one for each device that a list can hold, for both kinds of events.
const REGISTRATIONS_MAX: usize = 2 * nodedev_rpc::bounds::NODE_DEVICE_LIST_MAX;
/// What a registration costs beside the device's name, with its places in tables.
const COST: usize = 320;
/// A table that is larger than this, and for the most part empty, is made smaller.
const SPARSE: usize = 64;

/// The two kinds of events that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lifecycle,
    Update,
}

/// Which events a registration is for, beside their kind: those of one device, or of all.
pub(super) type About = Option<Arc<[u8]>>;

/// A registration of a client.
pub(super) struct Registration {
    pub(super) listener: Arc<Listener>,
    pub(super) identity: Arc<Identity>,
    /// The client's number of it.
    pub(super) number: i32,
    /// Changes up to this one were there before the registration.
    pub(super) since: u64,
    _charge: Charge,
}

/// All registrations for the events of one device, or of all: at most one of each client, in the order of the clients'
/// numbers.
type Wanting = Vec<Registration>;

#[derive(Default)]
pub(super) struct Registrations {
    /// Who wants the events of all devices, and who those of one, for each kind.
    everything: [Wanting; 2],
    devices: [HashMap<Arc<[u8]>, Wanting>; 2],
    clients: HashMap<u64, Client>,
    /// Those who watch by program NODEDEV.
    pub(super) watchers: Watchers,
}

/// A client that has registered for something.
#[derive(Default)]
struct Client {
    /// The number of its next registration; none is used twice.
    next: i32,
    by_number: BTreeMap<i32, (Kind, About)>,
}

fn place(wanting: &Wanting, client: u64) -> Result<usize, usize> {
    wanting.binary_search_by_key(&client, |registration| registration.listener.id)
}

impl Registrations {
    /// Whether nobody wants to know of anything.
    pub(super) fn is_empty(&self) -> bool {
        self.everything.iter().all(Vec::is_empty) && self.devices.iter().all(HashMap::is_empty)
    }

    /// Those who want to know of an event of a device: first who wants all.
    pub(super) fn wanting(&self, kind: Kind, device: &[u8]) -> impl Iterator<Item = &Registration> {
        let one = self.devices[kind as usize].get(device);
        self.everything[kind as usize].iter().chain(one.into_iter().flatten())
    }

    /// Adds a registration, and returns its number.
    pub(super) fn add(
        &mut self,
        listener: &Arc<Listener>,
        identity: &Arc<Identity>,
        (kind, about): (Kind, About),
        since: u64,
    ) -> Result<i32, Refused> {
        let known = match &about {
            None => Some(&self.everything[kind as usize]),
            Some(name) => self.devices[kind as usize].get(name),
        };
        if known.is_some_and(|wanting| place(wanting, listener.id).is_ok()) {
            return Err(Fault::already_tracked().into());
        }
        let count = self.clients.get(&listener.id).map_or(0, |client| client.by_number.len());
        if count >= REGISTRATIONS_MAX {
            let detail = format!("a client can't have more than {REGISTRATIONS_MAX} event registrations");
            return Err(Error::internal(ErrorDomain::RPC, detail).into());
        }
        let cost = COST + about.as_ref().map_or(0, |name| name.len());
        let charge = self.charge(listener, cost)?;
        let number = self.take_number(listener.id)?;
        let wanting = match &about {
            None => &mut self.everything[kind as usize],
            Some(name) => self.devices[kind as usize].entry(Arc::clone(name)).or_default(),
        };
        if let Err(at) = place(wanting, listener.id) {
            // Few have more than one registration for a device.
            wanting.reserve_exact(usize::from(wanting.is_empty()));
            let (listener, identity) = (Arc::clone(listener), Arc::clone(identity));
            wanting.insert(at, Registration { listener, identity, number, since, _charge: charge });
        }
        if let Some(client) = self.clients.get_mut(&listener.id) {
            client.by_number.insert(number, (kind, about));
        }
        Ok(number)
    }

    /// Counts what a registration or a watch costs, if the client's user may have that much.
    pub(super) fn charge(&self, listener: &Listener, bytes: usize) -> Result<Charge, Refused> {
        listener.outbox.account().try_charge(Held::Registrations, bytes).ok_or_else(|| {
            let detail = "this user's clients have as many event registrations as they can have together";
            Error::internal(ErrorDomain::RPC, detail).into()
        })
    }

    /// The number of the next registration or watch of a client.
    pub(super) fn take_number(&mut self, client: u64) -> Result<i32, Error> {
        let client = self.clients.entry(client).or_default();
        let number = client.next;
        client.next = number.checked_add(1).ok_or_else(|| {
            let detail = "all numbers of event registrations are used up; connect again";
            Error::internal(ErrorDomain::RPC, detail)
        })?;
        Ok(number)
    }

    /// Ends a registration of a client.
    pub(super) fn remove(&mut self, client: u64, number: i32) -> Result<(), Fault> {
        let own = self.clients.get_mut(&client);
        let wanted = own.and_then(|own| own.by_number.remove(&number));
        let (kind, about) = wanted.ok_or_else(|| Fault::not_registered(number))?;
        self.take_out(client, kind, about.as_ref());
        Ok(())
    }

    fn take_out(&mut self, client: u64, kind: Kind, about: Option<&Arc<[u8]>>) {
        let devices = &mut self.devices[kind as usize];
        let wanting = match about {
            None => Some(&mut self.everything[kind as usize]),
            Some(name) => devices.get_mut(name),
        };
        let Some(wanting) = wanting else { return };
        if let Ok(at) = place(wanting, client) {
            wanting.remove(at);
        }
        if wanting.is_empty() {
            *wanting = Vec::new();
            if let Some(name) = about {
                devices.remove(name);
            }
        }
        // Memory that a client has used goes with it.
        if devices.capacity() > SPARSE && devices.len() < devices.capacity() / 8 {
            devices.shrink_to(2 * devices.len());
        }
    }

    /// Ends all that a client has, which has gone.
    pub(super) fn forget(&mut self, client: u64) {
        let own = self.clients.remove(&client);
        for (kind, about) in own.into_iter().flat_map(|own| own.by_number.into_values()) {
            self.take_out(client, kind, about.as_ref());
        }
        self.watchers.forget(client);
    }

    #[cfg(test)]
    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.devices.iter().map(HashMap::capacity).sum()
    }
}
