//! libvirt's test driver: invented devices to try an API on, changed by nobody but the caller.

mod default_set;
mod file;
mod vhba;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodedev_model::{Capability, CapabilityType, DeviceName, Issue, NodeDevice, Text};
use nodedev_xml::Form;

use crate::{
    Change, Changes, CreateFlags, DeviceRef, DeviceVisitor, Devices, Driver, Entry, Error, ErrorDomain,
    EventLog, Happened, HostInfo, LIBVIRT_VERSION, LibvirtCalls, LibvirtChange, LibvirtEvent, ListFlags,
    Operations, Result, Revision, Snapshot, UpdateFlags, View, Watch, XmlFlags,
};

/// The domain of the test driver's own errors.
const DOMAIN: ErrorDomain = ErrorDomain::TEST;

/// libvirt's test driver: the four devices of `test:///default`, or the devices of a file.
///
/// Devices are kept in memory, and each driver has its own: libvirt shares those of `test:///default` among all
/// connections of a process. Only virtual SCSI hosts can be created and destroyed, with the oddities of libvirt's:
/// the new device is always `scsi_host12`, inactive and transient, and destroying a device that cannot be destroyed
/// succeeds and does nothing. Both are told to watchers.
#[derive(Debug)]
pub struct TestDriver {
    devices: Mutex<BTreeMap<DeviceName, NodeDevice>>,
    /// Written to while `devices` is locked, so that a snapshot and its revision agree.
    log: EventLog,
}

impl TestDriver {
    /// The driver of `test:///default`.
    ///
    /// ```
    /// use nodedev_driver::{LibvirtCalls, ListFlags, TestDriver};
    /// let names: Vec<_> = TestDriver::new().list_names(ListFlags::empty())?;
    /// assert_eq!(names, ["computer", "scsi_host1", "scsi_host11", "scsi_host2"].map(|name| name.parse().unwrap()));
    /// # Ok::<(), nodedev_driver::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::with_devices(default_set::devices())
    }

    /// The driver of `test:///FILE`: the devices of a file, all active and persistent.
    ///
    /// # Errors
    /// If the file cannot be read, is not well-formed, or holds a device that libvirt's parser refuses.
    pub fn open(path: &Path) -> Result<Self> {
        file::load(path).map(Self::with_devices)
    }

    /// A driver of given devices; of two with one name the later stays.
    pub fn with_devices(devices: impl IntoIterator<Item = NodeDevice>) -> Self {
        let devices = devices.into_iter().map(|device| (device.name.clone(), device)).collect();
        Self { devices: Mutex::new(devices), log: EventLog::default() }
    }

    /// The devices. A panic of another thread leaves them usable: every change is one insertion or removal.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceName, NodeDevice>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one device.
    fn with<T>(&self, name: &str, look: impl FnOnce(&NodeDevice) -> Result<T>) -> Result<T> {
        self.lock().get(name).map_or_else(|| Err(Error::no_device(DOMAIN, name)), look)
    }
}

impl Default for TestDriver {
    fn default() -> Self {
        Self::new()
    }
}

fn device_ref(device: &NodeDevice) -> DeviceRef {
    DeviceRef { name: device.name.clone(), parent: device.parent.clone() }
}

fn entry(device: &NodeDevice) -> Entry {
    Entry {
        name: device.name.clone(),
        parent: device.parent.clone(),
        kind: match device.capability_types().next() {
            Some(kind) => kind.as_str().into(),
            None => "unknown".into(),
        },
        visibility: device.visibility,
        state: device.state,
    }
}

/// The set of a device's capability types.
fn capability_bits(device: &NodeDevice) -> u32 {
    device.capability_types().fold(0, |bits, kind| bits | kind.bit())
}

impl TestDriver {
    /// Names of the devices with a capability of a name; of all without one.
    fn with_capability(&self, capability: Option<&str>) -> Vec<DeviceName> {
        let wanted = match capability.map(str::parse::<CapabilityType>) {
            None => u32::MAX,
            Some(Ok(kind)) => kind.bit(),
            Some(Err(_)) => 0,
        };
        let selected = |device: &&NodeDevice| wanted & capability_bits(device) != 0;
        self.lock().values().filter(selected).map(|device| device.name.clone()).collect()
    }
}

/// Refuses flags of a function that has none.
fn no_flags(flags: u32, function: &str) -> Result<()> {
    if flags == 0 { Ok(()) } else { Err(Error::unsupported_flags(DOMAIN, flags, function)) }
}

/// Functions that libvirt's test driver lacks.
macro_rules! lacks {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty: $function:literal;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> Result<$result> {
            Err(Error::no_support($function))
        })*
    };
}

