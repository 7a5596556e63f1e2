use schemars::JsonSchema;
use serde::Serialize;

use crate::{Text, Uuid};

/// A type of mediated device that a parent can make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct MdevType {
    /// Id of the type (`nvidia-222`).
    pub id: Text,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    /// API the device has (`vfio-pci`, `vfio-ccw`, `vfio-ap`).
    pub device_api: Text,
    /// How many more can be made now.
    pub available_instances: u32,
}

/// A parent of mediated devices that has no other capability (the `mtty` sample driver).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct MdevTypesCapability {
    /// The types, sorted by id.
    pub types: Vec<MdevType>,
}

/// A mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct MdevCapability {
    /// UUID; absent only in a document that leaves it to be generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Address of the parent, in the form that mdevctl uses (`0000:00:02.0`, `0.0.0052`, `matrix`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_addr: Option<Text>,
    /// IOMMU group; 0 when inactive.
    pub iommu_group: u32,
    /// What is running. Absent when the device is inactive, and in a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<MdevConfig>,
    /// What is defined. Absent when the device is transient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defined: Option<MdevConfig>,
}

/// Type and attributes of a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct MdevConfig {
    /// Id of the type.
    #[serde(rename = "mdev_type")]
    pub type_id: Text,
    /// Attributes that are written after the device was made, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<MdevAttribute>,
}

/// An attribute of a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct MdevAttribute {
    /// Path relative to the device's folder in sysfs.
    pub name: Text,
    /// Value; absent when the definition holds something else than text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}
