//! The functions of `libvirt/libvirt-nodedev.h`.

#![expect(unsafe_code, reason = "functions for C")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::Arc;

use nodedev_driver::{CreateFlags, Error, ListFlags, Result, UpdateFlags, XmlFlags};

use crate::c_memory::{copy, free, no_memory, text, try_copy};
use crate::device::Device;
use crate::function::Function;
use crate::subscriptions::{Event, Luggage};
use crate::types::{ConnectPtr, FreeCallback, NodeDeviceEventCallback, NodeDevicePtr};
use crate::{device, error};

/// How many devices there are, active and inactive, with a capability if one is given.
///
/// # Safety
/// `cap` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeNumOfDevices(
    conn: ConnectPtr,
    cap: *const c_char,
    flags: c_uint,
) -> c_int {
    Function::of_devices("virNodeNumOfDevices").on_connection(conn, |connection| {
        // SAFETY: the caller's promise.
        let capability = unsafe { text(cap) }.map(CStr::to_string_lossy);
        count(connection.calls()?.count_names(capability.as_deref(), flags)?)
    })
}

/// Names of these devices; each is freed by the caller. Returns how many there are, at most `maxnames`.
///
/// # Safety
/// `cap` is NULL or a text; `names` is NULL or has room for `maxnames` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeListDevices(
    conn: ConnectPtr,
    cap: *const c_char,
    names: *mut *mut c_char,
    maxnames: c_int,
    flags: c_uint,
) -> c_int {
    let function = Function::of_devices("virNodeListDevices");
    function.on_connection(conn, |connection| {
        let room = Room::new(function, names, maxnames)?;
        // SAFETY: the caller's promise.
        let capability = unsafe { text(cap) }.map(CStr::to_string_lossy);
        let found = connection.calls()?.names(capability.as_deref(), Some(room.most), flags)?;
        // SAFETY: the caller's promise.
        unsafe { room.fill(&found) }
    })
}

/// The devices that flags select, in an array that ends in NULL: each is given back with [`virNodeDeviceFree`], the array
/// with `free()`. Returns how many there are; without `devices`, only that.
///
/// # Safety
/// `devices` is NULL or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectListAllNodeDevices(
    conn: ConnectPtr,
    devices: *mut *mut NodeDevicePtr,
    flags: c_uint,
) -> c_int {
    let function = Function::of_devices("virConnectListAllNodeDevices");
    if !devices.is_null() {
        // SAFETY: the caller's promise; it is not NULL.
        unsafe { devices.write(ptr::null_mut()) };
    }
    function.on_connection(conn, |connection| {
        let flags = ListFlags::from_bits_retain(flags);
        if devices.is_null() {
            return count(connection.calls()?.count(flags)?);
        }
        let found = connection.calls()?.list_names(flags)?;
        let number = count(found.len())?;
        // SAFETY: any size may be asked for; an array of names in memory is not so long that it overflows.
        let array =
            unsafe { libc::calloc(found.len() + 1, size_of::<NodeDevicePtr>()) }.cast::<NodeDevicePtr>();
        if array.is_null() {
            return Err(no_memory());
        }
        let handles = match device::insert_all(function, connection, found) {
            Ok(handles) => handles,
            Err(error) => {
                // SAFETY: the array is ours still.
                unsafe { libc::free(array.cast()) };
                return Err(error);
            }
        };
        // SAFETY: the array has a place for each name, and one for the NULL that calloc has put there.
        unsafe { array.copy_from_nonoverlapping(handles.as_ptr(), handles.len()) };
        // SAFETY: the caller's promise; it is not NULL.
        unsafe { devices.write(array) };
        Ok(number)
    })
}

/// The device of a name.
///
/// # Safety
/// `name` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceLookupByName(
    conn: ConnectPtr,
    name: *const c_char,
) -> NodeDevicePtr {
    let function = Function::of_devices("virNodeDeviceLookupByName");
    function.on_connection(conn, |connection| {
        // SAFETY: the caller's promise.
        let name = unsafe { given(function, "name", name) }?.to_string_lossy();
        device::insert(function, connection, connection.calls()?.lookup(&name)?)
    })
}

