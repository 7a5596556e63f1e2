//! What happened to devices while changes were missed, worked out of how they were and how they are.

use std::collections::HashMap;

use nodedev_model::{DeviceName, DeviceState};

use crate::{Entry, LibvirtEvent};

/// Which devices there are in the libvirt view, for one who tells libvirt's events: the daemon, and the C library.
///
/// A history of changes ([`Watch`](crate::Watch)) is bounded. Whoever finds that changes were missed looks at all devices again,
/// and what is different is what happened.
///
/// ```
/// use nodedev_driver::{LibvirtEvent, Lifecycles};
/// use nodedev_model::DeviceState;
/// let state = |active, persistent| DeviceState { active, persistent, autostart: false };
/// let name = || "mdev_a".parse().unwrap();
/// let mut known: Lifecycles = [(name(), state(true, false))].into_iter().collect();
/// let now = [(name(), state(false, true))].into_iter().collect();
/// let happened: Vec<_> = known.replace(now).into_iter().map(|(_, event)| event).collect();
/// assert_eq!(happened, [LibvirtEvent::Deleted, LibvirtEvent::Defined]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycles(HashMap<DeviceName, Known>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    active: bool,
    persistent: bool,
}

impl FromIterator<(DeviceName, DeviceState)> for Lifecycles {
    fn from_iter<T: IntoIterator<Item = (DeviceName, DeviceState)>>(devices: T) -> Self {
        let known = |state: DeviceState| Known { active: state.active, persistent: state.persistent };
        Self(devices.into_iter().map(|(name, state)| (name, known(state))).collect())
    }
}

impl FromIterator<Entry> for Lifecycles {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        entries.into_iter().map(|entry| (entry.name, entry.state)).collect()
    }
}

impl Lifecycles {
    /// Takes over what an event says.
    pub fn apply(&mut self, name: &DeviceName, event: LibvirtEvent) {
        let known = self.0.get(name).copied().unwrap_or_default();
        let known = match event {
            LibvirtEvent::Created => Known { active: true, ..known },
            LibvirtEvent::Deleted => Known { active: false, ..known },
            LibvirtEvent::Defined => Known { persistent: true, ..known },
            LibvirtEvent::Undefined => Known { persistent: false, ..known },
            LibvirtEvent::Updated => return,
        };
        if known == Known::default() {
            self.0.remove(name);
        } else {
            self.0.insert(name.clone(), known);
        }
    }

    /// Takes over how the devices are now, and says what must have happened since, as events in libvirt's order for each device.
    /// What was active and is so may have changed: it is [`Updated`](LibvirtEvent::Updated).
    pub fn replace(&mut self, now: Self) -> Vec<(DeviceName, LibvirtEvent)> {
        let before = std::mem::replace(&mut self.0, now.0);
        let mut happened = Vec::new();
        for (name, was) in &before {
            let is = self.0.get(name).copied().unwrap_or_default();
            happened.extend(difference(*was, is).map(|event| (name.clone(), event)));
        }
        let new = self.0.iter().filter(|(name, _)| !before.contains_key(*name));
        for (name, is) in new {
            happened.extend(difference(Known::default(), *is).map(|event| (name.clone(), event)));
        }
        happened
    }
}

/// What must have happened to a device, in libvirt's order.
fn difference(was: Known, is: Known) -> impl Iterator<Item = LibvirtEvent> {
    let event = |happened: bool, event| happened.then_some(event);
    [
        event(was.persistent && !is.persistent, LibvirtEvent::Undefined),
        event(was.active && !is.active, LibvirtEvent::Deleted),
        event(!was.persistent && is.persistent, LibvirtEvent::Defined),
        event(!was.active && is.active, LibvirtEvent::Created),
        event(was.active && is.active, LibvirtEvent::Updated),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use LibvirtEvent::{Created, Defined, Deleted, Undefined, Updated};

    const NAME: &str = "mdev_a";

    fn lifecycles(state: Option<(bool, bool)>) -> Lifecycles {
        let devices = state.map(|(active, persistent)| {
            (NAME.parse().unwrap(), DeviceState { active, persistent, autostart: false })
        });
        devices.into_iter().collect()
    }

    #[test]
    fn what_is_different_is_what_happened() {
        let (gone, active, defined, both) =
            (None, Some((true, false)), Some((false, true)), Some((true, true)));
        for (was, is, want) in [
            (gone, gone, &[][..]),
            (gone, active, &[Created]),
            (gone, defined, &[Defined]),
            (gone, both, &[Defined, Created]),
            (active, gone, &[Deleted]),
            (active, active, &[Updated]),
            (active, defined, &[Deleted, Defined]),
            (active, both, &[Defined, Updated]),
            (defined, gone, &[Undefined]),
            (defined, defined, &[]),
            (defined, active, &[Undefined, Created]),
            (defined, both, &[Created]),
            (both, gone, &[Undefined, Deleted]),
            (both, defined, &[Deleted]),
            (both, active, &[Undefined, Updated]),
            (both, both, &[Updated]),
        ] {
            let mut known = lifecycles(was);
            let happened = known.replace(lifecycles(is));
            assert!(happened.iter().all(|(name, _)| name.as_str() == NAME));
            let events: Vec<_> = happened.iter().map(|(_, event)| *event).collect();
            assert_eq!(events, want, "{was:?} {is:?}");
            assert_eq!(known, lifecycles(is));
            // Whoever is told that, knows what is.
            let mut told = lifecycles(was);
            happened.iter().for_each(|(name, event)| told.apply(name, *event));
            assert_eq!(told, lifecycles(is), "{was:?} {is:?}");
        }
    }
}
