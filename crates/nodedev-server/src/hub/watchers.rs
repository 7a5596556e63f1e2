//! Watches of program NODEDEV: every change with its revision, also those since a revision of before.

use std::collections::BTreeMap;
use std::sync::Arc;

use nodedev_driver::{Error, ErrorDomain, Event, Next, Revision, Watch};
use nodedev_rpc::{Fault, NativeEvent, NativeMissed, Str};

use super::{Hub, Listener, Refused, Told};
use crate::identity::Identity;
use crate::ledger::{Account, Charge, Kind as Held};
use crate::native;

/// Watches that one client may have: each change is told to each of them.
const WATCHES_MAX: usize = 256;
/// What a watch counts as. That is more than its memory: each costs time with every change.
const COST: usize = 4096;

struct Watcher {
    listener: Arc<Listener>,
    identity: Arc<Identity>,
    /// Changes up to this one are told, or were there before.
    since: u64,
    _charge: Charge,
}

/// All watches, by client and the client's number of each.
#[derive(Default)]
pub(super) struct Watchers(BTreeMap<(u64, i32), Watcher>);

impl Watchers {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, client: u64) -> impl Iterator<Item = (u64, i32)> {
        self.0.range((client, i32::MIN)..=(client, i32::MAX)).map(|(key, _)| *key)
    }

    /// Ends all watches of a client.
    pub(super) fn forget(&mut self, client: u64) {
        let own: Vec<_> = self.of(client).collect();
        own.iter().for_each(|key| drop(self.0.remove(key)));
    }
}

/// The changes that a watch begins with, as far as they may wait for a client.
struct Backlog {
    told: Vec<Arc<Told>>,
    charge: Charge,
    bytes: usize,
    /// What may wait besides leaves room for what happens meanwhile.
    most: usize,
    most_bytes: usize,
}

impl Backlog {
    fn of(listener: &Listener) -> Self {
        let (most, most_bytes) = listener.outbox.event_bounds();
        let charge = listener.outbox.account().charge(Held::Output, 0);
        Self { told: Vec::new(), charge, bytes: 0, most: most / 2, most_bytes: most_bytes / 2 }
    }

    /// Takes what has happened up to now; `false` if it is too much, or not known any more.
    fn take(&mut self, watch: &mut Watch, account: &Arc<Account>) -> bool {
        loop {
            match watch.next(Some(std::time::Duration::ZERO)) {
                Next::Event(event) => {
                    let Some(told) = change(&event) else { return false };
                    let length = told.message.len();
                    let Some(charge) = account.try_charge(Held::Output, size_of::<Told>() + length) else {
                        return false;
                    };
                    self.charge.join(charge);
                    self.bytes += length;
                    self.told.push(Arc::new(told));
                    if self.told.len() > self.most || self.bytes > self.most_bytes {
                        return false;
                    }
                }
                Next::Missed(_) => return false,
                Next::TimedOut | Next::Stopped | Next::Ended(_) => return true,
            }
        }
    }
}

impl Hub {
    /// Tells a client of every change from now on, or since a revision; waits until the driver is followed. `reply` gets
    /// the number and from where on it is told, and puts the reply into the client's queue, before any change can.
    pub(crate) fn watch_changes(
        &self,
        listener: &Arc<Listener>,
        identity: &Arc<Identity>,
        since: Option<Revision>,
        reply: impl FnOnce(i32, Revision),
    ) -> Result<(), Refused> {
        self.wait_begun();
        let account = listener.outbox.account();
        let mut backlog = Backlog::of(listener);
        let gone = |since: Revision| Refused::from(Error::history_gone(&since.to_string()));
        // Most of what has happened is written without keeping the others waiting.
        let resumed = match since {
            None => None,
            Some(since) => {
                let mut watch = self.driver.changes()?.watch(Some(since))?;
                if !backlog.take(&mut watch, account) {
                    return Err(gone(since));
                }
                Some((since, watch))
            }
        };
        let mut all = self.lock_for(listener)?;
        // While the registrations are held, nobody is told of anything. What is in the history by now is told here, and
        // what comes into it later by the thread that follows it.
        let (begun, told) = match resumed {
            None => {
                let now = self.driver.changes()?.watch(None)?.revision();
                (now, now)
            }
            Some((since, mut watch)) => {
                if !backlog.take(&mut watch, account) {
                    return Err(gone(since));
                }
                (since, watch.revision())
            }
        };
        if all.watchers.of(listener.id).count() >= WATCHES_MAX {
            let detail = format!("a client can't have more than {WATCHES_MAX} watches");
            return Err(Error::internal(ErrorDomain::RPC, detail).into());
        }
        let charge = all.charge(listener, COST)?;
        let number = all.take_number(listener.id)?;
        let watcher = Watcher {
            listener: Arc::clone(listener),
            identity: Arc::clone(identity),
            since: told.number,
            _charge: charge,
        };
        all.watchers.0.insert((listener.id, number), watcher);
        reply(number, begun);
        for told in &backlog.told {
            self.deliver(number, listener, identity, told);
        }
        Ok(())
    }

    /// Ends a watch of a client.
    pub(crate) fn unwatch(&self, listener: &Listener, number: i32) -> Result<(), Fault> {
        let ended = self.lock().watchers.0.remove(&(listener.id, number));
        ended.map(drop).ok_or_else(|| Fault::not_registered(number))
    }

    /// Tells all who watch of a change.
    pub(crate) fn tell_change(&self, event: &Event) {
        self.tell_watchers(event.revision.number, || change(event));
    }

    /// Tells all who watch that they missed the changes up to a revision.
    pub(crate) fn tell_missed(&self, revision: Revision) {
        self.tell_watchers(revision.number, || {
            let text = revision.to_string();
            let missed = NativeMissed { callback: 0, revision: Str::truncated(&text) };
            encode(None, &NativeEvent::Missed(missed))
        });
    }

    fn tell_watchers(&self, number: u64, told: impl FnOnce() -> Option<Told>) {
        let all = self.lock();
        if all.watchers.0.is_empty() {
            return;
        }
        let Some(told) = told().map(Arc::new) else { return };
        for ((_, id), watcher) in &all.watchers.0 {
            if watcher.since < number {
                self.deliver(*id, &watcher.listener, &watcher.identity, &told);
            }
        }
    }
}

/// A change as its message. There always is one: all texts of a change together are shorter than a message may be.
fn change(event: &Event) -> Option<Told> {
    let revision = event.revision.to_string();
    encode(Some(event.name.as_str()), &NativeEvent::Change(native::change(event, &revision)))
}

fn encode(name: Option<&str>, event: &NativeEvent<'_>) -> Option<Told> {
    let mut message = Vec::new();
    event.encode(&mut message).ok()?;
    Some(Told { name: name.map(str::to_owned), message })
}
