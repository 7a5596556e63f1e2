//! Connections, and who still needs them.

use std::ffi::CString;
use std::sync::{Arc, Mutex, PoisonError};

use nodedev_driver::LibvirtCalls;

use crate::c_memory::c_string;
use crate::error::{Handler, SharedError};
use crate::handle::{Handles, Keep};
use crate::source::Source;
use crate::subscriptions::Subscriptions;
use crate::types::{Connect, ConnectPtr};

/// The connections that C holds handles of.
static CONNECTIONS: Handles<Entry, Connect> = Handles::new();

/// A connection.
pub(crate) struct Connection {
    handle: ConnectPtr,
    source: Arc<Source>,
    /// The URI that the program opened.
    uri: CString,
    /// Name of the driver, once asked for.
    kind: Mutex<Option<CString>>,
    read_only: bool,
    error: SharedError,
    error_handler: Mutex<Option<Handler>>,
    subscriptions: Arc<Subscriptions>,
}

#[expect(unsafe_code, reason = "a handle is no address")]
mod thread_safety {
    use super::Connection;

    // SAFETY: all fields but `handle` can be shared between threads, and `handle` is a number that nobody follows.
    unsafe impl Send for Connection {}
    // SAFETY: as above.
    unsafe impl Sync for Connection {}
}

/// A connection with the references to it, of which the last one closes it.
struct Entry {
    connection: Arc<Connection>,
    /// References that the program holds.
    program: usize,
    /// Devices and subscriptions that need it.
    needed: usize,
}

impl Entry {
    fn keep(&self) -> Keep {
        if self.program + self.needed == 0 { Keep::No } else { Keep::Yes }
    }
}

/// The connection of a handle; none if it is no handle of a connection that is still there.
pub(crate) fn find(handle: ConnectPtr) -> Option<Arc<Connection>> {
    CONNECTIONS.with(handle, |entry| Arc::clone(&entry.connection))
}

/// Makes a connection that the program holds one reference of.
pub(crate) fn insert(source: Arc<Source>, uri: CString, read_only: bool) -> ConnectPtr {
    let handle = Handles::<Entry, Connect>::next();
    let connection = Arc::new(Connection {
        handle,
        subscriptions: Arc::new(Subscriptions::new(Arc::clone(&source))),
        source,
        uri,
        kind: Mutex::default(),
        read_only,
        error: SharedError::default(),
        error_handler: Mutex::default(),
    });
    CONNECTIONS.insert(handle, Entry { connection, program: 1, needed: 0 });
    handle
}

/// The program takes a reference. `false`: there is no such connection.
pub(crate) fn take(handle: ConnectPtr) -> bool {
    let taken = CONNECTIONS.change(handle, |entry| {
        entry.program += 1;
        ((), Keep::Yes)
    });
    taken.is_some()
}

/// The program gives a reference back: whether others remain. Nothing if it has none.
pub(crate) fn give_back(handle: ConnectPtr) -> Option<bool> {
    let (had, closed) = CONNECTIONS.change(handle, |entry| match entry.program {
        // What is left belongs to devices and subscriptions.
        0 => (false, Keep::Yes),
        _ => {
            entry.program -= 1;
            (true, entry.keep())
        }
    })?;
    // The connection is closed here, when no lock is held any more.
    had.then_some(closed.is_none())
}

/// A reference to a connection by something that needs it.
pub(crate) struct Needed(Arc<Connection>);

impl Needed {
    /// Takes a reference. Nothing if the connection has just been closed.
    pub(crate) fn take(connection: &Arc<Connection>) -> Option<Self> {
        Self::take_many(connection, 1)?.next()
    }

    /// Takes so many references at once. Nothing if the connection has just been closed.
    pub(crate) fn take_many(
        connection: &Arc<Connection>,
        count: usize,
    ) -> Option<impl Iterator<Item = Self> + use<>> {
        CONNECTIONS.change(connection.handle, |entry| {
            entry.needed += count;
            ((), Keep::Yes)
        })?;
        // All exist from here on: each gives back its own.
        let taken: Vec<_> = (0..count).map(|_| Self(Arc::clone(connection))).collect();
        Some(taken.into_iter())
    }
}

impl std::ops::Deref for Needed {
    type Target = Arc<Connection>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Needed {
    fn drop(&mut self) {
        let closed = CONNECTIONS.change(self.0.handle, |entry| {
            entry.needed -= 1;
            ((), entry.keep())
        });
        drop(closed);
    }
}

impl Connection {
    pub(crate) fn handle(&self) -> ConnectPtr {
        self.handle
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// libvirt's functions, as the source of the devices answers them.
    pub(crate) fn calls(&self) -> nodedev_driver::Result<&dyn LibvirtCalls> {
        self.source.calls()
    }

    pub(crate) fn uri(&self) -> &CString {
        &self.uri
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub(crate) fn subscriptions(&self) -> &Arc<Subscriptions> {
        &self.subscriptions
    }

    pub(crate) fn error(&self) -> &SharedError {
        &self.error
    }

    pub(crate) fn error_handler(&self) -> Option<Handler> {
        *self.error_handler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_error_handler(&self, handler: Option<Handler>) {
        *self.error_handler.lock().unwrap_or_else(PoisonError::into_inner) = handler;
    }

    /// Name of the driver, at an address that is good as long as the connection.
    pub(crate) fn kind(&self) -> nodedev_driver::Result<*const std::ffi::c_char> {
        let mut kind = self.kind.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = match &mut *kind {
            Some(kind) => kind,
            none => none.insert(c_string(self.source.calls()?.driver_type()?.as_bytes())),
        };
        Ok(kind.as_ptr())
    }
}
