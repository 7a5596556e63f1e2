use std::borrow::Cow;
use std::ops::ControlFlow;

use nodedev_model::{DeviceName, Text};

use crate::{CreateFlags, ErrorCode, HostInfo, ListFlags, Result, UpdateFlags, Watch, XmlFlags};

/// A device as lists and lookups give it: its name, which is its identity, and its parent's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceRef {
    /// Name.
    pub name: DeviceName,
    /// Name of the device above; absent for `computer`.
    pub parent: Option<DeviceName>,
}

/// Called with each device's name and its XML, or why there is none; says whether to go on.
pub type XmlVisitor<'a> = dyn FnMut(&DeviceName, Result<&[u8]>) -> ControlFlow<()> + 'a;

/// libvirt's functions for node devices, as every source of them answers: this machine, a recording, invented devices, a daemon.
///
/// The calls are synchronous and can be made from several threads at once. Names are the identity of devices: every call looks
/// its device up by name, and fails with [`Error::no_device`](crate::Error::no_device) if there is none. Flags are given as they came,
/// so that a daemon that is newer than this library has those that it alone knows; where libvirt has no flags for a function yet,
/// they are a number that is 0. A source that has not got a function refuses it with
/// [`Error::no_support`](crate::Error::no_support): no method has a body that refuses for it, so that none is forgotten.
pub trait LibvirtCalls: Send + Sync {
    /// How many devices flags select (`virConnectListAllNodeDevices` without a place for them).
    ///
    /// # Errors
    /// [`Error::unsupported_flags`](crate::Error::unsupported_flags).
    fn count(&self, flags: ListFlags) -> Result<usize>;

    /// Names of the devices that flags select (`virConnectListAllNodeDevices`). Of a daemon, in its order; else sorted.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`](crate::Error::unsupported_flags).
    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>>;

    /// How many devices there are, active and inactive, or how many have a capability, top-level or nested
    /// (`virNodeNumOfDevices`). No device has a capability of an unknown name.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`](crate::Error::unsupported_flags).
    fn count_names(&self, capability: Option<&str>, flags: u32) -> Result<usize>;

    /// Names of these devices, the first `most` of them, or all that the source can tell (`virNodeListDevices`). Of a daemon, in its
    /// order; else sorted.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`](crate::Error::unsupported_flags); more names are wanted than a daemon gives.
    fn names(&self, capability: Option<&str>, most: Option<usize>, flags: u32) -> Result<Vec<DeviceName>>;

    /// The name of a device, if there is one of that name (`virNodeDeviceLookupByName`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn lookup(&self, name: &str) -> Result<DeviceName>;

