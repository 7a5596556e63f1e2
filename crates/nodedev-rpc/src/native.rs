//! Program NODEDEV: what `nodedevd` tells its own clients beyond libvirt's protocol.
//!
//! The messages have libvirt's form, with a program number that libvirt does not use: a libvirt daemon answers a call of
//! it with "Cannot find program", and clients then do without. It needs an open connection and, as the list of devices
//! does, the permission `connect:search_node_devices`; each device in a result needs `node_device:getattr`.

use crate::access::Cost;
use crate::array::Array;
use crate::bounds::{NATIVE_LIST_MAX, REPLY_MAX, REQUEST_MAX};
use crate::frame::{Header, encode_message, program};
use crate::messages::{Callback, structures};
use crate::open::{MessageType, Status};
use crate::text::{Opaque, Str};
use crate::xdr::{Reader, TooLong, Void, Wire, XdrError};

structures! { NATIVE_STRUCTURES 'a
    /// Which devices a snapshot is to have.
    SnapshotQuestion {
        /// 0: those that libvirt shows; else all.
        native: bool,
    }
    /// The devices at one moment.
    NativeSnapshot<'a> {
        /// The moment, to watch from.
        revision: Str<'a>,
        /// The devices, sorted by name.
        entries: Array<NativeEntry<'a>, NATIVE_LIST_MAX>,
    }
    /// A device as the index has it.
    NativeEntry<'a> {
        /// Its name.
        name: Str<'a>,
        /// Name of the device above, in the view that was asked for; events have the native view's.
        parent: Option<Str<'a>>,
        /// The type of its capability, or the kernel's word for what it is.
        kind: Str<'a>,
        /// Whether libvirt shows it.
        in_libvirt: bool,
        /// Whether it exists now.
        active: bool,
        /// Whether it has a definition.
        persistent: bool,
        /// Whether its definition is started with the host.
        autostart: bool,
    }
    /// From where on to tell of changes.
    WatchQuestion<'a> {
        /// The last revision that is known; from now on if absent.
        since: Option<Str<'a>>,
    }
    /// A watch that has begun.
    WatchBegun<'a> {
        /// Its number, by which the server tells the client's registrations apart.
        callback: i32,
        /// From where on it tells.
        revision: Str<'a>,
    }
    /// A change.
    NativeChange<'a> {
        /// The watch that this is for.
        callback: i32,
        /// The history up to and with this change.
        revision: Str<'a>,
        /// The device.
        name: Str<'a>,
        /// What happened, as one word: `created`, `driver-bound` …
        change: Str<'a>,
        /// The device's name before, after a change of it.
        former: Option<Str<'a>>,
        /// The kernel driver that took the device.
        kernel_driver: Option<Str<'a>>,
        /// How it shows in the libvirt view: 0 to 3 as the number of a lifecycle event, 4 an update, 5 the former name
        /// deleted and the new one created, -1 not at all.
        libvirt: i32,
        /// The device after the change; absent when it is gone.
        entry: Option<NativeEntry<'a>>,
    }
    /// A call by name: what each is about is in `nodedev-model::request`.
    NamedQuestion<'a> {
        /// Name of the call.
        name: Str<'a>,
        /// The request, as JSON.
        json: Opaque<'a, REQUEST_MAX>,
    }
    /// The answer to it.
    NamedAnswer<'a> {
        /// The reply, as JSON.
        json: Opaque<'a, REPLY_MAX>,
    }
    /// Changes came faster than they could be told.
    NativeMissed<'a> {
        /// The watch that this is for.
        callback: i32,
        /// What is told from now on comes after this revision; what came before has to be asked for.
        revision: Str<'a>,
    }
}

