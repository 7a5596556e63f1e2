use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::native::facts::facts;
use crate::{Text, lenient};

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NetCapability {
    /// Name of the interface.
    pub interface: Text,
    /// Hardware address, as the kernel writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Text>,
    /// State and speed of the link.
    pub link: NetLink,
    /// Features of the driver and hardware that are on. Empty for a recording: they are not in sysfs.
    #[serde(default, skip_serializing_if = "NetFeatures::is_empty")]
    pub features: NetFeatures,
    /// Ethernet-like or wireless; absent only in a document that does not say.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Option::is_none")]
    pub kind: Option<NetKind>,
    /// The kernel's type of a software interface (`bridge`, `bond`, `vlan`, …: its `DEVTYPE`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devtype: Option<Text>,
    /// The interface's place on its card, as the driver names it (`phys_port_name`): `p0` a port, `pf0vf3` the representor of
    /// a virtual function. Only the native view has it, of hardware whose driver says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_name: Option<Text>,
    /// The switch that the interface is a port of (`phys_switch_id`), the same for all ports of one. Only the native view has
    /// it, of hardware whose driver says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub switch_id: Option<Text>,
    /// Number of the port among those that share a PCI function (`dev_port`). Only the native view has it, of hardware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev_port: Option<u32>,
    /// What an interface of software is made of, under a name of its kind. Only the native view has it.
    #[serde(flatten)]
    pub software: Option<NetSoftware>,
}

/// What an interface of software is made of, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetSoftware {
    /// A bridge.
    Bridge(Box<Bridge>),
    /// Interfaces that work as one.
    Bond(Box<Bond>),
    /// A VLAN of another interface.
    Vlan(Box<Vlan>),
}

facts! {
    /// A bridge (`/sys/class/net/*/bridge`).
    Bridge {
        /// Identifier: priority and hardware address.
        id: Text,
        /// Whether it avoids loops by the Spanning Tree Protocol: in the kernel (1), by a program (2), or not (0).
        stp: u32,
        /// Whether it keeps VLANs apart.
        vlan_filtering: bool,
        /// Names of its ports, sorted.
        ports: Vec<Text>,
    }

    /// A bond (`/sys/class/net/*/bonding`).
    Bond {
        /// How it divides traffic: `balance-rr`, `active-backup`, `802.3ad` …
        mode: Text,
        /// Names of its interfaces, in the order of the kernel.
        members: Vec<Text>,
        /// Name of the interface that is in use, where only one is.
        active_member: Text,
        /// How often the links are looked at, in milliseconds; 0: never.
        miimon_ms: u32,
    }

    /// A VLAN (`/proc/net/vlan/config`).
    Vlan {
        /// Its number, 0 to 4095. Absent where the kernel's list cannot be read.
        id: u32,
        /// Name of the interface that carries it.
        interface: Text,
    }
}

/// State and speed of a network link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NetLink {
    /// Speed in Mbit/s as libvirt prints it: 0 is not printed, and `u32::MAX` is the kernel's `-1` for an unknown speed.
    /// [`NetLink::speed_mbits`] is the one to use.
    pub raw_speed: u32,
    /// Operational state (`operstate`).
    pub state: Option<NetLinkState>,
}

impl NetLink {
    /// Speed in Mbit/s; absent when the link is down or the driver does not know.
    pub fn speed_mbits(&self) -> Option<u32> {
        (self.raw_speed != 0 && self.raw_speed != u32::MAX).then_some(self.raw_speed)
    }
}

/// The JSON of a [`NetLink`].
#[derive(Serialize, Deserialize)]
struct LinkJson {
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Option::is_none")]
    state: Option<NetLinkState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed_mbits: Option<u32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    speed_unknown: bool,
}

impl Serialize for NetLink {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let speed_unknown = self.raw_speed == u32::MAX;
        LinkJson { state: self.state, speed_mbits: self.speed_mbits(), speed_unknown }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NetLink {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let LinkJson { state, speed_mbits, speed_unknown } = LinkJson::deserialize(reader)?;
        Ok(Self { raw_speed: if speed_unknown { u32::MAX } else { speed_mbits.unwrap_or(0) }, state })
    }
}

