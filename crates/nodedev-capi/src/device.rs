//! Devices that C holds: a name, and the connection that it is a name in.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::{Arc, OnceLock};

use nodedev_driver::{Error, ErrorDomain, LibvirtCalls};
use nodedev_model::DeviceName;

use crate::c_memory::c_string;
use crate::connection::{Connection, Needed};
use crate::function::Function;
use crate::handle::{Handles, Keep};
use crate::types::{NodeDevice, NodeDevicePtr};

static DEVICES: Handles<Entry, NodeDevice> = Handles::new();

/// A device of a connection. That it exists, or still does, is not known.
pub(crate) struct Device {
    connection: Needed,
    name: CString,
    parent: OnceLock<CString>,
}

struct Entry {
    device: Arc<Device>,
    references: usize,
}

/// The device of a handle; none if it is no handle of a device that is still there.
pub(crate) fn find(handle: NodeDevicePtr) -> Option<Arc<Device>> {
    DEVICES.with(handle, |entry| Arc::clone(&entry.device))
}

/// Makes a device that the program holds one reference of.
pub(crate) fn insert(
    function: Function,
    connection: &Arc<Connection>,
    name: DeviceName,
) -> Result<NodeDevicePtr, Error> {
    let handles = insert_all(function, connection, vec![name])?;
    handles.first().copied().ok_or_else(|| function.invalid_connection())
}

/// Makes devices, each of which the program holds one reference of.
pub(crate) fn insert_all(
    function: Function,
    connection: &Arc<Connection>,
    names: Vec<DeviceName>,
) -> Result<Vec<NodeDevicePtr>, Error> {
    let needed = Needed::take_many(connection, names.len()).ok_or_else(|| function.invalid_connection())?;
    let mut needed = needed.into_iter();
    let entries = names.into_iter().filter_map(|name| {
        let name = c_string(name.as_str().as_bytes());
        let device = Device { connection: needed.next()?, name, parent: OnceLock::new() };
        Some(Entry { device: Arc::new(device), references: 1 })
    });
    let entries: Vec<_> = entries.collect();
    Ok(DEVICES.insert_all(entries.into_iter()))
}

/// The program takes a reference. `false`: there is no such device.
pub(crate) fn take(handle: NodeDevicePtr) -> bool {
    let taken = DEVICES.change(handle, |entry| {
        entry.references += 1;
        ((), Keep::Yes)
    });
    taken.is_some()
}

/// The program gives a reference back. `false`: there is no such device.
pub(crate) fn give_back(handle: NodeDevicePtr) -> bool {
    let given = DEVICES.change(handle, |entry| {
        entry.references -= 1;
        ((), if entry.references == 0 { Keep::No } else { Keep::Yes })
    });
    // The device is freed here, when no lock is held any more: it may be the last that needs its connection.
    given.is_some()
}

impl Device {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Its name, as sources take it.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        self.name.to_string_lossy()
    }

    /// libvirt's functions, as the source of the device answers them.
    pub(crate) fn calls(&self) -> Result<&dyn LibvirtCalls, Error> {
        self.connection.calls()
    }

    /// Name of the device above, at an address that is good as long as the device; NULL if there is none.
    pub(crate) fn parent(&self) -> Result<*const c_char, Error> {
        if let Some(parent) = self.parent.get() {
            return Ok(parent.as_ptr());
        }
        match self.calls()?.parent(&self.text())? {
            // libvirt's node device driver says so, too; who asks its daemon sees none.
            None if self.connection.source().is_test() => {
                Err(Error::internal(ErrorDomain::TEST, "no parent for this device"))
            }
            None => Ok(ptr::null()),
            Some(parent) => {
                let parent = || c_string(parent.as_str().as_bytes());
                Ok(self.parent.get_or_init(parent).as_ptr())
            }
        }
    }
}
