//! The interface that every source of node devices implements, and what its callers and implementations share.
//!
//! * [`LibvirtCalls`]: libvirt's functions, which every source answers; [`Devices`], [`Changes`] and [`Operations`]: what most
//!   sources have besides. [`Driver`] is what a connection holds: each of them, or that there is none.
//! * [`ListFlags`], [`XmlFlags`] … : libvirt's flags with their numbers; [`ListFlags::selects`] is the one filter
//!   that all drivers list with.
//! * [`Error`]: libvirt's domain, code, level, message and strings, made from one table ([`ErrorCode::template`]).
//! * [`Event`], [`EventLog`], [`Watch`]: what happens to devices, in order, for any number of followers.
//!   [`Lifecycles`] works out what happened where some of it was missed.
//! * [`ConnectUri`]: which driver a URI asks for; [`RemoteUri`]: where a daemon is.
//! * [`TestDriver`]: libvirt's `test:///default` and `test:///FILE`, a complete small driver of invented devices.
//! * `contract` (feature `contract`): one test suite that every driver runs.
//!
//! This crate touches no host: it reads no sysfs and opens no sockets.

mod calls;
mod change_request;
mod changes;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod devices;
mod document;
mod driver;
mod error;
mod event;
mod flags;
mod handover;
mod host_info;
mod lifecycles;
mod operations;
#[cfg(any(test, feature = "contract"))]
mod refused;
mod remote_uri;
mod suggest;
mod test_driver;
mod uri;
mod watch;

pub use calls::{DeviceRef, LibvirtCalls, XmlVisitor};
pub use change_request::ChangeRequest;
pub use changes::{Changes, Snapshot};
pub use devices::{DeviceVisitor, Devices, Entry, View};
pub use document::parse_document;
pub use driver::Driver;
pub use error::{Error, ErrorLevel, Result};
pub use event::{Change, Event, InvalidRevision, LibvirtChange, LibvirtEvent, Revision};
pub use flags::{CreateFlags, ListFlags, UpdateFlags, XmlFlags};
pub use handover::{Caller, DetachOptions, ExplainOptions, ReattachOptions, ResetOptions, Rules};
pub use host_info::HostInfo;
pub use lifecycles::Lifecycles;
pub use nodedev_model::{DeviceName, ErrorCode, ErrorDomain, Text};
pub use operations::Operations;
pub use remote_uri::{RemoteUri, SocketMode, SshProxy, Transport, WantedAuth};
pub use suggest::near_matches;
pub use test_driver::TestDriver;
pub use uri::{ConnectUri, Scope};
pub use watch::{EventLog, Happened, Next, Stopper, Watch};

/// The version of libvirt as which clients see us, and whose API this is: 11.3.0, as libvirt writes it into one number.
pub const LIBVIRT_VERSION: u64 = 11_003_000;
