//! Follows the driver's changes, and works out those that it was too slow for.

use std::collections::HashMap;
use std::sync::Arc;

use nodedev_driver::{Entry, Event, LibvirtEvent, Next, Revision, View, Watch};
use nodedev_model::DeviceName;

use crate::hub::Hub;

/// What is known to be of a device in the libvirt view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Known {
    active: bool,
    persistent: bool,
}

/// Follows the driver, and knows which devices there are, for when changes were missed.
pub(crate) struct Follower {
    hub: Arc<Hub>,
    known: HashMap<DeviceName, Known>,
    /// `known` is how it was after this change.
    at: u64,
}

impl Follower {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, known: HashMap::new(), at: 0 }
    }

    pub(crate) fn run(mut self, mut watch: Watch) {
        // Before the first snapshot, which can take as long as the first look at the machine, changes wait in the
        // history. They are in the snapshot, and told as well: a client may have registered before them.
        if let Some((at, known)) = self.snapshot() {
            (self.at, self.known) = (at, known);
        }
        // Changes up to here are told already.
        let mut told = 0;
        loop {
            match watch.next(None) {
                Next::Event(event) if event.revision.number > told => self.event(&event),
                Next::Event(_) | Next::TimedOut => {}
                Next::Missed(revision) => {
                    tracing::warn!(
                        revision = %revision,
                        "changes came faster than they could be told; clients get the difference"
                    );
                    let resynchronized = self.resynchronize();
                    let number = resynchronized.unwrap_or(revision.number);
                    // The history can run over again while changes are skipped that the look had seen.
                    if number > told {
                        self.hub.tell_missed(Revision { number, ..revision });
                    }
                    told = resynchronized.unwrap_or(told);
                }
                Next::Stopped => return,
                Next::Ended(reason) => {
                    let reason = reason.map_or_else(|| "it was closed".to_owned(), |error| error.to_string());
                    tracing::warn!(reason, "the source of events has ended");
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let number = event.revision.number;
        self.hub.tell_change(event);
        for (name, what) in event.libvirt_events() {
            if number > self.at {
                self.apply(name, what);
            }
            self.hub.tell(name, what, number);
        }
    }

    fn apply(&mut self, name: &DeviceName, event: LibvirtEvent) {
        let known = self.known.get(name).copied().unwrap_or_default();
        let known = match event {
            LibvirtEvent::Created => Known { active: true, ..known },
            LibvirtEvent::Deleted => Known { active: false, ..known },
            LibvirtEvent::Defined => Known { persistent: true, ..known },
            LibvirtEvent::Undefined => Known { persistent: false, ..known },
            LibvirtEvent::Updated => return,
        };
        if known == Known::default() {
            self.known.remove(name);
        } else {
            self.known.insert(name.clone(), known);
        }
    }

    /// Tells the difference between what was known and what is; returns up to which change that is.
    fn resynchronize(&mut self) -> Option<u64> {
        let (at, now) = self.snapshot()?;
        let before = std::mem::replace(&mut self.known, now);
        self.at = at;
        let mut differences = Vec::new();
        for (name, was) in &before {
            let is = self.known.get(name).copied().unwrap_or_default();
            differences.extend(difference(*was, is).map(|event| (name, event)));
            if was.active && is.active {
                differences.push((name, LibvirtEvent::Updated));
            }
        }
        for (name, is) in &self.known {
            if !before.contains_key(name) {
                differences.extend(difference(Known::default(), *is).map(|event| (name, event)));
            }
        }
        for (name, event) in differences {
            self.hub.tell(name, event, at);
        }
        Some(at)
    }

    fn snapshot(&self) -> Option<(u64, HashMap<DeviceName, Known>)> {
        match self.hub.driver().snapshot(View::Libvirt) {
            Ok(snapshot) => {
                let known = snapshot.entries.into_iter().map(|Entry { name, state, .. }| {
                    (name, Known { active: state.active, persistent: state.persistent })
                });
                Some((snapshot.revision.number, known.collect()))
            }
            Err(error) => {
                tracing::error!(%error, "cannot look at all devices; changes that were missed can't be told");
                None
            }
        }
    }
}

/// What must have happened, in libvirt's order.
fn difference(was: Known, is: Known) -> impl Iterator<Item = LibvirtEvent> {
    let event = |happened: bool, event| happened.then_some(event);
    [
        event(was.persistent && !is.persistent, LibvirtEvent::Undefined),
        event(was.active && !is.active, LibvirtEvent::Deleted),
        event(!was.persistent && is.persistent, LibvirtEvent::Defined),
        event(!was.active && is.active, LibvirtEvent::Created),
    ]
    .into_iter()
    .flatten()
}
