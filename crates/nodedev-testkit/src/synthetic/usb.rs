//! A USB bus with a stick and a keyboard on it.

use std::io;

use super::{Writer, scsi, take};
use crate::tree::{Device, NodeKind};

const USB_MAJOR: u32 = 189;

/// A device on a bus.
struct Model {
    vendor: (u16, &'static str),
    product: (u16, &'static str),
    /// Class, subclass and protocol of each interface, and the kernel driver bound to it.
    interfaces: &'static [(u8, u8, u8, &'static str)],
}

const HUB: Model = Model {
    vendor: (0x1d6b, "Linux 6.12.0 xhci-hcd"),
    product: (0x0002, "xHCI Host Controller"),
    interfaces: &[(9, 0, 0, "hub")],
};
const STICK: Model = Model {
    vendor: (0x0781, "SanDisk"),
    product: (0x5583, "Ultra Fit"),
    interfaces: &[(8, 6, 80, "usb-storage")],
};
const KEYBOARD: Model = Model {
    vendor: (0x046d, "Logitech"),
    product: (0xc31c, "USB Keyboard"),
    interfaces: &[(3, 1, 1, "usbhid"), (3, 0, 0, "usbhid")],
};

/// The bus of a host controller.
pub(super) fn bus(writer: &mut Writer, controller: &str) -> io::Result<()> {
    let bus = take(&mut writer.next.usb_bus) + 1;
    let hub = format!("{controller}/usb{bus}");
    device(writer, &hub, &format!("{bus}-0"), (bus, 1), &HUB)?;
    for (port, model) in [(1, &STICK), (2, &KEYBOARD)] {
        let path = format!("{hub}/{bus}-{port}");
        device(writer, &path, &format!("{bus}-{port}"), (bus, port + 1), model)?;
    }
    scsi::stick(writer, &format!("{hub}/{bus}-1/{bus}-1:1.0"))
}

fn device(
    writer: &mut Writer,
    path: &str,
    port: &str,
    (bus, number): (u32, u32),
    model: &Model,
) -> io::Result<()> {
    let (vendor, product) = (model.vendor.0, model.product.0);
    let hub = model.interfaces[0].0 == 9;
    let class = if hub { 9 } else { 0 };
    let serial = format!("{:012X}", writer.random.next() & 0xffff_ffff_ffff);
    let new = Device::new(path, "bus/usb")
        .node(
            NodeKind::Char,
            USB_MAJOR,
            (bus - 1) * 128 + number - 1,
            format!("bus/usb/{bus:03}/{number:03}"),
        )
        .devtype("usb_device")
        .driver("usb")
        .uevent("PRODUCT", format!("{vendor:x}/{product:x}/100"))
        .uevent("TYPE", format!("{class}/0/0"))
        .uevent("BUSNUM", format!("{bus:03}"))
        .uevent("DEVNUM", format!("{number:03}"))
        .attr("busnum", bus)
        .attr("devnum", number)
        .attr("idVendor", format_args!("{vendor:04x}"))
        .attr("idProduct", format_args!("{product:04x}"))
        .attr("manufacturer", model.vendor.1)
        .attr("product", model.product.1)
        .attr("serial", &serial)
        .attr("bDeviceClass", format_args!("{class:02x}"))
        .attr("speed", 480)
        .attr("version", " 2.00")
        .udev("I:1")
        .udev("E:ID_BUS=usb")
        .udev(format!("E:ID_MODEL={}", model.product.1.replace(' ', "_")))
        .udev(format!("E:ID_MODEL_ID={product:04x}"))
        .udev(format!("E:ID_SERIAL_SHORT={serial}"))
        .udev(format!("E:ID_VENDOR={}", model.vendor.1.replace(' ', "_")))
        .udev(format!("E:ID_VENDOR_ID={vendor:04x}"))
        .udev("V:1");
    let name = path.rsplit('/').next().unwrap_or_default();
    writer.add(&new, "usb_device", format!("usb_{name}"))?;

    for (number, (class, subclass, protocol, driver)) in model.interfaces.iter().enumerate() {
        let name = format!("{port}:1.{number}");
        let interface = Device::new(format!("{path}/{name}"), "bus/usb")
            .devtype("usb_interface")
            .driver(*driver)
            .uevent("PRODUCT", format!("{vendor:x}/{product:x}/100"))
            .uevent("INTERFACE", format!("{class}/{subclass}/{protocol}"))
            .attr("bInterfaceNumber", format_args!("{number:02x}"))
            .attr("bInterfaceClass", format_args!("{class:02x}"))
            .attr("bInterfaceSubClass", format_args!("{subclass:02x}"))
            .attr("bInterfaceProtocol", format_args!("{protocol:02x}"))
            .attr("bAlternateSetting", " 0")
            .attr("bNumEndpoints", "02")
            .udev("I:1")
            .udev("V:1");
        writer.add(&interface, "usb", format!("usb_{name}"))?;
    }
    Ok(())
}