    /// The SCSI host with a pair of World Wide Names, which are compared as text, letter by letter
    /// (`virNodeDeviceLookupSCSIHostByWWN`).
    ///
    /// # Errors
    /// [`Error::unknown_cause`](crate::Error::unknown_cause) if there is none, as libvirt has no better.
    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str, flags: u32) -> Result<DeviceName>;

    /// The device's description as libvirt's XML, made afresh (`virNodeDeviceGetXMLDesc`). Bytes, since what devices
    /// say of themselves need not be UTF-8.
    ///
    /// An inactive device is described by its definition whether or not [`XmlFlags::INACTIVE`] is given.
    ///
    /// # Errors
    /// [`Error::unsupported_flags`](crate::Error::unsupported_flags); [`Error::not_persistent`](crate::Error::not_persistent) if the
    /// definition of a transient device is asked for.
    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>>;

    /// Name of the device above (`virNodeDeviceGetParent`); absent for `computer`. That libvirt's own driver fails
    /// with `no parent for this device` there is for those to reproduce who hand the answer to its clients.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn parent(&self, name: &str) -> Result<Option<DeviceName>>;

    /// How many capabilities the device has (`virNodeDeviceNumOfCaps`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn count_capabilities(&self, name: &str) -> Result<usize>;

    /// Types of the device's capabilities, each followed by the nested ones that libvirt counts, the first `most` of them, or all
    /// (`virNodeDeviceListCaps`). A daemon that is newer than this library can tell types that it does not know.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); more are wanted than a daemon gives.
    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>>;

    /// Whether the device exists now (`virNodeDeviceIsActive`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn is_active(&self, name: &str) -> Result<bool>;

    /// Whether the device has a definition (`virNodeDeviceIsPersistent`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn is_persistent(&self, name: &str) -> Result<bool>;

    /// Whether the device's definition is started with the host (`virNodeDeviceGetAutostart`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device).
    fn autostart(&self, name: &str) -> Result<bool>;

    /// Makes a transient device from a document, and gives its name (`virNodeDeviceCreateXML`).
    ///
    /// # Errors
    /// Those of the document, and of making the device.
    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName>;

    /// Defines a persistent device from a document without starting it, and gives its name (`virNodeDeviceDefineXML`).
    ///
    /// # Errors
    /// Those of the document, and of defining the device.
    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName>;

    /// Removes an active device; a definition stays (`virNodeDeviceDestroy`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of removing it.
    fn destroy(&self, name: &str) -> Result<()>;

    /// Removes a device's definition (`virNodeDeviceUndefine`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of removing it.
    fn undefine(&self, name: &str, flags: u32) -> Result<()>;

    /// Starts a defined device (`virNodeDeviceCreate`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of starting it.
    fn create(&self, name: &str, flags: u32) -> Result<()>;

    /// Changes a device to what a document says (`virNodeDeviceUpdate`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of the document, and of the change.
    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()>;

    /// Sets whether a device's definition is started with the host (`virNodeDeviceSetAutostart`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of the change.
    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()>;

    /// Takes a device from the host so that a guest can have it, for the kernel driver `vfio-pci` (`virNodeDeviceDettach`). A
    /// source in this process takes this process for the caller: a device is refused that it is connected through over SSH.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of the change.
    fn detach(&self, name: &str) -> Result<()>;

    /// As [`detach`](Self::detach), for a kernel driver of a name (`virNodeDeviceDetachFlags`).
    ///
    /// # Errors
    /// As [`detach`](Self::detach).
    fn detach_flags(&self, name: &str, kernel_driver: Option<&str>, flags: u32) -> Result<()>;

    /// Gives a detached device back to the host (`virNodeDeviceReAttach`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of the change.
    fn reattach(&self, name: &str) -> Result<()>;

    /// Resets a detached device (`virNodeDeviceReset`).
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of the reset.
    fn reset(&self, name: &str) -> Result<()>;

    /// What libvirt's events tell from now on (`virConnectNodeDeviceEventRegisterAny`). A daemon of devices that never change
    /// serves that, too, and tells nothing.
    ///
    /// # Errors
    /// [`Error::no_events`](crate::Error::no_events) where nothing tells of changes.
    fn events(&self) -> Result<Watch>;

    /// What libvirt calls the driver (`virConnectGetType`).
    ///
    /// # Errors
    /// Those of the connection.
    fn driver_type(&self) -> Result<Text>;

    /// Version of the hypervisor, as libvirt writes it into one number (`virConnectGetVersion`).
    ///
    /// # Errors
    /// Those of the connection.
    fn version(&self) -> Result<u64>;

    /// Version of libvirt that the source has, as libvirt writes it into one number (`virConnectGetLibVersion`).
    ///
    /// # Errors
    /// Those of the connection.
    fn library_version(&self) -> Result<u64>;

    /// Name of the machine that the devices are of (`virConnectGetHostname`).
    ///
    /// # Errors
    /// [`Error::no_support`](crate::Error::no_support) if nothing tells it.
    fn host_name(&self) -> Result<Text>;

    /// What the machine can do, as XML (`virConnectGetCapabilities`).
    ///
    /// # Errors
    /// Those of the connection.
    fn host_capabilities(&self) -> Result<Text>;

    /// How many processors a guest of a kind may have at most (`virConnectGetMaxVcpus`).
    ///
    /// # Errors
    /// Those of the connection.
    fn max_vcpus(&self, kind: Option<&str>) -> Result<i32>;

    /// The firmware's description of the machine, as XML (`virConnectGetSysinfo`).
    ///
    /// # Errors
    /// Those of the connection.
    fn sysinfo(&self, flags: u32) -> Result<Text>;

    /// The machine's processors and memory (`virNodeGetInfo`).
    ///
    /// # Errors
    /// Those of the connection.
    fn host_info(&self) -> Result<HostInfo>;

    /// The devices that flags select with the names of their parents, sorted by name: [`list_names`](Self::list_names), and
    /// [`parent`](Self::parent) of each. A device that vanishes meanwhile is left out. Some sources have a shorter way.
    ///
    /// # Errors
    /// Those of both.
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        let mut names = self.list_names(flags)?;
        names.sort_unstable();
        let mut devices = Vec::with_capacity(names.len());
        for name in names {
            match self.parent(name.as_str()) {
                Ok(parent) => devices.push(DeviceRef { name, parent }),
                Err(error) if error.code() == ErrorCode::NO_NODE_DEVICE => {}
                Err(error) => return Err(error),
            }
        }
        Ok(devices)
    }

    /// Gives the XML of every device that flags select to `visit`, sorted by name, until it says stop: [`xml`](Self::xml) of each
    /// of [`list_names`](Self::list_names). A device that vanishes meanwhile is left out; one that cannot be described is
    /// given with its error. Some sources have a shorter way.
    ///
    /// # Errors
    /// Those of [`list_names`](Self::list_names).
    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        let mut names = self.list_names(list)?;
        names.sort_unstable();
        for name in names {
            let text = self.xml(name.as_str(), xml);
            if matches!(&text, Err(error) if error.code() == ErrorCode::NO_NODE_DEVICE) {
                continue;
            }
            if visit(&name, text.as_deref().map_err(Clone::clone)).is_break() {
                break;
            }
        }
        Ok(())
    }
}
