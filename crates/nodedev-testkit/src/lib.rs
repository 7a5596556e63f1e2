//! Recorded, hand-made and synthetic hosts, golden files and real peers: what the tests and benchmarks of nodedev
//! stand on. No other crate depends on this one but for its tests.
//!
//! * [`tree`] makes a small host by hand, device by device; [`synthetic`] makes one of any size.
//! * [`corrupt`] breaks every file of a host, one after the other.
//! * [`fixtures`] unpacks the recorded hosts of this repository.
//! * [`peer`] asks the real libvirt, [`cli`] the command line of nodedev; [`answers`] and [`compare`] hold what both
//!   say against each other, [`golden`] against what the repository expects.

pub mod answers;
pub mod compare;
pub mod golden;
pub mod pci_bytes;
pub mod peer;
pub mod tree;
