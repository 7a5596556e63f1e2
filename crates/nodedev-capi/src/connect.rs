//! The functions of `libvirt/libvirt-host.h` that open, describe and close connections.

#![expect(unsafe_code, reason = "functions for C")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong};
use std::time::Duration;

use nodedev_driver::{Error, ErrorCode, ErrorDomain, LIBVIRT_VERSION, Result};
use nodedev_remote::Pings;

use crate::c_memory::{c_string, number, text, try_copy};
use crate::function::Function;
use crate::open::READ_ONLY;
use crate::subscriptions::Luggage;
use crate::types::{CloseFunc, ConnectAuth, ConnectPtr, FreeCallback};
use crate::{connection, event_loop, open};

/// Prepares the library, which needs nothing. Returns 0; -1 in a program that runs with more rights than its caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virInitialize() -> c_int {
    Function::of_connections("virInitialize").run(|| initialise().map(|()| 0))
}

/// Environment and files of a caller with fewer rights than the process has must not decide what it connects to.
fn initialise() -> Result<()> {
    // SAFETY: getauxval may be called with any number.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        let detail = "libvirt.so is not safe to use from setuid/setgid programs";
        return Err(Error::internal(ErrorDomain::NONE, detail));
    }
    Ok(())
}

/// The version of libvirt that the library stands for, 1,000,000 × major + 1,000 × minor + release; the same for each
/// driver.
///
/// # Safety
/// `library` and `driver` are NULL or point to a number. `kind` is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virGetVersion(
    library: *mut c_ulong,
    _kind: *const c_char,
    driver: *mut c_ulong,
) -> c_int {
    Function::of_connections("virGetVersion").run(|| {
        if library.is_null() {
            return Err(Error::unknown_cause());
        }
        // SAFETY: the caller's promise; NULL is not written to.
        unsafe {
            library.write(number(LIBVIRT_VERSION));
            if !driver.is_null() {
                driver.write(number(LIBVIRT_VERSION));
            }
        }
        Ok(0)
    })
}

/// Opens a connection; NULL: what the environment's `LIBVIRT_DEFAULT_URI` says, or this machine.
///
/// # Safety
/// `name` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectOpen(name: *const c_char) -> ConnectPtr {
    // SAFETY: the caller's promise.
    unsafe { open_as("virConnectOpen", name, 0) }
}

/// Opens a connection that refuses to change anything.
///
/// # Safety
/// `name` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectOpenReadOnly(name: *const c_char) -> ConnectPtr {
    // SAFETY: the caller's promise.
    unsafe { open_as("virConnectOpenReadOnly", name, READ_ONLY) }
}

/// Opens a connection. No login that the library knows asks the user anything, so `auth` is not used.
///
/// # Safety
/// `name` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectOpenAuth(
    name: *const c_char,
    _auth: *mut ConnectAuth,
    flags: c_uint,
) -> ConnectPtr {
    // SAFETY: the caller's promise.
    unsafe { open_as("virConnectOpenAuth", name, flags) }
}

/// # Safety
/// `name` is NULL or a text.
unsafe fn open_as(function: &'static str, name: *const c_char, flags: c_uint) -> ConnectPtr {
    Function::of_connections(function).run(|| {
        initialise()?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name) }.map(CStr::to_string_lossy);
        let opened = open::open(name.as_deref(), flags)?;
        let read_only = flags & READ_ONLY != 0;
        Ok(connection::insert(opened.source, c_string(opened.uri.as_bytes()), read_only))
    })
}

/// Gives a reference to a connection back, with the last of which it is closed. Returns 1 if others remain, else 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectClose(conn: ConnectPtr) -> c_int {
    // libvirt has a part of its own for this one alone.
    let function = Function { name: "virConnectClose", domain: ErrorDomain::NONE };
    function.run(|| connection::give_back(conn).map(c_int::from).ok_or_else(|| function.invalid_connection()))
}

/// Takes another reference to a connection.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectRef(conn: ConnectPtr) -> c_int {
    let function = Function::of_connections("virConnectRef");
    function.run(|| if connection::take(conn) { Ok(0) } else { Err(function.invalid_connection()) })
}

/// Name of the driver behind a connection; belongs to the connection.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectGetType(conn: ConnectPtr) -> *const c_char {
    Function::of_connections("virConnectGetType").on_connection(conn, |connection| connection.kind())
}

/// The URI that a connection was opened with; freed by the caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectGetURI(conn: ConnectPtr) -> *mut c_char {
    Function::of_connections("virConnectGetURI")
        .on_connection(conn, |connection| try_copy(connection.uri().to_bytes()))
}

