//! What is to be done, or was done, to a device that exists because somebody asked for it: a mediated device, or a virtual port.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeviceName, DeviceState, Finding, Outcome, PlanStep};

/// What kind of thing a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceKind {
    /// Which driver serves a PCI function.
    Binding,
    /// A mediated device, and its definition.
    Mdev,
    /// A virtual port of a SCSI host.
    Vport,
}

/// A change of a mediated device or a virtual port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeOperation {
    /// It is made without a definition.
    Create,
    /// It gets a definition, or another one.
    Define,
    /// It is made as its definition says.
    Start,
    /// Its attributes are changed: those that it has, those of its definition, or both.
    Update,
    /// It is removed; its definition stays.
    Destroy,
    /// Its definition is removed.
    Undefine,
    /// Whether it is started with the host is changed.
    SetAutostart,
}

/// What a change does, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePlan {
    /// Which change.
    pub operation: ChangeOperation,
    /// Whether it was done.
    pub outcome: Outcome,
    /// The device that it is about.
    pub device: ChangedDevice,
    /// What is done, in this order. Empty if everything is so already.
    pub steps: Vec<PlanStep>,
    /// What is done if a step fails after it has changed something. Empty where a step changes all or nothing, and where
    /// nothing can be undone, as the attributes of a running device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<PlanStep>,
    /// What stands in the way, or should be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl ChangePlan {
    /// The plan where everything is so already.
    pub fn unchanged(self) -> Self {
        let device = ChangedDevice { after: self.device.before, ..self.device };
        Self { outcome: Outcome::Unchanged, device, steps: Vec::new(), undo: Vec::new(), ..self }
    }
}

/// A device that a change is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedDevice {
    /// What kind of thing it is.
    pub kind: ResourceKind,
    /// Name. Absent for a virtual port that is to be made: the kernel numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DeviceName>,
    /// What it is known by before it has a name: `PARENT@UUID`, `hostN@WWPN:WWNN`.
    pub key: String,
    /// Its life before; not active and not persistent if there is none.
    pub before: DeviceState,
    /// Its life afterwards.
    pub after: DeviceState,
}
