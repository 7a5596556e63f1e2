//! A small host of which one file says what an input says.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use nodedev_sys::Root;
use nodedev_testkit::corrupt;
use nodedev_testkit::pci_bytes::{Config, Express, vpd};
use nodedev_testkit::tree::{Device, NodeKind, Tree};
use tempfile::NamedTempFile;

/// The host, as an archive.
pub(crate) struct Host {
    archive: Vec<u8>,
    /// Its regular files, sorted by path, with what they hold.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// The one host of all inputs.
pub(crate) fn host() -> io::Result<&'static Host> {
    static HOST: OnceLock<Host> = OnceLock::new();
    match HOST.get() {
        Some(host) => Ok(host),
        None => {
            let made = Host::make()?;
            Ok(HOST.get_or_init(|| made))
        }
    }
}

impl Host {
    fn make() -> io::Result<Self> {
        let tree = tree()?;
        let mut files = Vec::new();
        for path in corrupt::files(tree.root())? {
            if !fs::symlink_metadata(tree.root().join(&path))?.is_file() {
                continue;
            }
            let content = fs::read(tree.root().join(&path))?;
            files.push((path, content));
        }
        files.sort();
        let mut builder = tar::Builder::new(Vec::new());
        builder.follow_symlinks(false);
        builder.append_dir_all("", tree.root())?;
        // Without the end that `into_inner` writes: a file follows.
        let archive = builder.get_ref().clone();
        Ok(Self { archive, files })
    }

    /// For each file an input that leaves the host as it is.
    pub(crate) fn seeds(&self) -> Vec<Vec<u8>> {
        let seed = |(at, (_, content)): (usize, &(PathBuf, Vec<u8>))| {
            [&u16::try_from(at).unwrap_or_default().to_le_bytes()[..], content].concat()
        };
        self.files.iter().enumerate().map(seed).collect()
    }

    /// The host with one file replaced. The first two bytes of the input say which, the others what it holds.
    pub(crate) fn changed_by(&self, input: &[u8]) -> io::Result<Option<Root>> {
        let [low, high, content @ ..] = input else { return Ok(None) };
        let at = usize::from(u16::from_le_bytes([*low, *high])) % self.files.len();
        self.with(&self.files[at].0, content).map(Some)
    }

    /// The host with this content in the file at `path`.
    pub(crate) fn with(&self, path: &Path, content: &[u8]) -> io::Result<Root> {
        let mut builder = tar::Builder::new(self.archive.clone());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content)?;
        let mut file = in_memory()?;
        file.write_all(&builder.into_inner()?)?;
        Root::open(file.path()).map_err(io::Error::other)
    }
}

/// A temporary file, in memory where there is a file system in that.
pub(crate) fn in_memory() -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(memory())
}

/// A folder for temporary files, in memory where there is a file system in that.
pub(crate) fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The record of udev's database that describes the host's disk.
pub(crate) const DISK_RECORD: &str = "run/udev/data/b8:0";

