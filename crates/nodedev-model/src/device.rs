use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Capability, CapabilityType, DeviceName, Text};

/// One device of a host, or what a node device document says of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDevice {
    /// Identity of the device.
    pub name: DeviceName,
    /// Name of the nearest device above that is in the same view: libvirt's for a device of the libvirt view, and the nearest
    /// device of any kind for one that only the native view has. Absent for `computer`, and in a document that names none.
    pub parent: Option<DeviceName>,
    /// Name of the nearest device of any kind above, as the native view's tree has it. Absent for `computer`, and where only a
    /// document is known.
    pub native_parent: Option<DeviceName>,
    /// How a document that asks for a new vHBA names the parent, other than by name. Never found on a host.
    pub parent_selector: ParentSelector,
    /// Which views show the device.
    pub visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    pub state: DeviceState,
    /// Kernel subsystem (`pci`, `net`, `block` …). Absent for `computer` and in documents.
    pub subsystem: Option<Text>,
    /// Kernel object, an absolute path below `/sys/devices`. Absent for `computer` and for an inactive device.
    pub syspath: Option<Text>,
    /// Device node, an absolute path below `/dev`.
    pub devnode: Option<Text>,
    /// Further names of the device node, sorted by byte.
    pub devlinks: Vec<Text>,
    /// Name of the bound kernel driver.
    pub kernel_driver: Option<Text>,
    /// What the device is; exactly one on a host, one or more in a document.
    pub capabilities: Vec<Capability>,
}

impl NodeDevice {
    /// A device with a name and a capability and nothing else: active, transient, in both views.
    pub fn new(name: DeviceName, capability: Capability) -> Self {
        Self {
            name,
            parent: None,
            native_parent: None,
            parent_selector: ParentSelector::default(),
            visibility: Visibility::default(),
            state: DeviceState::default(),
            subsystem: None,
            syspath: None,
            devnode: None,
            devlinks: Vec::new(),
            kernel_driver: None,
            capabilities: vec![capability],
        }
    }

    /// Types of all capabilities, nested ones behind the one they belong to, as `virNodeDeviceListCaps` gives them.
    pub fn capability_types(&self) -> impl Iterator<Item = CapabilityType> {
        self.capabilities.iter().flat_map(Capability::kinds)
    }

    /// Takes the definition of a mediated device for what it runs with. A document tells only one configuration, and
    /// reading it makes that the definition; this makes it the one of an active device too.
    pub fn activate_definition(&mut self) {
        for capability in &mut self.capabilities {
            if let Capability::Mdev(mdev) = capability {
                mdev.active.clone_from(&mdev.defined);
            }
        }
    }
}

/// The JSON of a [`NodeDevice`]: the native view's parent under that name, and libvirt's under its own.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NodeDevice")]
struct DeviceJson<'a> {
    /// Identity of the device.
    name: Cow<'a, DeviceName>,
    /// Nearest device of any kind above; absent for `computer`. Of a daemon's device it is libvirt's parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Cow<'a, DeviceName>>,
    /// Nearest device above that libvirt shows. Absent for `computer`, for a device that libvirt does not show, and for a
    /// daemon's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt_parent: Option<Cow<'a, DeviceName>>,
    /// How a document that asks for a new virtual port names the parent; absent of what is on a host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_selector: Option<Cow<'a, ParentSelector>>,
    /// Which views show the device.
    #[serde(flatten)]
    visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    #[serde(flatten)]
    state: DeviceState,
    /// Kernel subsystem (`pci`, `net`, `block` …). Absent for `computer` and in documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem: Option<Cow<'a, Text>>,
    /// Kernel object, an absolute path below `/sys/devices`. Absent for `computer` and for an inactive device.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Cow<'a, Text>>,
    /// Device node, an absolute path below `/dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    devnode: Option<Cow<'a, Text>>,
    /// Further names of the device node, sorted by byte.
    #[serde(default, skip_serializing_if = "<[Text]>::is_empty")]
    devlinks: Cow<'a, [Text]>,
    /// Name of the bound kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<Cow<'a, Text>>,
    /// What the device is; exactly one on a host, one or more in a document.
    capabilities: Cow<'a, [Capability]>,
}

impl Serialize for NodeDevice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_known = self.native_parent.is_some() && self.visibility == Visibility::Libvirt;
        let is_selected = self.parent_selector != ParentSelector::default();
        DeviceJson {
            name: Cow::Borrowed(&self.name),
            parent: self.native_parent.as_ref().or(self.parent.as_ref()).map(Cow::Borrowed),
            libvirt_parent: self.parent.as_ref().filter(|_| is_known).map(Cow::Borrowed),
            parent_selector: is_selected.then_some(Cow::Borrowed(&self.parent_selector)),
            visibility: self.visibility,
            state: self.state,
            subsystem: self.subsystem.as_ref().map(Cow::Borrowed),
            path: self.syspath.as_ref().map(Cow::Borrowed),
            devnode: self.devnode.as_ref().map(Cow::Borrowed),
            devlinks: self.devlinks.as_slice().into(),
            driver: self.kernel_driver.as_ref().map(Cow::Borrowed),
            capabilities: self.capabilities.as_slice().into(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeDevice {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let json = DeviceJson::deserialize(reader)?;
        let above = json.parent.map(Cow::into_owned);
        let (parent, native_parent) = match (json.libvirt_parent, json.visibility) {
            (Some(parent), Visibility::Libvirt) => (Some(parent.into_owned()), above),
            // A daemon's device.
            (None, Visibility::Libvirt) => (above, None),
            // It is in one view alone, which has one parent of it.
            (_, Visibility::Native) => (above.clone(), above),
        };
        Ok(Self {
            name: json.name.into_owned(),
            parent,
            native_parent,
            parent_selector: json.parent_selector.map(Cow::into_owned).unwrap_or_default(),
            visibility: json.visibility,
            state: json.state,
            subsystem: json.subsystem.map(Cow::into_owned),
            syspath: json.path.map(Cow::into_owned),
            devnode: json.devnode.map(Cow::into_owned),
            devlinks: json.devlinks.into_owned(),
            kernel_driver: json.driver.map(Cow::into_owned),
            capabilities: json.capabilities.into_owned(),
        })
    }
}

impl JsonSchema for NodeDevice {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NodeDevice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        DeviceJson::json_schema(generator)
    }
}

/// Attributes of `<parent>` that choose a vHBA's parent by World Wide Names (`wwnn` and `wwpn`, or `fabric_wwn`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ParentSelector {
    /// World Wide Node Name of the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwnn: Option<Text>,
    /// World Wide Port Name of the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwpn: Option<Text>,
    /// World Wide Name of the fabric that the parent must be connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fabric_wwn: Option<Text>,
}

/// Which views show a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "view", rename_all = "snake_case")]
pub enum Visibility {
    /// The libvirt view and the native one.
    #[default]
    Libvirt,
    /// The native view only: libvirt does not represent such a device.
    #[serde(other)]
    Native,
}

/// Life of a device: whether it exists now, and whether it has a definition that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DeviceState {
    /// It exists now. Inactive: a mediated device that is defined but not started.
    pub active: bool,
    /// It has a definition. Otherwise it is transient.
    pub persistent: bool,
    /// Its definition is started with the host.
    pub autostart: bool,
}

impl Default for DeviceState {
    fn default() -> Self {
        Self { active: true, persistent: false, autostart: false }
    }
}
