//! Contents that no kernel and no udev writes, as far as libvirt shows the device with them nevertheless.

use std::io;

use nodedev_testkit::pci_bytes::{Express, vpd};
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use super::{add_all, express, function};

const BUS: &str = "devices/pci0000:00";
const NETWORK: u32 = 0x02_0000;

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    names(tree)?;
    functions(tree)?;
    configuration_space(tree)?;
    vital_data(tree)?;
    disks(tree)?;
    interfaces(tree)?;
    channels(tree)
}

/// Lines of the list of ids that are too long for libpciaccess, have no name, or come twice.
fn names(tree: &mut Tree) -> io::Result<()> {
    let long = "e".repeat(130);
    let ids = format!(
        "8086  {}10de  From the rest of a line\n\t0001  Of the rest\n10de  Not the first\n\t0002  Of the second\n\
         1b36\n\t0001\n1af4  Name\0rest\n\t0001  {long}\n\t0002  Behind a line whose rest looks like an id\n",
        "v".repeat(121)
    );
    tree.file("usr/share/misc/pci.ids", ids.as_bytes())?;
    let ids = [(0x8086, 1), (0x10de, 1), (0x10de, 2), (0x1b36, 1), (0x1af4, 1), (0x1af4, 2)];
    add_all(
        tree,
        ids.into_iter()
            .enumerate()
            .map(|(number, ids)| function(BUS, &format!("0000:00:01.{number}"), ids, NETWORK)),
    )
}

fn functions(tree: &mut Tree) -> io::Result<()> {
    let plain = |address: &str| function(BUS, address, (0x8086, 0x1572), NETWORK);
    let path = |address: &str| format!("{BUS}/{address}");
    add_all(
        tree,
        [
            plain("0000:00:02.0").link("virtfn0", path("0000:00:02.4")).link("virtfn1", path("0000:00:02.5")),
            plain("0000:00:02.4").link("physfn", path("0000:00:02.0")),
            // Both at once.
            plain("0000:00:02.5").link("physfn", path("0000:00:02.0")).attr("sriov_totalvfs", 4),
            plain("0000:00:02.1").attr("sriov_totalvfs", " +3 of them"),
            plain("0000:00:02.2").attr("numa_node", "1\r"),
            plain("0000:00:02.3").bytes("numa_node", " +0"),
        ],
    )?;
    // Links that lead nowhere, or to a folder by another name.
    for (address, link, target) in [
        ("0000:00:03.0", "driver", "../../../bus/pci/drivers/gone"),
        ("0000:00:03.1", "driver", "../../../bus/pci/drivers/there/"),
        ("0000:00:03.2", "physfn", "../0000:00:1f.7"),
        ("0000:00:03.3", "virtfn0", "../0000:00:1f.7"),
    ] {
        tree.add(&plain(address).attr("sriov_totalvfs", 2))?;
        std::os::unix::fs::symlink(target, tree.root().join("sys").join(path(address)).join(link))?;
    }
    tree.sys_file("bus/pci/drivers/there/bind", b"")?;
    // The files count, not what uevent says of them.
    let mut other = Device::new(path("0000:00:04.0"), "bus/pci")
        .uevent("PCI_CLASS", "20000")
        .uevent("PCI_ID", "8086:1572")
        .attr("vendor", "0x10de")
        .attr("device", "0x0001");
    other = other.bytes("config", vec![0; 256]);
    tree.add(&other)?;
    let types = format!("{}/mdev_supported_types", path("0000:00:04.0"));
    for (name, content) in [("name", ""), ("device_api", "x\n\n"), ("available_instances", " +3\n")] {
        tree.sys_file(&format!("{types}/type/{name}"), content.as_bytes())?;
    }
    Ok(())
}

/// Spaces that are cut off, and capabilities at their very end.
fn configuration_space(tree: &mut Tree) -> io::Result<()> {
    let link = Express { port_type: 0, port: 7, max_speed: 3, max_width: 4, speed: 2, width: 1 };
    let ids = (0x8086, 0x1572);
    let whole = {
        let mut space = vec![0; 256];
        (space[0x06], space[0x34], space[0x0e]) = (0x10, 0x40, 1);
        space[0x40..0x54].copy_from_slice(&[
            0x10, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x43, 0x2c, 0x40, 7, 0, 0, 0x42, 0x10,
        ]);
        space
    };
    let mut at_the_end = vec![0; 300];
    (at_the_end[0x06], at_the_end[0x34], at_the_end[0xfe]) = (0x10, 0xfe, 0x10);
    at_the_end[0x10a..0x10e].copy_from_slice(&[0x84, 0, 0, 5]);
    let spaces =
        [whole[..64].to_vec(), whole[..0x50].to_vec(), whole[..10].to_vec(), Vec::new(), at_the_end, whole];
    for (number, space) in spaces.into_iter().enumerate() {
        tree.add(
            &Device::new(format!("{BUS}/0000:00:05.{number}"), "bus/pci")
                .uevent("PCI_CLASS", "20000")
                .attr("vendor", "0x8086")
                .attr("device", "0x1572")
                .bytes("config", space),
        )?;
    }
    tree.add(&express(BUS, "0000:00:06.0", ids, NETWORK, Some(link)))
}

