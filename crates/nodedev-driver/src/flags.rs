use bitflags::bitflags;
use nodedev_model::{CapabilityType, DeviceState};

use crate::{Error, ErrorDomain, Result};

/// Declares flags whose bits 0 to 23 are the capability types, so that the two can never differ.
macro_rules! capability_flags {
    ($($(#[$($doc:tt)*])* $flag:ident = $kind:ident;)*) => {
        bitflags! {
            /// Which devices a list holds (`virConnectListAllNodeDeviceFlags`).
            ///
            /// The flags form three groups: capabilities, `ACTIVE`/`INACTIVE` and `PERSISTENT`/`TRANSIENT`. A device
            /// must be wanted by every group, and a group of which no flag is given wants every device.
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
            pub struct ListFlags: u32 {
                $($(#[$($doc)*])* const $flag = 1 << CapabilityType::$kind as u32;)*
                /// Devices that have a definition.
                const PERSISTENT = 1 << 28;
                /// Devices that have no definition.
                const TRANSIENT = 1 << 29;
                /// Devices that do not exist now: defined mediated devices that are not started.
                const INACTIVE = 1 << 30;
                /// Devices that exist now.
                const ACTIVE = 1 << 31;
            }
        }
    };
}

capability_flags! {
    /// The machine itself.
    CAP_SYSTEM = System;
    /// PCI functions.
    CAP_PCI_DEV = Pci;
    /// USB devices.
    CAP_USB_DEV = UsbDevice;
    /// USB interfaces.
    CAP_USB_INTERFACE = Usb;
    /// Network interfaces.
    CAP_NET = Net;
    /// SCSI host adapters.
    CAP_SCSI_HOST = ScsiHost;
    /// SCSI targets.
    CAP_SCSI_TARGET = ScsiTarget;
    /// SCSI logical units.
    CAP_SCSI = Scsi;
    /// Block devices.
    CAP_STORAGE = Storage;
    /// SCSI hosts that are Fibre Channel ports.
    CAP_FC_HOST = FcHost;
    /// SCSI hosts that can make virtual ports.
    CAP_VPORTS = Vports;
    /// SCSI generic character devices.
    CAP_SCSI_GENERIC = ScsiGeneric;
    /// DRM minors.
    CAP_DRM = Drm;
    /// Parents of mediated devices.
    CAP_MDEV_TYPES = MdevTypes;
    /// Mediated devices.
    CAP_MDEV = Mdev;
    /// s390 channel devices.
    CAP_CCW_DEV = Ccw;
    /// s390 subchannels.
    CAP_CSS_DEV = Css;
    /// vDPA devices.
    CAP_VDPA = Vdpa;
    /// s390 crypto cards.
    CAP_AP_CARD = ApCard;
    /// s390 crypto queues.
    CAP_AP_QUEUE = ApQueue;
    /// The s390 crypto matrix.
    CAP_AP_MATRIX = ApMatrix;
    /// PCI functions with Vital Product Data.
    CAP_VPD = Vpd;
    /// Groups of s390 channel devices.
    CAP_CCWGROUP_DEV = Ccwgroup;
    /// s390 channel devices that belong to a group.
    CAP_CCWGROUP_MEMBER = CcwgroupMember;
}

impl ListFlags {
    /// All capability flags.
    pub const CAPABILITIES: Self = Self::from_bits_retain((1 << CapabilityType::ALL.len()) - 1);
    /// Both flags about existence.
    pub const STATES: Self = Self::ACTIVE.union(Self::INACTIVE);
    /// Both flags about definitions.
    pub const PERSISTENCES: Self = Self::PERSISTENT.union(Self::TRANSIENT);

    /// The flag that asks for devices with a capability.
    pub fn capability(kind: CapabilityType) -> Self {
        Self::from_bits_retain(kind.bit())
    }

    /// Whether the list holds a device in this state whose capabilities, nested ones included, have these bits
    /// ([`CapabilityType::bit`]).
    ///
    /// ```
    /// use nodedev_driver::ListFlags;
    /// use nodedev_model::{CapabilityType, DeviceState};
    /// let net = CapabilityType::Net.bit();
    /// let active = DeviceState::default();
    /// assert!(ListFlags::empty().selects(net, active));
    /// assert!((ListFlags::CAP_NET | ListFlags::CAP_PCI_DEV | ListFlags::ACTIVE).selects(net, active));
    /// assert!(!(ListFlags::CAP_NET | ListFlags::INACTIVE).selects(net, active));
    /// ```
    pub fn selects(self, capabilities: u32, state: DeviceState) -> bool {
        let wanted = self & Self::CAPABILITIES;
        let group = |yes: Self, no: Self, is: bool| {
            !self.intersects(yes | no) || self.contains(if is { yes } else { no })
        };
        (wanted.is_empty() || wanted.bits() & capabilities != 0)
            && group(Self::ACTIVE, Self::INACTIVE, state.active)
            && group(Self::PERSISTENT, Self::TRANSIENT, state.persistent)
    }

    /// Refuses bits that no flag has.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`] with the unknown bits and the name of libvirt's function.
    pub fn check(self, domain: ErrorDomain, function: &str) -> Result<()> {
        check(self.bits(), Self::all().bits(), domain, function)
    }
}

/// Refuses bits outside of a mask, as libvirt does: the message names the unsupported bits alone.
fn check(bits: u32, mask: u32, domain: ErrorDomain, function: &str) -> Result<()> {
    match bits & !mask {
        0 => Ok(()),
        unknown => Err(Error::unsupported_flags(domain, unknown, function)),
    }
}

macro_rules! small_flags {
    ($(#[$($doc:tt)*])* $name:ident { $($(#[$($fdoc:tt)*])* $flag:ident = $bit:literal;)* }) => {
        bitflags! {
            $(#[$($doc)*])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
            pub struct $name: u32 { $($(#[$($fdoc)*])* const $flag = $bit;)* }
        }

        impl $name {
            /// Refuses bits that no flag has.
            ///
            /// # Errors
            /// [`Error::unsupported_flags`] with the unknown bits and the name of libvirt's function.
            pub fn check(self, domain: ErrorDomain, function: &str) -> Result<()> {
                check(self.bits(), Self::all().bits(), domain, function)
            }
        }
    };
}

small_flags! {
    /// What a description holds (`virNodeDeviceXMLFlags`).
    XmlFlags {
        /// The definition of a persistent device and not its present state.
        INACTIVE = 1;
    }
}

small_flags! {
    /// How a document is taken (`virNodeDeviceCreateXMLFlags`, `virNodeDeviceDefineXMLFlags`).
    CreateFlags {
        /// Check the document against the schema first.
        VALIDATE = 1;
    }
}

small_flags! {
    /// What a change applies to (`virNodeDeviceUpdateFlags`); empty means the present state if the device is
    /// active, and its definition otherwise.
    UpdateFlags {
        /// The device as it exists now.
        LIVE = 1;
        /// The definition.
        CONFIG = 2;
    }
}

#[cfg(test)]
mod tests {
    use nodedev_model::{CapabilityType, DeviceState};

    use super::{ListFlags, UpdateFlags, XmlFlags};
    use crate::ErrorDomain;

    #[test]
    fn mask_and_bits_are_those_of_libvirt() {
        assert_eq!(ListFlags::all().bits(), 0xf0ff_ffff);
        assert_eq!(ListFlags::CAP_CCWGROUP_MEMBER.bits(), 1 << 23);
        assert_eq!(ListFlags::ACTIVE.bits(), 0x8000_0000);
        assert_eq!(ListFlags::CAPABILITIES.bits(), 0x00ff_ffff);
        assert_eq!(UpdateFlags::all().bits(), 3);
    }

    #[test]
    fn groups_are_alternatives_inside_and_conditions_among_each_other() {
        let flags = ListFlags::from_bits_retain;
        let state = |active, persistent| DeviceState { active, persistent, autostart: false };
        let caps = CapabilityType::ScsiHost.bit() | CapabilityType::FcHost.bit();
        for (bits, active, persistent, want) in [
            (0, true, false, true),
            (0, false, true, true),
            (1 << 5, true, false, true),
            (1 << 9, true, false, true),
            (1 << 10, true, false, false),
            (1 << 10 | 1 << 9, true, false, true),
            (1 << 31, false, true, false),
            (1 << 30, false, true, true),
            (1 << 31 | 1 << 30, false, true, true),
            (1 << 28, true, false, false),
            (1 << 29, true, false, true),
            (1 << 28 | 1 << 29, true, true, true),
            (1 << 28 | 1 << 30, true, true, false),
            (1 << 10 | 1 << 31, true, true, false),
        ] {
            assert_eq!(flags(bits).selects(caps, state(active, persistent)), want, "{bits:#x}");
        }
    }

    #[test]
    fn unknown_bits_are_refused_with_the_function_and_only_those_bits() {
        let error = XmlFlags::from_bits_retain(0x13).check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc");
        assert_eq!(error.unwrap_err().message(), "unsupported flags (0x12) in function nodeDeviceGetXMLDesc");
        assert!(XmlFlags::INACTIVE.check(ErrorDomain::NODEDEV, "f").is_ok());
    }
}
