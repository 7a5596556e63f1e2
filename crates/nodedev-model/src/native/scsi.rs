use super::facts::facts;
use crate::Text;

facts! {
    /// What tells a SCSI device from others (`vendor`, `model`, `wwid` of its logical unit).
    ScsiIdentity {
        /// Vendor (INQUIRY).
        vendor: Text,
        /// Model (INQUIRY).
        model: Text,
        /// World wide identifier, with its kind (`naa.…`, `eui.…`, `t10.…`).
        wwid: Text,
    }

    /// A tape drive (`/sys/class/scsi_tape`).
    TapeDrive {
        /// Vendor (INQUIRY).
        vendor: Text,
        /// Model (INQUIRY).
        model: Text,
        /// World wide identifier, with its kind (`naa.…`, `eui.…`, `t10.…`).
        wwid: Text,
        /// Default size of a block in bytes; 0: of any length. Absent where none was set.
        default_block_size: u32,
        /// Default density code. Absent where none was set.
        default_density: u32,
    }

    /// An enclosure of disks (`/sys/class/enclosure`, SCSI Enclosure Services).
    ScsiEnclosure {
        /// Vendor (INQUIRY).
        vendor: Text,
        /// Model (INQUIRY).
        model: Text,
        /// World wide identifier, with its kind (`naa.…`, `eui.…`, `t10.…`).
        wwid: Text,
        /// Identifier of the enclosure.
        id: Text,
        /// How many components it has: bays, fans, power supplies.
        components: u32,
    }

    /// A device at the end of a SAS link (`/sys/class/sas_device`).
    SasEndDevice {
        /// SAS address, 16 hexadecimal digits behind `0x`.
        sas_address: Text,
        /// SAS address of the enclosure that it is in.
        enclosure: Text,
        /// Number of its bay in the enclosure.
        bay: u32,
    }

    /// A SAS expander (`/sys/class/sas_expander`).
    SasExpander {
        /// Vendor.
        vendor: Text,
        /// Product.
        product: Text,
        /// SAS address, 16 hexadecimal digits behind `0x`.
        sas_address: Text,
    }

    /// A Fibre Channel port that is reached over a host's (`/sys/class/fc_remote_ports`).
    FcPort {
        /// World Wide Port Name, with its `0x`.
        wwpn: Text,
        /// World Wide Node Name, with its `0x`.
        wwnn: Text,
        /// State: `Online`, `Blocked`, `Not Present` …
        state: Text,
        /// What it is: `FCP Target`, `FCP Initiator` …
        roles: Text,
    }

    /// A port of an ATA controller (`/sys/class/ata_port`).
    AtaPort {
        /// Number on the controller.
        port: u32,
        /// How many links a port multiplier has; 0 without one.
        multiplier_links: u32,
    }
}
