use schemars::JsonSchema;
use serde::Serialize;

use crate::{Capability, CapabilityType, DeviceName, Text};

/// One device of a host, or what a node device document says of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeDevice {
    /// Identity of the device.
    pub name: DeviceName,
    /// Name of the nearest device above that is in the same view; absent for `computer`, and in a document that
    /// names none.
    ///
    /// In JSON this is the libvirt view's parent for a device of the libvirt view, and the nearest device of any
    /// kind for one that only the native view has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<DeviceName>,
    /// How a document that asks for a new vHBA names the parent, other than by name. Never found on a host.
    #[serde(skip)]
    pub parent_selector: ParentSelector,
    /// Which views show the device.
    #[serde(flatten)]
    pub visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    #[serde(flatten)]
    pub state: DeviceState,
    /// Kernel subsystem (`pci`, `net`, `block` …). Absent for `computer` and in documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subsystem: Option<Text>,
    /// Kernel object, an absolute path below `/sys/devices`. Absent for `computer` and for an inactive device.
    #[serde(rename = "path", skip_serializing_if = "Option::is_none")]
    pub syspath: Option<Text>,
    /// Device node, an absolute path below `/dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devnode: Option<Text>,
    /// Further names of the device node, sorted by byte.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devlinks: Vec<Text>,
    /// Name of the bound kernel driver.
    #[serde(rename = "driver", skip_serializing_if = "Option::is_none")]
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