/// The SCSI host with a pair of World Wide Names.
///
/// # Safety
/// `wwnn` and `wwpn` are NULL or texts.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceLookupSCSIHostByWWN(
    conn: ConnectPtr,
    wwnn: *const c_char,
    wwpn: *const c_char,
    flags: c_uint,
) -> NodeDevicePtr {
    let function = Function::of_devices("virNodeDeviceLookupSCSIHostByWWN");
    function.on_connection(conn, |connection| {
        // SAFETY: the caller's promise.
        let (wwnn, wwpn) = unsafe { (given(function, "wwnn", wwnn)?, given(function, "wwpn", wwpn)?) };
        let (wwnn, wwpn) = (wwnn.to_string_lossy(), wwpn.to_string_lossy());
        device::insert(
            function,
            connection,
            connection.calls()?.lookup_scsi_host_by_wwn(&wwnn, &wwpn, flags)?,
        )
    })
}

/// Name of a device; belongs to the device.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceGetName(dev: NodeDevicePtr) -> *const c_char {
    Function::of_devices("virNodeDeviceGetName").on_device(dev, |device| Ok(device.name().as_ptr()))
}

/// Name of the device above; belongs to the device. NULL if there is none, and after an error, of which, as in libvirt, no
/// handler is told.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceGetParent(dev: NodeDevicePtr) -> *const c_char {
    Function::of_devices("virNodeDeviceGetParent").on_device(dev, |device| {
        Ok(device.parent().unwrap_or_else(|failure| {
            error::remember(&failure);
            ptr::null()
        }))
    })
}

/// A device's document; freed by the caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceGetXMLDesc(dev: NodeDevicePtr, flags: c_uint) -> *mut c_char {
    Function::of_devices("virNodeDeviceGetXMLDesc").on_device(dev, |device| {
        try_copy(&device.calls()?.xml(&device.text(), XmlFlags::from_bits_retain(flags))?)
    })
}

/// How many capabilities a device has.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceNumOfCaps(dev: NodeDevicePtr) -> c_int {
    Function::of_devices("virNodeDeviceNumOfCaps")
        .on_device(dev, |device| count(device.calls()?.count_capabilities(&device.text())?))
}

/// Names of a device's capabilities; each is freed by the caller. Returns how many there are, at most `maxnames`.
///
/// # Safety
/// `names` is NULL or has room for `maxnames` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceListCaps(
    dev: NodeDevicePtr,
    names: *mut *mut c_char,
    maxnames: c_int,
) -> c_int {
    let function = Function::of_devices("virNodeDeviceListCaps");
    function.on_device(dev, |device| {
        let room = Room::new(function, names, maxnames)?;
        let found = device.calls()?.capabilities(&device.text(), Some(room.most))?;
        // SAFETY: the caller's promise.
        unsafe { room.fill(&found) }
    })
}

/// Takes another reference to a device.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceRef(dev: NodeDevicePtr) -> c_int {
    let function = Function::of_devices("virNodeDeviceRef");
    function.run(|| if device::take(dev) { Ok(0) } else { Err(function.invalid_device()) })
}

/// Gives a reference to a device back.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceFree(dev: NodeDevicePtr) -> c_int {
    let function = Function::of_devices("virNodeDeviceFree");
    function.run(|| if device::give_back(dev) { Ok(0) } else { Err(function.invalid_device()) })
}

/// Whether a device exists now: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceIsActive(dev: NodeDevicePtr) -> c_int {
    Function::of_devices("virNodeDeviceIsActive")
        .on_device(dev, |device| Ok(device.calls()?.is_active(&device.text())?.into()))
}

/// Whether a device has a definition: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceIsPersistent(dev: NodeDevicePtr) -> c_int {
    Function::of_devices("virNodeDeviceIsPersistent")
        .on_device(dev, |device| Ok(device.calls()?.is_persistent(&device.text())?.into()))
}

/// Whether a device is started with the host.
///
/// # Safety
/// `autostart` is NULL or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceGetAutostart(
    dev: NodeDevicePtr,
    autostart: *mut c_int,
) -> c_int {
    Function::of_devices("virNodeDeviceGetAutostart").on_device(dev, |device| {
        let found = device.calls()?.autostart(&device.text())?;
        if !autostart.is_null() {
            // SAFETY: the caller's promise; it is not NULL.
            unsafe { autostart.write(found.into()) };
        }
        Ok(0)
    })
}

