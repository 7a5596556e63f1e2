//! The border of every exported function: its name, the last error, the panic that must not leave, the failing value.

use std::ffi::{c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nodedev_driver::{Error, ErrorCode, ErrorDomain};

use crate::connection::{self, Connection};
use crate::device::{self, Device};
use crate::error;
use crate::types::{ConnectPtr, NodeDevicePtr};

/// An exported function, as its errors name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// Part of libvirt that the function is in.
    pub(crate) domain: ErrorDomain,
}

/// What a function returns when it fails.
pub(crate) trait Failed {
    const FAILED: Self;
}

impl Failed for c_int {
    const FAILED: Self = -1;
}

impl<T> Failed for *mut T {
    const FAILED: Self = std::ptr::null_mut();
}

impl Failed for *const c_char {
    const FAILED: Self = std::ptr::null();
}

impl Function {
    /// A function of the node device module.
    pub(crate) const fn of_devices(name: &'static str) -> Self {
        Self { name, domain: ErrorDomain::NODEDEV }
    }

    /// A function about connections.
    pub(crate) const fn of_connections(name: &'static str) -> Self {
        Self { name, domain: ErrorDomain::DOMAIN }
    }

    /// Runs a function that needs no object.
    pub(crate) fn run<T: Failed>(self, run: impl FnOnce() -> Result<T, Error>) -> T {
        error::reset();
        let result = guarded(run);
        result.unwrap_or_else(|error| {
            error::raise(None, &error);
            T::FAILED
        })
    }

    /// Runs a function of a connection.
    pub(crate) fn on_connection<T: Failed>(
        self,
        connection: ConnectPtr,
        run: impl FnOnce(&Arc<Connection>) -> Result<T, Error>,
    ) -> T {
        error::reset();
        let Some(connection) = connection::find(connection) else {
            error::raise(None, &self.invalid_connection());
            return T::FAILED;
        };
        guarded(|| run(&connection)).unwrap_or_else(|error| {
            error::raise(Some(&connection), &error);
            T::FAILED
        })
    }

    /// Runs a function of a device.
    pub(crate) fn on_device<T: Failed>(
        self,
        device: NodeDevicePtr,
        run: impl FnOnce(&Arc<Device>) -> Result<T, Error>,
    ) -> T {
        error::reset();
        let Some(device) = device::find(device) else {
            error::raise(None, &self.invalid_device());
            return T::FAILED;
        };
        guarded(|| run(&device)).unwrap_or_else(|error| {
            error::raise(Some(device.connection()), &error);
            T::FAILED
        })
    }

    /// The object is no connection (code 6).
    pub(crate) fn invalid_connection(self) -> Error {
        Error::new(self.domain, ErrorCode::INVALID_CONN, self.name)
    }

    /// The object is no device (code 52).
    pub(crate) fn invalid_device(self) -> Error {
        Error::new(self.domain, ErrorCode::INVALID_NODE_DEVICE, self.name)
    }

    /// The driver lacks the function (code 3).
    pub(crate) fn no_support(self) -> Error {
        Error::new(self.domain, ErrorCode::NO_SUPPORT, self.name)
    }

    /// An argument is NULL that must not be.
    pub(crate) fn null(self, argument: &str) -> Error {
        self.argument(argument, "must not be NULL")
    }

    /// An argument is negative that must not be.
    pub(crate) fn negative(self, argument: &str) -> Error {
        self.argument(argument, "must be zero or greater")
    }

    /// A bad argument, and what it has to be.
    pub(crate) fn argument(self, argument: &str, must: &str) -> Error {
        let message = format!("{argument} in {} {must}", self.name);
        Error::argument(self.domain, self.name, argument, message)
    }

    /// Refuses what changes something on a read-only connection (code 29).
    pub(crate) fn writes(self, connection: &Connection) -> Result<(), Error> {
        if connection.is_read_only() {
            let detail = format!("read only access prevents {}", self.name);
            return Err(Error::new(self.domain, ErrorCode::OPERATION_DENIED, detail));
        }
        Ok(())
    }
}

/// A panic, which must not unwind into C, becomes an error.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Whatever a panic leaves half done is behind locks that are taken in spite of it.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said =
            said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(Error::internal(ErrorDomain::NONE, format!("nodedev panicked: {said}; please report this")))
    })
}
