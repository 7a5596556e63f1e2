use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{DeviceName, NodeDevice};

/// All devices of a host, and what could not be read of them.
///
/// Looking at a host never fails as a whole: a broken attribute costs one field and is reported in `issues`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Inventory {
    /// The devices, sorted by name.
    pub devices: Vec<NodeDevice>,
    /// What was missing or malformed.
    pub issues: Vec<Issue>,
}

/// Something of a host that could not be read or made sense of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub struct Issue {
    /// The device it concerns; absent if it belongs to none (a definition file, a folder).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// The file, as an absolute path of the host.
    pub path: String,
    /// What is wrong, as one line of text.
    pub problem: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, "{device}: ")?;
        }
        write!(f, "{}: {}", self.path, self.problem)
    }
}