/// Runs a function that changes a device.
fn change(function: Function, device: NodeDevicePtr, run: impl FnOnce(&Arc<Device>) -> Result<()>) -> c_int {
    function.on_device(device, |device| {
        function.writes(device.connection())?;
        run(device).map(|()| 0)
    })
}

/// Sets whether a device is started with the host.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceSetAutostart(dev: NodeDevicePtr, autostart: c_int) -> c_int {
    change(Function::of_devices("virNodeDeviceSetAutostart"), dev, |device| {
        device.calls()?.set_autostart(&device.text(), autostart != 0)
    })
}

/// Takes a device from the host, for a guest. The misspelt name is libvirt's.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceDettach(dev: NodeDevicePtr) -> c_int {
    change(Function::of_devices("virNodeDeviceDettach"), dev, |device| device.calls()?.detach(&device.text()))
}

/// Takes a device from the host, for a kernel driver; NULL: the driver's choice.
///
/// # Safety
/// `driver` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceDetachFlags(
    dev: NodeDevicePtr,
    driver: *const c_char,
    flags: c_uint,
) -> c_int {
    change(Function::of_devices("virNodeDeviceDetachFlags"), dev, |device| {
        // SAFETY: the caller's promise.
        let driver = unsafe { text(driver) }.map(CStr::to_string_lossy);
        device.calls()?.detach_flags(&device.text(), driver.as_deref(), flags)
    })
}

/// Gives a device back to the host.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceReAttach(dev: NodeDevicePtr) -> c_int {
    change(Function::of_devices("virNodeDeviceReAttach"), dev, |device| {
        device.calls()?.reattach(&device.text())
    })
}

/// Resets a device.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceReset(dev: NodeDevicePtr) -> c_int {
    change(Function::of_devices("virNodeDeviceReset"), dev, |device| device.calls()?.reset(&device.text()))
}

/// Removes an active device.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceDestroy(dev: NodeDevicePtr) -> c_int {
    change(Function::of_devices("virNodeDeviceDestroy"), dev, |device| {
        device.calls()?.destroy(&device.text())
    })
}

/// Removes a device's definition.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceUndefine(dev: NodeDevicePtr, flags: c_uint) -> c_int {
    change(Function::of_devices("virNodeDeviceUndefine"), dev, |device| {
        device.calls()?.undefine(&device.text(), flags)
    })
}

/// Starts a defined device.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virNodeDeviceCreate(dev: NodeDevicePtr, flags: c_uint) -> c_int {
    change(Function::of_devices("virNodeDeviceCreate"), dev, |device| {
        device.calls()?.create(&device.text(), flags)
    })
}

/// Changes a device to what a document says.
///
/// # Safety
/// `xml` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceUpdate(
    dev: NodeDevicePtr,
    xml: *const c_char,
    flags: c_uint,
) -> c_int {
    let function = Function::of_devices("virNodeDeviceUpdate");
    change(function, dev, |device| {
        // SAFETY: the caller's promise.
        let xml = unsafe { given(function, "xmlDesc", xml) }?;
        device.calls()?.update(&device.text(), xml.to_bytes(), UpdateFlags::from_bits_retain(flags))
    })
}

/// Makes a transient device from a document.
///
/// # Safety
/// `xml` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceCreateXML(
    conn: ConnectPtr,
    xml: *const c_char,
    flags: c_uint,
) -> NodeDevicePtr {
    let function = Function::of_devices("virNodeDeviceCreateXML");
    function.on_connection(conn, |connection| {
        function.writes(connection)?;
        // SAFETY: the caller's promise.
        let xml = unsafe { given(function, "xmlDesc", xml) }?;
        device::insert(
            function,
            connection,
            connection.calls()?.create_xml(xml.to_bytes(), CreateFlags::from_bits_retain(flags))?,
        )
    })
}

