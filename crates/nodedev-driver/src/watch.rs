//! The history of a source's changes, and those who follow it.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nodedev_model::DeviceName;

use crate::{Change, Entry, Error, Event, LibvirtChange, Result, Revision};

/// How many changes a history keeps if its owner does not say.
const CAPACITY: usize = 1 << 14;

/// A change before it has a place in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// As in [`Event`].
    pub name: DeviceName,
    /// As in [`Event`].
    pub change: Change,
    /// As in [`Event`].
    pub libvirt: LibvirtChange,
    /// As in [`Event`].
    pub entry: Option<Entry>,
}

/// The latest changes of a source, in order, each with its revision. Drivers publish here what their watchers get.
///
/// There is one history however many follow it, and each follower has a place in it of its own: none costs memory by
/// being slow, and none delays another. One that has fallen behind by more than the history keeps is told so.
/// Clones are handles of the same history.
#[derive(Debug, Clone)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    history: u64,
    capacity: usize,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    /// What was before and with this change is not kept.
    floor: u64,
    /// The history is known up to and with this change.
    last: u64,
    /// The latest events, their numbers growing, all above `floor` and none above `last`. Numbers may be left out: a
    /// daemon does not tell of devices that its client may not see.
    events: VecDeque<Arc<Event>>,
    /// Why there will be no more; `None` inside: the source was closed.
    ended: Option<Option<Error>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl EventLog {
    /// A history that keeps the latest `capacity` changes, at least one.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::continuing(Revision { history: RandomState::new().hash_one(0), number: 0 }, capacity)
    }

    /// The part of another source's history that comes after a revision, as a daemon tells it; keeps the latest
    /// `capacity` changes, at least one. Changes are added with [`EventLog::append`].
    pub fn continuing(revision: Revision, capacity: usize) -> Self {
        let Revision { history, number } = revision;
        Self(Arc::new(Shared {
            history,
            capacity: capacity.max(1),
            state: Mutex::new(State { floor: number, last: number, events: VecDeque::new(), ended: None }),
            news: Condvar::new(),
        }))
    }

    /// Revision of the latest change.
    pub fn revision(&self) -> Revision {
        self.0.revision(self.0.lock().last)
    }

    /// Whether nothing will come any more.
    pub fn has_ended(&self) -> bool {
        self.0.lock().ended.is_some()
    }

    /// Adds changes and wakes who waits for them.
    pub fn publish(&self, changes: impl IntoIterator<Item = Happened>) {
        let mut state = self.0.lock();
        let before = state.last;
        for Happened { name, change, libvirt, entry } in changes {
            state.last += 1;
            let revision = self.0.revision(state.last);
            state.push(Event { revision, name, change, libvirt, entry }, self.0.capacity);
        }
        if state.last != before {
            drop(state);
            self.0.news.notify_all();
        }
    }

    /// Adds a change that has its revision already and wakes who waits for it. `false`, and nothing is added, if it does
    /// not come after all others in this history.
    #[must_use]
    pub fn append(&self, event: Event) -> bool {
        let Revision { history, number } = event.revision;
        self.advance(history, number, |state, capacity| state.push(event, capacity))
    }

    /// Goes on after a revision up to which changes were lost: watchers are told that they missed some. `false`, and
    /// nothing happens, if it does not come after all changes of this history.
    #[must_use]
    pub fn skip_to(&self, revision: Revision) -> bool {
        let Revision { history, number } = revision;
        self.advance(history, number, |state, _| {
            state.events.clear();
            state.floor = number;
        })
    }

    fn advance(&self, history: u64, number: u64, add: impl FnOnce(&mut State, usize)) -> bool {
        let mut state = self.0.lock();
        if history != self.0.history || number <= state.last {
            return false;
        }
        state.last = number;
        add(&mut state, self.0.capacity);
        drop(state);
        self.0.news.notify_all();
        true
    }

    /// Whether anybody else has the history: a watch, its stopper, or another handle.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Follows the history from now on, or from a revision on.
    ///
    /// # Errors
    /// [`Error::history_gone`] if the revision is of another history, or of a time that is not kept any more.
    pub fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        let state = self.0.lock();
        let last = match since {
            None => state.last,
            Some(since) if since.history == self.0.history && state.keeps(since.number) => since.number,
            Some(since) => return Err(Error::history_gone(&since.to_string())),
        };
        Ok(Watch { log: Arc::clone(&self.0), last, stopped: Stop::default() })
    }

    /// Ends the history: watchers get what they have not seen yet, and then the end with its reason, if there is one.
    pub fn end(&self, reason: Option<Error>) {
        self.0.lock().ended.get_or_insert(reason);
        self.0.news.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn revision(&self, number: u64) -> Revision {
        Revision { history: self.history, number }
    }
}

