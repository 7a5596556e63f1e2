//! The interface that every source of node devices implements, and what its callers and implementations share.
//!
//! * [`Driver`]: the synchronous trait behind a connection. Each method names the libvirt function it stands for.
//! * [`ListFlags`], [`XmlFlags`] … : libvirt's flags with their numbers; [`ListFlags::selects`] is the one filter
//!   that all drivers list with.
//! * [`Error`]: libvirt's domain, code, level, message and strings, made from one table ([`ErrorCode::template`]).
//! * [`ConnectUri`]: which driver a URI asks for.
//! * [`TestDriver`]: libvirt's `test:///default` and `test:///FILE`, a complete small driver of invented devices.
//! * `contract` (feature `contract`): one test suite that every driver runs.
//!
//! This crate touches no host: it reads no sysfs and opens no sockets.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod driver;
mod error;
mod flags;
mod suggest;
mod test_driver;
mod uri;

pub use driver::{DeviceRef, DeviceVisitor, Driver, Entry, View, XmlVisitor};
pub use error::{Error, ErrorCode, ErrorDomain, ErrorLevel, Result};
pub use flags::{CreateFlags, ListFlags, UpdateFlags, XmlFlags};
pub use suggest::near_matches;
pub use test_driver::TestDriver;
pub use uri::{ConnectUri, Scope};