impl JsonSchema for NetLink {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NetLink".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "State and speed of a network link.",
            "properties": {
                "state": {"type": "string", "enum": NetLinkState::ALL.map(NetLinkState::as_str)},
                "speed_mbits": {"type": "integer", "minimum": 1, "description": "Speed in Mbit/s; absent when unknown."},
                "speed_unknown": {
                    "type": "boolean",
                    "description": "The driver of a link that is up says that it does not know the speed; absent otherwise."
                }
            }
        })
    }
}

/// An enumeration whose values are words in XML and JSON.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in libvirt's order.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant,)*];

            /// The word in XML and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The value of a word; `None` for other words.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                let word = String::deserialize(reader)?;
                Self::from_word(&word).ok_or_else(|| {
                    serde::de::Error::unknown_variant(&word, &[$($word),*])
                })
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": Self::ALL.map(Self::as_str)})
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Operational state of a link, the words of `operstate` (RFC 2863).
    NetLinkState {
        /// The driver does not say.
        Unknown = "unknown",
        /// Hardware is missing.
        NotPresent = "notpresent",
        /// Down.
        Down = "down",
        /// A lower layer is down.
        LowerLayerDown = "lowerlayerdown",
        /// Under test.
        Testing = "testing",
        /// Waits for something else, for instance authentication.
        Dormant = "dormant",
        /// Up.
        Up = "up",
    }
}

words! {
    /// Kind of a network interface, by IEEE number.
    NetKind {
        /// Ethernet and everything like it (IEEE 802.3).
        Ethernet = "80203",
        /// Wireless LAN (IEEE 802.11).
        Wireless = "80211",
    }
}

words! {
    /// A feature of a network interface that can be on or off, in libvirt's order.
    NetFeature {
        /// Receive checksums.
        Rx = "rx",
        /// Transmit checksums.
        Tx = "tx",
        /// Scatter-gather.
        Sg = "sg",
        /// TCP segmentation offload.
        Tso = "tso",
        /// Generic segmentation offload.
        Gso = "gso",
        /// Generic receive offload.
        Gro = "gro",
        /// Large receive offload.
        Lro = "lro",
        /// VLAN tags stripped on receive.
        RxVlan = "rxvlan",
        /// VLAN tags inserted on transmit.
        TxVlan = "txvlan",
        /// Receive n-tuple filters.
        Ntuple = "ntuple",
        /// Receive hashing.
        RxHash = "rxhash",
        /// RDMA.
        Rdma = "rdma",
        /// Segmentation of UDP tunnels.
        TxUdpTnl = "txudptnl",
        /// The embedded switch is in switchdev mode.
        Switchdev = "switchdev",
    }
}

/// A set of [`NetFeature`]s.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NetFeatures(u16);

impl NetFeatures {
    /// Adds a feature.
    pub fn insert(&mut self, feature: NetFeature) {
        self.0 |= 1 << feature as u8;
    }

    /// Whether a feature is in the set.
    pub fn contains(&self, feature: NetFeature) -> bool {
        self.0 & 1 << feature as u8 != 0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The features, in libvirt's order.
    pub fn iter(&self) -> impl Iterator<Item = NetFeature> {
        let set = *self;
        NetFeature::ALL.into_iter().filter(move |feature| set.contains(*feature))
    }
}

impl FromIterator<NetFeature> for NetFeatures {
    fn from_iter<I: IntoIterator<Item = NetFeature>>(features: I) -> Self {
        let mut set = Self::default();
        for feature in features {
            set.insert(feature);
        }
        set
    }
}

impl fmt::Debug for NetFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for NetFeatures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for feature in self.iter() {
            list.serialize_element(&feature)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for NetFeatures {
    /// Features that this version does not know are left out.
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Ok(Vec::<String>::deserialize(reader)?
            .iter()
            .filter_map(|word| NetFeature::from_word(word))
            .collect())
    }
}

impl JsonSchema for NetFeatures {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NetFeatures".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<NetFeature>::json_schema(generator)
    }
}
