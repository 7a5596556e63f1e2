//! Follows the driver's changes, and tells the difference where it was too slow for them.

use std::sync::Arc;

use nodedev_driver::{Event, Lifecycles, Next, Revision, View, Watch};

use crate::hub::Hub;

/// Follows the driver, and knows which devices there are, for when changes were missed.
pub(crate) struct Follower {
    hub: Arc<Hub>,
    known: Lifecycles,
    /// `known` is how it was after this change.
    at: u64,
}

impl Follower {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, known: Lifecycles::default(), at: 0 }
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
                self.known.apply(name, what);
            }
            self.hub.tell(name, what, number);
        }
    }

    /// Tells the difference between what was known and what is; returns up to which change that is.
    fn resynchronize(&mut self) -> Option<u64> {
        let (at, now) = self.snapshot()?;
        self.at = at;
        for (name, event) in self.known.replace(now) {
            self.hub.tell(&name, event, at);
        }
        Some(at)
    }

    fn snapshot(&self) -> Option<(u64, Lifecycles)> {
        match self.hub.driver().changes().and_then(|changes| changes.snapshot(View::Libvirt)) {
            Ok(snapshot) => Some((snapshot.revision.number, snapshot.entries.into_iter().collect())),
            Err(error) => {
                tracing::error!(%error, "cannot look at all devices; changes that were missed can't be told");
                None
            }
        }
    }
}
