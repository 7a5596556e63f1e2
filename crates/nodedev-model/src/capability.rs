use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{
    ApCardCapability, ApMatrixCapability, ApQueueCapability, CcwCapability, CcwGroupCapability,
    CssCapability, DrmCapability, DrmKind, MdevCapability, MdevType, MdevTypesCapability, NativeCapability,
    NetCapability, PciCapability, QethKind, ScsiCapability, ScsiGenericCapability, ScsiHostCapability,
    ScsiTargetCapability, StorageCapability, SystemCapability, UsbDeviceCapability, UsbInterfaceCapability,
    VdpaCapability,
};

/// What a device is and can do. libvirt attaches exactly one to each device it finds; a document may hold several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Capability {
    /// The machine itself (`computer`).
    System(Box<SystemCapability>),
    /// A PCI function.
    Pci(Box<PciCapability>),
    /// A USB device.
    UsbDevice(Box<UsbDeviceCapability>),
    /// An interface of a USB device.
    Usb(Box<UsbInterfaceCapability>),
    /// A network interface.
    Net(Box<NetCapability>),
    /// A SCSI host adapter.
    ScsiHost(Box<ScsiHostCapability>),
    /// A SCSI target.
    ScsiTarget(Box<ScsiTargetCapability>),
    /// A SCSI logical unit.
    Scsi(Box<ScsiCapability>),
    /// A disk or another block device.
    Storage(Box<StorageCapability>),
    /// The character device for SCSI commands to a logical unit.
    ScsiGeneric(ScsiGenericCapability),
    /// A DRM minor of a graphics device.
    Drm(DrmCapability),
    /// A parent of mediated devices that is nothing else (`mtty`).
    MdevTypes(MdevTypesCapability),
    /// A mediated device.
    Mdev(Box<MdevCapability>),
    /// An s390 channel device.
    Ccw(CcwCapability),
    /// An s390 subchannel.
    Css(CssCapability),
    /// A vDPA device.
    Vdpa(VdpaCapability),
    /// An s390 crypto adapter card.
    ApCard(ApCardCapability),
    /// A queue of an s390 crypto adapter.
    ApQueue(ApQueueCapability),
    /// The s390 crypto matrix, a parent of mediated devices.
    ApMatrix(ApMatrixCapability),
    /// A group of s390 channel devices.
    Ccwgroup(Box<CcwGroupCapability>),
    /// A device that libvirt has no capability for; only in the native view.
    Native(NativeCapability),
    /// A capability of a type that this version does not know, in a document of a newer one; never on a host.
    #[serde(untagged)]
    #[schemars(skip)]
    Other(OtherCapability),
}