/// Name of the machine whose devices they are; freed by the caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectGetHostname(conn: ConnectPtr) -> *mut c_char {
    Function::of_connections("virConnectGetHostname")
        .on_connection(conn, |connection| try_copy(connection.calls()?.host_name()?.as_bytes()))
}

/// Version of the hypervisor, which node devices have none of.
///
/// # Safety
/// `hypervisor` is NULL or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectGetVersion(conn: ConnectPtr, hypervisor: *mut c_ulong) -> c_int {
    let function = Function::of_connections("virConnectGetVersion");
    function.on_connection(conn, |connection| {
        if hypervisor.is_null() {
            return Err(function.null("hvVer"));
        }
        let found = connection.calls()?.version()?;
        // SAFETY: the caller's promise; it is not NULL.
        unsafe { hypervisor.write(number(found)) };
        Ok(0)
    })
}

/// Version of libvirt on the daemon's side.
///
/// # Safety
/// `library` is NULL or points to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectGetLibVersion(conn: ConnectPtr, library: *mut c_ulong) -> c_int {
    let function = Function::of_connections("virConnectGetLibVersion");
    function.on_connection(conn, |connection| {
        if library.is_null() {
            return Err(function.null("libVer"));
        }
        let found = connection.calls()?.library_version()?;
        // SAFETY: the caller's promise; it is not NULL.
        unsafe { library.write(number(found)) };
        Ok(0)
    })
}

/// Whether calls can be made: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectIsAlive(conn: ConnectPtr) -> c_int {
    Function::of_connections("virConnectIsAlive")
        .on_connection(conn, |connection| Ok(connection.source().is_alive().into()))
}

/// Whether nobody else can read what is sent: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectIsSecure(conn: ConnectPtr) -> c_int {
    Function::of_connections("virConnectIsSecure")
        .on_connection(conn, |connection| Ok(connection.source().is_secure()?.into()))
}

/// Whether what is sent is encrypted: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectIsEncrypted(conn: ConnectPtr) -> c_int {
    Function::of_connections("virConnectIsEncrypted")
        .on_connection(conn, |connection| Ok(connection.source().is_encrypted()?.into()))
}

/// Has the daemon asked every `interval` seconds of silence if it is there, and given up after `count` questions. An
/// interval of 0 or less ends that. Returns 1 if the daemon does not know the question.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectSetKeepAlive(conn: ConnectPtr, interval: c_int, count: c_uint) -> c_int {
    Function::of_connections("virConnectSetKeepAlive").on_connection(conn, |connection| {
        let wanted = u64::try_from(interval).ok().filter(|seconds| *seconds > 0);
        let pings = wanted.map(|seconds| Pings { interval: Duration::from_secs(seconds), count });
        if connection.source().is_remote() && !event_loop::is_registered() {
            let detail = "the caller doesn't support keepalive protocol; perhaps it's missing event loop implementation";
            return Err(Error::new(ErrorDomain::REMOTE, ErrorCode::INTERNAL_ERROR, detail));
        }
        Ok(if connection.source().set_pings(pings)? { 0 } else { 1 })
    })
}

/// Has a function called when a connection ends other than by the program. A connection has one such function.
///
/// # Safety
/// `callback` and `free` can be called with `opaque` from the event loop until the function is unregistered.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectRegisterCloseCallback(
    conn: ConnectPtr,
    callback: Option<CloseFunc>,
    opaque: *mut std::ffi::c_void,
    free: Option<FreeCallback>,
) -> c_int {
    let function = Function::of_connections("virConnectRegisterCloseCallback");
    function.on_connection(conn, |connection| {
        let callback = callback.ok_or_else(|| function.null("cb"))?;
        connection.subscriptions().on_end(connection, callback, opaque, free)?;
        Ok(0)
    })
}

/// Forgets the function of [`virConnectRegisterCloseCallback`].
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectUnregisterCloseCallback(
    conn: ConnectPtr,
    callback: Option<CloseFunc>,
) -> c_int {
    let function = Function::of_connections("virConnectUnregisterCloseCallback");
    let mut luggage = Vec::new();
    let result = function.on_connection(conn, |connection| {
        let callback = callback.ok_or_else(|| function.null("cb"))?;
        luggage = connection.subscriptions().not_on_end(callback)?;
        Ok(0)
    });
    luggage.into_iter().for_each(Luggage::free);
    result
}
