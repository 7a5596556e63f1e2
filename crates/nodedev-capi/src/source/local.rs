//! Devices that this process looks at itself.

use std::ffi::{CStr, CString};

use nodedev_driver::{
    Caller, CreateFlags, Error, ErrorCode, ErrorDomain, HostInfo, LIBVIRT_VERSION, ListFlags, Result,
    UpdateFlags, Watch, XmlFlags,
};
use nodedev_remote::{End, Pings};

use super::{Source, Value};
use crate::c_memory::c_string;
use crate::function::Function;

/// A driver in this process, and how libvirt would call it.
pub(crate) struct Local {
    pub(crate) driver: nodedev::Connection,
    pub(crate) kind: Kind,
}

/// Which of libvirt's drivers it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The node devices of a host.
    Host,
    /// The invented ones of `test:///`.
    Test,
}

impl Local {
    /// Refuses flags of a function that has none. The test driver lacks some of these functions and does not get so far.
    fn no_flags(&self, flags: u32, function: &str, test_function: Option<&str>) -> Result<()> {
        let (domain, function) = match (self.kind, test_function) {
            (Kind::Host, _) => (ErrorDomain::NODEDEV, function),
            (Kind::Test, Some(function)) => (ErrorDomain::TEST, function),
            (Kind::Test, None) => return Ok(()),
        };
        if flags == 0 { Ok(()) } else { Err(Error::unsupported_flags(domain, flags, function)) }
    }

    fn lacks<T>(&self, function: &'static str) -> Result<T> {
        Err(Function::of_connections(function).no_support())
    }
}

/// For whom devices are taken from the host.
fn this_process() -> Caller {
    Caller::Process(std::process::id())
}

/// A text as drivers take it. Names of devices and documents are UTF-8.
fn text(text: &CStr) -> std::borrow::Cow<'_, str> {
    text.to_string_lossy()
}

fn names<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<CString> {
    names.into_iter().map(|name| c_string(name.as_ref().as_bytes())).collect()
}

impl Source for Local {
    fn count(&self, capability: Option<&CStr>, flags: u32) -> Result<usize> {
        self.no_flags(flags, "nodeNumOfDevices", Some("testNodeNumOfDevices"))?;
        Ok(self.driver.names(capability.map(text).as_deref())?.len())
    }

    fn names(&self, capability: Option<&CStr>, most: usize, flags: u32) -> Result<Vec<CString>> {
        self.no_flags(flags, "nodeListDevices", Some("testNodeListDevices"))?;
        let found = self.driver.names(capability.map(text).as_deref())?;
        Ok(names(found.iter().take(most).map(|name| name.as_str())))
    }

    fn count_all(&self, flags: u32) -> Result<usize> {
        Ok(self.driver.list_names(ListFlags::from_bits_retain(flags))?.len())
    }

    fn list_all(&self, flags: u32) -> Result<Vec<CString>> {
        let found = self.driver.list_names(ListFlags::from_bits_retain(flags))?;
        Ok(names(found.iter().map(|name| name.as_str())))
    }

    fn lookup(&self, name: &CStr) -> Result<CString> {
        self.driver.lookup(&text(name)).map(|device| c_string(device.name.as_str().as_bytes()))
    }

    fn lookup_by_wwn(&self, wwnn: &CStr, wwpn: &CStr, flags: u32) -> Result<CString> {
        self.no_flags(flags, "nodeDeviceLookupSCSIHostByWWN", None)?;
        let found = self.driver.lookup_scsi_host_by_wwn(&text(wwnn), &text(wwpn))?;
        Ok(c_string(found.name.as_str().as_bytes()))
    }

    fn xml(&self, name: &CStr, flags: u32) -> Result<Vec<u8>> {
        self.driver.xml(&text(name), XmlFlags::from_bits_retain(flags))
    }

    fn parent(&self, name: &CStr) -> Result<Option<CString>> {
        let parent = self.driver.parent(&text(name))?;
        match (parent, self.kind) {
            (Some(parent), _) => Ok(Some(c_string(parent.as_str().as_bytes()))),
            // What a daemon's client sees.
            (None, Kind::Host) => Ok(None),
            (None, Kind::Test) => Err(Error::internal(ErrorDomain::TEST, "no parent for this device")),
        }
    }

    fn count_capabilities(&self, name: &CStr) -> Result<usize> {
        Ok(self.driver.capabilities(&text(name))?.len())
    }

    fn capabilities(&self, name: &CStr, most: usize) -> Result<Vec<CString>> {
        let found = self.driver.capabilities(&text(name))?;
        Ok(names(found.iter().take(most).map(|kind| kind.as_str())))
    }

    fn is_active(&self, name: &CStr) -> Result<bool> {
        self.driver.is_active(&text(name))
    }

    fn is_persistent(&self, name: &CStr) -> Result<bool> {
        self.driver.is_persistent(&text(name))
    }

    fn autostart(&self, name: &CStr) -> Result<bool> {
        self.driver.autostart(&text(name))
    }

