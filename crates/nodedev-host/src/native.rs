//! Devices that libvirt leaves out and the native view has: what they are called. `describe::native` reads what tells of them.

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
    /// Attributes that describe it, relative to its folder in sysfs, if the model has no type for it.
    pub(crate) attributes: &'static [&'static str],
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
static CLASSES: [NativeClass; 34] = [
    class("accel", "accel", "accel", &[]),
    class("ata_port", "ata", "ata_port", &[]),
    class("bluetooth", "hci", "bluetooth", &[]),
    class("cxl", "", "cxl", &[]),
    class("dax", "", "dax", &[]),
    class("dma", "", "dma", &["bytes_transferred", "in_use"]),
    class("enclosure", "", "enclosure", &[]),
    class("fc_remote_ports", "", "fc_remote_port", &[]),
    class("fpga_region", "", "fpga_region", &["compat_id"]),
    class("graphics", "fb", "framebuffer", &[]),
    class("hwmon", "hwmon", "hwmon", &["name"]),
    class("ieee80211", "phy", "wireless_phy", &[]),
    class("infiniband", "", "infiniband", &[]),
    class("iommu", "", "iommu", &["intel-iommu/version", "intel-iommu/address"]),
    class("mmc", "", "mmc", &[]),
    class("mmc_host", "mmc", "mmc_host", &[]),
    class("nd", "", "nvdimm", &[]),
    class("nvme", "nvme", "nvme", &[]),
    class("nvme-subsystem", "", "nvme_subsystem", &[]),
    class("ptp", "ptp", "ptp", &[]),
    class("sas_end_device", "", "sas_end_device", &[]),
    class("sas_expander", "", "sas_expander", &[]),
    class("scsi_changer", "sch", "changer", &[]),
    class("scsi_tape", "st", "tape", &[]),
    class("sound", "card", "sound", &["id", "number"]),
    class("thunderbolt", "", "thunderbolt", &[]),
    class("tpm", "tpm", "tpm", &[]),
    class("vfio-dev", "", "vfio", &[]),
    class("video4linux", "", "video", &[]),
    class("virtio", "virtio", "virtio", &[]),
    class("virtio-ports", "", "virtio_port", &["name"]),
    class("vmbus", "", "vmbus", &[]),
    class("watchdog", "watchdog", "watchdog", &[]),
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
