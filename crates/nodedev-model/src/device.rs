use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

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
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NodeDevice")]
struct DeviceJson<'a> {
    /// Identity of the device.
    name: &'a DeviceName,
    /// Nearest device of any kind above; absent for `computer`. Of a daemon's device it is libvirt's parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<&'a DeviceName>,
    /// Nearest device above that libvirt shows. Absent for `computer`, for a device that libvirt does not show, and for a
    /// daemon's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt_parent: Option<&'a DeviceName>,
    /// Which views show the device.
    #[serde(flatten)]
    visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    #[serde(flatten)]
    state: DeviceState,
    /// Kernel subsystem (`pci`, `net`, `block` …). Absent for `computer` and in documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem: Option<&'a Text>,
    /// Kernel object, an absolute path below `/sys/devices`. Absent for `computer` and for an inactive device.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a Text>,
    /// Device node, an absolute path below `/dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    devnode: Option<&'a Text>,
    /// Further names of the device node, sorted by byte.
    #[serde(skip_serializing_if = "<[Text]>::is_empty")]
    devlinks: &'a [Text],
    /// Name of the bound kernel driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'a Text>,
    /// What the device is; exactly one on a host, one or more in a document.
    capabilities: &'a [Capability],
}

impl Serialize for NodeDevice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_known = self.native_parent.is_some() && self.visibility == Visibility::Libvirt;
        DeviceJson {
            name: &self.name,
            parent: self.native_parent.as_ref().or(self.parent.as_ref()),
            libvirt_parent: self.parent.as_ref().filter(|_| is_known),
            visibility: self.visibility,
            state: self.state,
            subsystem: self.subsystem.as_ref(),
            path: self.syspath.as_ref(),
            devnode: self.devnode.as_ref(),
            devlinks: &self.devlinks,
            driver: self.kernel_driver.as_ref(),
            capabilities: &self.capabilities,
        }
        .serialize(serializer)
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParentSelector {
    /// World Wide Node Name of the parent.
    pub wwnn: Option<Text>,
    /// World Wide Port Name of the parent.
    pub wwpn: Option<Text>,
    /// World Wide Name of the fabric that the parent must be connected to.
    pub fabric_wwn: Option<Text>,
}

/// Which views show a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(tag = "view", rename_all = "snake_case")]
pub enum Visibility {
    /// The libvirt view and the native one.
    #[default]
    Libvirt,
    /// The native view only: libvirt does not represent such a device.
    Native,
}

/// Life of a device: whether it exists now, and whether it has a definition that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
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
