//! SCSI hosts with their targets, units, disks and generic devices.

use std::io;

use super::{Writer, take};
use crate::tree::{Device, NodeKind};

const TARGETS: u32 = 2;
const UNITS: u32 = 2;
const SCSI_GENERIC_MAJOR: u32 = 21;

/// A Fibre Channel host that sees two remote ports with two disks each.
pub(super) fn fibre_channel(writer: &mut Writer, adapter: &str) -> io::Result<()> {
    let number = take(&mut writer.next.host);
    let path = host(writer, adapter, number)?;
    let port = writer.random.next() & 0xff_ffff;
    let wwn = |kind: u64| format!("0x{:016x}", 0x2000_0024_ff00_0000_u64 | kind << 56 | port);
    let capable = Device::new(format!("{path}/fc_host/host{number}"), "class/fc_host")
        .attr("node_name", wwn(0))
        .attr("port_name", wwn(1))
        .attr("fabric_name", "0x100000051e36ba01")
        .attr("port_id", format_args!("0x{port:06x}"))
        .attr("port_state", "Online")
        .attr("port_type", "NPort (fabric via point-to-point)")
        .attr("speed", "16 Gbit")
        .attr("max_npiv_vports", 254)
        .attr("npiv_vports_inuse", 0)
        .bytes("vport_create", "")
        .bytes("vport_delete", "")
        .link("device", &path);
    writer.add_hidden(&capable)?;
    let name = format!("scsi_host{number}");
    writer.shown("fc_host", &name);
    writer.shown("vports", &name);

    for target in 0..TARGETS {
        let rport = format!("rport-{number}:0-{target}");
        let rport_path = format!("{path}/{rport}");
        writer.tree.add(&Device::bare(&rport_path))?;
        let remote = Device::new(format!("{rport_path}/fc_remote_ports/{rport}"), "class/fc_remote_ports")
            .attr("node_name", wwn(0x30))
            .attr("port_name", wwn(0x31 + u64::from(target)))
            .attr("port_state", "Online")
            .attr("roles", "FCP Target")
            .link("device", &rport_path);
        writer.add_hidden(&remote)?;
        let target_path = self::target(writer, &rport_path, number, target)?;
        for unit in 0..UNITS {
            self::unit(writer, &target_path, (number, target, unit), "NETAPP", "LUN C-Mode")?;
        }
    }
    Ok(())
}

/// The host of a USB stick: one target, one disk.
pub(super) fn stick(writer: &mut Writer, interface: &str) -> io::Result<()> {
    let number = take(&mut writer.next.host);
    let path = host(writer, interface, number)?;
    let target = target(writer, &path, number, 0)?;
    unit(writer, &target, (number, 0, 0), "SanDisk", "Ultra Fit")
}

fn host(writer: &mut Writer, parent: &str, number: u32) -> io::Result<String> {
    let path = format!("{parent}/host{number}");
    writer.add(
        &Device::new(&path, "bus/scsi").devtype("scsi_host"),
        "scsi_host",
        format!("scsi_host{number}"),
    )?;
    let class = Device::new(format!("{path}/scsi_host/host{number}"), "class/scsi_host")
        .attr("unique_id", number)
        .attr("state", "running")
        .attr("active_mode", "Initiator")
        .link("device", &path);
    writer.add_hidden(&class)?;
    Ok(path)
}

fn target(writer: &mut Writer, parent: &str, host: u32, target: u32) -> io::Result<String> {
    let path = format!("{parent}/target{host}:0:{target}");
    let device = Device::new(&path, "bus/scsi").devtype("scsi_target");
    writer.add(&device, "scsi_target", format!("scsi_target{host}:0:{target}"))?;
    Ok(path)
}

