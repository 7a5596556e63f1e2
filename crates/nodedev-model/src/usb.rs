use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{IdName, Text};

/// A USB device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct UsbDeviceCapability {
    /// Bus number.
    pub bus: u32,
    /// Device number on the bus.
    pub device: u32,
    /// Product. Names come from udev's database, else from the device.
    pub product: IdName,
    /// Vendor.
    pub vendor: IdName,
}

/// An interface of a USB device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct UsbInterfaceCapability {
    /// Number of the interface (`bInterfaceNumber`).
    pub number: u32,
    /// Class (`bInterfaceClass`).
    pub class: u32,
    /// Subclass (`bInterfaceSubClass`).
    pub subclass: u32,
    /// Protocol (`bInterfaceProtocol`).
    pub protocol: u32,
    /// Description; only in documents, libvirt finds none on a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
}
