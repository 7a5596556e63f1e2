#![expect(unsafe_code, reason = "handlers are functions of C")]

use std::ffi::c_void;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use nodedev_driver::{ErrorCode, ErrorDomain};

use super::names;
use crate::c_memory;
use crate::connection::Connection;
use crate::types::{ErrorFunc, VirError};

/// A function of the program that is told of errors.
#[derive(Clone, Copy)]
pub(crate) struct Handler {
    pub(crate) function: ErrorFunc,
    pub(crate) user: *mut c_void,
}

// SAFETY: the pointer is only passed on. Whoever registers a handler allows calls from whichever thread fails, as
// libvirt's manual says of virSetErrorFunc.
unsafe impl Send for Handler {}

/// The handler of all connections that have none of their own.
static HANDLER: Mutex<Option<Handler>> = Mutex::new(None);

/// Replaces the handler of all connections; none: errors are printed.
pub(super) fn set(handler: Option<Handler>) {
    *HANDLER.lock().unwrap_or_else(PoisonError::into_inner) = handler;
}

/// Tells whoever wants to know: the connection's handler, else the program's, else a person at the terminal.
pub(super) fn tell(connection: Option<&Connection>, error: *mut VirError) {
    if error.is_null() {
        return;
    }
    let own = connection.and_then(Connection::error_handler);
    let handler = own.or_else(|| *HANDLER.lock().unwrap_or_else(PoisonError::into_inner));
    // SAFETY: the error is this thread's, valid until its next call. The handler is what the program registered for
    // this purpose. No lock is held, so it may call us.
    unsafe {
        match handler {
            Some(Handler { function, user }) => function(user, error),
            None => print(error),
        }
    }
}

/// Prints an error to the standard error output, as one line.
///
/// # Safety
/// `error` is NULL, or an error with valid strings.
pub(super) unsafe fn print(error: *const VirError) {
    // SAFETY: as the caller promises.
    let Some(error) = (unsafe { error.as_ref() }) else { return };
    if error.code == 0 {
        return;
    }
    // SAFETY: as the caller promises.
    let message = unsafe { c_memory::text(error.message) }.map_or(&b""[..], |text| text.to_bytes());
    let mut line =
        format!("libvirt: {} {} : ", names::domain(error.domain), names::level(error.level)).into_bytes();
    // What an XML parser says names the line, and brings its own end.
    let names_line =
        (error.domain, error.code) == (ErrorDomain::XML.0, ErrorCode::XML_DETAIL.0) && error.int1 != 0;
    if names_line {
        line.extend_from_slice(format!("line {}: ", error.int1).as_bytes());
    }
    line.extend_from_slice(message);
    if !names_line && !line.ends_with(b"\n") {
        line.push(b'\n');
    }
    // Nobody is left to be told of an error here.
    let _ = std::io::stderr().write_all(&line);
}