impl State {
    /// Adds the event with the number `last`.
    fn push(&mut self, event: Event, capacity: usize) {
        if self.events.len() == capacity
            && let Some(oldest) = self.events.pop_front()
        {
            self.floor = oldest.revision.number;
        }
        self.events.push_back(Arc::new(event));
    }

    /// Whether all that came after the change with this number is here.
    fn keeps(&self, number: u64) -> bool {
        (self.floor..=self.last).contains(&number)
    }

    /// The change after the one with this number, which is kept.
    fn after(&self, number: u64) -> Option<&Arc<Event>> {
        let found = self.events.partition_point(|event| event.revision.number <= number);
        self.events.get(found)
    }
}

/// What a watcher gets next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next change.
    Event(Arc<Event>),
    /// Changes came faster than they were fetched, and some are not kept any more. What follows is what comes after
    /// this revision: the watcher has to look at all devices again.
    Missed(Revision),
    /// Nothing came in time.
    TimedOut,
    /// [`Stopper::stop`] was called.
    Stopped,
    /// Nothing will come any more: the source was closed, or the connection to it broke.
    Ended(Option<Error>),
}

#[derive(Debug, Clone, Default)]
struct Stop(Arc<std::sync::atomic::AtomicBool>);

/// Follows the changes of a source; see [`Changes::watch`](crate::Changes::watch).
#[derive(Debug)]
pub struct Watch {
    log: Arc<Shared>,
    last: u64,
    stopped: Stop,
}

impl Watch {
    /// Revision of the latest change that was fetched; a watch that begins there goes on where this one is.
    pub fn revision(&self) -> Revision {
        self.log.revision(self.last)
    }

