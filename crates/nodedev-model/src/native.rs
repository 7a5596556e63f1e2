use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Text;

/// A device that libvirt has no capability for: NVMe controllers, InfiniBand, accelerators, TPMs, tapes …
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NativeCapability {
    /// What it is, as one word (`nvme`, `infiniband`, `accel`, `tpm` …).
    pub class: Text,
    /// What the kernel says of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<NativeProperty>,
}

/// Something that the kernel says of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NativeProperty {
    /// Name, as the kernel's attribute is called.
    pub name: Text,
    /// Value.
    pub value: Text,
}
