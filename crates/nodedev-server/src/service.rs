//! What all clients share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodedev_driver::{Driver, Scope};
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::bulk::Bulk;
use crate::hub::Hub;
use crate::lanes::{Lanes, Workers};
use crate::ledger::Ledger;
use crate::lists::Lists;

/// What a service is told once, at its start.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whose devices are served: `nodedev:///system` or `nodedev:///session`.
    pub scope: Scope,
    /// The user as whom the server runs: beside root, this one alone may say who it acts for.
    pub user: u32,
    /// Whether the driver's devices are those of a recording, and so never change.
    pub is_recording: bool,
    /// Threads for calls.
    pub workers: Workers,
}

/// A driver that is served. Clones are handles of the same service; when the last one goes, its threads end.
#[derive(Clone)]
pub struct Service(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) options: Options,
    pub(crate) lists: Lists,
    pub(crate) lanes: Arc<Lanes>,
    /// What is held for whom.
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) hub: Arc<Hub>,
    /// Writes large replies.
    pub(crate) bulk: Bulk,
    /// Those who serve clients and describe a device just now.
    pub(crate) lookers: Semaphore,
    pub(crate) counters: Counters,
}

/// What happened since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) clients: AtomicU64,
    pub(crate) too_slow: AtomicU64,
}

impl Service {
    /// Begins to serve `driver`: starts to follow its changes. Clients are added with [`serve`](crate::serve).
    pub fn new(driver: Arc<dyn Driver>, access: Arc<dyn Access>, options: Options) -> Self {
        let lanes = Arc::new(Lanes::new(options.workers));
        let ledger = Ledger::new();
        let waiting = Arc::downgrade(&lanes);
        ledger.on_room(move || {
            if let Some(lanes) = waiting.upgrade() {
                lanes.wake();
            }
        });
        let hub = Hub::start(Arc::clone(&driver), Arc::clone(&access), Arc::clone(&lanes));
        Self(Arc::new(Shared {
            driver,
            access,
            options,
            lists: Lists::new(options.is_recording),
            lanes,
            ledger,
            hub,
            bulk: Bulk::new(options.workers.bulk, options.workers.start),
            lookers: Semaphore::new(options.workers.at_once),
            counters: Counters::default(),
        }))
    }

    /// Waits until the driver's changes, which were followed, are not followed any more: what clients are told is then out
    /// of date, and becomes no better. Does not return for a driver that tells of no changes.
    pub async fn lost(&self) {
        self.0.hub.lost().await;
    }

    /// How many clients there have been.
    pub fn clients_served(&self) -> u64 {
        self.0.counters.clients.load(Ordering::Relaxed)
    }

    /// How many clients were disconnected as they did not read the events that they had asked for.
    pub fn clients_too_slow(&self) -> u64 {
        self.0.counters.too_slow.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.hub.stop();
    }
}
