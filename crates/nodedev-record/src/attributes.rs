//! Which files of a host are recorded. All of them can be read without effect on the hardware.

/// Attributes in a device's folder, sorted: what descriptions are made from, and what an administrator would ask for
/// when a device does not do what it should.
const RECORDED: &[&str] = &[
    "active_duplex",
    "addr_len",
    "address",
    "ari_enabled",
    "authorized",
    "availability",
    "available_instances",
    "bConfigurationValue",
    "bDeviceClass",
    "bDeviceProtocol",
    "bDeviceSubClass",
    "bInterfaceClass",
    "bInterfaceNumber",
    "bInterfaceProtocol",
    "bInterfaceSubClass",
    "bNumInterfaces",
    "bcdDevice",
    "bios_date",
    "bios_vendor",
    "bios_version",
    "bits_per_pixel",
    "board_id",
    "board_name",
    "board_vendor",
    "boot_vga",
    "busnum",
    "bytes_transferred",
    "card_type",
    "carrier",
    "chassis_type",
    "chassis_vendor",
    "chpid",
    "chpids",
    "cid",
    "class",
    "class_id",
    "clock_name",
    "cntlid",
    "compat_id",
    "config",
    "connection_state",
    "current_link_speed",
    "current_link_width",
    "cutype",
    "d3cold_allowed",
    "default_blksize",
    "default_density",
    "dev",
    "dev_busid",
    "dev_id",
    "dev_port",
    "device",
    "device_id",
    "device_name",
    "devnum",
    "devtype",
    "dma_mask_bits",
    "driver_override",
    "duplex",
    "enable",
    "enabled",
    "fabric_name",
    "firmware_rev",
    "firmware_version",
    "fw_ver",
    "hca_type",
    "hidden",
    "id",
    "idProduct",
    "idVendor",
    "identity",
    "ifindex",
    "iflink",
    "in_use",
    "index",
    "inquiry",
    "iopolicy",
    "iucv",
    "layer2",
    "link_speed",
    "local_cpulist",
    "local_cpus",
    "mac_address",
    "macaddress",
    "manfid",
    "manufacturer",
    "max_adjustment",
    "max_link_speed",
    "max_link_width",
    "max_npiv_vports",
    "maxchild",
    "modalias",
    "mode",
    "model",
    "mtu",
    "name",
    "nguid",
    "node_guid",
    "node_name",
    "node_type",
    "nodename",
    "npiv_vports_inuse",
    "nr_pmp_links",
    "nsid",
    "numa_node",
    "number",
    "online",
    "operstate",
    "partition",
    "phys_port_id",
    "phys_port_name",
    "phys_switch_id",
    "port_id",
    "port_name",
    "port_no",
    "port_state",
    "port_type",
    "power_state",
    "proc_name",
    "product",
    "product_id",
    "product_name",
    "product_serial",
    "product_uuid",
    "product_version",
    "queue_depth",
    "range",
    "removable",
    "reset_method",
    "resource",
    "rev",
    "revision",
    "ro",
    "roles",
    "scsi_level",
    "serial",
    "size",
    "speed",
    "sriov_drivers_autoprobe",
    "sriov_offset",
    "sriov_stride",
    "sriov_totalvfs",
    "sriov_vf_device",
    "start",
    "state",
    "status",
    "subsysnqn",
    "subsystem_device",
    "subsystem_vendor",
    "supported_classes",
    "sys_image_guid",
    "sys_vendor",
    "target_node",
    "timeout",
    "tpm_version_major",
    "transport",
    "type",
    "uevent",
    "uid",
    "unique_id",
    "usbip_status",
    "uuid",
    "vendor",
    "vendor_id",
    "vendor_name",
    "version",
    "virtual_size",
    "vpd",
    "vport_create",
    "vport_delete",
    "wwid",
];

/// Attributes below a device's folder.
pub(crate) const DEEP: &[&str] = &[
    "intel-iommu/address",
    "intel-iommu/version",
    "pmem/size",
    "power/control",
    "power/runtime_status",
    "queue/logical_block_size",
    "queue/physical_block_size",
    "queue/rotational",
    "ram/size",
];

/// Attributes of a type of mediated device.
pub(crate) const MDEV_TYPE: &[&str] = &["available_instances", "description", "device_api", "name"];

/// Attributes of an IOMMU group.
pub(crate) const IOMMU_GROUP: &[&str] = &["name", "reserved_regions", "type"];

/// Files that belong to no device.
pub(crate) const HOST_FILES: &[&str] =
    &["proc/version", "sys/devices/system/cpu/modalias", "sys/kernel/security/lockdown"];

/// Whether an attribute in a device's folder is recorded.
pub(crate) fn is_recorded(name: &[u8]) -> bool {
    RECORDED.binary_search_by(|known| known.as_bytes().cmp(name)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_has_what_descriptions_need() {
        assert!(RECORDED.windows(2).all(|pair| pair[0] < pair[1]));
        for name in
            ["uevent", "vendor", "config", "vpd", "numa_node", "address", "operstate", "type", "vport_create"]
        {
            assert!(is_recorded(name.as_bytes()), "{name}");
        }
        for name in
            ["resource0", "rom", "remove", "rescan", "reset", "sriov_numvfs", "sriov_vf_total_msix", ""]
        {
            assert!(!is_recorded(name.as_bytes()), "{name}");
        }
    }
}
