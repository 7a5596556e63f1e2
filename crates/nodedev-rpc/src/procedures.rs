//! The table of procedures. Dispatch, checks of access, the client's typed calls and docs/protocol.md come from it.

use crate::access::Effect::{Reads, Writes};
use crate::access::Needs::{Connection, NodeDevices, Nothing};
use crate::access::{Cost, Effect, Needs, Permission, When};
use crate::frame::{Header, encode_message};
use crate::known::{Known, Priority};
use crate::messages::*;
use crate::open::{Feature, Status};
use crate::xdr::{Reader, TooLong, Void, Wire, XdrError};

/// A procedure's types, for a client: what is sent and what comes back. [`calls`] has one for each procedure.
pub trait Rpc {
    /// The procedure.
    const PROCEDURE: Procedure;
    /// What is sent.
    type Arguments<'a>: Wire<'a>;
    /// What comes back if all went well.
    type Reply<'a>: Wire<'a>;
}

/// One permission: `object: action`, perhaps with the flags that it depends on.
macro_rules! permission {
    ($object:ident $action:ident) => {
        permission!(@ $object $action When::Always)
    };
    ($object:ident $action:ident any_of $bits:literal) => {
        permission!(@ $object $action When::AnyOf($bits))
    };
    ($object:ident $action:ident none_of $bits:literal) => {
        permission!(@ $object $action When::NoneOf($bits))
    };
    (@ $object:ident $action:ident $when:expr) => {
        Permission { object: stringify!($object), action: stringify!($action), when: $when }
    };
}

