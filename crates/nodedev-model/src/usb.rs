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
    /// Serial number. Only the native view has it; absent where the device states none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Text>,
    /// Speed in kbit/s: 1,500, 12,000, 480,000, 5,000,000, 10,000,000, 20,000,000. Only the native view has it; absent where
    /// the kernel does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed_kbits: Option<u32>,
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
