//! Handing devices from the host to guests and back: detach, reattach and reset of PCI functions.
//!
//! Each is a transaction. What is to be written is worked out first, as data (`plan`); what speaks against it is looked for
//! (`check`); what was there before goes into a journal on disk (`journal`) before the first write; each write is followed
//! by a look at what it did (`act`); and what fails is undone (`transaction`). What a crash left half-done is finished or
//! undone by whoever comes next (`recover`). `docs/operations.md` has the reasons.
//!
//! Sources: kernel, `Documentation/ABI/testing/sysfs-bus-pci` (`driver_override`, `unbind`, `drivers_probe`, `reset`,
//! `reset_method`), `Documentation/driver-api/vfio.rst`.

mod act;
mod audit;
mod check;
mod detach;
mod entries;
mod error;
mod explain;
mod function;
mod group;
mod journal;
mod kernel_driver;
mod plan;
mod power;
mod reattach;
mod recover;
mod reset;
mod transaction;
mod vfio;

use std::cell::OnceCell;
use std::time::Duration;

use nodedev_sys::HostAccess;

pub(crate) use check::recorded_mount;
pub(crate) use detach::DetachRequest;
pub(crate) use error::OpsError;
pub(crate) use explain::Look;
pub(crate) use function::PciFunction;
pub(crate) use journal::read_again as read_entry;
pub(crate) use reset::ResetRequest;

/// Result of an operation.
pub(crate) type Result<T> = std::result::Result<T, OpsError>;

/// What is known, or is found out now.
pub(crate) fn once<T>(cell: &OnceCell<T>, find: impl FnOnce() -> Result<T>) -> Result<&T> {
    match cell.get() {
        Some(known) => Ok(known),
        None => {
            let found = find()?;
            Ok(cell.get_or_init(|| found))
        }
    }
}

/// The operations on a host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operations<'a> {
    host: &'a dyn HostAccess,
    /// How long the kernel is waited for at one write; without one as long as it takes.
    limit: Option<Duration>,
}

impl<'a> Operations<'a> {
    pub(crate) fn on(host: &'a dyn HostAccess) -> Self {
        Self { host, limit: None }
    }

    /// The operations of somebody who cannot be kept waiting.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether the host can be changed: a recording cannot.
    pub(crate) fn is_changeable(&self) -> bool {
        self.host.is_changeable()
    }
}
