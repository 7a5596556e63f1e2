//! Devices that libvirt leaves out and the native view has: what they are called, and which attributes tell of them.

use nodedev_model::{NativeCapability, NativeProperty, Text};

use crate::kernel::KernelDevice;

/// A class of devices that only the native view has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NativeClass {
    /// Kernel subsystem.
    subsystem: &'static str,
    /// What the names of its devices begin with, before a number; empty: any name. It leaves out the further names of
    /// the same thing (`nst0`, `st0a` beside `st0`).
    stem: &'static str,
    /// One word for what it is.
    pub(crate) word: &'static str,
    /// Attributes that describe it, relative to its folder in sysfs.
    attributes: &'static [&'static str],
}

const fn class(
    subsystem: &'static str,
    stem: &'static str,
    word: &'static str,
    attributes: &'static [&'static str],
) -> NativeClass {
    NativeClass { subsystem, stem, word, attributes }
}

/// The classes, the first match counts.
static CLASSES: [NativeClass; 33] = [
    class("accel", "accel", "accel", &[]),
    class("ata_port", "ata", "ata_port", &["port_no", "nr_pmp_links"]),
    class("bluetooth", "hci", "bluetooth", &[]),
    class("cxl", "", "cxl", &["serial", "firmware_version", "ram/size", "pmem/size", "numa_node"]),
    class("dax", "", "dax", &["size", "target_node", "numa_node"]),
    class("dma", "", "dma", &["bytes_transferred", "in_use"]),
    class("fc_remote_ports", "", "fc_remote_port", &["port_name", "node_name", "port_state", "roles"]),
    class("fpga_region", "", "fpga_region", &["compat_id"]),
    class("graphics", "fb", "framebuffer", &["name", "virtual_size", "bits_per_pixel"]),
    class("hwmon", "hwmon", "hwmon", &["name"]),
    class("ieee80211", "phy", "wireless_phy", &["macaddress", "name"]),
    class(
        "infiniband",
        "",
        "infiniband",
        &["node_type", "node_guid", "sys_image_guid", "fw_ver", "hca_type", "board_id"],
    ),
    class("iommu", "", "iommu", &["intel-iommu/version", "intel-iommu/address"]),
    class("mmc", "", "mmc", &["type", "name", "cid", "manfid", "serial"]),
    class("mmc_host", "mmc", "mmc_host", &[]),
    class("nd", "", "nvdimm", &["mode", "size", "uuid", "numa_node"]),
    class(
        "nvme",
        "nvme",
        "nvme",
        &["model", "serial", "firmware_rev", "transport", "address", "state", "subsysnqn", "cntlid"],
    ),
    class(
        "nvme-subsystem",
        "",
        "nvme_subsystem",
        &["subsysnqn", "model", "serial", "firmware_rev", "iopolicy"],
    ),
    class("ptp", "ptp", "ptp", &["clock_name", "max_adjustment"]),
    class("sas_end_device", "", "sas_end_device", &[]),
    class("sas_expander", "", "sas_expander", &["vendor_id", "product_id"]),
    class("scsi_changer", "sch", "changer", &[]),
    class("scsi_tape", "st", "tape", &["default_blksize", "default_density"]),
    class("sound", "card", "sound", &["id", "number"]),
    class("thunderbolt", "", "thunderbolt", &["vendor_name", "device_name", "unique_id", "authorized"]),
    class("tpm", "tpm", "tpm", &["tpm_version_major"]),
    class("vfio-dev", "", "vfio", &[]),
    class("video4linux", "", "video", &["name", "index"]),
    class("virtio", "virtio", "virtio", &["vendor", "device", "status"]),
    class("virtio-ports", "", "virtio_port", &["name"]),
    class("vmbus", "", "vmbus", &["class_id", "device_id", "numa_node"]),
    class("watchdog", "watchdog", "watchdog", &["identity", "state", "timeout"]),
    class("xen", "", "xen", &["nodename"]),
];

/// The class of a device; `None` for what no view shows.
pub(crate) fn class_of(subsystem: &[u8], sysname: &[u8]) -> Option<&'static NativeClass> {
    // Sorted by subsystem, so that the many devices of no class cost little.
    let start = CLASSES.partition_point(|class| class.subsystem.as_bytes() < subsystem);
    CLASSES[start..].iter().take_while(|class| class.subsystem.as_bytes() == subsystem).find(|class| {
        class.stem.is_empty()
            || sysname
                .strip_prefix(class.stem.as_bytes())
                .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    })
}

/// Reads the attributes of a device of such a class.
pub(crate) fn describe(device: &KernelDevice<'_>, class: &NativeClass) -> NativeCapability {
    let properties = class
        .attributes
        .iter()
        .filter_map(|name| {
            Some(NativeProperty { name: Text::from(*name), value: trimmed(device.text(name)?)? })
        })
        .collect();
    NativeCapability { class: class.word.into(), properties }
}

/// Without blanks at both ends, with which some drivers pad. `None` if nothing is left.
fn trimmed(value: Text) -> Option<Text> {
    let value = value.trim_ascii();
    (!value.is_empty()).then(|| value.into())
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, class_of};

    #[test]
    fn table_is_sorted_and_the_stem_selects() {
        assert!(CLASSES.windows(2).all(|pair| pair[0].subsystem <= pair[1].subsystem));
        assert_eq!(class_of(b"scsi_tape", b"st0").map(|class| class.word), Some("tape"));
        assert_eq!(class_of(b"scsi_tape", b"nst0"), None);
        assert_eq!(class_of(b"nvme", b"nvme0").map(|class| class.word), Some("nvme"));
        assert_eq!(class_of(b"memory", b"memory0"), None);
    }
}
