//! Keeps the index of a host as the host is, and tells what happens.
//!
//! One thread follows a host. It listens before it looks, so that nothing falls between; looks at each device that it
//! hears of afresh, the way the scan does; and changes the index and the history together. Where news were lost, it
//! looks at the whole host again and tells the difference. Bursts are shortened: of many changes of one device the
//! last state counts, and that it was gone in between.

mod apply;
mod diff;
mod follower;
mod missing;
mod plan;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nodedev_sys::{Monitor, News, Waker};

pub(crate) use follower::Follower;

/// Where news of a host come from: this machine's [`Monitor`], or something else that knows.
pub trait Source: Send {
    /// Waits for news, no longer than `timeout`, and adds them to `news`, oldest first. Returns early when it is woken.
    ///
    /// Where something was lost, it says so before it gives what came later.
    ///
    /// # Errors
    /// If there will be no more news.
    fn receive(&mut self, timeout: Option<Duration>, news: &mut News) -> io::Result<()>;

    /// What ends a wait from another thread.
    fn waker(&self) -> Waker;
}

impl Source for Monitor {
    fn receive(&mut self, timeout: Option<Duration>, news: &mut News) -> io::Result<()> {
        Self::receive(self, timeout, news)
    }

    fn waker(&self) -> Waker {
        Self::waker(self)
    }
}

/// What following a host has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FollowStats {
    /// Uevents that were received, also those of devices that no view shows.
    pub events: u64,
    /// How often some were lost, since they came faster than they could be fetched.
    pub overflows: u64,
    /// How often the whole host was looked at again.
    pub rescans: u64,
}

/// The numbers of [`FollowStats`], as they are counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    events: AtomicU64,
    overflows: AtomicU64,
    rescans: AtomicU64,
}

impl Counters {
    pub(crate) fn read(&self) -> FollowStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FollowStats {
            events: read(&self.events),
            overflows: read(&self.overflows),
            rescans: read(&self.rescans),
        }
    }
}
