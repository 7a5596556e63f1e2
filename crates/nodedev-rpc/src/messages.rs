//! Arguments, replies and events, in the order of their fields on the wire.

use crate::array::{Array, Chars, FixedChars};
use crate::bounds::{
    AUTH_SASL_DATA_MAX, AUTH_TYPE_LIST_MAX, IDENTITY_PARAMS_MAX, NODE_DEVICE_LIST_MAX, NODE_INFO_MODEL,
};
use crate::open::{AuthType, CloseReason, Feature, LifecycleKind, NodeDeviceEventId};
use crate::parameter::TypedParameter;
use crate::text::Str;
use crate::xdr::{Reader, Wire, XdrError};

/// A structure of the protocol, for documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    /// Its name here.
    pub name: &'static str,
    /// Names and types of its fields.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Declares structures, whose fields follow one another on the wire.
macro_rules! structures {
    ($all:ident $lt:lifetime $(
        $(#[$doc:meta])* $name:ident $(<$own:lifetime>)? {
            $($(#[$fdoc:meta])* $field:ident: $type:ty,)*
        }
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub struct $name $(<$own>)? {
                $($(#[$fdoc])* pub $field: $type,)*
            }

            impl<$lt> Wire<$lt> for $name $(<$own>)? {
                const MIN_SIZE: usize = 0 $(+ <$type as Wire<$lt>>::MIN_SIZE)*;

                fn decode(input: &mut Reader<$lt>) -> Result<Self, XdrError> {
                    Ok(Self { $($field: <$type as Wire<$lt>>::decode(input)?,)* })
                }

                fn encode(&self, out: &mut Vec<u8>) {
                    $(self.$field.encode(out);)*
                }
            }
        )*

        /// Every structure that is declared here.
        pub(crate) const $all: &[$crate::messages::Structure] = &[
            $($crate::messages::Structure {
                name: stringify!($name),
                fields: &[$((stringify!($field), stringify!($type)),)*],
            },)*
        ];
    };
}
pub(crate) use structures;

impl Structure {
    /// Every structure that libvirt's arguments, replies and events are made of.
    pub const ALL: &'static [Self] = STRUCTURES;
    /// Those of program NODEDEV.
    pub const NATIVE: &'static [Self] = crate::native::NATIVE_STRUCTURES;
}

structures! { STRUCTURES 'a
    /// Opens the connection.
    Open<'a> {
        /// URI of the driver, without transport and server; absent where the client left it out of the message.
        name: Option<Str<'a>>,
        /// Bit 0 asks for a read-only connection. Clients send bits of their own besides; they mean nothing here.
        flags: u32,
    }
    /// A feature that is asked about.
    FeatureQuestion {
        /// Which.
        feature: Feature,
    }
    /// A text.
    Text<'a> {
        /// The text.
        text: Str<'a>,
    }
    /// A text that may be absent.
    OptionalText<'a> {
        /// The text.
        text: Option<Str<'a>>,
    }
    /// A number: how many, or whether (1) or not (0).
    Number {
        /// The number.
        number: i32,
    }
    /// A version: 1,000,000 × major + 1,000 × minor + release.
    Version {
        /// The version.
        version: u64,
    }
    /// Flags.
    Flags {
        /// The flags.
        flags: u32,
    }
    /// The machine that the server is on.
    NodeInfo {
        /// The CPU's architecture, for instance `x86_64`.
        model: FixedChars<NODE_INFO_MODEL>,
        /// Memory, KiB.
        memory_kib: u64,
        /// CPUs that are online.
        cpus: i32,
        /// Their clock, MHz; 0 if not known.
        mhz: i32,
        /// NUMA nodes.
        nodes: i32,
        /// Sockets of each node.
        sockets: i32,
        /// Cores of each socket.
        cores: i32,
        /// Threads of each core.
        threads: i32,
    }
    /// Ways to log in. libvirt's servers offer exactly one.
    AuthTypes {
        /// The ways.
        types: Array<AuthType, AUTH_TYPE_LIST_MAX>,
    }
    /// The first step of a SASL login.
    SaslStart<'a> {
        /// The mechanism that the client chose.
        mechanism: Str<'a>,
        /// 1 if there is no data, which is not the same as empty data.
        nil: i32,
        /// What the mechanism says first.
        data: Chars<AUTH_SASL_DATA_MAX>,
    }
    /// A further step of a SASL login.
    SaslStep {
        /// 1 if there is no data.
        nil: i32,
        /// What the client says.
        data: Chars<AUTH_SASL_DATA_MAX>,
    }
    /// What the server says to a step of a SASL login.
    SaslReply {
        /// 1 once the client is logged in.
        complete: i32,
        /// 1 if there is no data.
        nil: i32,
        /// What the server says.
        data: Chars<AUTH_SASL_DATA_MAX>,
    }
    /// Who a daemon acts for when it passes a client's calls on.
    Identity<'a> {
        /// What is known about the client, for instance `unix-user-id`.
        parameters: Array<TypedParameter<'a>, IDENTITY_PARAMS_MAX>,
        /// None are known.
        flags: u32,
    }
    /// A node device.
    Device<'a> {
        /// Its name.
        name: Str<'a>,
    }
    /// A node device and flags.
    DeviceFlags<'a> {
        /// Its name.
        name: Str<'a>,
        /// Flags of the call.
        flags: u32,
    }
    /// Which devices to count.
    CountDevices<'a> {
        /// Only those with this capability; all if absent.
        capability: Option<Str<'a>>,
        /// None are known.
        flags: u32,
    }
    /// Which devices to list.
    ListDevices<'a> {
        /// Only those with this capability; all if absent.
        capability: Option<Str<'a>>,
        /// No more than that; not negative, and at most [`NODE_DEVICE_LIST_MAX`].
        max_names: i32,
        /// None are known.
        flags: u32,
    }
    /// Names: of devices, or of capabilities, whose limit is the same.
    Names<'a> {
        /// The names, in any order.
        names: Array<Str<'a>, NODE_DEVICE_LIST_MAX>,
    }
    /// Which capabilities to list.
    ListCapabilities<'a> {
        /// The device.
        name: Str<'a>,
        /// No more than that; not negative, and at most
        /// [`NODE_DEVICE_CAPS_LIST_MAX`](crate::bounds::NODE_DEVICE_CAPS_LIST_MAX).
        max_names: i32,
    }
    /// Which devices to list, by flags.
    ListAllDevices {
        /// 0 if only their number is asked for.
        need_results: i32,
        /// `VIR_CONNECT_LIST_NODE_DEVICES_*`.
        flags: u32,
    }
    /// Devices, and how many there are.
    AllDevices<'a> {
        /// The devices' names, in any order; none if only their number was asked for.
        devices: Array<Str<'a>, NODE_DEVICE_LIST_MAX>,
        /// How many there are.
        count: u32,
    }
    /// The names of a Fibre Channel host.
    WorldWideNames<'a> {
        /// World wide node name, 16 hexadecimal digits.
        wwnn: Str<'a>,
        /// World wide port name, 16 hexadecimal digits.
        wwpn: Str<'a>,
        /// None are known.
        flags: u32,
    }
    /// A device to detach from the host.
    Detach<'a> {
        /// The device.
        name: Str<'a>,
        /// Driver that is to hold it for guests; the host chooses if absent.
        driver: Option<Str<'a>>,
        /// None are known.
        flags: u32,
    }
    /// A device's document.
    Document<'a> {
        /// libvirt's XML.
        xml: Str<'a>,
        /// Bit 0 asks for validation against the schema.
        flags: u32,
    }
    /// A device's new definition.
    Update<'a> {
        /// The device.
        name: Str<'a>,
        /// libvirt's XML.
        xml: Str<'a>,
        /// `VIR_NODE_DEVICE_UPDATE_AFFECT_*`.
        flags: u32,
    }
    /// Whether a device is to be started with the host.
    Autostart<'a> {
        /// The device.
        name: Str<'a>,
        /// 0 if not.
        autostart: i32,
    }
    /// Which events a client wants.
    EventRegistration<'a> {
        /// Their kind.
        event: NodeDeviceEventId,
        /// Only those of this device, which need not exist; those of all if absent.
        device: Option<Str<'a>>,
    }
    /// A registration for events.
    Callback {
        /// Its number, by which the server tells the client's registrations apart.
        callback: i32,
    }
    /// A device came, went, was defined or undefined.
    LifecycleEvent<'a> {
        /// The registration that this is for.
        callback: i32,
        /// The device.
        device: Str<'a>,
        /// What happened.
        kind: LifecycleKind,
        /// Always 0.
        detail: i32,
    }
    /// A device changed.
    UpdateEvent<'a> {
        /// The registration that this is for.
        callback: i32,
        /// The device.
        device: Str<'a>,
    }
    /// The server lost the connection that it served.
    ConnectionClosed {
        /// Why.
        reason: CloseReason,
    }
    /// What went wrong (`remote_error`, `virError`). Integers and most texts have a meaning only together with `code`.
    ErrorObject<'a> {
        /// Kind of failure (`virErrorNumber`).
        code: i32,
        /// Part of libvirt that failed (`virErrorDomain`).
        domain: i32,
        /// The message for people.
        message: Option<Str<'a>>,
        /// 2 for an error, 1 for a warning.
        level: i32,
        /// A domain (guest) that it is about. No longer sent.
        guest: Option<GuestReference<'a>>,
        /// Template of the message, or the function that refused an argument.
        str1: Option<Str<'a>>,
        /// What the template is filled with, or the name of the argument.
        str2: Option<Str<'a>>,
        /// Nothing in particular.
        str3: Option<Str<'a>>,
        /// The number of a system call's failure, or -1.
        int1: i32,
        /// -1, or 0 for refused arguments.
        int2: i32,
        /// A network that it is about. No longer sent.
        network: Option<NetworkReference<'a>>,
    }
    /// A domain, in libvirt's sense: a guest.
    GuestReference<'a> {
        /// Its name.
        name: Str<'a>,
        /// Its UUID.
        uuid: [u8; 16],
        /// Its number while it runs, or -1.
        id: i32,
    }
    /// A virtual network.
    NetworkReference<'a> {
        /// Its name.
        name: Str<'a>,
        /// Its UUID.
        uuid: [u8; 16],
    }
}