    fn create_xml(&self, xml: &CStr, flags: u32) -> Result<CString> {
        let flags = CreateFlags::from_bits_retain(flags);
        if self.kind == Kind::Host {
            flags.check(ErrorDomain::NODEDEV, "nodeDeviceCreateXML")?;
        }
        let made = self.driver.create_xml(xml.to_bytes(), flags)?;
        Ok(c_string(made.name.as_str().as_bytes()))
    }

    fn define_xml(&self, xml: &CStr, flags: u32) -> Result<CString> {
        let flags = CreateFlags::from_bits_retain(flags);
        if self.kind == Kind::Host {
            flags.check(ErrorDomain::NODEDEV, "nodeDeviceDefineXML")?;
        }
        let made = self.driver.define_xml(xml.to_bytes(), flags)?;
        Ok(c_string(made.name.as_str().as_bytes()))
    }

    fn destroy(&self, name: &CStr) -> Result<()> {
        self.driver.destroy(&text(name))
    }

    fn undefine(&self, name: &CStr, flags: u32) -> Result<()> {
        self.no_flags(flags, "nodeDeviceUndefine", None)?;
        self.driver.undefine(&text(name))
    }

    fn create(&self, name: &CStr, flags: u32) -> Result<()> {
        self.no_flags(flags, "nodeDeviceCreate", None)?;
        self.driver.create(&text(name))
    }

    fn update(&self, name: &CStr, xml: &CStr, flags: u32) -> Result<()> {
        let flags = UpdateFlags::from_bits_retain(flags);
        if self.kind == Kind::Host {
            flags.check(ErrorDomain::NODEDEV, "nodeDeviceUpdate")?;
        }
        self.driver.update(&text(name), xml.to_bytes(), flags)
    }

    fn set_autostart(&self, name: &CStr, autostart: bool) -> Result<()> {
        self.driver.set_autostart(&text(name), autostart)
    }

    fn detach(&self, name: &CStr) -> Result<()> {
        self.driver.detach_for(&text(name), None, this_process())
    }

    fn detach_flags(&self, name: &CStr, kernel_driver: Option<&CStr>, flags: u32) -> Result<()> {
        let function = Function::of_devices("virNodeDeviceDetachFlags");
        if flags != 0 {
            // None are known, and no driver could be told of any.
            return Err(function.no_support());
        }
        let kernel_driver = kernel_driver.map(text);
        let detached = self.driver.detach_for(&text(name), kernel_driver.as_deref(), this_process());
        // A driver that can't, names the function without flags where no kernel driver is asked for.
        detached.map_err(|error| match error.code() {
            ErrorCode::NO_SUPPORT => function.no_support(),
            _ => error,
        })
    }

    fn reattach(&self, name: &CStr) -> Result<()> {
        self.driver.reattach(&text(name))
    }

    fn reset(&self, name: &CStr) -> Result<()> {
        self.driver.reset(&text(name))
    }

    fn watch(&self) -> Result<Watch> {
        self.driver.watch(None)
    }

    fn kind(&self) -> Result<CString> {
        Ok(match self.kind {
            Kind::Host => c"nodedev".to_owned(),
            Kind::Test => c"TEST".to_owned(),
        })
    }

    fn version(&self) -> Result<u64> {
        match self.kind {
            Kind::Host => self.lacks("virConnectGetVersion"),
            Kind::Test => Ok(2),
        }
    }

    fn library_version(&self) -> Result<u64> {
        Ok(LIBVIRT_VERSION)
    }

    fn host_name(&self) -> Result<CString> {
        let name = match self.kind {
            Kind::Host => self.host_info()?.hostname,
            Kind::Test => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
        };
        match name {
            Some(name) => Ok(c_string(name.as_bytes())),
            None => self.lacks("virConnectGetHostname"),
        }
    }

    fn host_capabilities(&self) -> Result<CString> {
        match self.kind {
            Kind::Host => Ok(c_string(self.driver.host_info()?.capabilities_xml().as_bytes())),
            Kind::Test => self.lacks("virConnectGetCapabilities"),
        }
    }

    fn max_vcpus(&self, _kind: Option<&CStr>) -> Result<i32> {
        self.lacks("virConnectGetMaxVcpus")
    }

    fn sysinfo(&self, _flags: u32) -> Result<CString> {
        self.lacks("virConnectGetSysinfo")
    }

    fn host_info(&self) -> Result<HostInfo> {
        match self.kind {
            Kind::Host => self.driver.host_info(),
            Kind::Test => self.lacks("virNodeGetInfo"),
        }
    }

    fn set_identity(&self, _parameters: &[(CString, Value)], _flags: u32) -> Result<()> {
        self.lacks("virConnectSetIdentity")
    }

    fn is_secure(&self) -> Result<bool> {
        Ok(true)
    }

    fn is_encrypted(&self) -> Result<bool> {
        Ok(false)
    }

    fn is_alive(&self) -> bool {
        true
    }

    fn set_pings(&self, _pings: Option<Pings>) -> Result<bool> {
        self.lacks("virConnectSetKeepAlive")
    }

    fn is_remote(&self) -> bool {
        false
    }

    fn on_end(&self, _heir: Box<dyn FnOnce(End) + Send>) {}
}