/// Each row: number, procedure, arguments and reply; what it does, how long that takes, and what it needs; permissions to call
/// it, and permissions that each device needs to be in the result.
macro_rules! procedures {
    ($lt:lifetime $(
        $(#[$doc:meta])*
        $number:literal $name:ident($arguments:ty) -> $reply:ty, $effect:ident $cost:ident $needs:ident
            [$($object:ident: $action:ident $($when:ident $bits:literal)?),*]
            filter [$($fobject:ident: $faction:ident),*];
    )*) => {
        /// A procedure of program REMOTE that `nodedev` serves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(i32)]
        pub enum Procedure {
            $($(#[$doc])* $name = $number,)*
        }

        impl Procedure {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The procedure of this number, if it is served.
            pub fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Names of the types of its arguments and of its reply.
            pub fn types(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => (stringify!($arguments), stringify!($reply)),)* }
            }

            /// Whether it changes something: read-only connections may not call it then.
            pub fn effect(self) -> Effect {
                match self { $(Self::$name => $effect,)* }
            }

            /// How long a server of devices takes for it, and so with which others it takes its turn.
            pub fn cost(self) -> Cost {
                match self { $(Self::$name => Cost::$cost,)* }
            }

            /// What of a connection it needs; see [`Call::needs`] for the one exception.
            pub fn needs(self) -> Needs {
                match self { $(Self::$name => $needs,)* }
            }

            /// What a caller must be allowed to do, all of it.
            pub fn permissions(self) -> &'static [Permission] {
                match self {
                    $(Self::$name => const { &[$(permission!($object $action $($when $bits)?)),*] },)*
                }
            }

            /// What a caller must be allowed to do with a device to find it in the result; others are left out
            /// silently.
            pub fn filter(self) -> &'static [Permission] {
                match self { $(Self::$name => const { &[$(permission!($fobject $faction)),*] },)* }
            }
        }

        /// A call: what a server gets.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Call<$lt> {
            $($(#[$doc])* $name($arguments),)*
        }

        impl<$lt> Call<$lt> {
            /// Reads the arguments of a call. Bytes after them mean nothing.
            ///
            /// # Errors
            /// [`XdrError`] if they are none; [`Fault::undecodable`](crate::Fault::undecodable) is the answer.
            pub fn decode(procedure: Procedure, payload: &$lt [u8]) -> Result<Self, XdrError> {
                let input = &mut Reader::new(payload);
                match procedure { $(Procedure::$name => Wire::decode(input).map(Self::$name),)* }
            }

            /// What is called.
            pub fn procedure(&self) -> Procedure {
                match self { $(Self::$name(_) => Procedure::$name,)* }
            }

            /// Appends the message of the call.
            ///
            /// # Errors
            /// [`TooLong`] if the message is.
            pub fn encode(&self, serial: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
                let header = Header::call(self.procedure().number(), serial);
                match self { $(Self::$name(arguments) => encode_message(out, &header, arguments),)* }
            }
        }

        /// What a call that went well gives.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Reply<$lt> {
            $($(#[$doc])* $name($reply),)*
        }

        impl<$lt> Reply<$lt> {
            /// Reads a reply that is no error.
            ///
            /// # Errors
            /// [`XdrError`] if it is none to this procedure.
            pub fn decode(procedure: Procedure, payload: &$lt [u8]) -> Result<Self, XdrError> {
                let input = &mut Reader::new(payload);
                match procedure { $(Procedure::$name => Wire::decode(input).map(Self::$name),)* }
            }

            /// What was called.
            pub fn procedure(&self) -> Procedure {
                match self { $(Self::$name(_) => Procedure::$name,)* }
            }

            /// Appends the message of the reply to the call of this serial number.
            ///
            /// # Errors
            /// [`TooLong`] if the message is; [`Fault::unencodable`](crate::Fault::unencodable) is what libvirt sends then.
            pub fn encode(&self, serial: u32, out: &mut Vec<u8>) -> Result<(), TooLong> {
                let header = Header::call(self.procedure().number(), serial).reply(Status::Ok);
                match self { $(Self::$name(reply) => encode_message(out, &header, reply),)* }
            }
        }

        /// The procedures as types, each with those of its arguments and reply.
        pub mod calls {
            use super::*;

            $(
                $(#[$doc])*
                #[derive(Debug, Clone, Copy)]
                pub enum $name {}

                impl Rpc for $name {
                    const PROCEDURE: Procedure = Procedure::$name;
                    type Arguments<$lt> = $arguments;
                    type Reply<$lt> = $reply;
                }
            )*
        }
    };
}

procedures! { 'a
    /// Opens the connection.
    1 ConnectOpen(Open<'a>) -> Void, Reads Quick Nothing [connect: getattr] filter [];
    /// Closes it; the server then closes the socket, too.
    2 ConnectClose(Void) -> Void, Reads Quick Nothing [] filter [];
    /// Name of the connection's driver.
    3 ConnectGetType(Void) -> Text<'a>, Reads Quick Connection [connect: getattr] filter [];
    /// Version of the hypervisor.
    4 ConnectGetVersion(Void) -> Version, Reads Quick Connection [connect: getattr] filter [];
    /// How many CPUs a guest of this type may have.
    5 ConnectGetMaxVcpus(OptionalText<'a>) -> Number, Reads Quick Connection [connect: read] filter [];
    /// The machine's CPUs and memory.
    6 NodeGetInfo(Void) -> NodeInfo, Reads Look Connection [connect: read] filter [];
    /// What the host and its hypervisor can do, as XML.
    7 ConnectGetCapabilities(Void) -> Text<'a>, Reads Look Connection [connect: read] filter [];
    /// The host's name.
    59 ConnectGetHostname(Void) -> Text<'a>, Reads Quick Connection [connect: getattr] filter [];
    /// Whether the server has a feature.
    60 ConnectSupportsFeature(FeatureQuestion) -> Number, Reads Quick Connection [connect: getattr] filter [];
    /// How to log in.
    66 AuthList(Void) -> AuthTypes, Reads Quick Nothing [] filter [];
    /// Which SASL mechanisms there are, with commas between them.
    67 AuthSaslInit(Void) -> Text<'a>, Reads Quick Nothing [] filter [];
    /// Chooses a SASL mechanism and begins.
    68 AuthSaslStart(SaslStart<'a>) -> SaslReply, Reads Quick Nothing [] filter [];
    /// Goes on with SASL.
    69 AuthSaslStep(SaslStep) -> SaslReply, Reads Quick Nothing [] filter [];
    /// Has polkit decide; the reply is 1.
    70 AuthPolkit(Void) -> Number, Reads Quick Nothing [] filter [];
    /// URI of the connection.
    110 ConnectGetUri(Void) -> Text<'a>, Reads Quick Connection [connect: getattr] filter [];
    /// How many devices there are.
    111 NodeNumOfDevices(CountDevices<'a>) -> Number, Reads List NodeDevices
        [connect: search_node_devices] filter [node_device: getattr];
    /// The devices' names.
    112 NodeListDevices(ListDevices<'a>) -> Names<'a>, Reads List NodeDevices
        [connect: search_node_devices] filter [node_device: getattr];
    /// A device by its name.
    113 NodeDeviceLookupByName(Device<'a>) -> Device<'a>, Reads Known NodeDevices [node_device: getattr] filter [];
    /// A device as XML.
    114 NodeDeviceGetXmlDesc(DeviceFlags<'a>) -> Text<'a>, Reads Describe NodeDevices [node_device: read] filter [];
    /// The device above a device; absent, and no error, if there is none.
    115 NodeDeviceGetParent(Device<'a>) -> OptionalText<'a>, Reads Known NodeDevices [node_device: getattr] filter [];
    /// How many capabilities a device has.
    116 NodeDeviceNumOfCaps(Device<'a>) -> Number, Reads Describe NodeDevices [node_device: read] filter [];
    /// A device's capabilities.
    117 NodeDeviceListCaps(ListCapabilities<'a>) -> Names<'a>, Reads Describe NodeDevices [node_device: read] filter [];
    /// Detaches a device from the host. The name is libvirt's.
    118 NodeDeviceDettach(Device<'a>) -> Void, Writes Wait Connection [node_device: detach] filter [];
    /// Gives a device back to the host.
    119 NodeDeviceReAttach(Device<'a>) -> Void, Writes Wait Connection [node_device: detach] filter [];
    /// Resets a device.
    120 NodeDeviceReset(Device<'a>) -> Void, Writes Wait Connection [node_device: detach] filter [];
    /// Creates a device.
    123 NodeDeviceCreateXml(Document<'a>) -> Device<'a>, Writes Wait NodeDevices
        [node_device: write, node_device: start] filter [];
    /// Destroys a device, or stops it.
    124 NodeDeviceDestroy(Device<'a>) -> Void, Writes Wait NodeDevices [node_device: stop] filter [];
    /// Whether nobody can listen in.
    149 ConnectIsSecure(Void) -> Number, Reads Quick Connection [] filter [];
    /// Version of the server's libvirt.
    157 ConnectGetLibVersion(Void) -> Version, Reads Quick Connection [connect: getattr] filter [];
    /// What the firmware says about the machine, as XML.
    203 ConnectGetSysinfo(Flags) -> Text<'a>, Reads Quick Connection [connect: read] filter [];
    /// The devices, by flags.
    285 ConnectListAllNodeDevices(ListAllDevices) -> AllDevices<'a>, Reads List NodeDevices
        [connect: search_node_devices] filter [node_device: getattr];
    /// The SCSI host of a Fibre Channel port.
    297 NodeDeviceLookupScsiHostByWwn(WorldWideNames<'a>) -> Device<'a>, Reads Look NodeDevices
        [node_device: getattr] filter [];
    /// Detaches a device from the host, for a driver.
    301 NodeDeviceDetachFlags(Detach<'a>) -> Void, Writes Wait Connection [node_device: detach] filter [];
    /// Asks to be told when the server loses the connection.
    360 ConnectRegisterCloseCallback(Void) -> Void, Reads Quick Connection [connect: getattr] filter [];
    /// Asks not to be told any more.
    361 ConnectUnregisterCloseCallback(Void) -> Void, Reads Quick Connection [connect: getattr] filter [];
    /// Asks for events.
    374 ConnectNodeDeviceEventRegisterAny(EventRegistration<'a>) -> Callback, Reads Wait NodeDevices
        [connect: search_node_devices] filter [node_device: getattr];
    /// Asks for no more events.
    375 ConnectNodeDeviceEventDeregisterAny(Callback) -> Void, Reads Quick NodeDevices [connect: read] filter [];
    /// Says who the caller acts for.
    419 ConnectSetIdentity(Identity<'a>) -> Void, Reads Wait Connection [connect: write] filter [];
    /// Defines a device.
    428 NodeDeviceDefineXml(Document<'a>) -> Device<'a>, Writes Wait NodeDevices
        [node_device: write, node_device: save] filter [];
    /// Removes a device's definition.
    429 NodeDeviceUndefine(DeviceFlags<'a>) -> Void, Writes Wait NodeDevices [node_device: delete] filter [];
    /// Starts a device that is defined.
    430 NodeDeviceCreate(DeviceFlags<'a>) -> Void, Writes Wait NodeDevices [node_device: start] filter [];
    /// Whether a device is started with the host.
    433 NodeDeviceGetAutostart(Device<'a>) -> Number, Reads Known NodeDevices [node_device: read] filter [];
    /// Sets whether a device is started with the host.
    434 NodeDeviceSetAutostart(Autostart<'a>) -> Void, Writes Wait NodeDevices [node_device: write] filter [];
    /// Whether a device has a definition.
    435 NodeDeviceIsPersistent(Device<'a>) -> Number, Reads Known NodeDevices [node_device: read] filter [];
    /// Whether a device is there.
    436 NodeDeviceIsActive(Device<'a>) -> Number, Reads Known NodeDevices [node_device: read] filter [];
    /// Changes a device or its definition (bit 0 of the flags: the device, bit 1: the definition).
    447 NodeDeviceUpdate(Update<'a>) -> Void, Writes Wait NodeDevices
        [node_device: write, node_device: save none_of 3, node_device: save any_of 2] filter [];
}

impl Procedure {
    /// Its number.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// libvirt's name of it, without the prefix `REMOTE_PROC_`.
    pub fn name(self) -> &'static str {
        Known::find(self.number()).map_or("", |known| known.name)
    }

    /// Which workers may run it.
    pub fn priority(self) -> Priority {
        Known::find(self.number()).map_or(Priority::Low, |known| known.priority)
    }

    /// Whether it can be called before the login is done: it is part of the login.
    pub fn is_login(self) -> bool {
        Known::find(self.number()).is_some_and(|known| known.kind == crate::known::Kind::Login)
    }
}

impl Call<'_> {
    /// What of a connection the call needs. Clients ask whether the server answers PING before they open anything;
    /// other features depend on what was opened.
    pub fn needs(&self) -> Needs {
        match self {
            Self::ConnectSupportsFeature(FeatureQuestion { feature: Feature::Keepalive }) => Nothing,
            _ => self.procedure().needs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known::Kind;

    #[test]
    fn rows_are_in_order_and_no_event_is_among_them() {
        assert!(Procedure::ALL.is_sorted_by_key(|procedure| procedure.number()));
        for procedure in Procedure::ALL {
            assert_eq!(Procedure::from_number(procedure.number()), Some(*procedure));
            let known = Known::find(procedure.number()).expect("one of libvirt's");
            assert_ne!(known.kind, Kind::Event, "{procedure:?}");
            let ours = format!("{procedure:?}").to_uppercase();
            assert_eq!(known.name.replace('_', ""), ours);
        }
    }

    #[test]
    fn what_changes_something_or_is_slow_for_libvirt_holds_up_nothing_quick() {
        for procedure in Procedure::ALL {
            let may_be_slow = procedure.effect() == Writes || procedure.priority() == Priority::Low;
            let is_slow = !matches!(procedure.cost(), Cost::Known | Cost::Quick);
            assert!(is_slow || !may_be_slow, "{procedure:?}");
        }
    }

    #[test]
    fn the_login_and_nothing_else_can_be_called_before_it_is_done() {
        use Procedure::*;
        let login: Vec<_> = Procedure::ALL.iter().copied().filter(|procedure| procedure.is_login()).collect();
        assert_eq!(login, [AuthList, AuthSaslInit, AuthSaslStart, AuthSaslStep, AuthPolkit]);
        assert_eq!(ConnectGetLibVersion.name(), "CONNECT_GET_LIB_VERSION");
    }

    #[test]
    fn saving_is_asked_for_when_an_update_outlives_the_device() {
        let needed = |flags| {
            let permissions = Procedure::NodeDeviceUpdate.permissions().iter();
            let mut actions: Vec<_> =
                permissions.filter(|wanted| wanted.is_needed(flags)).map(|wanted| wanted.action).collect();
            actions.dedup();
            actions
        };
        assert_eq!(needed(0), ["write", "save"]);
        assert_eq!(needed(1), ["write"]);
        assert_eq!(needed(2), ["write", "save"]);
        assert_eq!(needed(3), ["write", "save"]);
    }

    #[test]
    fn only_the_question_for_keepalive_needs_no_connection() {
        let question = |feature| Call::ConnectSupportsFeature(FeatureQuestion { feature }).needs();
        assert_eq!(question(Feature::Keepalive), Nothing);
        assert_eq!(question(Feature::EventCallbackIds), Connection);
        assert_eq!(Call::ConnectClose(Void).needs(), Nothing);
    }
}
