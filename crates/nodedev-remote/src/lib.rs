//! The node devices that a daemon has: a [`Driver`](nodedev_driver::Driver) over libvirt's wire protocol.
//!
//! The daemon is `nodedevd`, `virtnodedevd` or `libvirtd`; a [`RemoteUri`](nodedev_driver::RemoteUri) says where it is and
//! how the bytes get there.
//!
//! ```no_run
//! use nodedev_driver::{ConnectUri, LibvirtCalls, ListFlags};
//! use nodedev_remote::{Options, RemoteDriver};
//!
//! let ConnectUri::Remote(uri) = "nodedev+ssh://root@host/system".parse()? else { panic!("a daemon's") };
//! let driver = RemoteDriver::open(&uri, &Options::default())?;
//! for device in driver.list(ListFlags::ACTIVE)? {
//!     println!("{}", device.name);
//! }
//! # Ok::<(), nodedev_driver::Error>(())
//! ```
//!
//! # Threads
//!
//! Each connection has two, from [`RemoteDriver::open`] until it is dropped: one reads, one writes. Callers put their calls
//! into the writer's buffer and wait for the reader to bring the answers; so reading never waits for writing, and a daemon
//! that stops reading until its answers are taken, as libvirt's do with the sixth call of a client, cannot block us.
//! Calls about many devices are pipelined: up to [`WINDOW_CALLS`] are on their way at once.
//!
//! After a `fork` the child has the sockets but not the threads: there every call fails, and dropping the driver does not
//! end the parent's connection.
//!
//! # Changes
//!
//! Of `nodedevd`, snapshots and watches have the daemon's own revisions, of both views ([`nodedev_rpc::NativeCall`]). Other
//! daemons say that they don't serve that; their events are libvirt's, in a history of the connection's own.
//!
//! # What a daemon can do to us
//!
//! Messages are bounded by the protocol, answers that wait to be taken by [`HELD_BYTES`], and events by their log. Answers
//! to no call, to the wrong procedure, or that are no messages at all end the connection with an error. A daemon that says
//! nothing any more is noticed by pings ([`Options::pings`]).

mod bulk;
mod call;
mod driver;
mod end;
mod events;
mod failure;
mod link;
mod login;
mod named;
mod native;
mod options;
mod reader;
mod shared;
mod transport;
mod writer;

pub use bulk::{WINDOW_BYTES, WINDOW_CALLS};
pub use driver::RemoteDriver;
pub use end::End;
pub use options::{Options, Pings};
pub use shared::HELD_BYTES;
