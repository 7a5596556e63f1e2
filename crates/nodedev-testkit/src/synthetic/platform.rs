//! The machine itself, and devices that a reader has to pass over.

use std::io;

use super::{Writer, pci};
use crate::tree::{Device, NodeKind};

/// What a host has once: DMI, processors online, pci.ids.
pub(super) fn machine(writer: &mut Writer) -> io::Result<()> {
    let mut dmi = Device::new("devices/virtual/dmi/id", "class/dmi").uevent("MODALIAS", "dmi:bvnSynthetic:");
    for (name, value) in [
        ("sys_vendor", "Example Systems"),
        ("product_name", "Server One"),
        ("product_version", "A1"),
        ("product_serial", "EX0001"),
        ("product_uuid", "7d0d8a5e-5b0c-4a53-9f0e-3c1d2b4a5f60"),
        ("bios_vendor", "Example Firmware"),
        ("bios_version", "2.3.1"),
        ("bios_date", "03/14/2025"),
    ] {
        dmi = dmi.attr(name, value);
    }
    writer.tree.add(&dmi)?;
    writer.shown("system", "computer");
    for (path, content) in [
        ("cpu/online", "0-1\n"),
        ("cpu/possible", "0-1\n"),
        ("cpu/present", "0-1\n"),
        ("node/online", "0\n"),
        ("node/possible", "0\n"),
    ] {
        writer.tree.sys_file(&format!("devices/system/{path}"), content.as_bytes())?;
    }
    writer.tree.file("usr/share/misc/pci.ids", pci::pci_ids().as_bytes())
}

/// Some forty devices that no capability of libvirt's describes.
pub(super) fn noise(writer: &mut Writer, cell: usize) -> io::Result<()> {
    const TTY_MAJOR: u32 = 4;
    for number in cell * 16..(cell + 1) * 16 {
        let block = Device::new(format!("devices/system/memory/memory{number}"), "bus/memory")
            .attr("phys_index", format_args!("{number:08x}"))
            .attr("state", "online");
        writer.add_noise(&block)?;
    }
    for number in cell * 4..(cell + 1) * 4 {
        let processor = Device::new(format!("devices/system/cpu/cpu{number}"), "bus/cpu")
            .driver("processor")
            .uevent("MODALIAS", "cpu:type:x86,ven0000fam0006mod0055:feature:,0000")
            .attr("online", 1);
        writer.add_noise(&processor)?;
        let minor = u32::try_from(number).unwrap_or(u32::MAX);
        let terminal = Device::new(format!("devices/virtual/tty/ttyX{number}"), "class/tty").node(
            NodeKind::Char,
            TTY_MAJOR,
            minor,
            format!("ttyX{number}"),
        );
        writer.add_noise(&terminal)?;
        let adapter =
            Device::new(format!("devices/virtual/misc-i2c/i2c-{number}"), "bus/i2c").attr("name", "SMBus");
        writer.add_noise(&adapter)?;
        let queue = Device::new(format!("devices/virtual/workqueue/queue{number}"), "bus/workqueue")
            .attr("max_active", 256);
        writer.add_noise(&queue)?;
        let sensor = Device::new(format!("devices/virtual/hwmon/hwmon{number}"), "class/hwmon")
            .attr("name", "coretemp");
        writer.add_noise(&sensor)?;
    }
    Ok(())
}