/// A capability of a type that this version does not know. What the document said of it beside that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherCapability {
    /// The word for the type.
    #[serde(rename = "type")]
    pub kind: String,
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        use CapabilityType as T;
        fn read<T: DeserializeOwned, E: serde::de::Error>(fields: Map<String, Value>) -> Result<T, E> {
            serde_json::from_value(Value::Object(fields)).map_err(E::custom)
        }
        let mut fields = Map::deserialize(reader)?;
        let Some(Value::String(kind)) = fields.remove("type") else {
            return Err(D::Error::missing_field("type"));
        };
        // What such a device is follows from one word, which is not known.
        let is_foreign = |member: &str, is_known: fn(&str) -> bool| {
            fields.get(member).and_then(Value::as_str).is_some_and(|word| !is_known(word))
        };
        Ok(match kind.parse() {
            Ok(T::System) => Self::System(read(fields)?),
            Ok(T::Pci) => Self::Pci(read(fields)?),
            Ok(T::UsbDevice) => Self::UsbDevice(read(fields)?),
            Ok(T::Usb) => Self::Usb(read(fields)?),
            Ok(T::Net) => Self::Net(read(fields)?),
            Ok(T::ScsiHost) => Self::ScsiHost(read(fields)?),
            Ok(T::ScsiTarget) => Self::ScsiTarget(read(fields)?),
            Ok(T::Scsi) => Self::Scsi(read(fields)?),
            Ok(T::Storage) => Self::Storage(read(fields)?),
            Ok(T::ScsiGeneric) => Self::ScsiGeneric(read(fields)?),
            Ok(T::Drm) if is_foreign("drm_type", |word| DrmKind::from_word(word).is_some()) => {
                Self::Other(OtherCapability { kind })
            }
            Ok(T::Drm) => Self::Drm(read(fields)?),
            Ok(T::MdevTypes) => Self::MdevTypes(read(fields)?),
            Ok(T::Mdev) => Self::Mdev(read(fields)?),
            Ok(T::Ccw) => Self::Ccw(read(fields)?),
            Ok(T::Css) => Self::Css(read(fields)?),
            Ok(T::Vdpa) => Self::Vdpa(read(fields)?),
            Ok(T::ApCard) => Self::ApCard(read(fields)?),
            Ok(T::ApQueue) => Self::ApQueue(read(fields)?),
            Ok(T::ApMatrix) => Self::ApMatrix(read(fields)?),
            Ok(T::Ccwgroup) if is_foreign("kind", |word| QethKind::from_word(word).is_some()) => {
                Self::Other(OtherCapability { kind })
            }
            Ok(T::Ccwgroup) => Self::Ccwgroup(read(fields)?),
            Err(_) if kind == "native" => Self::Native(read(fields)?),
            // No device is of a nested type.
            Ok(T::FcHost | T::Vports | T::Vpd | T::CcwgroupMember) | Err(_) => {
                Self::Other(OtherCapability { kind })
            }
        })
    }
}

impl Capability {
    /// The capability's libvirt type; `None` for what only the native view has.
    pub fn kind(&self) -> Option<CapabilityType> {
        use CapabilityType as T;
        Some(match self {
            Self::System(_) => T::System,
            Self::Pci(_) => T::Pci,
            Self::UsbDevice(_) => T::UsbDevice,
            Self::Usb(_) => T::Usb,
            Self::Net(_) => T::Net,
            Self::ScsiHost(_) => T::ScsiHost,
            Self::ScsiTarget(_) => T::ScsiTarget,
            Self::Scsi(_) => T::Scsi,
            Self::Storage(_) => T::Storage,
            Self::ScsiGeneric(_) => T::ScsiGeneric,
            Self::Drm(_) => T::Drm,
            Self::MdevTypes(_) => T::MdevTypes,
            Self::Mdev(_) => T::Mdev,
            Self::Ccw(_) => T::Ccw,
            Self::Css(_) => T::Css,
            Self::Vdpa(_) => T::Vdpa,
            Self::ApCard(_) => T::ApCard,
            Self::ApQueue(_) => T::ApQueue,
            Self::ApMatrix(_) => T::ApMatrix,
            Self::Ccwgroup(_) => T::Ccwgroup,
            Self::Native(_) | Self::Other(_) => return None,
        })
    }

    /// The capability's type followed by those of the nested capabilities that libvirt counts as the device's own
    /// (`virNodeDeviceListCaps`), in its order.
    pub fn kinds(&self) -> impl Iterator<Item = CapabilityType> {
        use CapabilityType as T;
        let nested = match self {
            Self::ScsiHost(c) => {
                [c.fc_host.is_some().then_some(T::FcHost), c.vport_ops.is_some().then_some(T::Vports)]
            }
            Self::Pci(c) => {
                [(!c.mdev_types.is_empty()).then_some(T::MdevTypes), c.vpd.is_some().then_some(T::Vpd)]
            }
            Self::Css(c) => [(!c.mdev_types.is_empty()).then_some(T::MdevTypes), None],
            Self::ApMatrix(c) => [(!c.mdev_types.is_empty()).then_some(T::MdevTypes), None],
            Self::Ccw(c) => [c.group_device.is_some().then_some(T::CcwgroupMember), None],
            _ => [None, None],
        };
        self.kind().into_iter().chain(nested.into_iter().flatten())
    }

