use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lenient::{self, from_text};
use crate::native::facts::facts;
use crate::{MdevType, Text, VpdCapability};

/// Address of a PCI function, printed as `0000:02:10.7`.
///
/// The domain is 32 bits wide: hosts with Intel VMD or Hyper-V pass-through have domains above `ffff`. A document may
/// name a bus, slot or function that cannot exist, which libvirt accepts in places; [`PciAddress::is_possible`] tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PciAddress {
    /// Domain (segment).
    pub domain: u32,
    /// Bus, at most 255 on a host.
    pub bus: u32,
    /// Slot (device), at most 31 on a host.
    pub slot: u32,
    /// Function, at most 7 on a host.
    pub function: u32,
}

impl PciAddress {
    /// Whether bus, slot and function are in the ranges that PCI has.
    pub fn is_possible(&self) -> bool {
        self.bus <= 0xff && self.slot <= 0x1f && self.function <= 7
    }

    /// Reads the kernel's spelling, for instance `0000:02:10.7` or `10000:e1:00.0`.
    ///
    /// # Errors
    /// [`InvalidPciAddress`] for anything else.
    pub fn from_bytes(text: &[u8]) -> Result<Self, InvalidPciAddress> {
        Self::read(text).filter(Self::is_possible).ok_or(InvalidPciAddress)
    }

    /// Reads an address that need not be possible, as documents have it.
    fn read(text: &[u8]) -> Option<Self> {
        let mut rest = text;
        let mut number = |end: Option<u8>| {
            let digits = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
            if digits == 0 || digits > 8 {
                return None;
            }
            let value = rest[..digits]
                .iter()
                .fold(0, |value, &digit| value << 4 | char::from(digit).to_digit(16).unwrap_or_default());
            rest = &rest[digits..];
            match (end, rest) {
                (None, []) => {}
                (Some(end), [first, tail @ ..]) if *first == end => rest = tail,
                _ => return None,
            }
            Some(value)
        };
        Some(Self {
            domain: number(Some(b':'))?,
            bus: number(Some(b':'))?,
            slot: number(Some(b'.'))?,
            function: number(None)?,
        })
    }

    /// The functions that a path of sysfs leads through, the one next to the processor first.
    ///
    /// Only names with all of their digits count (four of the domain, two of bus and slot): the port of a serial line on the
    /// board is called `00:02:0.0` since Linux 6.5, and is no PCI function.
    pub fn in_path(path: &[u8]) -> impl DoubleEndedIterator<Item = Self> {
        let is_whole = |name: &[u8]| matches!(name, [.., _, _, _, _, b':', _, _, b':', _, _, b'.', _]);
        let names = path.split(|&b| b == b'/').filter(move |name| is_whole(name));
        names.filter_map(|name| Self::from_bytes(name).ok())
    }
}

/// Text that is no PCI address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPciAddress;

impl fmt::Display for InvalidPciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a PCI address (domain:bus:slot.function, hexadecimal)")
    }
}

impl std::error::Error for InvalidPciAddress {}

impl FromStr for PciAddress {
    type Err = InvalidPciAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.slot, self.function)
    }
}

impl Serialize for PciAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

from_text!(PciAddress, |text: &str| PciAddress::read(text.as_bytes()).ok_or(InvalidPciAddress));

impl JsonSchema for PciAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PciAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9a-f]{4,8}:[0-9a-f]{2,8}:[0-9a-f]{2,8}\\.[0-9a-f]{1,8}$"})
    }
}

/// A vendor's or product's number and, if a database has it, its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct IdName {
    /// The number; 16 bits on a host, up to 32 in a document.
    pub id: u32,
    /// The name, from `pci.ids` for PCI and from udev's database or the device itself for USB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
}

