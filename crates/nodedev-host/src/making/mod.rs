//! Making, changing and removing devices that exist because somebody asked for them: mediated devices and virtual Fibre
//! Channel ports.
//!
//! What a document or a name means is worked out here, from what the index knows; the engine of changes does it, and knows no
//! index. Each call then waits, by the host's own news, until the index knows what came of it: whoever asks next sees it.

pub(crate) mod mdev;
pub(crate) mod vhba;

use std::time::{Duration, Instant};

use nodedev_change::Engine;
use nodedev_driver::{Changes, LibvirtCalls, Next, Result, Watch};
use nodedev_model::CapabilityType;

/// How long a device that was made may take to appear (libvirt's time).
const APPEARANCE: Duration = Duration::from_secs(60);
/// How long the index may take to know of what is done already.
const NOTICE: Duration = Duration::from_secs(5);

/// What making devices asks of an index: which devices there are, whether it knows of something yet, and news.
pub(crate) trait KnownDevices: LibvirtCalls + nodedev_driver::Devices + Changes {
    /// The types of a device's capabilities.
    ///
    /// # Errors
    /// There is no such device, or it cannot be looked at.
    fn kinds(&self, name: &str) -> Result<Vec<CapabilityType>>;
}

/// What is known of a host's devices, with its news.
pub(crate) type Devices<'a> = dyn KnownDevices + 'a;

/// A host on which devices are made: what is known of those that it has, and what changes it.
#[derive(Clone, Copy)]
pub(crate) struct Maker<'a> {
    pub(crate) devices: &'a Devices<'a>,
    pub(crate) engine: Engine<'a>,
}

/// Waits for something that is to happen on a host.
struct Waiter<'a> {
    devices: &'a Devices<'a>,
    watch: Watch,
}

impl<'a> Waiter<'a> {
    /// Begins to listen. To be called before what is waited for is done.
    fn new(devices: &'a Devices<'a>) -> Result<Self> {
        Ok(Self { devices, watch: devices.watch(None)? })
    }

    /// Looks with `look` after each piece of news until it finds something, or the time is over.
    fn wait<T>(mut self, limit: Duration, look: impl Fn(&Devices<'_>) -> Option<T>) -> Option<T> {
        let until = Instant::now() + limit;
        loop {
            if let Some(found) = look(self.devices) {
                return Some(found);
            }
            match self.watch.next(Some(until.saturating_duration_since(Instant::now()))) {
                Next::Event(_) | Next::Missed(_) => {}
                Next::TimedOut | Next::Stopped | Next::Ended(_) => return look(self.devices),
            }
        }
    }
}
