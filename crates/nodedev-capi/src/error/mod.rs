//! libvirt's errors: the last one of each thread and of each connection, and whoever is told of them.

mod exports;
mod handler;
mod names;
mod stored;

use std::ptr;

pub use exports::*;
pub(crate) use handler::Handler;
use nodedev_driver::Error;
pub(crate) use stored::SharedError;
use stored::Stored;

use crate::connection::Connection;
use crate::types::VirError;

thread_local! {
    static LAST: Stored = const { Stored::new() };
}

/// Forgets the last error of this thread, with which every call begins.
pub(crate) fn reset() {
    // A thread that is ending has no error any more.
    let _ = LAST.try_with(Stored::reset);
}

/// Remembers an error as the last of this thread, without telling anybody.
pub(crate) fn remember(error: &Error) {
    let _ = LAST.try_with(|last| last.set(error));
}

/// A call failed: its error is this thread's and the connection's last, and whoever wants to know is told.
pub(crate) fn raise(connection: Option<&Connection>, error: &Error) {
    remember(error);
    let last = last();
    if let Some(connection) = connection {
        connection.error().set(error);
    }
    handler::tell(connection, last);
}

/// This thread's last error; NULL in a thread that is ending.
fn last() -> *mut VirError {
    LAST.try_with(Stored::as_ptr).unwrap_or(ptr::null_mut())
}
