use std::borrow::Cow;
use std::ops::ControlFlow;

use nodedev_model::{DeviceName, DeviceState, Issue, NodeDevice, PciAddress, Visibility};

use crate::Result;

/// Which devices are looked at, and whose parents are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// The devices that libvirt shows.
    Libvirt,
    /// Every device: those of libvirt and those it leaves out.
    Native,
}

/// A device of a view as the index knows it, without its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub name: DeviceName,
    /// Nearest device above that is in the same view; absent for `computer`.
    pub parent: Option<DeviceName>,
    /// What it is, as one word: the type of its capability (`pci`, `net` …), or for a device that only the native
    /// view has, the kernel's word (`bridge`, `nvme` …).
    pub kind: Cow<'static, str>,
    /// Which views show it.
    pub visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    pub state: DeviceState,
}

/// Called with each device; says whether to go on.
pub type DeviceVisitor<'a> = dyn FnMut(&NodeDevice) -> ControlFlow<()> + 'a;

/// The devices of a source as values, in both views.
pub trait Devices: Send + Sync {
    /// The devices of a view, sorted by name, from the index alone: nothing is described.
    ///
    /// # Errors
    /// [`Error::no_native_view`](crate::Error::no_native_view) of a source that has not got that view.
    fn entries(&self, view: View) -> Result<Vec<Entry>>;

    /// A device of either view, described afresh.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn device(&self, name: &str) -> Result<NodeDevice>;

    /// The PCI function at an address, described afresh.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn device_at(&self, address: PciAddress) -> Result<NodeDevice> {
        self.device(DeviceName::from_parts(b"pci", address.to_string().as_bytes(), None).as_str())
    }

    /// Describes every device of a view in one pass, sorted by name, and gives each to `visit` until it says stop.
    /// Memory stays bounded: no more than a few devices are held at a time. The result is what could not be read.
    ///
    /// # Errors
    /// [`Error::no_native_view`](crate::Error::no_native_view) of a source that has not got that view.
    fn visit(&self, view: View, visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>>;

    /// What could not be read of the host: describes every device to find out.
    ///
    /// # Errors
    /// Those of [`visit`](Self::visit).
    fn issues(&self) -> Result<Vec<Issue>> {
        self.visit(View::Native, &mut |_| ControlFlow::Continue(()))
    }
}
