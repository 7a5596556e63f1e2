//! Texts that are markup, not UTF-8, or nothing.

use std::io;

use nodedev_testkit::tree::{Device, NodeKind, Tree};

use super::{add_all, function};

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    let machine = Device::new("devices/virtual/dmi/id", "class/dmi")
        .attr("sys_vendor", "A & B <Systems>")
        .attr("product_name", "\"Quoted\" 'Server'")
        .bytes("product_version", "\x01\x02\n")
        .bytes("product_serial", "  with blanks  \n")
        .attr("product_uuid", "7D0D8A5E-5B0C-4A53-9F0E-3C1D2B4A5F60")
        .attr("bios_vendor", "\u{fc}")
        .attr("bios_date", "03/14/2025");
    tree.add(&machine)?;
    tree.file("usr/share/misc/pci.ids", b"# A vendor whose name is markup, one whose name is not there\n1b36  Red <Hat> & \"Co\"\n\t0001  'Bridge'\n1b37  \n")?;
    add_all(
        tree,
        [
            function("devices/pci0000:00", "0000:00:01.0", (0x1b36, 0x0001), 0x06_0400).driver("odd-driver"),
            function("devices/pci0000:00", "0000:00:02.0", (0x1b37, 0x0001), 0x02_0000),
            function("devices/pci0000:00", "0000:00:03.0", (0x1b38, 0x0001), 0x02_0000),
        ],
    )?;
    let disk = |name: &str, minor: u32, serial: &str| {
        Device::new(format!("devices/pci0000:00/0000:00:01.0/block/{name}"), "class/block")
            .node(NodeKind::Block, 8, minor, name)
            .devtype("disk")
            .attr("size", 8)
            .attr("queue/logical_block_size", 512)
            .udev("E:ID_TYPE=disk")
            .udev(format!("E:ID_SERIAL={serial}"))
            .udev("S:disk/by-label/a&b")
    };
    add_all(
        tree,
        [
            disk("sda", 0, "]]>").attr("device/model", "tab\there"),
            disk("sdb", 16, "same"),
            disk("sdc", 32, "").attr("device/vendor", ""),
            disk("sdd", 48, "very-long-".repeat(20).as_str()),
        ],
    )
}
