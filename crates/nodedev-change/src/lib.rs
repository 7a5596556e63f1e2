//! Changes of a host: handing PCI functions from the host to guests and back, and resetting them.
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
mod kinds;
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

pub use check::recorded_mount;
pub use detach::DetachRequest;
pub use error::OpsError;
pub use explain::Survey;
pub use function::PciFunction;
pub use journal::read_again as read_entry;
pub use kinds::mdev::definition::parse as parse_definition;
pub use kinds::mdev::{Mdev, MdevAct};
pub use kinds::vport::{Vport, VportAct};
pub use reset::ResetRequest;

/// Result of an operation.
pub type Result<T> = std::result::Result<T, OpsError>;

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

/// The changes that can be made to a host.
///
/// It knows files and devices of the kernel alone: neither an index of devices nor libvirt.
#[derive(Debug, Clone, Copy)]
pub struct Engine<'a> {
    host: &'a dyn HostAccess,
    /// How long the kernel is waited for at one write; without one as long as it takes.
    limit: Option<Duration>,
}

impl<'a> Engine<'a> {
    /// The changes of one host.
    pub fn on(host: &'a dyn HostAccess) -> Self {
        Self { host, limit: None }
    }

    /// The operations of somebody who cannot be kept waiting.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether the host can be changed: a recording cannot.
    pub fn is_changeable(&self) -> bool {
        self.host.is_changeable()
    }
}
