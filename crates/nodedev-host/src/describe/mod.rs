//! Describes one device: reads what its capability needs, afresh each time.

mod ap;
mod ccw;
mod drm;
mod facts;
mod mdev;
mod native;
pub(crate) mod nested;
mod net;
mod pci;
pub(crate) mod scsi;
mod software;
mod storage;
mod system;
mod usb;
mod vdpa;

use std::cell::RefCell;
use std::collections::HashMap;

use nodedev_model::{Capability, CapabilityType, NodeDevice, ParentSelector, Text};
use nodedev_sys::Root;
use nodedev_sys::paths::basename;

use crate::classify::Kind;
use crate::index::Definition;
use crate::kernel::{Issues, KernelDevice};
use crate::pci_ids::PciIds;
use crate::scan::Uevents;
use crate::shared::{Known, Shared};

/// What describing devices needs beside the device itself, and what it may remember while it describes many.
pub(crate) struct Describer<'a> {
    pub(crate) root: &'a Root,
    pub(crate) pci_ids: &'a PciIds,
    shared: &'a Shared,
    /// Whether what only the native view shows is read too.
    pub(crate) is_native: bool,
    /// What the scan just before this pass read already.
    uevents: Option<&'a Uevents>,
    /// Members of IOMMU groups seen in this pass: the devices of a group share the list.
    pub(crate) groups: RefCell<HashMap<Vec<u8>, pci::GroupMembers>>,
    /// Which folders outside of the index exist: many devices share few drivers.
    pub(crate) folders: RefCell<HashMap<Vec<u8>, bool>>,
    pub(crate) net: net::Probes,
}

impl<'a> Describer<'a> {
    pub(crate) fn new(shared: &'a Shared, uevents: Option<&'a Uevents>) -> Self {
        Self {
            root: &shared.root,
            pci_ids: &shared.pci_ids,
            shared,
            is_native: false,
            uevents,
            groups: RefCell::default(),
            folders: RefCell::default(),
            net: net::Probes::default(),
        }
    }

    /// Reads what only the native view shows, too.
    pub(crate) fn natively(self) -> Self {
        Self { is_native: true, ..self }
    }

    /// Last component of what the link `name` in the device's folder leads to. `None` if that does not exist: libvirt
    /// follows such links.
    pub(crate) fn followed_link(&self, device: &KernelDevice<'_>, name: &str) -> Option<Vec<u8>> {
        let path = device.link_path(name)?;
        let target = basename(&path).to_vec();
        let exists = self.shared.index().at_path(&path).is_some()
            || *self.folders.borrow_mut().entry(path).or_insert_with_key(|path| self.root.exists(path));
        (exists && !target.is_empty()).then_some(target)
    }

    /// Describes a device. `None` if it is gone.
    pub(crate) fn describe(&self, known: Known, issues: &Issues) -> Option<NodeDevice> {
        let before = issues.len();
        let name = known.name.clone();
        let device = self.read(known, issues);
        issues.attribute(before, &name);
        device
    }

    fn read(&self, known: Known, issues: &Issues) -> Option<NodeDevice> {
        let Known { id, name, path, subsystem, kind, visibility, state, parent, native_parent, definition } =
            known;
        let mut described = NodeDevice {
            name,
            parent,
            native_parent,
            parent_selector: ParentSelector::default(),
            visibility,
            state,
            subsystem: (!subsystem.is_empty()).then(|| (&*subsystem).into()),
            syspath: None,
            devnode: None,
            devlinks: Vec::new(),
            kernel_driver: None,
            capabilities: Vec::new(),
        };
        if path.is_empty() {
            described.capabilities.push(match &definition {
                Some(definition) => mdev::inactive(definition),
                None => system::describe(self, issues),
            });
            return Some(described);
        }
        let device = match self.uevents.and_then(|uevents| uevents.get(id)) {
            Some(uevent) => KernelDevice::reopen(self.root, &path, &subsystem, issues, uevent)?,
            None => KernelDevice::open(self.root, &path, &subsystem, issues)?,
        };
        described.syspath = Some([b"/", &*path].concat().into());
        described.devnode = device.devnode();
        if described.devnode.is_some() {
            described.devlinks =
                device.record().links().into_iter().map(|link| [b"/dev/", &*link].concat().into()).collect();
        }
        described.kernel_driver = self.followed_link(&device, "driver").map(Text::from);
        described.capabilities.push(match kind {
            Kind::Native(class) => native::describe(&device, class),
            Kind::Libvirt(kind) => self.capability(kind, &device, definition.as_ref()),
        });
        Some(described)
    }

    fn capability(
        &self,
        kind: CapabilityType,
        device: &KernelDevice<'_>,
        definition: Option<&Definition>,
    ) -> Capability {
        use CapabilityType as T;
        match kind {
            T::Pci => pci::describe(self, device),
            T::UsbDevice => usb::device(self, device),
            T::Usb => usb::interface(device),
            T::Net => net::describe(self, device),
            T::ScsiHost => scsi::host(device),
            T::ScsiTarget => scsi::target(self, device),
            T::Scsi => scsi::unit(self, device),
            T::Storage => storage::describe(self, device),
            T::ScsiGeneric => scsi::generic(device),
            T::Drm => drm::describe(device),
            T::MdevTypes => mdev::types_only(device),
            T::Mdev => mdev::active(device, definition),
            T::Ccw => ccw::device(device),
            T::Css => ccw::subchannel(device),
            T::Vdpa => vdpa::describe(device),
            T::ApCard => ap::card(device),
            T::ApQueue => ap::queue(device),
            T::ApMatrix => ap::matrix(device),
            T::Ccwgroup => ccw::group(device),
            // No device is of a nested type, and `computer` has no path.
            T::System | T::FcHost | T::Vports | T::Vpd | T::CcwgroupMember => {
                Capability::Native(nodedev_model::NativeCapability::default())
            }
        }
    }
}
