//! Serves a [`Driver`](nodedev_driver::Driver) of node devices over libvirt's wire protocol.
//!
//! A [`Service`] is what all clients share: the driver, who may do what ([`Access`]), threads for calls, lists as they
//! go over the wire, and the registrations for events. [`serve`] is one client: it takes any stream of bytes, whose
//! other end and rights the caller knows ([`Peer`]). There is no listening here, no configuration, and nothing is known
//! of devices but their names.
//!
//! ```text
//! stream ─ Decoder ─ Session ─┬─ answered at once ───────────────────────┐
//!                             └─ lane quick / look / change ─ Dispatch ──┤
//!                 driver.watch ─ one thread ─ Hub ─ registrations ───────┤
//! stream ─ written by the client's task ─ Outbox, bounded ───────────────┘
//! ```
//!
//! # Who waits for whom
//!
//! Calls of one client run side by side, and replies leave in the order in which they are ready, as in libvirt. No more
//! than [`Settings::max_requests`] of a client's messages are taken before their replies have left; meanwhile its socket
//! is not read. Calls that the driver answers from its index are run where they arrive, once it has one; other quick calls
//! have threads of their own; lists and descriptions have as many threads as there are
//! processors, and large replies leave in pieces, in turn. Events wait in a queue of each client's own; a client whose
//! queue is full is disconnected, and delays nobody.
//!
//! # Events
//!
//! A client gets every event that happens after the reply to its registration, once and in order. Where the driver's
//! history was too short ([`Next::Missed`](nodedev_driver::Next)), the devices that there are now are compared with
//! those that were known, and the difference is told.
//!
//! Program NODEDEV ([`NativeCall`](nodedev_rpc::NativeCall)) tells every change of the native view with its revision, and can
//! begin with those since a revision of before; where the history was too short, it says so.

mod access;
mod bulk;
mod dispatch;
mod failure;
mod follower;
mod host;
mod hub;
mod identity;
mod lanes;
mod ledger;
mod lists;
mod named;
mod native;
mod outbox;
mod pings;
mod serve;
mod service;
mod session;
mod uri;

pub use access::{Access, AllowAll};
pub use identity::{Identity, User};
pub use lanes::Workers;
pub use serve::{Decision, End, Login, Peer, Settings, serve};
pub use service::{Options, Service};
