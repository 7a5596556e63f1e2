//! IBM Z: adjunct processors with a passed-through matrix, a qeth group, subchannels with mediated device types.

use std::io;

use nodedev_testkit::tree::{Device, NodeKind, Tree};

use super::add_all;

const UUID: &str = "2f1a9c36-5ad0-4c3f-8f59-0a3b0c5d7e11";

pub(super) fn fill(tree: &mut Tree) -> io::Result<()> {
    adjunct_processors(tree)?;
    channel_devices(tree)?;
    network_group(tree)
}

fn adjunct_processors(tree: &mut Tree) -> io::Result<()> {
    for card in ["card00", "card0a"] {
        let path = format!("devices/ap/{card}");
        tree.add(
            &Device::new(&path, "bus/ap").devtype("ap_card").uevent("DEV_TYPE", "000D").attr("type", "CEX7C"),
        )?;
    }
    for (card, queue) in [("card00", "00.0005"), ("card00", "00.00ab"), ("card0a", "0a.0005")] {
        let path = format!("devices/ap/{card}/{queue}");
        tree.add(&Device::new(&path, "bus/ap").devtype("ap_queue").driver("vfio_ap").attr("online", 1))?;
    }
    let matrix = "devices/vfio_ap/matrix";
    let kind = format!("{matrix}/mdev_supported_types/vfio_ap-passthrough");
    tree.add(&Device::new(matrix, "bus/matrix").driver("vfio_ap"))?;
    types(
        tree,
        &kind,
        &[
            ("name", "VFIO AP Passthrough Device"),
            ("device_api", "vfio-ap"),
            ("available_instances", "65535"),
        ],
    )?;
    tree.link("class/mdev_bus/matrix", matrix)?;
    let mediated = format!("{matrix}/{UUID}");
    tree.add(&Device::new(&mediated, "bus/mdev").driver("vfio_ap_mdev").link("mdev_type", &kind))?;
    tree.link(&format!("{kind}/devices/{UUID}"), &mediated)?;
    tree.iommu_group(7, &mediated)
}

fn types(tree: &mut Tree, path: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    attributes.iter().try_for_each(|(name, value)| {
        tree.sys_file(&format!("{path}/{name}"), format!("{value}\n").as_bytes())
    })
}

fn channel_devices(tree: &mut Tree) -> io::Result<()> {
    // Subchannel, its driver, the device number it says it leads to, whether the device is there and online.
    for (subchannel, driver, leads_to, device) in [
        ("0.0.0000", "io_subchannel", "0.0.1000", Some("1")),
        ("0.0.0001", "io_subchannel", "0.0.1001", Some("0")),
        ("0.0.0002", "vfio_ccw", "0.0.1002", None),
        ("fe.2.0003", "io_subchannel", "none", None),
        // libvirt shows only subchannels of the two drivers above.
        ("0.0.0004", "chsc_subchannel", "none", None),
    ] {
        let path = format!("devices/css0/{subchannel}");
        let new = Device::new(&path, "bus/css").driver(driver).uevent("ST", "0").attr("dev_busid", leads_to);
        tree.add(&new)?;
        if driver == "vfio_ccw" {
            let kind = format!("{path}/mdev_supported_types/vfio_ccw-io");
            types(
                tree,
                &kind,
                &[
                    ("name", "I/O subchannel (Non-QDIO)"),
                    ("device_api", "vfio-ccw"),
                    ("available_instances", "1"),
                ],
            )?;
            tree.link(&format!("class/mdev_bus/{subchannel}"), &path)?;
        }
        if let Some(online) = device {
            let path = format!("{path}/{leads_to}");
            tree.add(
                &Device::new(&path, "bus/ccw")
                    .driver("dasd-eckd")
                    .uevent("CU_TYPE", "3990")
                    .attr("online", online),
            )?;
        }
    }
    let disk = Device::new("devices/css0/0.0.0000/0.0.1000/block/dasda", "class/block")
        .node(NodeKind::Block, 94, 0, "dasda")
        .devtype("disk")
        .link("device", "devices/css0/0.0.0000/0.0.1000")
        .attr("size", 14_424_480)
        .attr("queue/logical_block_size", 4096)
        .attr("removable", 0)
        .udev("S:disk/by-path/ccw-0.0.1000")
        .udev("E:ID_TYPE=disk")
        .udev("E:ID_BUS=ccw")
        .udev("E:ID_SERIAL=0X1000");
    tree.add(&disk)?;
    tree.sys_file("devices/css0/0.0.0000/0.0.1000/uid", b"IBM.750000000ABCDE.1000.00\n")
}

fn network_group(tree: &mut Tree) -> io::Result<()> {
    let group = "devices/qeth/0.0.0600";
    let members = ["0.0.0600", "0.0.0601", "0.0.0602"];
    let path = |number: usize| format!("devices/css0/0.0.001{number}/{}", members[number]);
    for (number, member) in members.iter().enumerate() {
        tree.add(
            &Device::new(format!("devices/css0/0.0.001{number}"), "bus/css")
                .driver("io_subchannel")
                .attr("dev_busid", member),
        )?;
        tree.add(&Device::new(path(number), "bus/ccw").driver("qeth").attr("online", 1))?;
    }
    let mut new = Device::new(group, "bus/ccwgroup")
        .devtype("qeth_layer2")
        .driver("qeth")
        .attr("online", 1)
        .attr("card_type", "OSD_10GIG")
        .attr("chpid", "1A");
    for number in 0..members.len() {
        new = new.link(format!("cdev{number}"), path(number));
    }
    tree.add(&new)?;
    (0..members.len()).try_for_each(|number| tree.link(&format!("{}/group_device", path(number)), group))?;
    add_all(
        tree,
        [
            Device::new(format!("{group}/net/enc600"), "class/net")
                .uevent("INTERFACE", "enc600")
                .uevent("IFINDEX", "3")
                .attr("address", "02:00:00:11:22:33")
                .attr("addr_len", 6)
                .attr("ifindex", 3)
                .attr("operstate", "up")
                .attr("speed", 10_000)
                .link("device", group),
            // Offline, of a layer that nobody chose yet.
            Device::new("devices/qeth/0.0.0700", "bus/ccwgroup")
                .devtype("qeth_generic")
                .driver("qeth")
                .attr("online", 0)
                .attr("card_type", "OSA_QDIO")
                .attr("chpid", "FF")
                .link("cdev0", path(0)),
        ],
    )
}