    /// The next change; waits for it no longer than `timeout`, or without end.
    pub fn next(&mut self, timeout: Option<Duration>) -> Next {
        use std::sync::atomic::Ordering;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.log.lock();
        loop {
            if self.stopped.0.load(Ordering::Acquire) {
                return Next::Stopped;
            }
            if !state.keeps(self.last) {
                self.last = state.last;
                return Next::Missed(self.log.revision(self.last));
            }
            if let Some(event) = state.after(self.last) {
                self.last = event.revision.number;
                return Next::Event(Arc::clone(event));
            }
            if let Some(reason) = &state.ended {
                return Next::Ended(reason.clone());
            }
            state = match until {
                None => self.log.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Next::TimedOut;
                    }
                    self.log.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// A handle with which another thread ends the waiting.
    pub fn stopper(&self) -> Stopper {
        Stopper { log: Arc::clone(&self.log), stopped: self.stopped.clone() }
    }
}

/// Ends the waiting of one [`Watch`], from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    log: Arc<Shared>,
    stopped: Stop,
}

impl Stopper {
    /// From now on [`Watch::next`] returns [`Next::Stopped`].
    pub fn stop(&self) {
        self.stopped.0.store(true, std::sync::atomic::Ordering::Release);
        // Taken so that a watcher that has looked at the flag already is waiting by now.
        drop(self.log.lock());
        self.log.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happened(name: &str) -> Happened {
        Happened {
            name: name.parse().unwrap(),
            change: Change::Updated,
            libvirt: LibvirtChange::Unseen,
            entry: None,
        }
    }

    fn name(next: Next) -> String {
        match next {
            Next::Event(event) => event.name.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn each_watcher_gets_every_change_once_and_in_order() {
        let log = EventLog::default();
        let mut early = log.watch(None).unwrap();
        log.publish(["a", "b"].map(happened));
        let mut late = log.watch(None).unwrap();
        log.publish([happened("c")]);
        let now = Some(Duration::ZERO);
        assert_eq!([0; 3].map(|_| name(early.next(now))), ["a", "b", "c"]);
        assert_eq!(name(late.next(now)), "c");
        assert_eq!(early.next(now), Next::TimedOut);
        assert_eq!(early.revision(), late.revision());
    }

    #[test]
    fn a_watcher_that_was_away_resumes_or_is_told_to_start_again() {
        let log = EventLog::with_capacity(2);
        log.publish([happened("a")]);
        let since = log.revision();
        log.publish(["b", "c"].map(happened));
        let mut resumed = log.watch(Some(since)).unwrap();
        assert_eq!([0; 2].map(|_| name(resumed.next(None))), ["b", "c"]);
        let mut slow = log.watch(Some(since)).unwrap();
        log.publish([happened("d")]);
        assert!(log.watch(Some(since)).is_err(), "b is not kept any more");
        assert_eq!(slow.next(None), Next::Missed(log.revision()));
        assert_eq!(slow.next(Some(Duration::ZERO)), Next::TimedOut);
        let future = Revision { number: 99, ..since };
        let foreign = Revision { history: since.history ^ 1, ..since };
        assert!(log.watch(Some(future)).is_err() && log.watch(Some(foreign)).is_err());
    }

    fn told(history: u64, number: u64) -> Event {
        let Happened { name, change, libvirt, entry } = happened("net_a");
        Event { revision: Revision { history, number }, name, change, libvirt, entry }
    }

    fn number(next: Next) -> u64 {
        match next {
            Next::Event(event) => event.revision.number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_history_that_is_continued_keeps_its_numbers_and_may_leave_some_out() {
        let start = Revision { history: 7, number: 100 };
        let log = EventLog::continuing(start, 2);
        assert!(!log.is_shared());
        let mut watch = log.watch(Some(start)).unwrap();
        assert!(log.is_shared() && log.watch(Some(Revision { number: 99, ..start })).is_err());
        assert!(log.append(told(7, 103)) && log.append(told(7, 110)));
        for (history, number) in [(7, 110), (7, 104), (8, 111)] {
            assert!(!log.append(told(history, number)), "{history} {number}");
            assert!(!log.skip_to(Revision { history, number }), "{history} {number}");
        }
        assert_eq!([number(watch.next(None)), number(watch.next(None))], [103, 110]);
        let mut between = log.watch(Some(Revision { number: 105, ..start })).unwrap();
        assert_eq!(number(between.next(None)), 110);
        let mut slow = log.watch(Some(start)).unwrap();
        assert!(log.append(told(7, 111)));
        assert!(log.watch(Some(Revision { number: 102, ..start })).is_err(), "103 is not kept any more");
        assert!(log.watch(Some(Revision { number: 103, ..start })).is_ok());
        assert_eq!(slow.next(None), Next::Missed(Revision { number: 111, ..start }));
        assert_eq!(number(watch.next(None)), 111);
        assert_eq!(watch.next(Some(Duration::ZERO)), Next::TimedOut);
    }

    #[test]
    fn a_history_that_goes_on_later_is_missed_by_every_watcher() {
        let start = Revision { history: 7, number: 1 };
        let log = EventLog::continuing(start, 10);
        let mut watch = log.watch(None).unwrap();
        let later = Revision { number: 50, ..start };
        assert!(log.append(told(7, 2)) && log.skip_to(later) && log.append(told(7, 51)));
        assert_eq!(
            watch.next(None),
            Next::Missed(Revision { number: 51, ..start }),
            "51 came before the look"
        );
        let mut resumed = log.watch(Some(later)).unwrap();
        assert_eq!(number(resumed.next(None)), 51);
    }

    #[test]
    fn waiting_ends_with_the_source_and_when_told_to() {
        let log = EventLog::default();
        let mut watch = log.watch(None).unwrap();
        let mut other = log.watch(None).unwrap();
        let stopper = watch.stopper();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || watch.next(None));
            stopper.stop();
            assert_eq!(waiting.join().unwrap(), Next::Stopped);
            let waiting = scope.spawn(|| (name(other.next(None)), other.next(None)));
            log.publish([happened("last")]);
            log.end(None);
            assert_eq!(waiting.join().unwrap(), ("last".into(), Next::Ended(None)));
        });
    }
}
