use super::facts::facts;
use crate::Text;

facts! {
    /// An NVMe controller (`/sys/class/nvme`; NVM Express Base Specification, Identify Controller).
    NvmeController {
        /// Model number.
        model: Text,
        /// Serial number.
        serial: Text,
        /// Firmware revision.
        firmware: Text,
        /// How it is connected: `pcie`, `tcp`, `rdma`, `fc`, `loop`.
        transport: Text,
        /// Where it is: the address of its PCI function, or of a target over a network (`traddr=…,trsvcid=…`).
        address: Text,
        /// State: `live`, `resetting`, `connecting`, `deleting`, `dead`, `new`.
        state: Text,
        /// Qualified name of the subsystem that it is a part of (NQN).
        subsystem_nqn: Text,
        /// Number in the subsystem (`cntlid`).
        controller_id: u32,
    }

    /// An NVMe subsystem: what several controllers and paths lead to (`/sys/class/nvme-subsystem`).
    NvmeSubsystem {
        /// Qualified name (NQN).
        nqn: Text,
        /// Model number.
        model: Text,
        /// Serial number.
        serial: Text,
        /// Firmware revision.
        firmware: Text,
        /// How a path is chosen: `numa`, `round-robin`, `queue-depth`.
        iopolicy: Text,
    }

    /// A card or an eMMC on an MMC bus (`/sys/bus/mmc`).
    MmcCard {
        /// Kind: `MMC`, `SD`, `SDIO`, `SDcombo`.
        kind: Text,
        /// Name of the product.
        name: Text,
        /// Card identification register, 32 hexadecimal digits.
        cid: Text,
        /// Number of the maker.
        manufacturer: u32,
        /// Serial number.
        serial: u32,
    }
}
