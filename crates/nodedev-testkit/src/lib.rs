//! Recorded, hand-made and synthetic hosts, golden files and real peers: what the tests and benchmarks of nodedev
//! stand on. No other crate depends on this one but for its tests.
//!
//! * [`tree`] makes a small host by hand, device by device; [`synthetic`] makes one of any size.
//! * [`fake_kernel`] brings such a host to life: its files react to writes as a kernel does, and fail where told to.
//! * [`corrupt`] breaks every file of a host, one after the other.
//! * [`fixtures`] unpacks the recorded hosts of this repository.
//! * [`peer`] asks the real libvirt and `nodedevd`, [`cli`] the command line of nodedev; [`answers`] and [`compare`] hold what both
//!   say against each other, [`golden`] against what the repository expects.
//! * [`uevents`] speaks in udev's place. [`messages`] hears what is said to subscribers of `tracing`.
//! * [`complete`] decides whether a machine may leave out what it can't check.

pub mod answers;
pub mod cli;
pub mod compare;
pub mod complete;
pub mod corrupt;
pub mod fake_kernel;
pub mod fixtures;
pub mod golden;
pub mod messages;
pub mod pci_bytes;
pub mod peer;
pub mod programs;
pub mod random;
pub mod shrink;
pub mod synthetic;
pub mod tree;
pub mod uevents;

use std::path::{Path, PathBuf};

/// The repository this was built in: fixtures and golden files are found from here.
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// The folder of what is built, and of what tests keep from one run to the next.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