/// Defines a device from a document, without starting it.
///
/// # Safety
/// `xml` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeDeviceDefineXML(
    conn: ConnectPtr,
    xml: *const c_char,
    flags: c_uint,
) -> NodeDevicePtr {
    let function = Function::of_devices("virNodeDeviceDefineXML");
    function.on_connection(conn, |connection| {
        function.writes(connection)?;
        // SAFETY: the caller's promise.
        let xml = unsafe { given(function, "xmlDesc", xml) }?;
        device::insert(
            function,
            connection,
            connection.calls()?.define_xml(xml.to_bytes(), CreateFlags::from_bits_retain(flags))?,
        )
    })
}

/// Has a function called, by the event loop, when something happens to a device, or to any. Returns the number of the
/// registration.
///
/// # Safety
/// `callback` is of the type that the event has (`virNodeDeviceEventID`); it and `free` can be called with `opaque` from
/// the event loop until the registration has ended.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectNodeDeviceEventRegisterAny(
    conn: ConnectPtr,
    dev: NodeDevicePtr,
    event: c_int,
    callback: Option<NodeDeviceEventCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int {
    let function = Function::of_devices("virConnectNodeDeviceEventRegisterAny");
    function.on_connection(conn, |connection| {
        let device = if dev.is_null() {
            None
        } else {
            Some(device::find(dev).ok_or_else(|| function.invalid_device())?)
        };
        if let Some(device) = &device
            && !Arc::ptr_eq(device.connection(), connection)
        {
            let name = device.name().to_string_lossy();
            let message = format!("node device '{name}' in {} must match connection", function.name);
            return Err(Error::argument(function.domain, function.name, "dev", message));
        }
        let callback = callback.ok_or_else(|| function.null("cb"))?;
        if event < 0 {
            return Err(function.negative("eventID"));
        }
        let event =
            Event::from_number(event).ok_or_else(|| function.argument("eventID", "must be less than 2"))?;
        let name = device.map(|device| device.name().to_owned());
        connection.subscriptions().add(function, connection, event, name, callback, opaque, free)
    })
}

/// Ends a registration.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectNodeDeviceEventDeregisterAny(conn: ConnectPtr, callback: c_int) -> c_int {
    let function = Function::of_devices("virConnectNodeDeviceEventDeregisterAny");
    let mut luggage = Vec::new();
    let result = function.on_connection(conn, |connection| {
        if callback < 0 {
            return Err(function.negative("callbackID"));
        }
        luggage = connection.subscriptions().remove(callback)?;
        Ok(0)
    });
    luggage.into_iter().for_each(Luggage::free);
    result
}

/// A text that must be given.
///
/// # Safety
/// `argument` is NULL, or a text that stays during `'a`.
unsafe fn given<'a>(function: Function, name: &str, argument: *const c_char) -> Result<&'a CStr> {
    // SAFETY: the caller's promise.
    unsafe { text(argument) }.ok_or_else(|| function.null(name))
}

fn count(number: usize) -> Result<c_int> {
    // Lists are far shorter: they are in memory, and the wire ends at 65,536.
    Ok(c_int::try_from(number).unwrap_or(c_int::MAX))
}

/// The caller's array for names.
struct Room {
    names: *mut *mut c_char,
    most: usize,
}

impl Room {
    fn new(function: Function, names: *mut *mut c_char, most: c_int) -> Result<Self> {
        let most = usize::try_from(most).map_err(|_| function.negative("maxnames"))?;
        if names.is_null() && most != 0 {
            return Err(function.null("names"));
        }
        Ok(Self { names, most })
    }

    /// Puts copies of names into the array; all or none. Returns how many.
    ///
    /// # Safety
    /// The array has room for `most` pointers.
    unsafe fn fill(&self, found: &[impl AsRef<str>]) -> Result<c_int> {
        let found = found.get(..self.most).unwrap_or(found);
        for (index, name) in found.iter().enumerate() {
            let name = copy(name.as_ref().as_bytes());
            // SAFETY: `index` is less than `most`.
            unsafe { self.names.add(index).write(name) };
            if name.is_null() {
                for index in 0..index {
                    // SAFETY: the names before this one were put there above, and are nobody else's yet.
                    unsafe { free(self.names.add(index).replace(ptr::null_mut())) };
                }
                return Err(no_memory());
            }
        }
        count(found.len())
    }
}