/// Declares the calls: number, name, arguments, reply.
macro_rules! natives {
    ($lt:lifetime $($(#[$doc:meta])* $number:literal $name:ident($arguments:ty) -> $reply:ty, $cost:ident;)*) => {
        /// A procedure of program NODEDEV.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum NativeProcedure {
            $($(#[$doc])* $name = $number,)*
        }

        impl NativeProcedure {
            /// All of them, by number, with the types of arguments and reply.
            pub const ALL: &'static [(Self, &'static str, &'static str)] =
                &[$((Self::$name, stringify!($arguments), stringify!($reply)),)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Its number.
            pub fn number(self) -> i32 {
                self as i32
            }

            /// How long a server of devices takes for it.
            pub fn cost(self) -> Cost {
                match self { $(Self::$name => Cost::$cost,)* }
            }

            /// The procedure of this number.
            pub fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }

        /// A call of program NODEDEV.
        #[derive(Debug, Clone, PartialEq)]
        pub enum NativeCall<$lt> {
            $($(#[$doc])* $name($arguments),)*
        }

        impl<$lt> NativeCall<$lt> {
            /// What is called.
            pub fn procedure(&self) -> NativeProcedure {
                match self { $(Self::$name(_) => NativeProcedure::$name,)* }
            }

            /// Reads the arguments of a call.
            ///
            /// # Errors
            /// [`XdrError`] if they are none.
            pub fn decode(procedure: NativeProcedure, payload: &$lt [u8]) -> Result<Self, XdrError> {
                let input = &mut Reader::new(payload);
                match procedure { $(NativeProcedure::$name => Wire::decode(input).map(Self::$name),)* }
            }

            /// Appends the message of the call.
            ///
            /// # Errors
            /// [`TooLong`] if the message is.
            pub fn encode(&self, serial: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
                match self {
                    $(Self::$name(arguments) => encode_message(out, &header($number, serial), arguments),)*
                }
            }
        }

        /// What a call of program NODEDEV gives.
        #[derive(Debug, Clone, PartialEq)]
        pub enum NativeReply<$lt> {
            $($(#[$doc])* $name($reply),)*
        }

        impl<$lt> NativeReply<$lt> {
            /// Reads a reply that is no error.
            ///
            /// # Errors
            /// [`XdrError`] if it is none to this procedure.
            pub fn decode(procedure: NativeProcedure, payload: &$lt [u8]) -> Result<Self, XdrError> {
                let input = &mut Reader::new(payload);
                match procedure { $(NativeProcedure::$name => Wire::decode(input).map(Self::$name),)* }
            }

            /// Appends the message of the reply to the call of this serial number.
            ///
            /// # Errors
            /// [`TooLong`] if the message is.
            pub fn encode(&self, serial: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
                match self {$(
                    Self::$name(reply) => encode_message(out, &header($number, serial).reply(Status::Ok), reply),
                )*}
            }
        }
    };
}

natives! { 'a
    /// The devices and the revision at which they are so.
    1 Snapshot(SnapshotQuestion) -> NativeSnapshot<'a>, List;
    /// Asks to be told of every change.
    2 Watch(WatchQuestion<'a>) -> WatchBegun<'a>, Wait;
    /// Asks not to be told any more.
    3 Unwatch(Callback) -> Void, Quick;
    /// Makes a call by its name, with a request and a reply in JSON.
    6 Named(NamedQuestion<'a>) -> NamedAnswer<'a>, Wait;
}

/// What the server tells those who watch.
#[derive(Debug, Clone, PartialEq)]
pub enum NativeEvent<'a> {
    /// A change (message 4).
    Change(NativeChange<'a>),
    /// Changes were missed (message 5).
    Missed(NativeMissed<'a>),
    /// A message that this version does not know.
    Unknown(
        /// Its number.
        i32,
    ),
}

const CHANGE: i32 = 4;
const MISSED: i32 = 5;

impl<'a> NativeEvent<'a> {
    /// Reads the payload of a message of program NODEDEV.
    ///
    /// # Errors
    /// [`XdrError`] if a message that is known is malformed.
    pub fn decode(number: i32, payload: &'a [u8]) -> Result<Self, XdrError> {
        let input = &mut Reader::new(payload);
        match number {
            CHANGE => Wire::decode(input).map(Self::Change),
            MISSED => Wire::decode(input).map(Self::Missed),
            number => Ok(Self::Unknown(number)),
        }
    }

    /// Appends the message; nothing for one that is not known.
    ///
    /// # Errors
    /// [`TooLong`] if it is.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let header = |number| Header { kind: MessageType::Message, ..header(number, 1) };
        match self {
            Self::Change(change) => encode_message(out, &header(CHANGE), change),
            Self::Missed(missed) => encode_message(out, &header(MISSED), missed),
            Self::Unknown(_) => Ok(()),
        }
    }
}

fn header(procedure: i32, serial: u32) -> Header {
    Header { program: program::NODEDEV, ..Header::call(procedure, serial) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, Request, Response};

    fn text(text: &str) -> Str<'_> {
        Str::truncated(text)
    }

    #[test]
    fn calls_replies_and_events_are_read_as_they_are_written() {
        let mut wire = Vec::new();
        let call = NativeCall::Watch(WatchQuestion { since: Some(text("1-2")) });
        call.encode(7, &mut wire).expect("short");
        let packet = Packet::parse(&wire).expect("whole");
        assert_eq!(Request::of(&packet.header), Request::Native(NativeProcedure::Watch));
        assert_eq!((call.procedure().name(), call.procedure().number()), ("Watch", 2));
        assert_eq!(NativeCall::decode(NativeProcedure::Watch, packet.payload), Ok(call));

        let reply = NativeReply::Watch(WatchBegun { callback: 3, revision: text("1-2") });
        wire.clear();
        reply.encode(7, &mut wire).expect("short");
        let packet = Packet::parse(&wire).expect("whole");
        assert_eq!(packet.response(), Ok(Response::Reply(packet.header.key())));
        assert_eq!(NativeReply::decode(NativeProcedure::Watch, packet.payload), Ok(reply));

        let entry = NativeEntry {
            name: text("net_lo"),
            parent: Some(text("computer")),
            kind: text("net"),
            in_libvirt: true,
            active: true,
            persistent: false,
            autostart: false,
        };
        let change = NativeChange {
            callback: 3,
            revision: text("1-3"),
            name: text("net_lo"),
            change: text("created"),
            former: None,
            kernel_driver: None,
            libvirt: 0,
            entry: Some(entry),
        };
        for event in [
            NativeEvent::Change(change),
            NativeEvent::Missed(NativeMissed { callback: 3, revision: text("1-9") }),
        ] {
            wire.clear();
            event.encode(&mut wire).expect("short");
            let packet = Packet::parse(&wire).expect("whole");
            assert_eq!(packet.response(), Ok(Response::NativeEvent(event)));
        }
    }

    /// Messages of the program as its first release sent and took them.
    #[test]
    fn frames_of_the_first_release_are_what_they_were() {
        let bytes = |hex: &str| -> Vec<u8> {
            let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let byte =
                |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
            digits.chunks(2).map(byte).collect()
        };
        // Length, program, version, procedure, type, serial, status; then the arguments or the reply.
        let snapshot = bytes("00000020 6e6f6465 00000001 00000001 00000000 00000007 00000000 00000001");
        let watch = bytes(
            "00000028 6e6f6465 00000001 00000002 00000000 00000008 00000000 00000001 00000003 312d3200",
        );
        let unwatch = bytes("00000020 6e6f6465 00000001 00000003 00000000 00000009 00000000 00000003");
        for (frame, serial, call) in [
            (&snapshot, 7, NativeCall::Snapshot(SnapshotQuestion { native: true })),
            (&watch, 8, NativeCall::Watch(WatchQuestion { since: Some(text("1-2")) })),
            (&unwatch, 9, NativeCall::Unwatch(Callback { callback: 3 })),
        ] {
            let packet = Packet::parse(frame).expect("whole");
            assert_eq!(Request::of(&packet.header), Request::Native(call.procedure()));
            assert_eq!(NativeCall::decode(call.procedure(), packet.payload), Ok(call.clone()));
            let mut sent = Vec::new();
            call.encode(serial, &mut sent).expect("short");
            assert_eq!(sent, *frame, "{call:?}");
        }
        let begun = bytes(
            "00000028 6e6f6465 00000001 00000002 00000001 00000008 00000000 00000003 00000003 312d3200",
        );
        let packet = Packet::parse(&begun).expect("whole");
        let reply = NativeReply::Watch(WatchBegun { callback: 3, revision: text("1-2") });
        assert_eq!(NativeReply::decode(NativeProcedure::Watch, packet.payload), Ok(reply));
        let missed = bytes(
            "00000028 6e6f6465 00000001 00000005 00000002 00000001 00000000 00000003 00000003 312d3900",
        );
        let mut told = Vec::new();
        let event = NativeEvent::Missed(NativeMissed { callback: 3, revision: text("1-9") });
        event.encode(&mut told).expect("short");
        assert_eq!(told, missed);
    }

    #[test]
    fn an_unknown_procedure_of_the_program_is_refused_as_one_of_libvirts_is() {
        let request = Request::of(&header(99, 1));
        assert_eq!(request, Request::Refused(crate::Fault::unknown_procedure(99)));
        let old = Header { version: 2, ..header(1, 1) };
        assert_eq!(Request::of(&old), Request::Refused(crate::Fault::unknown_program(program::NODEDEV, 2)));
    }
}
