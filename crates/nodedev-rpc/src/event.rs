//! What a server tells clients that have asked for it.

use crate::frame::{Header, encode_message};
use crate::messages::{ConnectionClosed, LifecycleEvent, UpdateEvent};
use crate::open::MessageType;
use crate::xdr::{Reader, TooLong, Wire, XdrError};

/// Declares the events by number.
macro_rules! events {
    ($lt:lifetime $($(#[$doc:meta])* $number:literal $name:ident($type:ty);)*) => {
        /// A message from server to client.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event<$lt> {
            $($(#[$doc])* $name($type),)*
            /// An event that this version does not know.
            Unknown {
                /// Its number.
                number: i32,
                /// What it says.
                payload: &$lt [u8],
            },
        }

        impl<$lt> Event<$lt> {
            /// Numbers and types of the events that are known.
            pub const ALL: &'static [(i32, &'static str)] = &[$(($number, stringify!($type)),)*];

            /// Reads the payload of a message of program REMOTE.
            ///
            /// # Errors
            /// [`XdrError`] if an event that is known is malformed.
            pub fn decode(number: i32, payload: &$lt [u8]) -> Result<Self, XdrError> {
                match number {
                    $($number => Wire::decode(&mut Reader::new(payload)).map(Self::$name),)*
                    number => Ok(Self::Unknown { number, payload }),
                }
            }

            /// Its number.
            pub fn number(&self) -> i32 {
                match self {
                    $(Self::$name(_) => $number,)*
                    Self::Unknown { number, .. } => *number,
                }
            }

            /// Appends the message.
            ///
            /// # Errors
            /// [`TooLong`] if it is.
            pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
                // libvirt's events all have serial number 1, although its protocol file promises 0.
                let header = Header { kind: MessageType::Message, ..Header::call(self.number(), 1) };
                match self {
                    $(Self::$name(event) => encode_message(out, &header, event),)*
                    Self::Unknown { payload, .. } => encode_message(out, &header, &Raw(payload)),
                }
            }
        }
    };
}

events! { 'a
    /// The server lost the connection that it served.
    362 ConnectionClosed(ConnectionClosed);
    /// A device came, went, was defined or undefined.
    376 Lifecycle(LifecycleEvent<'a>);
    /// A device changed.
    377 Update(UpdateEvent<'a>);
}

/// A payload as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> Wire<'a> for Raw<'a> {
    const MIN_SIZE: usize = 0;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        let rest = input.rest();
        input.bytes(rest.len()).map(Self)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}