/// A logical unit that is a disk: the unit itself, its disk with two partitions, and its generic device.
fn unit(
    writer: &mut Writer,
    target_path: &str,
    (host, target, lun): (u32, u32, u32),
    vendor: &str,
    model: &str,
) -> io::Result<()> {
    let address = format!("{host}:0:{target}:{lun}");
    let path = format!("{target_path}/{address}");
    let serial = format!("3600a0980{:016x}", writer.random.next());
    let device = Device::new(&path, "bus/scsi")
        .devtype("scsi_device")
        .driver("sd")
        .uevent("MODALIAS", "scsi:t-0x00")
        .attr("type", 0)
        .attr("vendor", format_args!("{vendor:<8}"))
        .attr("model", format_args!("{model:<16}"))
        .attr("wwid", format_args!("naa.{}", &serial[1..]))
        .attr("rev", "9800")
        .attr("state", "running")
        .attr("queue_depth", 32)
        .attr("timeout", 30)
        .attr("scsi_level", 6);
    writer.add(&device, "scsi", format!("scsi_{address}"))?;

    let index = take(&mut writer.next.disk);
    let name = disk_name(index);
    let disk = disk(&path, &name, disk_numbers(index), 209_715_200)
        .link("device", &path)
        .udev(format!("S:disk/by-id/scsi-{serial}"))
        .udev("I:1")
        .udev("E:ID_BUS=scsi")
        .udev("E:ID_TYPE=disk")
        .udev(format!("E:ID_VENDOR={vendor}"))
        .udev(format!("E:ID_SERIAL={serial}"))
        .udev(format!("E:ID_SERIAL_SHORT={}", &serial[1..]))
        .udev("V:1");
    writer.add(&disk, "storage", format!("block_{name}_{serial}"))?;
    let (major, minor) = disk_numbers(index);
    for part in 1..=2 {
        let device = Device::new(format!("{path}/block/{name}/{name}{part}"), "class/block")
            .node(NodeKind::Block, major, minor + part, format!("{name}{part}"))
            .devtype("partition")
            .uevent("PARTN", part.to_string())
            .attr("partition", part)
            .attr("size", 1_048_576)
            .udev("E:ID_BUS=scsi")
            .udev("E:ID_TYPE=disk")
            .udev(format!("E:ID_SERIAL={serial}"));
        writer.add_noise(&device)?;
    }

    let generic = take(&mut writer.next.generic);
    let sg = Device::new(format!("{path}/scsi_generic/sg{generic}"), "class/scsi_generic")
        .node(NodeKind::Char, SCSI_GENERIC_MAJOR, generic, format!("sg{generic}"))
        .link("device", &path)
        .udev("I:1");
    writer.add(&sg, "scsi_generic", format!("scsi_generic_sg{generic}"))?;

    for class in ["scsi_device", "scsi_disk", "bsg"] {
        let mut device =
            Device::new(format!("{path}/{class}/{address}"), format!("class/{class}")).link("device", &path);
        if class == "bsg" {
            device = device.node(NodeKind::Char, 250, generic, format!("bsg/{address}"));
        }
        writer.add_noise(&device)?;
    }
    writer.add_noise(
        &Device::new(format!("devices/virtual/bdi/{major}:{minor}"), "class/bdi").attr("read_ahead_kb", 128),
    )
}

/// A whole disk of that many sectors below `parent/block`, or for NVMe right below the controller.
pub(super) fn disk(parent: &str, name: &str, (major, minor): (u32, u32), sectors: u64) -> Device {
    let path =
        if name.starts_with("nvme") { format!("{parent}/{name}") } else { format!("{parent}/block/{name}") };
    Device::new(path, "class/block")
        .node(NodeKind::Block, major, minor, name)
        .devtype("disk")
        .attr("size", sectors)
        .attr("removable", 0)
        .attr("ro", 0)
        .attr("range", 16)
        .attr("capability", 0)
        .attr("queue/logical_block_size", 512)
        .attr("queue/physical_block_size", 4096)
        .attr("queue/rotational", 0)
}

/// sda … sdz, sdaa … (drivers/scsi/sd.c, `sd_format_disk_name`).
fn disk_name(index: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = index + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'a' + u8::try_from(rest % 26).unwrap_or(0)));
        rest /= 26;
    }
    format!("sd{}", letters.iter().rev().collect::<String>())
}

/// Sixteen majors of sixteen disks each, then higher minors (drivers/scsi/sd.c, `sd_major`).
fn disk_numbers(index: u32) -> (u32, u32) {
    let major = match index >> 4 & 0xf {
        0 => 8,
        block @ 1..=7 => 64 + block,
        block => 120 + block,
    };
    (major, (index & 0xf) << 4 | index & 0xf_ff00)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_named_and_numbered_as_the_kernel_does() {
        for (index, name, numbers) in [
            (0, "sda", (8, 0)),
            (25, "sdz", (65, 144)),
            (26, "sdaa", (65, 160)),
            (27, "sdab", (65, 176)),
            (701, "sdzz", (131, 720)),
            (702, "sdaaa", (131, 736)),
        ] {
            assert_eq!((disk_name(index).as_str(), disk_numbers(index)), (name, numbers), "{index}");
        }
    }
}
