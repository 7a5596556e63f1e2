//! libvirt's wire protocol, as far as node devices need it: bytes in, values out.
//!
//! No sockets, no threads, no async: a server or client reads bytes from wherever it likes, gives them to a [`Decoder`],
//! and gets [`Packet`]s; what it says is appended to a `Vec<u8>`. Texts borrow from the message they are in.
//!
//! # A message
//!
//! All numbers are big-endian words of four bytes.
//!
//! ```text
//!  0        4         8         12          16       20       24       28
//! +--------+---------+---------+-----------+--------+--------+--------+------------------------
//! | length | program | version | procedure |  type  | serial | status | [count] payload …
//! +--------+---------+---------+-----------+--------+--------+--------+------------------------
//!   of all    REMOTE    1        Procedure   Call     chosen   Ok,      arguments, reply, event,
//!   of it   KEEPALIVE                        Reply    by the   Error    or an ErrorObject
//!                                            Message  client
//! ```
//!
//! `count` is there only in types with descriptors. Length is at least 28 and at most 33,554,436; anything else ends the
//! connection.
//!
//! # A connection
//!
//! ```text
//! client                                          server
//! AUTH_LIST                                   →
//!                                             ←   [None], or [Polkit] or [Sasl] and then AUTH_POLKIT or AUTH_SASL_*
//! CONNECT_SUPPORTS_FEATURE 10                 →   only clients with an event loop; PING may come from now on
//! CONNECT_OPEN "nodedev:///system", flags     →
//! CONNECT_SUPPORTS_FEATURE 14, 15             →
//! any calls, pipelined at will                →
//!                                             ←   replies in any order, events at any time
//! CONNECT_CLOSE                               →
//!                                             ←   the reply, then the end of the stream
//! ```
//!
//! # Versions
//!
//! Version 1 is the only one there ever was. libvirt never changes a procedure; it adds new ones with numbers of their own,
//! and clients ask for features or fall back when they are told that a procedure is unknown. So an unknown number is no
//! malformed message: enumerations keep it (`Unknown`), events pass it on, and a server answers it ([`Request::of`]).
//!
//! # Both sides
//!
//! A server looks at each packet with [`Request::of`], reads the arguments with [`Call::decode`], and answers with
//! [`Reply::encode`] or [`ErrorObject::encode_reply`]; [`Fault`] has the dispatcher's own errors.
//! A client writes [`Call::encode`], looks at what comes with [`Packet::response`], and reads the reply to its call with
//! [`Packet::reply`]:
//!
//! ```
//! use nodedev_rpc::{Call, Device, Header, Packet, Reply, Request, Response, Str, calls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut wire = Vec::new();
//! let name = Str::new("computer")?;
//! Call::NodeDeviceLookupByName(Device { name }).encode(7, &mut wire)?;
//!
//! // The server's side.
//! let packet = Packet::parse(&wire)?;
//! let Request::Call(procedure) = Request::of(&packet.header) else { panic!("a call") };
//! let mut answer = Vec::new();
//! match Call::decode(procedure, packet.payload)? {
//!     Call::NodeDeviceLookupByName(found) => {
//!         Reply::NodeDeviceLookupByName(found).encode(packet.header.serial, &mut answer)?;
//!     }
//!     other => panic!("{other:?}"),
//! }
//!
//! // The client's side.
//! let packet = Packet::parse(&answer)?;
//! assert_eq!(packet.response()?, Response::Reply(Header::call(113, 7).key()));
//! let device = packet.reply::<calls::NodeDeviceLookupByName>()?.map_err(|error| format!("{error:?}"))?;
//! assert_eq!(device.name.as_bytes(), b"computer");
//! # Ok(())
//! # }
//! ```

mod access;
mod array;
pub mod bounds;
mod decoder;
mod event;
mod fault;
mod frame;
mod keepalive;
mod known;
mod messages;
mod native;
mod open;
mod parameter;
mod procedures;
mod receive;
mod text;
mod xdr;

pub use access::{Cost, Effect, Needs, Permission, When};
pub use array::{Array, Chars, FixedChars};
pub use decoder::Decoder;
pub use event::Event;
pub use fault::Fault;
pub use frame::{FrameError, Header, Packet, encode_message, program};
pub use keepalive::Keepalive;
pub use known::{Kind, Known, Priority};
pub use messages::*;
pub use native::*;
pub use open::{AuthType, CloseReason, Feature, LifecycleKind, MessageType, NodeDeviceEventId, Status};
pub use parameter::{TypedParameter, TypedValue};
pub use procedures::{Call, Procedure, Reply, Rpc, calls};
pub use receive::{ReplyError, Request, Response};
pub use text::{Opaque, Str};
pub use xdr::{Reader, TooLong, Void, Wire, XdrError};
