use super::facts::facts;
use crate::Text;

facts! {
    /// An RDMA device (`/sys/class/infiniband`).
    InfinibandDevice {
        /// Kind of node: `CA`, `switch`, `router`, `RNIC`.
        node_type: Text,
        /// GUID of the node, four groups of four hexadecimal digits.
        node_guid: Text,
        /// GUID of the system that it is a part of.
        system_guid: Text,
        /// Firmware version.
        firmware: Text,
        /// Type of adapter (`MT4123`).
        hca_type: Text,
        /// Identifier of the board (PSID).
        board_id: Text,
    }

    /// A Trusted Platform Module (`/sys/class/tpm`).
    Tpm {
        /// Version of the specification: 1 or 2.
        version: u32,
    }

    /// A virtio device (`/sys/bus/virtio`).
    VirtioDevice {
        /// Vendor.
        vendor: u32,
        /// Kind of device: 1 is network, 2 block …
        device: u32,
        /// Bits that the driver set (virtio specification, device status field).
        status: u32,
    }

    /// A device of Hyper-V's (`/sys/bus/vmbus`).
    VmbusDevice {
        /// UUID of its kind, in braces.
        class_id: Text,
        /// UUID of the device, in braces.
        device_id: Text,
        /// NUMA node it is attached to; absent when tied to none.
        numa_node: u32,
    }

    /// A Thunderbolt or USB4 device (`/sys/bus/thunderbolt`).
    Thunderbolt {
        /// Vendor.
        vendor: Text,
        /// Product.
        product: Text,
        /// UUID.
        unique_id: Text,
        /// Who may use it: 0 nobody, 1 it was authorized, 2 also by its key.
        authorized: u32,
    }

    /// A clock of the Precision Time Protocol (`/sys/class/ptp`).
    PtpClock {
        /// Name that its driver gives it.
        name: Text,
        /// Largest adjustment of its frequency, in parts per billion.
        max_adjustment_ppb: u64,
    }

    /// A watchdog (`/sys/class/watchdog`).
    Watchdog {
        /// Name that its driver gives it.
        identity: Text,
        /// State: `active` or `inactive`.
        state: Text,
        /// Time until it acts, in seconds.
        timeout_seconds: u32,
    }

    /// A framebuffer (`/sys/class/graphics`).
    Framebuffer {
        /// Name that its driver gives it.
        name: Text,
        /// Width and height in pixels, separated by a comma.
        virtual_size: Text,
        /// Bits of a pixel.
        bits_per_pixel: u32,
    }

    /// A video device (`/sys/class/video4linux`).
    VideoDevice {
        /// Name that its driver gives it.
        name: Text,
        /// Which of the device's nodes it is.
        index: u32,
    }

    /// A wireless radio (`/sys/class/ieee80211`).
    WirelessPhy {
        /// Hardware address.
        address: Text,
        /// Name.
        name: Text,
    }
}
