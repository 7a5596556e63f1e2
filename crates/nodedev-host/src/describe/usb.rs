//! USB devices and their interfaces.

use nodedev_model::{Capability, IdName, Text, UsbDeviceCapability, UsbInterfaceCapability};

use super::Describer;
use super::facts::Facts;
use crate::kernel::KernelDevice;
use crate::number;

pub(super) fn device(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let read = Facts(device);
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
        serial: context.is_native.then(|| read.text("serial")).flatten(),
        speed_kbits: context.is_native.then(|| read.text("speed").and_then(|speed| kbits(&speed))).flatten(),
    }))
}

/// The kernel states Mbit/s, with one digit behind a point for the slowest devices alone (`1.5`).
fn kbits(speed: &[u8]) -> Option<u32> {
    let (whole, tenths) = match speed.iter().position(|&b| b == b'.') {
        Some(at) => (&speed[..at], number::u32(&speed[at + 1..], 10).filter(|tenths| *tenths <= 9)?),
        None => (speed, 0),
    };
    number::u32(whole, 10)?.checked_mul(1000)?.checked_add(tenths * 100)
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

#[cfg(test)]
mod tests {
    #[test]
    fn speeds_of_usb_are_exact() {
        for (speed, kbits) in [
            ("1.5", Some(1_500)),
            ("12", Some(12_000)),
            ("20000", Some(20_000_000)),
            ("unknown", None),
            ("1.55", None),
            ("4294968", None),
        ] {
            assert_eq!(super::kbits(speed.as_bytes()), kbits, "{speed}");
        }
    }
}
