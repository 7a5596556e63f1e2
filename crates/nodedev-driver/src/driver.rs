use std::borrow::Cow;
use std::ops::ControlFlow;

use nodedev_model::{
    CapabilityType, ChangePlan, DeviceName, DeviceState, Explanation, HandoverPlan, Handovers, Issue,
    NodeDevice, Visibility,
};

use crate::{
    Caller, ChangeRequest, CreateFlags, DetachOptions, Error, ExplainOptions, HostInfo, ListFlags,
    ReattachOptions, ResetOptions, Result, Revision, UpdateFlags, Watch, XmlFlags,
};

/// A device as lists and lookups give it: its name, which is its identity, and its parent's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceRef {
    /// Name.
    pub name: DeviceName,
    /// Name of the device above; absent for `computer`.
    pub parent: Option<DeviceName>,
}

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

/// The devices of a view at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment: a [`Watch`] since this revision tells every later change, and none that is in here.
    pub revision: Revision,
    /// The devices, sorted by name.
    pub entries: Vec<Entry>,
}

/// Called with each device's name and its XML, or why there is none; says whether to go on.
pub type XmlVisitor<'a> = dyn FnMut(&DeviceName, Result<&[u8]>) -> ControlFlow<()> + 'a;

/// Called with each device; says whether to go on.
pub type DeviceVisitor<'a> = dyn FnMut(&NodeDevice) -> ControlFlow<()> + 'a;

/// A source of node devices: this machine, a recording, invented ones, or a daemon.
///
/// The trait is synchronous and its implementations can be used from several threads at once. Names are the identity
/// of devices: every call looks its device up by name, and any call fails with [`Error::no_device`] if there is none.
///
/// Looking calls are described with the libvirt function that they stand for. A driver need not implement the calls
/// that change something; the default refuses them the way libvirt's client library refuses a call that a driver lacks.
pub trait Driver: Send + Sync {
    /// The devices that flags select, sorted by name (`virConnectListAllNodeDevices`).
    ///
    /// # Errors
    /// [`Error::unsupported_flags`].
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>>;

