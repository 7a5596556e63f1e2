use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DeviceName;

/// Something of a host that could not be read or made sense of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