fn vital_data(tree: &mut Tree) -> io::Result<()> {
    let plain = vpd("Card", &[("PN", "1")], &[]);
    let end = plain.len() - 1;
    let with = |block: &[u8]| {
        [&plain[..end], &[0x91, block.len() as u8, 0], block, &[0x78, b'j', b'u', b'n', b'k']].concat()
    };
    let before = {
        // The checksum counts a read-write block in front, which here adds nothing to it.
        let block = *b"YA\x04taga\0";
        let sum =
            [0x91, block.len() as u8].iter().chain(&block).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let mut block = [&[0x91, block.len() as u8, 0][..], &block].concat();
        let last = block.len() - 1;
        (block[last - 1], block[last]) = (sum.wrapping_neg(), 0);
        block
    };
    let cases = [
        with(b"YA\0"),
        with(b"YA\x01xV0\0"),
        with(b"PN\x01x"),
        with(b"FG\x01x"),
        with(b"CP\x01\xff"),
        with(b"YA\x01xY"),
        with(b"RW\0\0"),
        [&before, &plain[..]].concat(),
    ];
    for (number, data) in cases.into_iter().enumerate() {
        let new = function(BUS, &format!("0000:00:07.{number}"), (0x8086, 0x1572), NETWORK);
        tree.add(&new.bytes("vpd", data))?;
    }
    Ok(())
}

fn disks(tree: &mut Tree) -> io::Result<()> {
    let disk = |minor: u32| {
        let name = format!("sd{}", char::from(b'a' + minor as u8));
        Device::new(format!("devices/odd/block/{name}"), "class/block")
            .node(NodeKind::Block, 8, minor, name)
            .devtype("disk")
    };
    let sized = |minor: u32| disk(minor).attr("size", 2048).attr("queue/logical_block_size", 512);
    add_all(
        tree,
        [
            disk(0)
                .attr("size", "0x800")
                .attr("queue/logical_block_size", "01000")
                .attr("device/vendor", "   ")
                .attr("device/model", "tab\there  ")
                .udev("E:ID_TYPE=disk"),
            disk(1)
                .attr("size", "2048\r")
                .attr("removable", "0x1")
                .udev("E:ID_TYPE=cd")
                .udev("E:ID_CDROM_MEDIA=0x1"),
            // Carriage returns end lines, short lines that are no entries swallow the next one.
            sized(2)
                .udev("E:ID_TYPE=disk\rE:ID_SERIAL=after a return\r")
                .udev("x")
                .udev("E:ID_BUS=lost")
                .udev("E:ID_X=1"),
            sized(3)
                .udev("E:ID_TYPE=disk")
                .udev("E:ID_SERIAL=first")
                .udev("E:ID_SERIAL=")
                .udev("E:ID_BUS=usb\0E:ID_BUS=scsi"),
            sized(4)
                .udev("S:/absolute")
                .udev("S:b//c/./d")
                .udev("S:../out")
                .udev("S:a")
                .udev("S:a")
                .udev("E:ID_TYPE=disk"),
            sized(5).uevent("ID_TYPE", "disk").uevent("ID_SERIAL", "from uevent").udev("E:ID_BUS=ata"),
            sized(6).attr("device/uid", "\x01\x02UID").udev("E:ID_TYPE=dasd"),
            sized(7).attr("device/vendor", "x\x01\x1f\x7fy").udev("E:ID_TYPE=disk"),
        ],
    )
}

fn interfaces(tree: &mut Tree) -> io::Result<()> {
    for (number, (address, state, speed)) in
        [("\x01\x02", "up", "1000"), ("02:00\x03:01\r", "up\nand more", "1000\n2"), ("02:00 ", "down", "")]
            .into_iter()
            .enumerate()
    {
        tree.add(
            &Device::new(format!("devices/virtual/net/odd{number}"), "class/net")
                .uevent("INTERFACE", format!("odd{number}\r"))
                .uevent("IFINDEX", (number + 1).to_string())
                .attr("address", address)
                .attr("operstate", state)
                .attr("speed", speed)
                .link("device", "devices/odd/card"),
        )?;
    }
    // An RDMA device without memory regions is that of no interface.
    for device in ["card", "rdma"] {
        tree.sys_file(&format!("devices/odd/{device}/resource"), b"")?;
    }
    tree.add(
        &Device::new("devices/odd/rdma/infiniband/odd", "class/infiniband")
            .link("device", "devices/odd/rdma"),
    )
}

fn channels(tree: &mut Tree) -> io::Result<()> {
    for (number, (leads_to, online)) in
        [("0.0.1000 and more", "0x1"), ("\x010.0.1001", "2"), ("0.0.1002.3", " +1"), ("NONE", "1\r")]
            .into_iter()
            .enumerate()
    {
        let path = format!("devices/css0/0.0.000{number}");
        tree.add(&Device::new(&path, "bus/css").driver("io_subchannel").attr("dev_busid", leads_to))?;
        let device = format!("{path}/0.0.100{number}");
        tree.add(&Device::new(&device, "bus/ccw").driver("qeth").attr("online", online))?;
        tree.add(
            &Device::new(format!("devices/qeth/0.0.060{number}"), "bus/ccwgroup")
                .devtype("qeth_layer3")
                .attr("online", ["no number", "-1", "2", "0x1"][number])
                .attr("card_type", "OSD")
                .attr("chpid", "1A")
                .link("cdev0", &device),
        )?;
    }
    Ok(())
}
