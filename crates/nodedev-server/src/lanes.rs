//! The threads on which the driver is called.

mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nodedev_rpc::Cost;

use crate::identity::User;
use crate::ledger::Kind;
use crate::outbox::{Closed, Outbox};
use queue::Queue;

/// How many threads call the driver at once, for each kind of call. Threads are started when they are needed first.
#[derive(Debug, Clone, Copy)]
pub struct Workers {
    /// For quick calls: lookups, parents, states.
    pub quick: usize,
    /// For lists and descriptions, which take processor time: more than there are processors only slow the others down.
    pub look: usize,
    /// How many devices may be described at once by those who serve clients, before threads of `look` do it: fewer than
    /// the runtime has workers, so that one is left whatever a device does.
    pub at_once: usize,
    /// For calls that change something or ask somebody else, and so mostly wait.
    pub change: usize,
    /// For writing large replies.
    pub bulk: usize,
    /// What each of these threads does first, for instance to set its priority.
    pub start: fn(),
}

impl Default for Workers {
    /// libvirt's numbers, and as many threads for lists and descriptions as there are processors.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(2, usize::from);
        let bulk = (processors / 2).clamp(1, 4);
        Self { quick: 5, look: processors.min(20), at_once: 1, change: 20, bulk, start: || {} }
    }
}

/// Which threads a call runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Quick,
    Look,
    Change,
}

impl Lane {
    /// libvirt counts lists among the quick calls; with thousands of devices they are not.
    pub(crate) fn of(cost: Cost) -> Self {
        match cost {
            Cost::Known | Cost::Quick => Self::Quick,
            Cost::Describe | Cost::List | Cost::Look => Self::Look,
            Cost::Wait => Self::Change,
        }
    }
}

/// A call to be run; it puts its reply into the client's queue itself.
struct Job {
    client: Arc<Outbox>,
    run: Box<dyn FnOnce() + Send>,
}

impl Job {
    fn user(&self) -> User {
        self.client.account().user()
    }

    /// Whether the reply may be added to what waits for the client's user.
    fn may_run(&self) -> bool {
        self.client.account().has_room(Kind::Output)
    }

    fn run(self) {
        if self.client.closed().is_some_and(|reason| reason != Closed::Finished) {
            return;
        }
        guarded(&self.client, self.run);
    }
}

/// Runs a call. A panic of it costs its client the connection, and nobody else anything.
pub(crate) fn guarded(client: &Outbox, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        tracing::error!("a call ended in a panic, which is a bug of nodedev; its client is disconnected");
        client.close(Closed::Broken);
    }
}

/// All lanes. Dropping them ends their threads once the calls are done that they run.
pub(crate) struct Lanes {
    quick: Pool,
    look: Pool,
    change: Pool,
}

impl Lanes {
    pub(crate) fn new(workers: Workers) -> Self {
        Self {
            quick: Pool::new("quick", workers.quick, workers.start),
            look: Pool::new("look", workers.look, workers.start),
            change: Pool::new("change", workers.change, workers.start),
        }
    }

    /// Runs `run` when it is its turn, unless the client has gone by then.
    pub(crate) fn submit(&self, lane: Lane, client: &Arc<Outbox>, run: impl FnOnce() + Send + 'static) {
        let pool = match lane {
            Lane::Quick => &self.quick,
            Lane::Look => &self.look,
            Lane::Change => &self.change,
        };
        pool.submit(Job { client: Arc::clone(client), run: Box::new(run) });
    }

    /// Looks again at calls that waited for room.
    pub(crate) fn wake(&self) {
        for pool in [&self.quick, &self.look, &self.change] {
            pool.wake();
        }
    }
}

struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    limit: usize,
    start: fn(),
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    queue: Queue,
    threads: usize,
    idle: usize,
    ended: bool,
}

impl Pool {
    fn new(name: &'static str, limit: usize, start: fn()) -> Self {
        let limit = limit.max(1);
        let state = Mutex::new(State { queue: Queue::new(limit), ..State::default() });
        Self(Arc::new(Shared { name, limit, start, state, news: Condvar::new() }))
    }

    /// Looks again at calls that waited for room.
    fn wake(&self) {
        drop(self.0.lock());
        self.0.news.notify_all();
    }

    fn submit(&self, job: Job) {
        let mut state = self.0.lock();
        state.queue.push(job);
        if state.idle >= state.queue.waiting() || state.threads >= self.0.limit {
            drop(state);
            return self.0.news.notify_one();
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.0);
        let started = thread::Builder::new().name(self.0.name.to_owned()).spawn(move || {
            (shared.start)();
            shared.work();
        });
        if let Err(error) = started {
            let mut state = self.0.lock();
            state.threads -= 1;
            tracing::warn!(%error, threads = state.threads, "cannot start another thread");
            // Without any thread nobody else would take it.
            let alone = if state.threads == 0 { state.queue.next() } else { None };
            drop(state);
            if let Some(job) = alone {
                self.0.run(job);
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        // What is dropped tells that there is room, for which this state is looked at.
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        drop(waiting);
        self.0.news.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, job: Job) {
        let user = job.user();
        job.run();
        self.lock().queue.done(user);
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.ended {
            match state.queue.next() {
                Some(job) => {
                    drop(state);
                    self.run(job);
                    state = self.lock();
                }
                None => {
                    state.idle += 1;
                    state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }
}
