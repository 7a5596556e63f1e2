//! USB devices and their interfaces.

use nodedev_model::{Capability, IdName, Text, UsbDeviceCapability, UsbInterfaceCapability};

use crate::kernel::KernelDevice;
use crate::number;

pub(super) fn device(device: &KernelDevice<'_>) -> Capability {
    // udev's knowledge as in libvirt; where there is none (containers), sysfs has the same numbers.
    let id = |property: &str, attribute: &str| {
        device
            .property(property)
            .and_then(|value| number::u32(value, 16))
            .or_else(|| device.u32(attribute, 16))
            .unwrap_or(0)
    };
    let name = |property: &str, attribute: &str| {
        device.property(property).map(Text::from).or_else(|| device.clean_text(attribute))
    };
    let place = |property: &str, attribute: &str| {
        device
            .property(property)
            .and_then(|value| number::u32(value, 10))
            .or_else(|| device.u32(attribute, 10))
            .unwrap_or(0)
    };
    Capability::UsbDevice(Box::new(UsbDeviceCapability {
        bus: place("BUSNUM", "busnum"),
        device: place("DEVNUM", "devnum"),
        product: IdName {
            id: id("ID_MODEL_ID", "idProduct"),
            name: name("ID_MODEL_FROM_DATABASE", "product"),
        },
        vendor: IdName {
            id: id("ID_VENDOR_ID", "idVendor"),
            name: name("ID_VENDOR_FROM_DATABASE", "manufacturer"),
        },
    }))
}

pub(super) fn interface(device: &KernelDevice<'_>) -> Capability {
    let number = |attribute: &str| device.u32(attribute, 16).unwrap_or(0);
    Capability::Usb(Box::new(UsbInterfaceCapability {
        number: number("bInterfaceNumber"),
        class: number("bInterfaceClass"),
        subclass: number("bInterfaceSubClass"),
        protocol: number("bInterfaceProtocol"),
        description: None,
    }))
}