    /// Names of the devices that flags select, sorted: [`Driver::list`] without the parents, which a daemon has to be asked
    /// for one by one.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`].
    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        Ok(self.list(flags)?.into_iter().map(|device| device.name).collect())
    }

    /// Names of all devices, active and inactive, or of those with a capability, top-level or nested, sorted
    /// (`virNodeListDevices`, `virNodeNumOfDevices`). No device has a capability of an unknown name.
    ///
    /// # Errors
    /// Those of the connection; none for an embedded driver.
    fn names(&self, capability: Option<&str>) -> Result<Vec<DeviceName>>;

    /// The device of a name (`virNodeDeviceLookupByName`).
    ///
    /// # Errors
    /// [`Error::no_device`].
    fn lookup(&self, name: &str) -> Result<DeviceRef>;

    /// The SCSI host with a pair of World Wide Names, which are compared as text, letter by letter
    /// (`virNodeDeviceLookupSCSIHostByWWN`).
    ///
    /// # Errors
    /// [`Error::unknown_cause`] if there is none, as libvirt has no better; [`Error::no_support`].
    fn lookup_scsi_host_by_wwn(&self, _wwnn: &str, _wwpn: &str) -> Result<DeviceRef> {
        Err(Error::no_support("virNodeDeviceLookupSCSIHostByWWN"))
    }

    /// The device's description as libvirt's XML, made afresh (`virNodeDeviceGetXMLDesc`). Bytes, since what devices
    /// say of themselves need not be UTF-8.
    ///
    /// An inactive device is described by its definition whether or not [`XmlFlags::INACTIVE`] is given.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`]; [`Error::not_persistent`] if the definition of a transient device is asked for.
    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>>;

    /// Name of the device above (`virNodeDeviceGetParent`); absent for `computer`. That libvirt's own driver fails
    /// with `no parent for this device` there is for those to reproduce who hand the answer to its clients.
    ///
    /// # Errors
    /// [`Error::no_device`].
    fn parent(&self, name: &str) -> Result<Option<DeviceName>>;

    /// Types of the device's capabilities, each followed by the nested ones that libvirt counts
    /// (`virNodeDeviceListCaps`, `virNodeDeviceNumOfCaps`).
    ///
    /// # Errors
    /// [`Error::no_device`].
    fn capabilities(&self, name: &str) -> Result<Vec<CapabilityType>>;

    /// Whether the device exists now (`virNodeDeviceIsActive`).
    ///
    /// # Errors
    /// [`Error::no_device`].
    fn is_active(&self, name: &str) -> Result<bool>;

    /// Whether the device has a definition (`virNodeDeviceIsPersistent`).
    ///
    /// # Errors
    /// [`Error::no_device`].
    fn is_persistent(&self, name: &str) -> Result<bool>;

    /// Whether the device's definition is started with the host (`virNodeDeviceGetAutostart`).
    ///
    /// # Errors
    /// [`Error::no_device`]; [`Error::no_support`].
    fn autostart(&self, _name: &str) -> Result<bool> {
        Err(Error::no_support("virNodeDeviceGetAutostart"))
    }

    /// Gives the XML of every device that flags select to `visit`, sorted by name, until it says stop.
    ///
    /// The same as [`Driver::list`] and [`Driver::xml`] for each, but a driver can do better. A device that vanishes
    /// meanwhile is left out; one that cannot be described is given with its error.
    ///
    /// # Errors
    /// Those of [`Driver::list`].
    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        for device in self.list(list)? {
            let text = self.xml(device.name.as_str(), xml);
            if matches!(&text, Err(error) if error.code() == crate::ErrorCode::NO_NODE_DEVICE) {
                continue;
            }
            if visit(&device.name, text.as_deref().map_err(Clone::clone)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Makes a transient device from a document (`virNodeDeviceCreateXML`).
    ///
    /// # Errors
    /// Those of the document, and of making the device.
    fn create_xml(&self, _xml: &[u8], _flags: CreateFlags) -> Result<DeviceRef> {
        Err(Error::no_support("virNodeDeviceCreateXML"))
    }

    /// Defines a persistent device from a document without starting it (`virNodeDeviceDefineXML`).
    ///
    /// # Errors
    /// Those of the document, and of defining the device.
    fn define_xml(&self, _xml: &[u8], _flags: CreateFlags) -> Result<DeviceRef> {
        Err(Error::no_support("virNodeDeviceDefineXML"))
    }

    /// Removes an active device; a definition stays (`virNodeDeviceDestroy`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of removing it.
    fn destroy(&self, _name: &str) -> Result<()> {
        Err(Error::no_support("virNodeDeviceDestroy"))
    }

    /// Removes a device's definition (`virNodeDeviceUndefine`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of removing it.
    fn undefine(&self, _name: &str) -> Result<()> {
        Err(Error::no_support("virNodeDeviceUndefine"))
    }

    /// Starts a defined device (`virNodeDeviceCreate`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of starting it.
    fn create(&self, _name: &str) -> Result<()> {
        Err(Error::no_support("virNodeDeviceCreate"))
    }

    /// Changes a device to what a document says (`virNodeDeviceUpdate`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of the document, and of the change.
    fn update(&self, _name: &str, _xml: &[u8], _flags: UpdateFlags) -> Result<()> {
        Err(Error::no_support("virNodeDeviceUpdate"))
    }

    /// Sets whether a device's definition is started with the host (`virNodeDeviceSetAutostart`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of the change.
    fn set_autostart(&self, _name: &str, _autostart: bool) -> Result<()> {
        Err(Error::no_support("virNodeDeviceSetAutostart"))
    }

    /// Takes a device from the host so that a guest can have it; by default for the kernel driver `vfio-pci`
    /// (`virNodeDeviceDettach`, and `virNodeDeviceDetachFlags` with a driver).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of the change.
    fn detach(&self, _name: &str, kernel_driver: Option<&str>) -> Result<()> {
        Err(Error::no_support(if kernel_driver.is_some() {
            "virNodeDeviceDetachFlags"
        } else {
            "virNodeDeviceDettach"
        }))
    }

    /// As [`Driver::detach`], for somebody who may have come over a network: a device that their connection leads through is
    /// refused, where that can be found out.
    ///
    /// # Errors
    /// As [`Driver::detach`].
    fn detach_for(&self, name: &str, kernel_driver: Option<&str>, _caller: Caller) -> Result<()> {
        self.detach(name, kernel_driver)
    }

    /// Gives a detached device back to the host (`virNodeDeviceReAttach`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of the change.
    fn reattach(&self, _name: &str) -> Result<()> {
        Err(Error::no_support("virNodeDeviceReAttach"))
    }

    /// Resets a detached device (`virNodeDeviceReset`).
    ///
    /// # Errors
    /// [`Error::no_device`]; those of the reset.
    fn reset(&self, _name: &str) -> Result<()> {
        Err(Error::no_support("virNodeDeviceReset"))
    }

    /// Takes a device from the host as [`Driver::detach`] does, with more to choose, and tells what was done. Stricter
    /// than libvirt: a device whose IOMMU group the host still uses, so that no guest could have it, is refused too.
    /// [`Outcome::Unchanged`](nodedev_model::Outcome::Unchanged): the driver has it already.
    ///
    /// # Errors
    /// [`Error::no_device`]; what stands in the way; those of the change; [`Error::no_native_call`].
    fn detach_with(&self, _name: &str, _options: &DetachOptions) -> Result<HandoverPlan> {
        Err(Error::no_native_call("detach with more options than a driver's name"))
    }

    /// Gives a device back to the host as [`Driver::reattach`] does, with more to choose, and tells what was done.
    /// [`Outcome::Unchanged`](nodedev_model::Outcome::Unchanged): the host has it already.
    ///
    /// # Errors
    /// [`Error::no_device`]; what stands in the way; those of the change; [`Error::no_native_call`].
    fn reattach_with(&self, _name: &str, _options: &ReattachOptions) -> Result<HandoverPlan> {
        Err(Error::no_native_call("reattach with options"))
    }

    /// Resets a device, and tells how. Unlike [`Driver::reset`], a device that was not reset is always an error.
    ///
    /// # Errors
    /// [`Error::no_device`]; what stands in the way; those of the reset; [`Error::no_native_call`].
    fn reset_with(&self, _name: &str, _options: &ResetOptions) -> Result<HandoverPlan> {
        Err(Error::no_native_call("reset with options"))
    }

    /// What would be done to make, change or remove a mediated device or a virtual port, and how it would be undone. Nothing is
    /// changed, and what stands in the way is told as the call itself would.
    ///
    /// # Errors
    /// Those of the call; [`Error::no_native_call`].
    fn plan_change(&self, _request: &ChangeRequest<'_>) -> Result<ChangePlan> {
        Err(Error::no_native_call("plan of a change"))
    }

    /// Whether a device can be handed to a guest, with a kernel driver of a name or the one that fits it; if not, why, and
    /// what would help. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::no_device`]; those of a device that is not PCI; [`Error::no_native_call`].
    fn explain(&self, _name: &str, _options: &ExplainOptions) -> Result<Explanation> {
        Err(Error::no_native_call("explain"))
    }

    /// [`Driver::explain`] of several devices, each of which is told until `tell` says stop. A driver that looks at the host itself
    /// looks once for all of them.
    fn explain_each(
        &self,
        names: &[&str],
        options: &ExplainOptions,
        tell: &mut dyn FnMut(&str, Result<Explanation>) -> ControlFlow<()>,
    ) {
        for name in names {
            if tell(name, self.explain(name, options)).is_break() {
                break;
            }
        }
    }

    /// [`Driver::detach_with`] of several devices, one after the other, each of which is told until `tell` says stop. Where
    /// nothing is done (`dry_run`), a driver that looks at the host itself looks once for all of them.
    fn detach_each(
        &self,
        names: &[&str],
        options: &DetachOptions,
        tell: &mut dyn FnMut(&str, Result<HandoverPlan>) -> ControlFlow<()>,
    ) {
        for name in names {
            if tell(name, self.detach_with(name, options)).is_break() {
                break;
            }
        }
    }

    /// The devices that were taken from the host, and what is to be given back.
    ///
    /// # Errors
    /// Those of reading the journal; [`Error::no_native_call`].
    fn handovers(&self) -> Result<Handovers> {
        Err(Error::no_native_call("list of handovers"))
    }

    /// Forgets what is to be given back for a device, by its name or its PCI address; the device stays as it is. For an entry
    /// that cannot be used any more. Says whether there was one.
    ///
    /// # Errors
    /// Those of the journal; [`Error::no_native_call`].
    fn forget_handover(&self, _name: &str) -> Result<bool> {
        Err(Error::no_native_call("way to forget a handover"))
    }

    /// Finishes or undoes the operations that a crash interrupted. Says what was done, and what could not be; a program
    /// that serves others calls it when it starts.
    ///
    /// # Errors
    /// Those of the journal as a whole; [`Error::no_native_call`].
    fn recover_handovers(&self) -> Result<Vec<Issue>> {
        Err(Error::no_native_call("recovery of handovers"))
    }

    /// The devices of a view, sorted by name, from the index alone: nothing is described.
    ///
    /// # Errors
    /// [`Error::no_native_view`].
    fn entries(&self, _view: View) -> Result<Vec<Entry>> {
        Err(Error::no_native_view())
    }

    /// A device of either view, described afresh.
    ///
    /// # Errors
    /// [`Error::no_device`]; [`Error::no_native_view`].
    fn device(&self, _name: &str) -> Result<NodeDevice> {
        Err(Error::no_native_view())
    }

    /// Describes every device of a view in one pass, sorted by name, and gives each to `visit` until it says stop.
    /// Memory stays bounded: no more than a few devices are held at a time. The result is what could not be read.
    ///
    /// # Errors
    /// [`Error::no_native_view`].
    fn visit(&self, _view: View, _visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>> {
        Err(Error::no_native_view())
    }

    /// The devices of a view, as [`Driver::entries`] gives them, with the revision at which they were so.
    ///
    /// # Errors
    /// [`Error::no_support`] where nothing tells of changes; [`Error::no_native_view`].
    fn snapshot(&self, _view: View) -> Result<Snapshot> {
        Err(Error::no_events())
    }

    /// The revision that the devices are at, at once. Absent where changes are not followed, or not yet: then nothing tells
    /// how long what was seen is right.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// Tells what happens to devices from now on, or since a revision that an earlier watch or snapshot gave
    /// (`virConnectNodeDeviceEventRegisterAny`). Devices of both views; [`Event::libvirt_events`](crate::Event) tells
    /// what of it shows in libvirt's.
    ///
    /// # Errors
    /// [`Error::no_events`] where nothing tells of changes; [`Error::history_gone`].
    fn watch(&self, _since: Option<Revision>) -> Result<Watch> {
        Err(Error::no_events())
    }

    /// The machine that the devices are of: its processors, memory, name (`virNodeGetInfo`, `virConnectGetHostname`,
    /// `virConnectGetCapabilities`).
    ///
    /// # Errors
    /// [`Error::no_support`].
    fn host_info(&self) -> Result<HostInfo> {
        Err(Error::no_support("virNodeGetInfo"))
    }

    /// What could not be read of the host: describes every device to find out.
    ///
    /// # Errors
    /// [`Error::no_native_view`].
    fn issues(&self) -> Result<Vec<Issue>> {
        self.visit(View::Native, &mut |_| ControlFlow::Continue(()))
    }
}
