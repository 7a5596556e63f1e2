use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MdevType;

/// An s390 crypto adapter card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ApCardCapability {
    /// Number of the adapter, 0 to 255.
    pub adapter: u32,
}

/// A queue: one domain of an s390 crypto adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ApQueueCapability {
    /// Number of the adapter, 0 to 255.
    pub adapter: u32,
    /// Number of the domain, 0 to 255.
    pub domain: u32,
}

/// The s390 crypto matrix, from which adapters and domains are handed to guests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ApMatrixCapability {
    /// Types of mediated devices it can be the parent of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mdev_types: Vec<MdevType>,
}
