//! Where the devices of a connection come from: this process, or a daemon.

mod local;
mod remote;

use std::ffi::{CStr, CString};

pub(crate) use local::{Kind, Local};
use nodedev_driver::{HostInfo, Result, Watch};
use nodedev_remote::{End, Pings};
pub(crate) use remote::Remote;

/// What libvirt's functions ask of a driver, in their own terms: texts as C has them, flags as they came.
///
/// Errors are those that libvirt's functions report, with the names of its drivers' functions.
pub(crate) trait Source: Send + Sync {
    /// How many devices have a capability; all without one.
    fn count(&self, capability: Option<&CStr>, flags: u32) -> Result<usize>;
    /// Names of these, at most `most`.
    fn names(&self, capability: Option<&CStr>, most: usize, flags: u32) -> Result<Vec<CString>>;
    /// How many devices flags select.
    fn count_all(&self, flags: u32) -> Result<usize>;
    /// Names of these.
    fn list_all(&self, flags: u32) -> Result<Vec<CString>>;
    /// The name of a device, if there is one.
    fn lookup(&self, name: &CStr) -> Result<CString>;
    /// The name of the SCSI host with these names.
    fn lookup_by_wwn(&self, wwnn: &CStr, wwpn: &CStr, flags: u32) -> Result<CString>;
    /// A device's document.
    fn xml(&self, name: &CStr, flags: u32) -> Result<Vec<u8>>;
    /// The name of the device above.
    fn parent(&self, name: &CStr) -> Result<Option<CString>>;
    /// How many capabilities a device has.
    fn count_capabilities(&self, name: &CStr) -> Result<usize>;
    /// These, at most `most`.
    fn capabilities(&self, name: &CStr, most: usize) -> Result<Vec<CString>>;
    /// Whether a device exists now.
    fn is_active(&self, name: &CStr) -> Result<bool>;
    /// Whether a device has a definition.
    fn is_persistent(&self, name: &CStr) -> Result<bool>;
    /// Whether a device is started with the host.
    fn autostart(&self, name: &CStr) -> Result<bool>;

    /// Makes a transient device; its name.
    fn create_xml(&self, xml: &CStr, flags: u32) -> Result<CString>;
    /// Defines a device; its name.
    fn define_xml(&self, xml: &CStr, flags: u32) -> Result<CString>;
    /// Removes an active device.
    fn destroy(&self, name: &CStr) -> Result<()>;
    /// Removes a definition.
    fn undefine(&self, name: &CStr, flags: u32) -> Result<()>;
    /// Starts a defined device.
    fn create(&self, name: &CStr, flags: u32) -> Result<()>;
    /// Changes a device.
    fn update(&self, name: &CStr, xml: &CStr, flags: u32) -> Result<()>;
    /// Sets whether a device is started with the host.
    fn set_autostart(&self, name: &CStr, autostart: bool) -> Result<()>;
    /// Takes a device from the host.
    fn detach(&self, name: &CStr) -> Result<()>;
    /// Takes a device from the host, for a kernel driver.
    fn detach_flags(&self, name: &CStr, kernel_driver: Option<&CStr>, flags: u32) -> Result<()>;
    /// Gives a device back to the host.
    fn reattach(&self, name: &CStr) -> Result<()>;
    /// Resets a device.
    fn reset(&self, name: &CStr) -> Result<()>;
    /// What happens from now on.
    fn watch(&self) -> Result<Watch>;

    /// Name of the driver (`virConnectGetType`).
    fn kind(&self) -> Result<CString>;
    /// Version of the hypervisor.
    fn version(&self) -> Result<u64>;
    /// Version of the daemon's library.
    fn library_version(&self) -> Result<u64>;
    /// Name of the machine.
    fn host_name(&self) -> Result<CString>;
    /// What the machine can do, as XML.
    fn host_capabilities(&self) -> Result<CString>;
    /// How many processors a guest may have at most.
    fn max_vcpus(&self, kind: Option<&CStr>) -> Result<i32>;
    /// The firmware's description of the machine, as XML.
    fn sysinfo(&self, flags: u32) -> Result<CString>;
    /// The machine's processors and memory.
    fn host_info(&self) -> Result<HostInfo>;
    /// Says on whose behalf calls are made.
    fn set_identity(&self, parameters: &[(CString, Value)], flags: u32) -> Result<()>;

    /// Whether nobody can read along.
    fn is_secure(&self) -> Result<bool>;
    /// Whether what is sent is encrypted.
    fn is_encrypted(&self) -> Result<bool>;
    /// Whether calls can be made.
    fn is_alive(&self) -> bool;
    /// Sets how often a daemon is asked if it is there. `false`: it does not know that question.
    fn set_pings(&self, pings: Option<Pings>) -> Result<bool>;
    /// Whether it is another process: the connection can end by itself, and pings need an event loop.
    fn is_remote(&self) -> bool;
    /// Has `heir` called when the connection ends.
    fn on_end(&self, heir: Box<dyn FnOnce(End) + Send>);
}

/// The value of a typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    String(CString),
}
