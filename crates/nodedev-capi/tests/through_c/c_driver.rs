//! The exported C functions as a driver, called as C calls them.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use nodedev_capi::connect::{virConnectClose, virConnectOpen};
use nodedev_capi::devices::*;
use nodedev_capi::error::{virGetLastError, virSetErrorFunc};
use nodedev_capi::types::{ConnectPtr, NodeDevicePtr, VirError};
use nodedev_driver::{
    Changes, CreateFlags, DeviceRef, Devices, Driver, Error, ErrorCode, ErrorDomain, ErrorLevel,
    LibvirtCalls, ListFlags, Operations, Result, XmlFlags,
};
use nodedev_model::DeviceName;

/// A connection.
#[derive(Debug)]
pub(crate) struct CDriver(ConnectPtr);

// SAFETY: a handle is a number, and the functions can be called from any thread.
unsafe impl Send for CDriver {}
// SAFETY: as above.
unsafe impl Sync for CDriver {}

/// Errors are looked at and need not be printed.
unsafe extern "C-unwind" fn hush(_user: *mut c_void, _error: *mut VirError) {}

impl CDriver {
    pub(crate) fn open(uri: &str) -> Result<Self> {
        // SAFETY: the function is static and needs nothing.
        unsafe { virSetErrorFunc(ptr::null_mut(), Some(hush)) };
        let uri = c_text(uri);
        // SAFETY: a text is given.
        let connection = unsafe { virConnectOpen(uri.as_ptr()) };
        if connection.is_null() { Err(last_error()) } else { Ok(Self(connection)) }
    }

    pub(crate) fn handle(&self) -> ConnectPtr {
        self.0
    }

    fn device(&self, name: &str) -> Result<Held> {
        let name = c_text(name);
        // SAFETY: a text is given.
        Held::new(unsafe { virNodeDeviceLookupByName(self.0, name.as_ptr()) })
    }
}

impl Drop for CDriver {
    fn drop(&mut self) {
        let left = virConnectClose(self.0);
        assert!(left == 0 || std::thread::panicking(), "a device was not given back");
    }
}

/// A device that is given back.
struct Held(NodeDevicePtr);

impl Held {
    fn new(device: NodeDevicePtr) -> Result<Self> {
        if device.is_null() { Err(last_error()) } else { Ok(Self(device)) }
    }

