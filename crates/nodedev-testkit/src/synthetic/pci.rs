//! PCI functions of a cell, and what hangs off them: network interfaces, NVMe, graphics, mediated devices.

use std::io;

use super::{Writer, platform, scsi, take, usb};
use crate::pci_bytes::{Config, Express, vpd};
use crate::tree::{Device, NodeKind};

/// A model of a PCI function, as pci.ids knows it.
struct Model {
    vendor: (u16, &'static str),
    device: (u16, &'static str),
    class: u32,
    driver: Option<&'static str>,
    /// Device/port type of PCI Express; nothing for conventional PCI.
    port_type: Option<u8>,
}

const INTEL: (u16, &str) = (0x8086, "Intel Corporation");
const MELLANOX: (u16, &str) = (0x15b3, "Mellanox Technologies");

const HOST_BRIDGE: Model = Model {
    vendor: INTEL,
    device: (0x2020, "Sky Lake-E DMI3 Registers"),
    class: 0x06_0000,
    driver: None,
    port_type: None,
};
const ROOT_PORT: Model = Model {
    vendor: INTEL,
    device: (0x2030, "Sky Lake-E PCI Express Root Port A"),
    class: 0x06_0400,
    driver: Some("pcieport"),
    port_type: Some(4),
};
const CHIPSET: Model = Model {
    vendor: INTEL,
    device: (0x2025, "Sky Lake-E RAS"),
    class: 0x08_8000,
    driver: None,
    port_type: None,
};
const NIC: Model = Model {
    vendor: MELLANOX,
    device: (0x101d, "MT2892 Family [ConnectX-6 Dx]"),
    class: 0x02_0000,
    driver: Some("mlx5_core"),
    port_type: Some(0),
};
const NIC_VF: Model = Model { device: (0x101e, "ConnectX Family mlx5Gen Virtual Function"), ..NIC };
const FC: Model = Model {
    vendor: (0x1077, "QLogic Corp."),
    device: (0x2261, "ISP2722-based 16/32Gb Fibre Channel to PCIe Adapter"),
    class: 0x0c_0400,
    driver: Some("qla2xxx"),
    port_type: Some(0),
};
const NVME: Model = Model {
    vendor: (0x144d, "Samsung Electronics Co Ltd"),
    device: (0xa808, "NVMe SSD Controller SM981/PM981/PM983"),
    class: 0x01_0802,
    driver: Some("nvme"),
    port_type: Some(0),
};
const XHCI: Model = Model {
    vendor: (0x1b21, "ASMedia Technology Inc."),
    device: (0x2142, "ASM2142/ASM3142 USB 3.1 Host Controller"),
    class: 0x0c_0330,
    driver: Some("xhci_hcd"),
    port_type: Some(0),
};
const GPU: Model = Model {
    vendor: (0x10de, "NVIDIA Corporation"),
    device: (0x1eb8, "TU104GL [Tesla T4]"),
    class: 0x03_0200,
    driver: Some("nvidia"),
    port_type: Some(0),
};
const MODELS: &[Model] = &[HOST_BRIDGE, ROOT_PORT, CHIPSET, NIC, NIC_VF, FC, NVME, XHCI, GPU];

const CELLS_PER_DOMAIN: usize = 64;
const BUSES_PER_CELL: usize = 3;
/// The domain of the functions that fill up a host.
const REST_DOMAIN: u32 = 0xff00;
const VIRTUAL_FUNCTIONS: u32 = 20;
/// Virtual functions that have an interface in the host; the others are meant for guests.
const VIRTUAL_FUNCTIONS_IN_USE: u32 = 8;
const VIRTUAL_INTERFACES: u32 = 4;
const CHIPSET_FUNCTIONS: u32 = 10;
/// The kernel has minor numbers for that many graphics cards.
const CARDS: usize = 64;

/// Contents of `usr/share/misc/pci.ids`: the models above.
pub(super) fn pci_ids() -> String {
    let mut vendors: Vec<_> = MODELS.iter().map(|model| model.vendor).collect();
    vendors.sort_unstable();
    vendors.dedup();
    let mut text = String::from("# The few models of this synthetic host\n");
    for (vendor, name) in vendors {
        text += &format!("{vendor:04x}  {name}\n");
        let mut devices: Vec<_> =
            MODELS.iter().filter(|model| model.vendor.0 == vendor).map(|model| model.device).collect();
        devices.sort_unstable();
        for (device, name) in devices {
            text += &format!("\t{device:04x}  {name}\n");
        }
    }
    text
}

/// A function below `parent`, to be [put](put) in its place.
fn function(writer: &mut Writer, parent: &str, address: &str, model: &Model) -> Device {
    let (vendor, device, class) = (model.vendor.0, model.device.0, model.class);
    let bridge = class >> 8 == 0x0604;
    let express = model.port_type.map(|port_type| {
        let port = u8::from(bridge);
        Express { port_type, port, max_speed: 3, max_width: 4, speed: 3, width: 4 }
    });
    let config = Config { vendor, device, class, header_type: u8::from(bridge), express };
    let modalias = format!(
        "pci:v{vendor:08X}d{device:08X}sv{vendor:08X}sd00000083bc{:02X}sc{:02X}i{:02X}",
        class >> 16,
        class >> 8 & 0xff,
        class & 0xff
    );
    let mut new = Device::new(format!("{parent}/{address}"), "bus/pci")
        .uevent("PCI_CLASS", format!("{class:X}"))
        .uevent("PCI_ID", format!("{vendor:04X}:{device:04X}"))
        .uevent("PCI_SUBSYS_ID", format!("{vendor:04X}:0083"))
        .uevent("PCI_SLOT_NAME", address)
        .uevent("MODALIAS", &modalias);
    if let Some(driver) = model.driver {
        new = new.driver(driver);
    }
    let ids =
        [("vendor", vendor), ("device", device), ("subsystem_vendor", vendor), ("subsystem_device", 0x0083)];
    for (name, id) in ids {
        new = new.attr(name, format_args!("{id:#06x}"));
    }
    new = new
        .attr("class", format_args!("{class:#08x}"))
        .attr("numa_node", u8::from(address.starts_with("0001")))
        .attr("enable", u8::from(model.driver.is_some()))
        .attr("modalias", modalias);
    for (name, value) in PLAIN_ATTRIBUTES {
        new = new.attr(*name, value);
    }
    if express.is_some() {
        for (name, value) in LINK_ATTRIBUTES {
            new = new.attr(*name, value);
        }
    }
    new.bytes("resource", RESOURCE)
        .bytes("config", config.to_bytes())
        .udev(format!("I:{}", writer.random.next() % 10_000_000))
        .udev(format!("E:ID_VENDOR_FROM_DATABASE={}", model.vendor.1))
        .udev(format!("E:ID_MODEL_FROM_DATABASE={}", model.device.1))
        .udev(format!("E:ID_PATH=pci-{address}"))
        .udev("V:1")
}

/// Attributes that are the same everywhere; most are there to be passed over.
const PLAIN_ATTRIBUTES: &[(&str, &str)] = &[
    ("revision", "0x01"),
    ("irq", "0"),
    ("driver_override", "(null)"),
    ("local_cpulist", "0-1"),
    ("msi_bus", "1"),
    ("dma_mask_bits", "64"),
    ("ari_enabled", "0"),
    ("power_state", "D0"),
    ("power/control", "auto"),
    ("power/runtime_status", "active"),
];
/// A region of memory of 16 KiB, and twelve registers that are not used.
const RESOURCE: &str = concat!(
    "0x00000000fea00000 0x00000000fea03fff 0x0000000000140204\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
    "0x0000000000000000 0x0000000000000000 0x0000000000000000\n",
);
const LINK_ATTRIBUTES: &[(&str, &str)] = &[
    ("max_link_speed", "8.0 GT/s PCIe"),
    ("current_link_speed", "8.0 GT/s PCIe"),
    ("max_link_width", "4"),
    ("current_link_width", "4"),
];

/// Adds a function in the IOMMU group, or in one of its own; returns its path.
fn put(writer: &mut Writer, function: &Device, group: Option<u32>) -> io::Result<String> {
    let path = function.path().to_owned();
    let address = path.rsplit('/').next().unwrap_or_default();
    writer.add(function, "pci", format!("pci_{address}"))?;
    let group = match group {
        Some(group) => group,
        None => new_group(writer)?,
    };
    writer.tree.iommu_group(group, &path)?;
    Ok(path)
}

fn new_group(writer: &mut Writer) -> io::Result<u32> {
    let group = take(&mut writer.next.group);
    writer.tree.sys_file(&format!("kernel/iommu_groups/{group}/type"), b"DMA-FQ\n")?;
    Ok(group)
}

/// A root complex: it has a place and a `uevent`, and is no device of any bus.
fn complex(writer: &mut Writer, bus: &str) -> io::Result<String> {
    let path = format!("devices/pci{bus}");
    writer.tree.add(&Device::bare(&path))?;
    writer
        .add_noise(&Device::new(format!("{path}/pci_bus/{bus}"), "class/pci_bus").attr("cpuaffinity", "3"))?;
    Ok(path)
}

/// One cell: a root complex with two root ports, a network card behind the first and everything else behind the second.
pub(super) fn cell(writer: &mut Writer, cell: usize) -> io::Result<()> {
    let (domain, bus) = (cell / CELLS_PER_DOMAIN, cell % CELLS_PER_DOMAIN * BUSES_PER_CELL);
    let at = |offset: usize, slot: u32, function: u32| {
        format!("{domain:04x}:{:02x}:{slot:02x}.{function}", bus + offset)
    };
    let root = complex(writer, &format!("{domain:04x}:{bus:02x}"))?;
    let one = |writer: &mut Writer, parent: &str, address: String, model: &Model| {
        let function = function(writer, parent, &address, model);
        put(writer, &function, None)
    };

    one(writer, &root, at(0, 0, 0), &HOST_BRIDGE)?;
    let near = one(writer, &root, at(0, 1, 0), &ROOT_PORT)?;
    let far = one(writer, &root, at(0, 2, 0), &ROOT_PORT)?;
    chipset(writer, &root, CHIPSET_FUNCTIONS, |number| at(0, 8 + number / 8, number % 8))?;
    network_card(writer, &near, &|slot, function| at(1, slot, function))?;
    for number in 0..2 {
        let adapter = one(writer, &far, at(2, 0, number), &FC)?;
        scsi::fibre_channel(writer, &adapter)?;
    }
    let nvme = one(writer, &far, at(2, 1, 0), &NVME)?;
    nvme_disk(writer, &nvme, cell)?;
    let xhci = one(writer, &far, at(2, 2, 0), &XHCI)?;
    usb::bus(writer, &xhci)?;
    let gpu = one(writer, &far, at(2, 3, 0), &GPU)?;
    if cell < CARDS {
        graphics(writer, &gpu, cell)?;
    } else {
        chipset(writer, &root, 2, |number| at(0, 16, number))?;
    }
    if writer.host.mdev {
        mediated(writer, &gpu, cell)?;
    } else {
        chipset(writer, &root, 1, |number| at(0, 17, number))?;
    }
    virtual_interfaces(writer)?;
    platform::noise(writer, cell)
}

/// Functions of the chipset, which share one IOMMU group.
fn chipset(writer: &mut Writer, root: &str, count: u32, at: impl Fn(u32) -> String) -> io::Result<()> {
    let group = new_group(writer)?;
    for number in 0..count {
        let function = function(writer, root, &at(number), &CHIPSET);
        put(writer, &function, Some(group))?;
    }
    Ok(())
}

/// Fills a host up with functions that have nothing to them.
pub(super) fn rest(writer: &mut Writer, count: usize) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let root = complex(writer, &format!("{REST_DOMAIN:04x}:00"))?;
    for number in 0..count {
        let address = format!("{REST_DOMAIN:04x}:00:{:02x}.{}", number / 8, number % 8);
        let function = function(writer, &root, &address, &CHIPSET);
        put(writer, &function, None)?;
    }
    Ok(())
}

/// A card of two ports. The first has its virtual functions, the second could have some.
fn network_card(writer: &mut Writer, port: &str, at: &dyn Fn(u32, u32) -> String) -> io::Result<()> {
    let physical = format!("{port}/{}", at(0, 0));
    let virtual_address = |number: u32| at(2 + number / 8, number % 8);
    for number in 0..2 {
        let enabled = if number == 0 { VIRTUAL_FUNCTIONS } else { 0 };
        let serial = format!("MT{:010}", writer.random.next() % 10_000_000_000);
        let mut card = function(writer, port, &at(0, number), &NIC)
            .attr("sriov_totalvfs", VIRTUAL_FUNCTIONS)
            .attr("sriov_numvfs", enabled)
            .bytes("vpd", vpd("ConnectX-6 Dx", &[("PN", "MCX623106AN"), ("SN", &serial)], &[]));
        for virtual_function in 0..enabled {
            let target = format!("{port}/{}", virtual_address(virtual_function));
            card = card.link(format!("virtfn{virtual_function}"), target);
        }
        let path = put(writer, &card, None)?;
        writer.shown("vpd", format!("pci_{}", at(0, number)));
        let index = take(&mut writer.next.interface) + 1;
        interface(writer, &format!("{path}/net"), &format!("port{index}"), index, Some(&path))?;
    }
    for number in 0..VIRTUAL_FUNCTIONS {
        let function = function(writer, port, &virtual_address(number), &NIC_VF).link("physfn", &physical);
        let path = put(writer, &function, None)?;
        if number < VIRTUAL_FUNCTIONS_IN_USE {
            let index = take(&mut writer.next.interface) + 1;
            interface(writer, &format!("{path}/net"), &format!("vf{index}"), index, Some(&path))?;
        }
    }
    Ok(())
}

fn virtual_interfaces(writer: &mut Writer) -> io::Result<()> {
    for _ in 0..VIRTUAL_INTERFACES {
        let index = take(&mut writer.next.interface) + 1;
        let name = format!("tap{}", take(&mut writer.next.tap));
        interface(writer, "devices/virtual/net", &name, index, None)?;
    }
    Ok(())
}

/// A network interface; one of hardware has a speed, a virtual one has none.
fn interface(
    writer: &mut Writer,
    dir: &str,
    name: &str,
    index: u32,
    hardware: Option<&str>,
) -> io::Result<()> {
    let mac = writer.random.mac();
    let mut new = Device::new(format!("{dir}/{name}"), "class/net")
        .uevent("INTERFACE", name)
        .uevent("IFINDEX", index.to_string())
        .attr("address", &mac)
        .attr("addr_len", 6)
        .attr("ifindex", index)
        .attr("iflink", index)
        .attr("type", 1)
        .attr("mtu", 1500)
        .attr("flags", "0x1003")
        .attr("dev_port", 0)
        // Most drivers refuse to say these; a recording has empty files there.
        .bytes("phys_port_name", "")
        .bytes("phys_switch_id", "")
        .attr("operstate", if hardware.is_some() { "up" } else { "down" })
        .attr("statistics/rx_bytes", 0)
        .attr("statistics/tx_bytes", 0)
        .udev("I:1")
        .udev(format!("E:ID_NET_NAME={name}"))
        .udev("V:1");
    match hardware {
        Some(path) => new = new.attr("speed", 25_000).attr("duplex", "full").link("device", path),
        // Reading the speed of an interface that is down fails; a recording has an empty file there.
        None => new = new.bytes("speed", ""),
    }
    writer.add(&new, "net", format!("net_{name}_{mac}"))
}

fn nvme_disk(writer: &mut Writer, controller: &str, cell: usize) -> io::Result<()> {
    const MAJOR: u32 = 240;
    const BLOCK_EXTENDED: u32 = 259;
    let number = u32::try_from(cell).unwrap_or(u32::MAX);
    let serial = format!("S4J9N{:09}", writer.random.next() % 1_000_000_000);
    let path = format!("{controller}/nvme/nvme{cell}");
    writer.add_hidden(
        &Device::new(&path, "class/nvme")
            .node(NodeKind::Char, MAJOR, number, format!("nvme{cell}"))
            .uevent("NVME_TRTYPE", "pcie")
            .attr("model", "SAMSUNG MZVLB1T0HBLR-00000")
            .attr("serial", &serial)
            .attr("firmware_rev", "EXA7301Q")
            .attr("state", "live")
            .link("device", controller),
    )?;
    let name = format!("nvme{cell}n1");
    let id = format!("SAMSUNG_MZVLB1T0HBLR-00000_{serial}");
    let minor = take(&mut writer.next.namespace);
    let disk = scsi::disk(&path, &name, (BLOCK_EXTENDED, minor), 2_000_409_264)
        .link("device", &path)
        .udev(format!("S:disk/by-id/nvme-{id}"))
        .udev("E:ID_MODEL=SAMSUNG MZVLB1T0HBLR-00000")
        .udev(format!("E:ID_SERIAL={id}"))
        .udev("V:1");
    writer.add(&disk, "storage", format!("block_{name}_{id}"))
}

fn graphics(writer: &mut Writer, gpu: &str, cell: usize) -> io::Result<()> {
    const MAJOR: u32 = 226;
    const FIRST_RENDER_NODE: usize = 128;
    for (name, minor) in [
        (format!("card{cell}"), cell),
        (format!("renderD{}", FIRST_RENDER_NODE + cell), FIRST_RENDER_NODE + cell),
    ] {
        let minor = u32::try_from(minor).unwrap_or(u32::MAX);
        let device = Device::new(format!("{gpu}/drm/{name}"), "class/drm")
            .node(NodeKind::Char, MAJOR, minor, format!("dri/{name}"))
            .devtype("drm_minor")
            .link("device", gpu)
            .udev("I:1")
            .udev("G:seat")
            .udev("V:1");
        writer.add(&device, "drm", format!("drm_{name}"))?;
    }
    Ok(())
}

/// A running mediated device; that of every other cell is defined too, and there a second one is only defined.
fn mediated(writer: &mut Writer, gpu: &str, cell: usize) -> io::Result<()> {
    const TYPE: &str = "nvidia-222";
    let parent = gpu.rsplit('/').next().unwrap_or_default().to_owned();
    let type_path = format!("{gpu}/mdev_supported_types/{TYPE}");
    for (name, value) in [
        ("name", "GRID T4-1B"),
        ("device_api", "vfio-pci"),
        ("available_instances", "15"),
        ("description", "num_heads=4, frl_config=45, framebuffer=1024M"),
    ] {
        writer.tree.sys_file(&format!("{type_path}/{name}"), format!("{value}\n").as_bytes())?;
    }
    writer.tree.sys_file(&format!("{type_path}/create"), b"")?;
    writer.tree.link(&format!("class/mdev_bus/{parent}"), gpu)?;
    writer.shown("mdev_types", format!("pci_{parent}"));

    let uuid = writer.random.uuid();
    let path = format!("{gpu}/{uuid}");
    let device = Device::new(&path, "bus/mdev").driver("nvidia-vgpu-vfio").link("mdev_type", &type_path);
    writer.add(&device, "mdev", format!("mdev_{uuid}_{parent}"))?;
    writer.tree.link(&format!("{type_path}/devices/{uuid}"), &path)?;
    let group = new_group(writer)?;
    writer.tree.iommu_group(group, &path)?;

    if cell.is_multiple_of(2) {
        let stopped = writer.random.uuid();
        writer.shown("inactive", format!("mdev_{stopped}_{parent}"));
        for (uuid, start) in [(uuid, "auto"), (stopped, "manual")] {
            let definition =
                format!("{{\n  \"mdev_type\": \"{TYPE}\",\n  \"start\": \"{start}\",\n  \"attrs\": []\n}}");
            writer.tree.file(&format!("etc/mdevctl.d/{parent}/{uuid}"), definition.as_bytes())?;
        }
    }
    Ok(())
}
