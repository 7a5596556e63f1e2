use super::facts::facts;
use crate::{Text, Uuid};

facts! {
    /// A device on Compute Express Link (`/sys/bus/cxl`; the kernel's ABI `sysfs-bus-cxl`).
    CxlDevice {
        /// Serial number.
        serial: Text,
        /// Firmware version.
        firmware: Text,
        /// Size of its volatile memory.
        ram_bytes: u64,
        /// Size of its persistent memory.
        pmem_bytes: u64,
        /// NUMA node it is attached to; absent when tied to none.
        numa_node: u32,
    }

    /// Memory that is used as a device (`/sys/bus/dax`).
    DaxDevice {
        /// Size.
        size_bytes: u64,
        /// NUMA node that the memory would be of if it were the system's; absent when there is none.
        target_node: u32,
        /// NUMA node it is attached to; absent when tied to none.
        numa_node: u32,
    }

    /// Persistent memory (`/sys/bus/nd`).
    Nvdimm {
        /// How a namespace is used: `raw`, `sector`, `fsdax`, `devdax`, `safe`, `memory`.
        mode: Text,
        /// Size.
        size_bytes: u64,
        /// UUID of a namespace.
        uuid: Uuid,
        /// NUMA node it is attached to; absent when tied to none.
        numa_node: u32,
    }
}
