//! The functions of `libvirt/virterror.h`.

#![expect(unsafe_code, reason = "functions for C")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use super::handler::{self, Handler};
use super::stored::Stored;
use super::{LAST, last, stored};
use crate::connection;
use crate::types::{ConnectPtr, ErrorFunc, VirError};

/// The last error of this thread, until its next call; NULL if there is none.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virGetLastError() -> *mut VirError {
    if virGetLastErrorCode() == 0 { ptr::null_mut() } else { last() }
}

/// Number of this thread's last error (`virErrorNumber`); 0: there is none.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virGetLastErrorCode() -> c_int {
    LAST.try_with(Stored::code).unwrap_or(0)
}

/// Part that this thread's last error comes from (`virErrorDomain`); 0 if there is none.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virGetLastErrorDomain() -> c_int {
    // SAFETY: the structure is this thread's and initialised.
    LAST.try_with(|last| unsafe { (*last.as_ptr()).domain }).unwrap_or(0)
}

/// Message of this thread's last error, until its next call; a fixed text if there is none.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virGetLastErrorMessage() -> *const c_char {
    let error = virGetLastError();
    // SAFETY: the error is this thread's.
    match unsafe { error.as_ref() } {
        None => c"no error".as_ptr(),
        Some(error) if error.message.is_null() => c"unknown error".as_ptr(),
        Some(error) => error.message,
    }
}

/// Forgets this thread's last error.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virResetLastError() {
    super::reset();
}

/// Copies this thread's last error to `to`, which is overwritten. Returns its number; -1 if `to` is NULL.
///
/// # Safety
/// `to` is NULL or points to memory for an error, which is later given to [`virResetError`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virCopyLastError(to: *mut VirError) -> c_int {
    if to.is_null() {
        return -1;
    }
    let from = last();
    // SAFETY: `to` is memory for an error, says the caller, and not our own of this thread. `from` is that, or NULL.
    unsafe {
        if from.is_null() {
            to.write(stored::NONE)
        } else {
            stored::copy_to(from, to)
        }
        (*to).code
    }
}

/// A copy of this thread's last error for [`virFreeError`]; NULL if there is no memory.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virSaveLastError() -> *mut VirError {
    // SAFETY: the size is that of a structure.
    let copy = unsafe { libc::malloc(size_of::<VirError>()) }.cast::<VirError>();
    // SAFETY: malloc aligns for every type, and gave memory for an error.
    unsafe { virCopyLastError(copy) };
    copy
}

/// Frees the strings of an error and makes it none.
///
/// # Safety
/// `error` is NULL or points to an error that this library filled.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virResetError(error: *mut VirError) {
    if !error.is_null() {
        // SAFETY: the caller gives an error of this library, whose strings are from the C allocator.
        unsafe { stored::reset(error) }
    }
}

/// Frees an error that [`virSaveLastError`] gave.
///
/// # Safety
/// `error` is NULL or comes from [`virSaveLastError`], and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virFreeError(error: *mut VirError) {
    // SAFETY: the caller gives a copy that virSaveLastError allocated.
    unsafe {
        virResetError(error);
        libc::free(error.cast());
    }
}

/// Prints an error to the standard error output.
///
/// # Safety
/// `error` is NULL or points to an error with valid strings.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virDefaultErrorFunc(error: *mut VirError) {
    // SAFETY: the caller's promise.
    unsafe { handler::print(error) }
}

/// Sets the function that is told of every error, which otherwise is printed; NULL: print again.
///
/// # Safety
/// `function` can be called with `user` from every thread until it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virSetErrorFunc(user: *mut c_void, function: Option<ErrorFunc>) {
    handler::set(function.map(|function| Handler { function, user }));
}

/// Sets the function that is told of the errors of a connection, in place of the program's; NULL: the program's again.
///
/// # Safety
/// `function` can be called with `user` from every thread until it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnSetErrorFunc(
    connection: ConnectPtr,
    user: *mut c_void,
    function: Option<ErrorFunc>,
) {
    if let Some(connection) = connection::find(connection) {
        connection.set_error_handler(function.map(|function| Handler { function, user }));
    }
}

/// The last error of a connection, until another of its calls fails; with code 0 if there is none, NULL if it is no
/// connection. Of several threads, only one may use a connection while the result is looked at.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnGetLastError(connection: ConnectPtr) -> *mut VirError {
    let Some(connection) = connection::find(connection) else { return ptr::null_mut() };
    connection.error().as_ptr()
}

/// Copies the last error of a connection to `to`. Returns its number, 0 if there is none; -1 if either is NULL or no
/// connection.
///
/// # Safety
/// As for [`virCopyLastError`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnCopyLastError(connection: ConnectPtr, to: *mut VirError) -> c_int {
    let Some(connection) = connection::find(connection) else { return -1 };
    if to.is_null() {
        return -1;
    }
    // SAFETY: `to` is memory for an error, says the caller. The connection's own stays in place while it is held here.
    unsafe { connection.error().copy_to(to) }
}

/// Forgets the last error of a connection.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnResetLastError(connection: ConnectPtr) {
    if let Some(connection) = connection::find(connection) {
        connection.error().reset();
    }
}
