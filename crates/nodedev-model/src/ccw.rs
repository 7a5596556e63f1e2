use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};

use crate::lenient::{self, from_text};
use crate::net::words;
use crate::{MdevType, Text};

/// Address of an s390 channel device or subchannel, printed as `0.0.1234`.
///
/// On a host `cssid` is at most 254, `ssid` at most 3 and `devno` 16 bits; libvirt does not check that in documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CcwAddress {
    /// Channel subsystem.
    pub cssid: u32,
    /// Subchannel set.
    pub ssid: u32,
    /// Device or subchannel number.
    pub devno: u32,
}

impl fmt::Display for CcwAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}.{:04x}", self.cssid, self.ssid, self.devno)
    }
}

impl Serialize for CcwAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl CcwAddress {
    /// Reads what [`fmt::Display`] writes.
    fn from_json(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.splitn(3, '.').map(|digits| {
            let is_hex = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        });
        let mut next = || parts.next().flatten().ok_or("not the address of a channel device");
        Ok(Self { cssid: next()?, ssid: next()?, devno: next()? })
    }
}

from_text!(CcwAddress, CcwAddress::from_json);

impl JsonSchema for CcwAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CcwAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]+\\.[0-9a-f]+\\.[0-9a-f]{4,}$"})
    }
}

words! {
    /// Whether a channel device is in use by its driver.
    CcwState {
        /// Offline.
        Offline = "offline",
        /// Online.
        Online = "online",
    }
}

/// An s390 channel device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CcwCapability {
    /// State; absent when the kernel says neither 0 nor 1.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Option::is_none")]
    pub state: Option<CcwState>,
    /// Address.
    pub address: CcwAddress,
    /// Name of the ccwgroup device that it belongs to (`ccwgroup_0_0_bd00`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_device: Option<Text>,
}

/// An s390 subchannel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CssCapability {
    /// Address; `devno` is the subchannel's number.
    pub address: CcwAddress,
    /// Address of the channel device behind it (`dev_busid`); absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_dev_addr: Option<CcwAddress>,
    /// Types of mediated devices it can be the parent of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mdev_types: Vec<MdevType>,
}

words! {
    /// Kind of a ccwgroup device, by its `DEVTYPE`.
    QethKind {
        /// OSA or HiperSockets whose layer is not chosen yet.
        Generic = "qeth_generic",
        /// Layer 2.
        Layer2 = "qeth_layer2",
        /// Layer 3.
        Layer3 = "qeth_layer3",
    }
}

/// A group of s390 channel devices that work as one network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CcwGroupCapability {
    /// State; absent when the kernel says neither 0 nor 1.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Option::is_none")]
    pub state: Option<CcwState>,
    /// Address of the group, that of its first member.
    pub address: CcwAddress,
    /// The channel devices in it, by the number of their links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<CcwGroupMember>,
    /// Kind of card.
    pub kind: QethKind,
    /// Type of card in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_type: Option<Text>,
    /// Channel path id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chpid: Option<Text>,
}

/// A member of a ccwgroup device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CcwGroupMember {
    /// The kernel's name of the link (`cdev0`).
    #[serde(rename = "ref")]
    pub reference: Text,
    /// Name of the channel device (`ccw_0_0_bd00`).
    pub device: Text,
}

impl CcwGroupMember {
    /// What members are sorted by: `cdev2` comes before `cdev10`.
    pub(crate) fn number(&self) -> (usize, &[u8]) {
        let name = self.reference.as_bytes();
        (name.len(), name)
    }
}
