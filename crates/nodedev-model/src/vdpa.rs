use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Text;

/// A vDPA device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VdpaCapability {
    /// Device node for guests (`/dev/vhost-vdpa-0`); absent when the device is bound to the host's virtio driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chardev: Option<Text>,
}