/// A PCI function.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PciCapability {
    /// Class code, 24 bits (base class, subclass, programming interface).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// Where it is.
    pub address: PciAddress,
    /// Product (device id). Absent only when sysfs does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<IdName>,
    /// Vendor. Absent only when sysfs does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<IdName>,
    /// The physical function, if this is a virtual one (`physfn`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub physical_function: Option<PciAddress>,
    /// The virtual functions, if this can have some (`sriov_totalvfs`, `virtfnN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_functions: Option<VirtualFunctions>,
    /// Header type, from configuration space. Absent if that could not be read; libvirt shows bridges only.
    #[serde(default, deserialize_with = "lenient::known", skip_serializing_if = "Option::is_none")]
    pub header: Option<PciHeader>,
    /// Types of mediated devices it can be the parent of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mdev_types: Vec<MdevType>,
    /// Vital Product Data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpd: Option<Box<VpdCapability>>,
    /// The IOMMU group it is in; absent without an IOMMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iommu_group: Option<IommuGroup>,
    /// NUMA node it is attached to; absent (`-1` in sysfs) when tied to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_node: Option<u32>,
    /// PCI Express, with its link if it has one. Absent for conventional PCI, and where configuration space could not
    /// be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub express: Option<PciExpress>,
    /// How awake it is. Only the native view has it, and only of devices of a host; absent where sysfs does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<PciPower>,
    /// Whose card it is on, as its maker says (`PCI_SUBSYS_ID`). Only the native view has it; absent for bridges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<PciSubsystem>,
    /// Revision of the function. Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    /// Regions of memory and ports that the function has (its base address registers and its expansion ROM). Only the native
    /// view has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<PciRegion>,
}

facts! {
    /// Numbers by which the maker of a card names it.
    PciSubsystem {
        /// Number of the card's vendor.
        vendor: u32,
        /// Number of the card.
        device: u32,
    }
}

/// A region of a PCI function (file `resource`; PCI Local Bus Specification 3.0, 6.2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PciRegion {
    /// Which one: 0 to 5 are the base address registers, 6 is the expansion ROM.
    pub index: u32,
    /// Size.
    pub size_bytes: u64,
    /// Ports of the processor rather than memory.
    pub io: bool,
    /// Memory that can be read ahead without effect.
    pub prefetchable: bool,
    /// Memory whose address has 64 bits, so that it takes two registers.
    pub wide: bool,
}

/// How awake a PCI function is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PciPower {
    /// Its power state (`power_state`, Linux 5.11): `D0` is on, `D3hot` and `D3cold` sleep. Absent if the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Text>,
    /// Whether the kernel has put it to sleep while nobody uses it (`power/runtime_status`): `active`, `suspended`, `unsupported` and
    /// so on. Absent if the kernel does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_status: Option<Text>,
    /// Whether it answers: the header of its configuration space does not read as ones only. Absent if that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<bool>,
}

/// Virtual functions of a physical one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VirtualFunctions {
    /// How many there can be; 0 when not said.
    pub max_count: u32,
    /// Those there are, in the order of their numbers.
    pub functions: Vec<PciAddress>,
}

/// Layout of the configuration header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PciHeader {
    /// Type 0.
    Endpoint,
    /// Type 1.
    PciBridge,
    /// Type 2.
    CardbusBridge,
}

/// Devices that can only be handed to a guest together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct IommuGroup {
    /// The kernel's number of the group.
    pub number: u32,
    /// The PCI functions in it, sorted.
    pub devices: Vec<PciAddress>,
}

/// PCI Express, with the link's abilities and state where the function has a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PciExpress {
    /// What the link can do (Link Capabilities register).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<PciLink>,
    /// How it runs now (Link Status register).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<PciLink>,
}

/// One side of `<pci-express>`: speed and width of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PciLink {
    /// Port number; only abilities have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// Speed; absent when the link is down or the register holds a code that no generation has yet.
    #[serde(
        default,
        rename = "speed_gts",
        deserialize_with = "PcieSpeed::known",
        skip_serializing_if = "Option::is_none"
    )]
    pub speed: Option<PcieSpeed>,
    /// Number of lanes; 0 when the link is down.
    pub width: u32,
}

