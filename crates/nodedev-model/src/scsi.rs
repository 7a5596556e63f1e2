use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::native::facts::facts;
use crate::{SasEndDevice, Text};

/// A SCSI host adapter, virtual ones (vHBA) included.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScsiHostCapability {
    /// The kernel's number of the host; 0 in a document that asks for a new vHBA.
    pub host: u32,
    /// Number that stays the same for a driver's adapter (`unique_id`); absent when unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_id: Option<u32>,
    /// The host is a Fibre Channel port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fc_host: Option<FcHost>,
    /// The port can make virtual ports (NPIV).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vport_ops: Option<VportOps>,
}

/// World Wide Names of a Fibre Channel port: hexadecimal digits without `0x` on a host, any text in a document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FcHost {
    /// Node name. On a host always there; a document may leave it to be generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwnn: Option<Text>,
    /// Port name. On a host always there; a document may leave it to be generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwpn: Option<Text>,
    /// Name of the fabric; absent when unreadable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fabric_wwn: Option<Text>,
}

/// How many virtual ports a Fibre Channel port can have and has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VportOps {
    /// At most so many.
    pub max_vports: u32,
    /// So many there are.
    pub vports: u32,
}

/// A SCSI target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScsiTargetCapability {
    /// The kernel's name, `target0:0:0`.
    pub target: Text,
    /// The remote port that the target is behind, for Fibre Channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fc_remote_port: Option<FcRemotePort>,
    /// The end of the SAS link that the target is. Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sas: Option<SasEndDevice>,
    /// The iSCSI session that leads to the target. Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iscsi: Option<IscsiSession>,
}

facts! {
    /// An iSCSI session (`/sys/class/iscsi_session`, RFC 7143).
    IscsiSession {
        /// The kernel's name, `session1`.
        session: Text,
        /// Name of the target (`iqn.…`).
        target: Text,
        /// Name of the initiator, this host (`iqn.…`).
        initiator: Text,
        /// Number of the target's portal group.
        portal_group: u32,
        /// State: `LOGGED_IN`, `FAILED`, `FREE`.
        state: Text,
        /// Address of the target, as it was configured.
        address: Text,
        /// TCP port of the target.
        port: u32,
    }
}

/// A Fibre Channel remote port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FcRemotePort {
    /// The kernel's name, `rport-0:0-0`.
    pub rport: Text,
    /// Port name, with its `0x`.
    pub wwpn: Text,
}

/// A SCSI logical unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScsiCapability {
    /// Host number.
    pub host: u32,
    /// Bus (channel) number.
    pub bus: u32,
    /// Target number.
    pub target: u32,
    /// Logical unit number, 64 bits as in the SCSI Architecture Model. libvirt leaves out units beyond 32 bits.
    pub lun: u64,
    /// Peripheral type as a word (`disk`, `cdrom`, `tape` …); absent for types that libvirt has no word for.
    #[serde(rename = "scsi_type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text>,
    /// Vendor (INQUIRY). Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Text>,
    /// Model (INQUIRY). Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Text>,
    /// World wide identifier, with its kind (`naa.…`, `eui.…`, `t10.…`). Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwid: Option<Text>,
}

/// The character device for SCSI commands to a logical unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScsiGenericCapability {
    /// Device node, `/dev/sg0`.
    #[serde(rename = "char")]
    pub path: Text,
}
