use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Text;

/// Vital Product Data of a PCI function.
///
/// Source: PCI Local Bus Specification 3.0, appendix I; the `vpd` file in sysfs, which only root can read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VpdCapability {
    /// Name of the product. Absent when the data has no string resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    /// Fields that the maker set; without any value when there are only fields that libvirt does not keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_only: Option<VpdReadOnly>,
    /// Fields that an administrator can set; without any value likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_write: Option<VpdReadWrite>,
}

/// Fields of the read-only block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VpdReadOnly {
    /// Engineering change level (`EC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change_level: Option<Text>,
    /// Manufacture id (`MN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacture_id: Option<Text>,
    /// Part number (`PN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_number: Option<Text>,
    /// Serial number (`SN`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<Text>,
    /// The maker's own fields (`V0` to `VZ`), in the order of first appearance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendor_fields: Vec<VpdField>,
}

/// Fields of the read-write block.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VpdReadWrite {
    /// Asset tag (`YA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_tag: Option<Text>,
    /// The maker's own fields (`V0` to `VZ`), in the order of first appearance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vendor_fields: Vec<VpdField>,
    /// The system's own fields (`Y0` to `YZ` without `YA`), in the order of first appearance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system_fields: Vec<VpdField>,
}

/// A field that the specification leaves to the vendor or the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VpdField {
    /// Second character of the keyword: a digit or a capital letter on a device.
    pub index: char,
    /// Value.
    pub value: Text,
}
