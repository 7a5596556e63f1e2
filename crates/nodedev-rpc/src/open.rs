//! Numbers with names that a peer may know more of than we do.

/// Declares an open set of numbers: an unknown one is kept, and goes back as it came.
macro_rules! open_numbers {
    ($(
        $(#[$doc:meta])* $name:ident : $type:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A number that this version does not know.
            Unknown(
                /// The number.
                $type,
            ),
        }

        impl From<$type> for $name {
            fn from(number: $type) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }

        impl From<$name> for $type {
            fn from(name: $name) -> Self {
                match name {
                    $($name::$variant => $number,)*
                    $name::Unknown(other) => other,
                }
            }
        }

        impl Wire<'_> for $name {
            const MIN_SIZE: usize = 4;

            fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
                $type::decode(input).map(Self::from)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                $type::from(*self).encode(out);
            }
        }
    )*};
}

use crate::xdr::{Reader, Wire, XdrError};

open_numbers! {
    /// What a message is.
    MessageType: u32 {
        /// A client asks.
        Call = 0,
        /// A server answers.
        Reply = 1,
        /// One side tells the other something: an event, or that it is alive.
        Message = 2,
        /// Data of a stream. No procedure of node devices has one.
        Stream = 3,
        /// A call with descriptors.
        CallWithDescriptors = 4,
        /// A reply with descriptors.
        ReplyWithDescriptors = 5,
        /// A hole in a stream.
        StreamHole = 6,
    }
    /// How a call went.
    Status: u32 {
        /// Well; calls and messages say so, too.
        Ok = 0,
        /// Not; the payload is an [`ErrorObject`](crate::ErrorObject).
        Error = 1,
        /// More of a stream follows.
        Continue = 2,
    }
    /// A way to log in (`remote_auth_type`).
    AuthType: i32 {
        /// There is nothing to do.
        None = 0,
        /// SASL: the `AUTH_SASL_*` procedures.
        Sasl = 1,
        /// polkit decides: `AUTH_POLKIT`.
        Polkit = 2,
    }
    /// Something that a connection may be able to do (`VIR_DRV_FEATURE_*`). Those that are not named here are about
    /// migration, which node devices have nothing to do with.
    Feature: i32 {
        /// Descriptors may be sent with messages.
        DescriptorPassing = 8,
        /// The server answers PING. Asking for it makes the server send PINGs, too.
        Keepalive = 10,
        /// Events carry the number of their registration.
        EventCallbackIds = 14,
        /// `CONNECT_REGISTER_CLOSE_CALLBACK` is there.
        CloseCallback = 15,
    }
    /// What kind of events is registered for (`virNodeDeviceEventID`).
    NodeDeviceEventId: i32 {
        /// Devices come and go.
        Lifecycle = 0,
        /// Devices change.
        Update = 1,
    }
    /// What happened to a device (`virNodeDeviceEventLifecycleType`).
    LifecycleKind: i32 {
        /// It came.
        Created = 0,
        /// It went.
        Deleted = 1,
        /// A definition of it was made.
        Defined = 2,
        /// Its definition was removed.
        Undefined = 3,
    }
    /// Why a connection ended (`virConnectCloseReason`).
    CloseReason: i32 {
        /// Of an error.
        Error = 0,
        /// The peer closed it.
        EndOfFile = 1,
        /// The peer answered no PING.
        Keepalive = 2,
        /// The client closed it.
        Client = 3,
    }
}
