use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Text, Uuid};

/// A type of mediated device that a parent can make.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MdevTypesCapability {
    /// The types, sorted by id.
    pub types: Vec<MdevType>,
}

/// A mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MdevCapability {
    /// UUID; absent only in a document that leaves it to be generated.
    pub uuid: Option<Uuid>,
    /// Address of the parent, in the form that mdevctl uses (`0000:00:02.0`, `0.0.0052`, `matrix`).
    pub parent_addr: Option<Text>,
    /// IOMMU group; 0 when inactive.
    pub iommu_group: u32,
    /// What is running. Absent when the device is inactive, and in a document.
    pub active: Option<MdevConfig>,
    /// What is defined. Absent when the device is transient.
    pub defined: Option<MdevConfig>,
}

/// The JSON of an [`MdevCapability`]: an inactive device is in no IOMMU group.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "MdevCapability")]
struct MdevJson<'a> {
    /// UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<Uuid>,
    /// Address of the parent, in the form that mdevctl uses (`0000:00:02.0`, `0.0.0052`, `matrix`).
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_addr: Option<Cow<'a, Text>>,
    /// IOMMU group; absent when the device is inactive.
    #[serde(skip_serializing_if = "Option::is_none")]
    iommu_group: Option<u32>,
    /// What is running. Absent when the device is inactive.
    #[serde(skip_serializing_if = "Option::is_none")]
    active: Option<Cow<'a, MdevConfig>>,
    /// What is defined. Absent when the device is transient.
    #[serde(skip_serializing_if = "Option::is_none")]
    defined: Option<Cow<'a, MdevConfig>>,
}

impl Serialize for MdevCapability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MdevJson {
            uuid: self.uuid,
            parent_addr: self.parent_addr.as_ref().map(Cow::Borrowed),
            iommu_group: (self.active.is_some() || self.iommu_group != 0).then_some(self.iommu_group),
            active: self.active.as_ref().map(Cow::Borrowed),
            defined: self.defined.as_ref().map(Cow::Borrowed),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MdevCapability {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let json = MdevJson::deserialize(reader)?;
        Ok(Self {
            uuid: json.uuid,
            parent_addr: json.parent_addr.map(Cow::into_owned),
            iommu_group: json.iommu_group.unwrap_or(0),
            active: json.active.map(Cow::into_owned),
            defined: json.defined.map(Cow::into_owned),
        })
    }
}

impl JsonSchema for MdevCapability {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MdevCapability".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        MdevJson::json_schema(generator)
    }
}

/// Type and attributes of a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MdevConfig {
    /// Id of the type.
    #[serde(rename = "mdev_type")]
    pub type_id: Text,
    /// Attributes that are written after the device was made, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<MdevAttribute>,
}

/// An attribute of a mediated device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct MdevAttribute {
    /// Path relative to the device's folder in sysfs.
    pub name: Text,
    /// Value; absent when the definition holds something else than text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Text>,
}