    /// Sorts members of groups and types of mediated devices. Documents of a daemon have them in the order of folders in
    /// sysfs, which is arbitrary.
    pub fn put_in_order(&mut self) {
        let types = |types: &mut Vec<MdevType>| types.sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
        match self {
            Self::Pci(c) => {
                c.iommu_group.iter_mut().for_each(|group| group.devices.sort_unstable());
                types(&mut c.mdev_types);
            }
            Self::Css(c) => types(&mut c.mdev_types),
            Self::ApMatrix(c) => types(&mut c.mdev_types),
            Self::MdevTypes(c) => types(&mut c.types),
            Self::Ccwgroup(c) => c.members.sort_by(|a, b| a.number().cmp(&b.number())),
            _ => {}
        }
    }
}

macro_rules! capability_types {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// libvirt's 24 capability types, top-level and nested.
        ///
        /// The number is libvirt's own: it is the bit of the list flag
        /// (`VIR_CONNECT_LIST_NODE_DEVICES_CAP_*`) and shows in one error message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum CapabilityType { $(#[doc = $doc] $variant = $number,)* }

        impl CapabilityType {
            /// Every type, in the order of the numbers.
            pub const ALL: [Self; 24] = [$(Self::$variant,)*];

            /// The name in XML and in lists, for instance `usb_device`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

capability_types! {
    System = 0, "system", "The machine itself.";
    Pci = 1, "pci", "PCI function.";
    UsbDevice = 2, "usb_device", "USB device.";
    Usb = 3, "usb", "USB interface.";
    Net = 4, "net", "Network interface.";
    ScsiHost = 5, "scsi_host", "SCSI host adapter.";
    ScsiTarget = 6, "scsi_target", "SCSI target.";
    Scsi = 7, "scsi", "SCSI logical unit.";
    Storage = 8, "storage", "Block device.";
    FcHost = 9, "fc_host", "Nested: the SCSI host is a Fibre Channel port.";
    Vports = 10, "vports", "Nested: the Fibre Channel port can make virtual ports.";
    ScsiGeneric = 11, "scsi_generic", "SCSI generic character device.";
    Drm = 12, "drm", "DRM minor.";
    MdevTypes = 13, "mdev_types", "Parent of mediated devices; nested, or top-level for `mtty`.";
    Mdev = 14, "mdev", "Mediated device.";
    Ccw = 15, "ccw", "s390 channel device.";
    Css = 16, "css", "s390 subchannel.";
    Vdpa = 17, "vdpa", "vDPA device.";
    ApCard = 18, "ap_card", "s390 crypto card.";
    ApQueue = 19, "ap_queue", "s390 crypto queue.";
    ApMatrix = 20, "ap_matrix", "s390 crypto matrix.";
    Vpd = 21, "vpd", "Nested: the PCI function has Vital Product Data.";
    Ccwgroup = 22, "ccwgroup", "Group of s390 channel devices.";
    CcwgroupMember = 23, "ccwgroup_member", "Nested: the channel device belongs to a group.";
}

impl CapabilityType {
    /// libvirt's number of the type.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The type's bit in list flags and in a set of types.
    pub fn bit(self) -> u32 {
        1 << self.number()
    }
}

/// Text that names no capability type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCapability(
    /// The text.
    pub String,
);

impl fmt::Display for UnknownCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown capability type '{}'", self.0)
    }
}

impl std::error::Error for UnknownCapability {}

impl FromStr for CapabilityType {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|t| t.as_str() == text).ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

impl fmt::Display for CapabilityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::CapabilityType;

    #[test]
    fn numbers_are_positions_and_names_parse_back() {
        for (position, kind) in CapabilityType::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(kind.number()), position);
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("ufo".parse::<CapabilityType>().is_err());
    }
}
