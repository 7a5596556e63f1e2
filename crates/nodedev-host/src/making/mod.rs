//! Making, changing and removing devices that exist because somebody asked for them: mediated devices and virtual Fibre
//! Channel ports.
//!
//! Each call acts and then waits, by the host's own news, until the index knows what came of it: whoever asks next sees it.

pub(crate) mod mdev;
mod mdevctl;
mod names;
pub(crate) mod vhba;

use std::time::{Duration, Instant};

use nodedev_driver::{Changes as _, Next, Result, Watch};

use crate::HostDriver;

/// How long a device that was made may take to appear (libvirt's time).
const APPEARANCE: Duration = Duration::from_secs(60);
/// How long the index may take to know of what is done already.
const NOTICE: Duration = Duration::from_secs(5);

/// Waits for something that is to happen on a host.
struct Waiter<'a> {
    driver: &'a HostDriver,
    watch: Watch,
}

impl<'a> Waiter<'a> {
    /// Begins to listen. To be called before what is waited for is done.
    fn new(driver: &'a HostDriver) -> Result<Self> {
        Ok(Self { driver, watch: driver.watch(None)? })
    }

    /// Looks with `look` after each piece of news until it finds something, or the time is over.
    fn wait<T>(mut self, limit: Duration, look: impl Fn(&HostDriver) -> Option<T>) -> Option<T> {
        let until = Instant::now() + limit;
        loop {
            if let Some(found) = look(self.driver) {
                return Some(found);
            }
            match self.watch.next(Some(until.saturating_duration_since(Instant::now()))) {
                Next::Event(_) | Next::Missed(_) => {}
                Next::TimedOut | Next::Stopped | Next::Ended(_) => return look(self.driver),
            }
        }
    }
}
