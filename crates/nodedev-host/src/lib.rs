//! Discovery of this machine's node devices.
//!
//! [`HostDriver`] looks at a host through a [`nodedev_sys::Root`] and answers what [`nodedev_driver::Driver`] asks for.
//! It indexes eagerly (names, parents and kinds, from one pass over sysfs) and describes lazily: what a device's XML or
//! JSON needs is read when it is asked for, so a description is always fresh.
//!
//! ```no_run
//! use nodedev_driver::{Devices, LibvirtCalls, ListFlags, XmlFlags};
//! use nodedev_host::HostDriver;
//! use nodedev_sys::Root;
//!
//! let host = HostDriver::new(Root::open("host.tar.gz".as_ref())?);
//! for device in host.list(ListFlags::CAP_PCI_DEV)? {
//!     println!("{}", String::from_utf8_lossy(&host.xml(device.name.as_str(), XmlFlags::empty())?));
//! }
//! // What could not be read costs a field, not a device.
//! for issue in host.issues()? {
//!     eprintln!("{issue}");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In the order in which a device passes through them: `scan` enumerates, `classify`, `storage_class` and `native` say
//! what a device is, `index` holds all, `describe` has a module for each capability, and `kernel` is how all of these
//! read one device. The readers of foreign formats stand alone: [`vpd`], [`pci_config`], [`pci_ids`], `mdevctl`,
//! `number`. [`raw`] is what
//! a recorder takes of all this.

mod classify;
mod describe;
mod driver;
mod enumerate;
mod host_info;
mod index;
mod issues;
mod kernel;
pub mod live;
mod look;
mod making;
mod mdevctl;
mod native;
mod number;
mod parallel;
pub mod pci_config;
pub mod pci_ids;
pub mod raw;
mod refuse;
mod scan;
mod shared;
mod storage_class;
pub mod vpd;

pub use driver::HostDriver;
