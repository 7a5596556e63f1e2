//! Network interfaces of every kind and state, and USB and graphics devices with parts missing.

use std::io;

use nodedev_testkit::tree::{Device, NodeKind, Tree};

use super::{add_all, function};

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    // Name, kind, address, state, speed.
    let interfaces = [
        ("lo", None, "00:00:00:00:00:00", "unknown", ""),
        ("up1", None, "02:00:00:00:00:01", "up", "100000"),
        ("up2", None, "02:00:00:00:00:02", "up", "-1"),
        ("up3", None, "02:00:00:00:00:03", "up", "4294967295"),
        ("up4", None, "02:00:00:00:00:04", "up", "0"),
        ("down1", None, "02:00:00:00:00:05", "down", "1000"),
        ("dormant1", None, "02:00:00:00:00:06", "dormant", "1000"),
        ("lower1", None, "02:00:00:00:00:07", "lowerlayerdown", ""),
        ("test1", None, "02:00:00:00:00:08", "testing", ""),
        ("gone1", None, "02:00:00:00:00:09", "notpresent", ""),
        ("tun1", None, "", "unknown", ""),
        ("ib0", None, "80:00:02:08:fe:80:00:00:00:00:00:00:e4:1d:2d:03:00:a5:f0:c1", "up", "56000"),
        ("wlan0", Some("wlan"), "02:00:00:00:00:0a", "down", ""),
        ("a.b-c_d", None, "02:00:00:00:00:0b", "down", ""),
        // Not shown: of another kind.
        ("br0", Some("bridge"), "02:00:00:00:00:0c", "up", "1000"),
        ("bond0", Some("bond"), "02:00:00:00:00:0d", "up", "1000"),
        ("vlan0", Some("vlan"), "02:00:00:00:00:0e", "up", "1000"),
    ];
    for (index, (name, kind, address, state, speed)) in interfaces.into_iter().enumerate() {
        let mut new = Device::new(format!("devices/virtual/net/{name}"), "class/net")
            .uevent("INTERFACE", name)
            .uevent("IFINDEX", (index + 1).to_string())
            .attr("address", address)
            .attr("addr_len", if address.is_empty() { 0 } else { address.len().div_ceil(3) })
            .attr("ifindex", index + 1)
            .attr("operstate", state)
            .bytes("speed", if speed.is_empty() { String::new() } else { format!("{speed}\n") });
        if let Some(kind) = kind {
            new = new.devtype(kind);
        }
        tree.add(&new)?;
    }
    usb(tree)?;
    graphics(tree)
}

fn usb(tree: &mut Tree) -> io::Result<()> {
    let bus = |path: &str, number: u32| {
        Device::new(path, "bus/usb")
            .node(NodeKind::Char, 189, number, format!("bus/usb/001/{:03}", number + 1))
            .devtype("usb_device")
            .uevent("BUSNUM", "001")
            .uevent("DEVNUM", format!("{:03}", number + 1))
    };
    let ids = |device: Device| device.udev("E:ID_VENDOR_ID=0781").udev("E:ID_MODEL_ID=5583");
    let hub = "devices/platform/dummy/usb1";
    add_all(
        tree,
        [
            ids(bus(hub, 0)).attr("manufacturer", "From sysfs").attr("product", "Also from sysfs"),
            ids(bus(&format!("{hub}/1-1"), 1))
                .udev("E:ID_VENDOR_FROM_DATABASE=From the database")
                .attr("manufacturer", "From sysfs"),
            // Names that are nothing but control characters.
            ids(bus(&format!("{hub}/1-2"), 2)).bytes("manufacturer", "\x01\x02\n").bytes("product", ""),
            Device::new(format!("{hub}/1-1/1-1:1.0"), "bus/usb")
                .devtype("usb_interface")
                .attr("bInterfaceNumber", "0a")
                .attr("bInterfaceClass", "ff")
                .attr("bInterfaceSubClass", "42")
                .attr("bInterfaceProtocol", "01"),
            // Nothing at all to say.
            Device::new(format!("{hub}/1-1/1-1:1.1"), "bus/usb").devtype("usb_interface"),
        ],
    )
}

fn graphics(tree: &mut Tree) -> io::Result<()> {
    let gpu = "devices/pci0000:00/0000:00:02.0";
    tree.add(&function("devices/pci0000:00", "0000:00:02.0", (0x8086, 0x3e92), 0x03_0000).driver("i915"))?;
    for (name, minor) in [("card0", 0), ("controlD64", 64), ("renderD128", 128), ("card200", 200)] {
        let new = Device::new(format!("{gpu}/drm/{name}"), "class/drm")
            .node(NodeKind::Char, 226, minor, format!("dri/{name}"))
            .devtype("drm_minor")
            .link("device", gpu);
        tree.add(&new)?;
    }
    tree.add(
        &Device::new(format!("{gpu}/drm/card0/card0-DP-1"), "class/drm")
            .devtype("drm_connector")
            .attr("status", "connected"),
    )
}