    fn reference(&self) -> Result<DeviceRef> {
        let name = virNodeDeviceGetName(self.0);
        let parent = virNodeDeviceGetParent(self.0);
        // SAFETY: both are texts of the device, which is held, or NULL.
        let read = |text: *const c_char| unsafe { (!text.is_null()).then(|| CStr::from_ptr(text)) };
        let name = read(name).ok_or_else(last_error)?;
        Ok(DeviceRef { name: device_name(name), parent: read(parent).map(device_name) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        assert_eq!(virNodeDeviceFree(self.0), 0);
    }
}

fn c_text(text: &str) -> CString {
    CString::new(text).expect("tests use no NUL")
}

fn device_name(text: &CStr) -> DeviceName {
    text.to_str().expect("UTF-8").parse().expect("a name")
}

/// The last error of this thread as Rust has it.
pub(crate) fn last_error() -> Error {
    // SAFETY: the error is this thread's until its next call.
    let error = unsafe { virGetLastError().as_ref() }.expect("a call that fails says why");
    // SAFETY: strings of an error are texts or NULL.
    let read = |text: *mut c_char| unsafe {
        (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
    };
    assert_eq!(error.level, ErrorLevel::Error as c_int);
    Error::raw(ErrorDomain(error.domain), ErrorCode(error.code), read(error.message).expect("a message"))
        .with_strings([read(error.str1), read(error.str2), read(error.str3)])
        .with_ints([error.int1, error.int2])
}

fn number(result: c_int) -> Result<usize> {
    usize::try_from(result).map_err(|_| last_error())
}

fn flag(result: c_int) -> Result<bool> {
    number(result).map(|number| number != 0)
}

/// A text that the caller frees.
fn owned(text: *mut c_char) -> Result<Vec<u8>> {
    if text.is_null() {
        return Err(last_error());
    }
    // SAFETY: the text is ours, and from the C allocator.
    unsafe {
        let bytes = CStr::from_ptr(text).to_bytes().to_vec();
        libc::free(text.cast());
        Ok(bytes)
    }
}

/// Names that a function puts into an array of as many places as there are to be.
fn names(count: c_int, list: impl FnOnce(*mut *mut c_char, c_int) -> c_int) -> Result<Vec<String>> {
    let mut array = vec![ptr::null_mut(); number(count)?];
    let listed = number(list(array.as_mut_ptr(), count))?;
    array.truncate(listed);
    array.into_iter().map(|name| Ok(String::from_utf8(owned(name)?).expect("UTF-8"))).collect()
}

fn all<T: std::str::FromStr>(names: Vec<String>) -> Vec<T>
where
    T::Err: std::fmt::Debug,
{
    names.iter().map(|name| name.parse().expect("a name")).collect()
}

impl LibvirtCalls for CDriver {
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        let mut array: *mut NodeDevicePtr = ptr::null_mut();
        // SAFETY: a pointer for the array is given.
        let count = number(unsafe { virConnectListAllNodeDevices(self.0, &raw mut array, flags.bits()) })?;
        // SAFETY: NULL is given, for which only the count comes back.
        let counted = number(unsafe { virConnectListAllNodeDevices(self.0, ptr::null_mut(), flags.bits()) })?;
        assert_eq!(counted, count);
        // SAFETY: the array has `count` devices and a NULL, and is ours.
        let devices = unsafe {
            let devices = std::slice::from_raw_parts(array, count + 1).to_vec();
            libc::free(array.cast());
            devices
        };
        assert!(devices[count].is_null());
        let mut found = devices[..count]
            .iter()
            .map(|device| Held::new(*device)?.reference())
            .collect::<Result<Vec<_>>>()?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn count(&self, flags: ListFlags) -> Result<usize> {
        // SAFETY: NULL is given, for which only the count comes back.
        number(unsafe { virConnectListAllNodeDevices(self.0, ptr::null_mut(), flags.bits()) })
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        Ok(self.list(flags)?.into_iter().map(|device| device.name).collect())
    }

    fn count_names(&self, capability: Option<&str>, flags: u32) -> Result<usize> {
        let capability = capability.map(c_text);
        let capability = capability.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        // SAFETY: a text or NULL is given.
        number(unsafe { virNodeNumOfDevices(self.0, capability, flags) })
    }

    fn names(&self, capability: Option<&str>, most: Option<usize>, flags: u32) -> Result<Vec<DeviceName>> {
        let count = match most {
            Some(most) => most,
            None => self.count_names(capability, flags)?,
        };
        let capability = capability.map(c_text);
        let capability = capability.as_ref().map_or(ptr::null(), |text| text.as_ptr());
        let count = c_int::try_from(count).expect("few");
        // SAFETY: a text or NULL is given, and an array with the places that are said.
        let list = |array, places| unsafe { virNodeListDevices(self.0, capability, array, places, flags) };
        names(count, list).map(all)
    }

    fn lookup(&self, name: &str) -> Result<DeviceName> {
        Ok(self.device(name)?.reference()?.name)
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str, flags: u32) -> Result<DeviceName> {
        let (wwnn, wwpn) = (c_text(wwnn), c_text(wwpn));
        // SAFETY: texts are given.
        let found = unsafe { virNodeDeviceLookupSCSIHostByWWN(self.0, wwnn.as_ptr(), wwpn.as_ptr(), flags) };
        Ok(Held::new(found)?.reference()?.name)
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        owned(virNodeDeviceGetXMLDesc(self.device(name)?.0, flags.bits()))
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        Ok(self.device(name)?.reference()?.parent)
    }

    fn count_capabilities(&self, name: &str) -> Result<usize> {
        number(virNodeDeviceNumOfCaps(self.device(name)?.0))
    }

    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>> {
        let device = self.device(name)?;
        let count = match most {
            Some(most) => c_int::try_from(most).expect("few"),
            None => virNodeDeviceNumOfCaps(device.0),
        };
        // SAFETY: an array with the places that are said is given.
        let list = |array, places| unsafe { virNodeDeviceListCaps(device.0, array, places) };
        Ok(names(count, list)?.into_iter().map(Cow::Owned).collect())
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        flag(virNodeDeviceIsActive(self.device(name)?.0))
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        flag(virNodeDeviceIsPersistent(self.device(name)?.0))
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        let device = self.device(name)?;
        let mut autostart = 7;
        // SAFETY: a number is given.
        number(unsafe { virNodeDeviceGetAutostart(device.0, &raw mut autostart) })?;
        Ok(autostart != 0)
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        let xml = CString::new(xml).expect("tests use no NUL");
        // SAFETY: a text is given.
        Ok(Held::new(unsafe { virNodeDeviceCreateXML(self.0, xml.as_ptr(), flags.bits()) })?
            .reference()?
            .name)
    }

    fn destroy(&self, name: &str) -> Result<()> {
        number(virNodeDeviceDestroy(self.device(name)?.0)).map(|_| ())
    }

    nodedev_driver::refused_calls!(
        define_xml,
        undefine,
        create,
        update,
        set_autostart,
        detach,
        detach_flags,
        reattach,
        reset,
        events,
        driver_type,
        version,
        library_version,
        host_name,
        host_capabilities,
        max_vcpus,
        sysinfo,
        host_info,
    );
}

impl Driver for CDriver {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        self
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Err(Error::no_native_view())
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Err(Error::no_events())
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Err(Error::no_native_call())
    }
}
