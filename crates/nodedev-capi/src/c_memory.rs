//! Memory and texts that cross the border.

#![expect(unsafe_code, reason = "memory of C")]

use std::ffi::{CStr, CString, c_char, c_ulong, c_void};

use nodedev_driver::{Error, ErrorCode, ErrorDomain};

/// A copy of `text` that the caller frees with `free()`; what follows a NUL is left out. NULL if there is no memory.
pub(crate) fn copy(text: &[u8]) -> *mut c_char {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    // SAFETY: malloc may be called with any size, which here cannot overflow: slices are shorter than isize::MAX.
    let memory = unsafe { libc::malloc(text.len() + 1) }.cast::<u8>();
    if !memory.is_null() {
        // SAFETY: malloc gave `len + 1` writable bytes, which nobody else knows of yet.
        unsafe {
            memory.copy_from_nonoverlapping(text.as_ptr(), text.len());
            memory.add(text.len()).write(0);
        }
    }
    memory.cast()
}

/// As [`copy`], with an error in place of NULL.
pub(crate) fn try_copy(text: &[u8]) -> Result<*mut c_char, Error> {
    let text = copy(text);
    if text.is_null() { Err(no_memory()) } else { Ok(text) }
}

/// There is no memory (code 2).
pub(crate) fn no_memory() -> Error {
    Error::bare(ErrorDomain::NONE, ErrorCode::NO_MEMORY, "out of memory")
}

/// Gives memory back to the C allocator.
///
/// # Safety
/// `memory` is NULL, or comes from the C allocator and is not used afterwards.
pub(crate) unsafe fn free(memory: *mut c_char) {
    // SAFETY: the caller's promise is what free asks for.
    unsafe { libc::free(memory.cast::<c_void>()) }
}

/// A text of the caller's.
///
/// # Safety
/// `text` is NULL, or points to bytes that end in NUL and do not change during `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: the caller's promise is what CStr::from_ptr asks for; NULL is not passed on.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// A text without NUL; what follows one is left out.
pub(crate) fn c_string(text: &[u8]) -> CString {
    CString::new(text.split(|byte| *byte == 0).next().unwrap_or_default()).unwrap_or_default()
}

/// A number as C has it, which on some machines holds no more than 32 bits.
#[allow(clippy::useless_conversion, reason = "on others both types are the same")]
pub(crate) fn number(number: u64) -> c_ulong {
    c_ulong::try_from(number).unwrap_or(c_ulong::MAX)
}
