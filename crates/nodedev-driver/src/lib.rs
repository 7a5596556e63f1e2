//! The interface that every source of node devices implements, and what its callers and implementations share.
//!
//! * [`Driver`]: the synchronous trait behind a connection. Each method names the libvirt function it stands for.
//! * [`ListFlags`], [`XmlFlags`] … : libvirt's flags with their numbers; [`ListFlags::selects`] is the one filter
//!   that all drivers list with.
//! * [`Error`]: libvirt's domain, code, level, message and strings, made from one table ([`ErrorCode::template`]).
//! * [`ConnectUri`]: which driver a URI asks for.
//!
//! This crate touches no host: it reads no sysfs and opens no sockets.

mod driver;
mod error;
mod flags;
mod suggest;
mod uri;

pub use driver::{DeviceRef, DeviceVisitor, Driver, Entry, View, XmlVisitor};
pub use error::{Error, ErrorCode, ErrorDomain, ErrorLevel, Result};
pub use flags::{CreateFlags, ListFlags, UpdateFlags, XmlFlags};
pub use suggest::near_matches;
pub use uri::{ConnectUri, Scope};