impl LibvirtCalls for TestDriver {
    fn count(&self, flags: ListFlags) -> Result<usize> {
        Ok(self.list_names(flags)?.len())
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        Ok(self.list(flags)?.into_iter().map(|device| device.name).collect())
    }

    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        flags.check(DOMAIN, "testConnectListAllNodeDevices")?;
        let selected = |device: &&NodeDevice| flags.selects(capability_bits(device), device.state);
        Ok(self.lock().values().filter(selected).map(device_ref).collect())
    }

    fn count_names(&self, capability: Option<&str>, flags: u32) -> Result<usize> {
        no_flags(flags, "testNodeNumOfDevices")?;
        Ok(self.with_capability(capability).len())
    }

    fn names(&self, capability: Option<&str>, most: Option<usize>, flags: u32) -> Result<Vec<DeviceName>> {
        no_flags(flags, "testNodeListDevices")?;
        let mut names = self.with_capability(capability);
        names.truncate(most.unwrap_or(usize::MAX));
        Ok(names)
    }

    fn lookup(&self, name: &str) -> Result<DeviceName> {
        self.with(name, |device| Ok(device.name.clone()))
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        flags.check(DOMAIN, "testNodeDeviceGetXMLDesc")?;
        self.with(name, |device| {
            let inactive = flags.contains(XmlFlags::INACTIVE);
            if inactive && !device.state.persistent {
                return Err(Error::not_persistent(DOMAIN, name));
            }
            let form = if inactive || !device.state.active { Form::Inactive } else { Form::Live };
            Ok(nodedev_xml::write(device, form))
        })
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        self.with(name, |device| Ok(device.parent.clone()))
    }

    fn count_capabilities(&self, name: &str) -> Result<usize> {
        Ok(self.capabilities(name, None)?.len())
    }

    /// Top-level capabilities only, as libvirt's test driver gives them.
    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>> {
        self.with(name, |device| {
            let kinds = device.capabilities.iter().filter_map(Capability::kind);
            Ok(kinds.take(most.unwrap_or(usize::MAX)).map(|kind| kind.as_str().into()).collect())
        })
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.with(name, |device| Ok(device.state.active))
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.with(name, |device| Ok(device.state.persistent))
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        flags.check(DOMAIN, "testNodeDeviceCreateXML")?;
        let mut devices = self.lock();
        let created = vhba::create(&mut devices, xml, flags)?;
        self.log.publish([Happened {
            name: created.clone(),
            change: Change::Created,
            libvirt: LibvirtChange::One(LibvirtEvent::Created),
            entry: devices.get(&created).map(entry),
        }]);
        Ok(created)
    }

    fn destroy(&self, name: &str) -> Result<()> {
        let mut devices = self.lock();
        if let Some(name) = vhba::destroy(&mut devices, name)? {
            self.log.publish([Happened {
                name,
                change: Change::Deleted,
                libvirt: LibvirtChange::One(LibvirtEvent::Deleted),
                entry: None,
            }]);
        }
        Ok(())
    }

    fn events(&self) -> Result<Watch> {
        self.log.watch(None)
    }

    fn driver_type(&self) -> Result<Text> {
        Ok("TEST".into())
    }

    fn version(&self) -> Result<u64> {
        Ok(2)
    }

    fn library_version(&self) -> Result<u64> {
        Ok(LIBVIRT_VERSION)
    }

    fn host_name(&self) -> Result<Text> {
        Ok(rustix::system::uname().nodename().to_string_lossy().as_ref().into())
    }

    fn host_capabilities(&self) -> Result<Text> {
        Err(Error::no_support_of_connection("virConnectGetCapabilities"))
    }

    fn max_vcpus(&self, _kind: Option<&str>) -> Result<i32> {
        Err(Error::no_support_of_connection("virConnectGetMaxVcpus"))
    }

    fn sysinfo(&self, _flags: u32) -> Result<Text> {
        Err(Error::no_support_of_connection("virConnectGetSysinfo"))
    }

    fn host_info(&self) -> Result<HostInfo> {
        Err(Error::no_support_of_connection("virNodeGetInfo"))
    }

    lacks! {
        lookup_scsi_host_by_wwn(_wwnn: &str, _wwpn: &str, _flags: u32) -> DeviceName: "virNodeDeviceLookupSCSIHostByWWN";
        autostart(_name: &str) -> bool: "virNodeDeviceGetAutostart";
        define_xml(_xml: &[u8], _flags: CreateFlags) -> DeviceName: "virNodeDeviceDefineXML";
        undefine(_name: &str, _flags: u32) -> (): "virNodeDeviceUndefine";
        create(_name: &str, _flags: u32) -> (): "virNodeDeviceCreate";
        update(_name: &str, _xml: &[u8], _flags: UpdateFlags) -> (): "virNodeDeviceUpdate";
        set_autostart(_name: &str, _autostart: bool) -> (): "virNodeDeviceSetAutostart";
        detach(_name: &str) -> (): "virNodeDeviceDettach";
        detach_flags(_name: &str, _kernel_driver: Option<&str>, _flags: u32) -> (): "virNodeDeviceDetachFlags";
        reattach(_name: &str) -> (): "virNodeDeviceReAttach";
        reset(_name: &str) -> (): "virNodeDeviceReset";
    }
}

impl Devices for TestDriver {
    fn entries(&self, _view: View) -> Result<Vec<Entry>> {
        Ok(self.lock().values().map(entry).collect())
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        self.with(name, |device| Ok(device.clone()))
    }

    fn visit(&self, _view: View, visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>> {
        // Copied first: the visitor may call the driver.
        let devices: Vec<_> = self.lock().values().cloned().collect();
        for device in &devices {
            if visit(device) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(Vec::new())
    }
}

impl Changes for TestDriver {
    fn snapshot(&self, _view: View) -> Result<Snapshot> {
        let devices = self.lock();
        Ok(Snapshot { revision: self.log.revision(), entries: devices.values().map(entry).collect() })
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.log.revision())
    }

    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        self.log.watch(since)
    }
}

impl Driver for TestDriver {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        self
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Ok(self)
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(self)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Err(Error::no_native_call())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::TestDriver;
    use crate::contract::{Expect, check};

    #[test]
    fn default_devices_keep_the_contract() {
        check(&TestDriver::new(), &Expect::TEST);
    }

    #[test]
    fn devices_of_a_file_keep_the_contract() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/devices.xml");
        check(&TestDriver::open(&file).unwrap(), &Expect { one_root: false, ..Expect::TEST });
    }
}
