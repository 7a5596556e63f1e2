//! Block devices of every kind, and SCSI with parts missing.

use std::io;

use nodedev_testkit::tree::{Device, NodeKind, Tree};

use super::add_all;

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    disks(tree)?;
    scsi(tree)
}

fn disk(name: &str, minor: u32, properties: &[&str]) -> Device {
    let new = Device::new(format!("devices/platform/store/block/{name}"), "class/block")
        .node(NodeKind::Block, 300, minor, name)
        .devtype("disk")
        .attr("size", 2048)
        .attr("queue/logical_block_size", 512);
    properties.iter().fold(new, |new, line| new.udev(format!("E:{line}")))
}

fn disks(tree: &mut Tree) -> io::Result<()> {
    let serial = "ID_SERIAL=S-1";
    let disks = [
        disk("sda", 0, &["ID_TYPE=disk", "ID_BUS=ata", serial])
            .attr("device/vendor", "ATA     ")
            .attr("device/model", "  Two words  "),
        // 4096-byte sectors, of which the kernel counts 512 bytes each.
        disk("sdb", 1, &["ID_TYPE=disk", "ID_SERIAL=4Kn"])
            .udev("S:disk/by-id/b")
            .udev("S:disk/by-id/a")
            .udev("L:-10"),
        disk("sdc", 2, &["ID_TYPE=disk"]),
        disk("sr0", 3, &["ID_TYPE=cd", "ID_CDROM=1", "ID_CDROM_MEDIA=1", "ID_FS_LABEL=INSTALL", serial])
            .attr("removable", 1),
        disk("sr1", 4, &["ID_TYPE=cd", "ID_CDROM=1", serial]).attr("removable", 1),
        disk("sr3", 6, &["ID_TYPE=cd/dvd", "ID_CDROM_MEDIA=1"]).attr("removable", 0),
        disk("fd0", 7, &["ID_DRIVE_FLOPPY=1", "ID_FS_LABEL=BOOT"]).attr("removable", 1),
        disk("fd1", 8, &["ID_TYPE=floppy"]).attr("removable", 1),
        disk("mmcblk0", 9, &["ID_DRIVE_FLASH_SD=1", serial]).attr("removable", 1),
        disk("vda", 10, &[]),
        disk("nvme0n1", 11, &["ID_TYPE=generic", serial]),
        // Not shown: nothing says what they are, or what they are is unknown.
        disk("loop0", 12, &[]),
        disk("xvda", 13, &[]),
        disk("st0", 14, &["ID_TYPE=tape"]),
        disk("opt0", 15, &["ID_TYPE=optical"]),
        disk("sdd", 17, &["ID_TYPE=disk", "ID_SERIAL=<a & \"b\">'c'"]),
        disk("sde", 18, &["ID_TYPE=disk", "ID_SERIAL=\u{fc}ml\u{e4}ut"]).attr("removable", 1),
    ];
    add_all(tree, disks)?;
    // Without a size, and of no size.
    let empty = Device::new("devices/platform/store/block/sdf", "class/block")
        .node(NodeKind::Block, 300, 40, "sdf")
        .devtype("disk");
    tree.add(&empty.clone().udev("E:ID_TYPE=disk"))?;
    tree.add(
        &Device::new("devices/platform/store/block/sdg", "class/block")
            .node(NodeKind::Block, 300, 41, "sdg")
            .devtype("disk")
            .attr("size", 0)
            .attr("queue/logical_block_size", 4096)
            .udev("E:ID_TYPE=disk"),
    )
}

fn scsi(tree: &mut Tree) -> io::Result<()> {
    let host = |number: u32| {
        Device::new(format!("devices/platform/store/host{number}"), "bus/scsi").devtype("scsi_host")
    };
    add_all(tree, [host(0), host(1), host(2), host(3)])?;
    let class = |number: u32| {
        Device::new(format!("devices/platform/store/host{number}/scsi_host/host{number}"), "class/scsi_host")
    };
    add_all(
        tree,
        [
            class(0).attr("unique_id", 7),
            class(1).attr("unique_id", -1),
            class(2)
                .attr("unique_id", 2)
                .bytes("vport_create", "")
                .attr("max_npiv_vports", 5)
                .attr("npiv_vports_inuse", 1),
        ],
    )?;
    // An adapter of Fibre Channel without a fabric, and one without a port name.
    let adapter = |number: u32| {
        Device::new(format!("devices/platform/store/host{number}/fc_host/host{number}"), "class/fc_host")
            .attr("node_name", "0x2000000000000001")
    };
    add_all(tree, [adapter(0).attr("port_name", "0x1000000000000001"), adapter(3)])?;
    let port = "devices/platform/store/host0/rport-0:0-1";
    tree.add(&Device::bare(port))?;
    tree.add(
        &Device::new(format!("{port}/fc_remote_ports/rport-0:0-1"), "class/fc_remote_ports")
            .attr("port_name", "0x5006016844602198"),
    )?;
    add_all(
        tree,
        [
            Device::new(format!("{port}/target0:0:1"), "bus/scsi").devtype("scsi_target"),
            Device::new("devices/platform/store/host1/target1:0:0", "bus/scsi").devtype("scsi_target"),
        ],
    )?;
    for (unit, kind) in
        ["0", "1", "3", "4", "5", "6", "7", "8", "12", "13", "14", "30"].into_iter().enumerate()
    {
        let path = format!("{port}/target0:0:1/0:0:1:{unit}");
        tree.add(&Device::new(path, "bus/scsi").devtype("scsi_device").attr("type", kind))?;
    }
    add_all(
        tree,
        [
            Device::new(format!("{port}/target0:0:1/0:0:1:50"), "bus/scsi").devtype("scsi_device"),
            Device::new(format!("{port}/target0:0:1/0:0:1:0/scsi_generic/sg0"), "class/scsi_generic").node(
                NodeKind::Char,
                21,
                0,
                "sg0",
            ),
        ],
    )
}
