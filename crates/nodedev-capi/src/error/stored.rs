#![expect(unsafe_code, reason = "errors are structures of C")]

use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodedev_driver::Error;

use crate::c_memory::{copy, free};
use crate::types::VirError;

/// No error.
pub(super) const NONE: VirError = VirError {
    code: 0,
    domain: 0,
    message: ptr::null_mut(),
    level: 0,
    conn: ptr::null_mut(),
    dom: ptr::null_mut(),
    str1: ptr::null_mut(),
    str2: ptr::null_mut(),
    str3: ptr::null_mut(),
    int1: 0,
    int2: 0,
    net: ptr::null_mut(),
};

/// An error that C looks at by its address.
///
/// Its strings are from the C allocator, as C may copy the structure and reset the copy.
pub(crate) struct Stored(UnsafeCell<VirError>);

impl Stored {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(NONE))
    }

    /// Where it is, for as long as this value is not moved.
    pub(crate) fn as_ptr(&self) -> *mut VirError {
        self.0.get()
    }

    /// Forgets the error.
    pub(crate) fn reset(&self) {
        // SAFETY: the structure is ours, and holds NULL or memory of the C allocator in its strings.
        unsafe { reset(self.as_ptr()) }
    }

    /// Replaces the error.
    pub(crate) fn set(&self, error: &Error) {
        self.reset();
        let string = |text: Option<&str>| text.map_or(ptr::null_mut(), |text| copy(text.as_bytes()));
        let [str1, str2, str3] = error.strings().map(string);
        let [int1, int2] = error.ints();
        let new = VirError {
            code: error.code().0,
            domain: error.domain().0,
            message: copy(error.message().as_bytes()),
            level: error.level() as i32,
            str1,
            str2,
            str3,
            int1,
            int2,
            ..NONE
        };
        // SAFETY: the structure is ours; its former strings were freed above.
        unsafe { self.as_ptr().write(new) }
    }

    /// Number of the error, and 0 where there is none.
    pub(crate) fn code(&self) -> i32 {
        // SAFETY: the structure is ours and initialised.
        unsafe { (*self.as_ptr()).code }
    }
}

impl Default for Stored {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.reset();
    }
}

/// Frees the strings of an error and makes it none.
///
/// # Safety
/// `error` points to an error whose strings are NULL or from the C allocator, and nobody else uses it meanwhile.
pub(super) unsafe fn reset(error: *mut VirError) {
    // SAFETY: the caller gives a valid structure that is nobody else's now. It is emptied before its strings are freed.
    unsafe {
        let old = error.replace(NONE);
        for text in [old.message, old.str1, old.str2, old.str3] {
            free(text);
        }
    }
}

/// Copies an error with its strings over another one, whose content is taken for rubbish.
///
/// # Safety
/// `from` points to an error with valid strings, `to` to memory for one; both do not overlap.
pub(super) unsafe fn copy_to(from: *const VirError, to: *mut VirError) {
    let string = |text: *mut c_char| {
        // SAFETY: the caller promises that the strings of `from` are valid.
        unsafe { crate::c_memory::text(text) }.map_or(ptr::null_mut(), |text| copy(text.to_bytes()))
    };
    // SAFETY: `from` is valid to read and `to` to write, says the caller.
    unsafe {
        let from = &*from;
        to.write(VirError {
            code: from.code,
            domain: from.domain,
            message: string(from.message),
            level: from.level,
            str1: string(from.str1),
            str2: string(from.str2),
            str3: string(from.str3),
            int1: from.int1,
            int2: from.int2,
            ..NONE
        });
    }
}

/// An error that threads share.
#[derive(Default)]
pub(crate) struct SharedError(Mutex<Stored>);

// SAFETY: the structure is only reached through the lock, and its strings can be freed by any thread. That C looks at it
// without the lock is what libvirt's manual warns of at virConnGetLastError.
unsafe impl Send for SharedError {}
// SAFETY: as above.
unsafe impl Sync for SharedError {}

impl SharedError {
    pub(crate) fn set(&self, error: &Error) {
        self.lock().set(error);
    }

    pub(super) fn reset(&self) {
        self.lock().reset();
    }

    /// Where it is as long as this value is not moved.
    pub(super) fn as_ptr(&self) -> *mut VirError {
        self.lock().as_ptr()
    }

    /// Copies the error over another one; returns its number.
    ///
    /// # Safety
    /// `to` points to memory for an error, which is not this one.
    pub(super) unsafe fn copy_to(&self, to: *mut VirError) -> i32 {
        let stored = self.lock();
        // SAFETY: `to` as the caller promises; ours is valid and nobody changes it while the lock is held.
        unsafe { copy_to(stored.as_ptr(), to) };
        stored.code()
    }

    fn lock(&self) -> MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