/// Transfer rate of a PCI Express lane, by the code in the link registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PcieSpeed {
    /// 2.5 GT/s.
    Gen1 = 1,
    /// 5 GT/s.
    Gen2 = 2,
    /// 8 GT/s.
    Gen3 = 3,
    /// 16 GT/s.
    Gen4 = 4,
    /// 32 GT/s.
    Gen5 = 5,
    /// 64 GT/s.
    Gen6 = 6,
}

impl PcieSpeed {
    /// Every speed, slowest first.
    pub const ALL: [Self; 6] = [Self::Gen1, Self::Gen2, Self::Gen3, Self::Gen4, Self::Gen5, Self::Gen6];

    /// The speed for a register's code (bits 3–0 of Link Capabilities and Link Status); `None` for codes that no
    /// generation has.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|speed| *speed as u8 == code)
    }

    /// Gigatransfers a second.
    pub fn gigatransfers(self) -> f64 {
        match self {
            Self::Gen1 => 2.5,
            Self::Gen2 => 5.0,
            Self::Gen3 => 8.0,
            Self::Gen4 => 16.0,
            Self::Gen5 => 32.0,
            Self::Gen6 => 64.0,
        }
    }

    /// Reads a speed; one that no generation of this version has is not known.
    fn known<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Self>, D::Error> {
        let stated = Option::<f64>::deserialize(reader)?;
        Ok(Self::ALL.into_iter().find(|speed| Some(speed.gigatransfers()) == stated))
    }

    /// GT/s as libvirt spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gen1 => "2.5",
            Self::Gen2 => "5",
            Self::Gen3 => "8",
            Self::Gen4 => "16",
            Self::Gen5 => "32",
            Self::Gen6 => "64",
        }
    }
}

impl Serialize for PcieSpeed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.gigatransfers())
    }
}

impl JsonSchema for PcieSpeed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PcieSpeed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "number", "enum": [2.5, 5, 8, 16, 32, 64], "description": "GT/s"})
    }
}

#[cfg(test)]
mod tests {
    use super::{PciAddress, PcieSpeed};

    #[test]
    fn addresses_parse_with_wide_domains_and_are_refused_out_of_range() {
        for text in ["0000:02:10.7", "10000:e1:00.0", "ffffffff:ff:1f.7"] {
            assert_eq!(text.parse::<PciAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "02:10.7",
            "0000:02:20.0",
            "0000:02:10.8",
            "0000:100:10.0",
            "0000:02:10.7x",
            "123456789:02:10.0",
        ] {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_leads_only_through_what_is_named_in_full() {
        for (path, functions) in [
            ("sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/net/eth0", "0000:00:02.0 0000:01:00.0"),
            ("sys/devices/pci10000:e0/10000:e0:06.0/nvme/nvme0", "10000:e0:06.0"),
            // Ports of serial lines: on the board, of the platform, and of a card.
            ("sys/devices/pnp0/00:02/00:02:0/00:02:0.0/tty/ttyS0", ""),
            ("sys/devices/platform/serial8250/serial8250:0/serial8250:0.1/tty/ttyS1", ""),
            ("sys/devices/pci0000:00/0000:00:04.0/0000:00:04.0:0/0000:00:04.0:0.0/tty/ttyS4", "0000:00:04.0"),
            ("", ""),
        ] {
            let found: Vec<String> =
                PciAddress::in_path(path.as_bytes()).map(|address| address.to_string()).collect();
            assert_eq!(found.join(" "), functions, "{path}");
        }
    }

    #[test]
    fn speeds_have_the_same_number_as_their_text_and_codes_run_from_1_to_6() {
        for speed in PcieSpeed::ALL {
            assert_eq!(speed.as_str().parse(), Ok(speed.gigatransfers()));
            assert_eq!(PcieSpeed::from_code(speed as u8), Some(speed));
        }
        assert_eq!(PcieSpeed::from_code(0), None);
        assert_eq!(PcieSpeed::from_code(7), None);
    }
}