/// A device of each kind that much is read of.
fn tree() -> io::Result<Tree> {
    const CARD: &str = "devices/pci0000:00/0000:00:03.0";
    const ADAPTER: &str = "devices/pci0000:00/0000:00:04.0";
    let mut tree = Tree::in_memory()?;
    let express = Express { port_type: 0, port: 1, max_speed: 5, max_width: 16, speed: 3, width: 8 };
    let config =
        Config { vendor: 0x8086, device: 0x1572, class: 0x02_0000, header_type: 0, express: Some(express) };
    let function = |path: &str, class: &str, slot: &str| {
        Device::new(path, "bus/pci")
            .uevent("PCI_CLASS", class)
            .uevent("PCI_ID", "8086:1572")
            .uevent("PCI_SLOT_NAME", slot)
            .attr("vendor", "0x8086")
            .attr("device", "0x1572")
            .attr("class", format!("0x{class}"))
            .attr("numa_node", 0)
            .attr("sriov_totalvfs", 64)
            .bytes("config", config.to_bytes())
    };
    tree.add(&function(CARD, "020000", "0000:00:03.0").driver("i40e").bytes(
        "vpd",
        vpd("Card", &[("PN", "A1"), ("SN", "SN00017"), ("V0", "x")], &[("YA", "tag"), ("Y1", "s")]),
    ))?;
    tree.iommu_group(1, CARD)?;
    tree.add(
        &Device::new(format!("{CARD}/net/eth0"), "class/net")
            .uevent("INTERFACE", "eth0")
            .uevent("IFINDEX", "2")
            .attr("address", "52:54:00:12:34:56")
            .attr("operstate", "up")
            .attr("speed", 10_000)
            .attr("ifindex", 2)
            .udev("E:ID_NET_NAME_MAC=enx525400123456"),
    )?;
    tree.add(
        &Device::new(format!("{CARD}/mdev_supported_types/i915-GVTg_V5_4"), "class/none")
            .attr("name", "GVTg")
            .attr("device_api", "vfio-pci")
            .attr("available_instances", 2),
    )?;
    tree.add(&function(ADAPTER, "010700", "0000:00:04.0").driver("mpt3sas"))?;
    tree.add(&Device::new(format!("{ADAPTER}/host0"), "bus/scsi").devtype("scsi_host"))?;
    tree.add(
        &Device::new(format!("{ADAPTER}/host0/scsi_host/host0"), "class/scsi_host")
            .attr("unique_id", 1)
            .attr("max_npiv_vports", 4)
            .attr("npiv_vports_inuse", 1),
    )?;
    tree.add(
        &Device::new(format!("{ADAPTER}/host0/fc_host/host0"), "class/fc_host")
            .attr("port_name", "0x2100000e1e1a2b3c")
            .attr("node_name", "0x2000000e1e1a2b3c")
            .attr("fabric_name", "0x100000051e0a1b2c"),
    )?;
    let disk = format!("{ADAPTER}/host0/target0:0:0/0:0:0:0");
    tree.add(
        &Device::new(&disk, "bus/scsi")
            .devtype("scsi_device")
            .attr("type", 0)
            .attr("vendor", "ATA     ")
            .attr("model", "Disk 9000")
            .attr("rev", "01")
            .attr("wwid", "naa.5000c500a1b2c3d4")
            .bytes("inquiry", b"\0\0\x06\x12\x5b\0\0\x02ATA     Disk 9000       01  ZA1B2C3D".to_vec()),
    )?;
    tree.add(
        &Device::new(format!("{disk}/block/sda"), "class/block")
            .node(NodeKind::Block, 8, 0, "sda")
            .devtype("disk")
            .attr("size", 4096)
            .attr("removable", 0)
            .attr("queue/logical_block_size", 512)
            .udev("S:disk/by-id/ata-Disk_9000_ZA1B2C3D")
            .udev("E:ID_TYPE=disk")
            .udev("E:ID_BUS=ata")
            .udev("E:ID_SERIAL=Disk_9000_ZA1B2C3D")
            .udev("E:ID_SERIAL_SHORT=ZA1B2C3D")
            .udev("E:ID_WWN=0x5000c500a1b2c3d4")
            .udev("E:ID_FS_UUID=7452791a-1836-4f24-86aa-6ed9fd3712f5")
            .udev("E:DEVLINKS=/dev/disk/by-id/ata-Disk_9000_ZA1B2C3D")
            .udev("G:systemd"),
    )?;
    tree.add(
        &Device::new("devices/pci0000:00/usb1/1-1", "bus/usb")
            .node(NodeKind::Char, 189, 1, "bus/usb/001/002")
            .devtype("usb_device")
            .udev("E:ID_BUS=usb")
            .udev("E:ID_VENDOR_ID=046d")
            .udev("E:ID_MODEL_ID=c31c")
            .udev("E:ID_SERIAL_SHORT=K0123456789")
            .uevent("BUSNUM", "001")
            .uevent("DEVNUM", "002")
            .uevent("PRODUCT", "46d/c31c/100")
            .attr("busnum", 1)
            .attr("devnum", 2)
            .attr("idVendor", "046d")
            .attr("idProduct", "c31c")
            .attr("manufacturer", "Maker")
            .attr("product", "Keys")
            .attr("serial", "K0123456789"),
    )?;
    tree.add(
        &Device::new("devices/pci0000:00/usb1/1-1/1-1:1.0", "bus/usb")
            .devtype("usb_interface")
            .attr("bInterfaceNumber", "00")
            .attr("bInterfaceClass", "03")
            .attr("bInterfaceSubClass", "01")
            .attr("bInterfaceProtocol", "01"),
    )?;
    tree.add(
        &Device::new("devices/css0/0.0.0001", "bus/css")
            .driver("io_subchannel")
            .uevent("DRIVER", "io_subchannel"),
    )?;
    for (path, content) in [
        (
            "etc/mdevctl.d/0000:00:03.0/d069d019-36ea-4111-8f0a-8c9a70e21366",
            r#"{"mdev_type":"i915-GVTg_V5_4","start":"auto","attrs":[{"assign_adapter":"5"}]}"#,
        ),
        ("etc/hostname", "server.example.org\n"),
        (
            "proc/cpuinfo",
            "processor\t: 0\nmodel name\t: CPU\nphysical id\t: 0\ncore id\t\t: 0\ncpu cores\t: 1\nSerial\t\t: 1\n",
        ),
        ("proc/version", "Linux version 6.1.0 (me@server) (gcc) #1 SMP\n"),
        ("proc/meminfo", "MemTotal:        2048 kB\n"),
        ("sys/class/dmi/id/product_serial", "C02ABCDEFGH1\n"),
        ("sys/devices/system/node/node0/meminfo", "Node 0 MemTotal:  2048 kB\n"),
        ("sys/devices/system/cpu/cpu0/topology/core_id", "0\n"),
        ("usr/share/misc/pci.ids", "8086  Intel\n\t1572  X710\n"),
    ] {
        tree.file(path, content.as_bytes())?;
    }
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use nodedev_driver::{LibvirtCalls as _, ListFlags};
    use nodedev_host::HostDriver;

    use super::*;

    #[test]
    fn an_input_replaces_one_file_of_a_host_whose_other_devices_stay() {
        let host = host().unwrap();
        let names = |root| {
            let devices = HostDriver::new(root).list(ListFlags::empty()).unwrap();
            devices.iter().map(|device| device.name.to_string()).collect::<Vec<_>>()
        };
        let seed = host.seeds();
        let whole = names(host.changed_by(&seed[0]).unwrap().unwrap());
        for name in
            ["pci_0000_00_03_0", "net_eth0_52_54_00_12_34_56", "scsi_host0", "scsi_0_0_0_0", "usb_1_1"]
        {
            assert!(whole.iter().any(|have| have == name), "{name}: {whole:?}");
        }
        assert!(whole.iter().any(|name| name.starts_with("block_sda_")), "{whole:?}");
        assert!(whole.iter().any(|name| name.starts_with("mdev_")), "{whole:?}");
        let other = names(host.with(Path::new(DISK_RECORD), b"E:ID_TYPE=cd\nE:ID_SERIAL=x\n").unwrap());
        assert!(other.iter().any(|name| name == "block_sda_x"), "{other:?}");
        assert_eq!(whole.len(), other.len());
    }
}
