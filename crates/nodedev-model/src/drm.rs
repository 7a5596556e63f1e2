use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::words;

/// A DRM minor: one of the device files of a graphics device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrmCapability {
    /// Which of the device files.
    #[serde(rename = "drm_type")]
    pub kind: DrmKind,
}

words! {
    /// Which of a graphics device's files.
    DrmKind {
        /// `cardN`: everything, mode setting included.
        Primary = "primary",
        /// `controlDN`: gone since kernel 4.17.
        Control = "control",
        /// `renderDN`: rendering only.
        Render = "render",
    }
}
