//! Discovery of this machine's node devices.
//!
//! [`HostDriver`] looks at a host through a [`nodedev_sys::Root`] and answers the calls of [`nodedev_driver::Driver`].
//! It indexes eagerly (names, parents and kinds, from one pass over sysfs) and describes lazily: what a device's XML or
//! JSON needs is read when it is asked for, so a description is always fresh.

mod classify;
mod describe;
mod driver;
mod index;
mod kernel;
mod mdevctl;
mod native;
mod number;
pub mod pci_config;
pub mod pci_ids;
pub mod record;
mod scan;
mod storage_class;
pub mod vpd;

pub use driver::HostDriver;
