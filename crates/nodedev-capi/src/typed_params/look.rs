//! Looking into a list, and giving it back.

use std::ffi::{CStr, c_char, c_double, c_int, c_longlong, c_uint, c_ulonglong, c_void};
use std::ptr::null_mut;

use nodedev_driver::Error;

use super::list::slice;
use super::{Kind, TypedParameter, TypedParameterValue, function, invalid};
use crate::c_memory;

/// The first parameter of a name, NULL if there is none. No error is set or cleared.
///
/// # Safety
/// `params` is NULL or has `nparams` parameters, `name` is NULL or ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virTypedParamsGet(
    params: *mut TypedParameter,
    nparams: c_int,
    name: *const c_char,
) -> *mut TypedParameter {
    // SAFETY: the caller promises what both ask for.
    let (list, name) = unsafe { (slice(params, nparams), c_memory::text(name)) };
    match name.and_then(|name| list.iter().position(|param| is_called(param, name))) {
        // SAFETY: a position in the list is within it.
        Some(index) => unsafe { params.add(index) },
        None => null_mut(),
    }
}

/// Whether a parameter has a name. A field without NUL has none.
fn is_called(param: &TypedParameter, name: &CStr) -> bool {
    let field = param.field.iter().map(|letter| letter.to_ne_bytes()[0]);
    field.take(name.count_bytes() + 1).eq(name.to_bytes_with_nul().iter().copied())
}

/// The value of a parameter that has to be of a type: 1, 0 if there is none, -1 with an error if it is of another type.
///
/// # Safety
/// As [`virTypedParamsGet`]; `value` is NULL or may be written.
unsafe fn get<T>(
    symbol: &'static str,
    kind: Kind,
    (params, count, name): (*mut TypedParameter, c_int, *const c_char),
    value: *mut T,
    part: impl FnOnce(TypedParameterValue) -> T,
) -> c_int {
    function(symbol).run(|| {
        // SAFETY: the caller promises what this asks for.
        let Some(param) = (unsafe { virTypedParamsGet(params, count, name).as_ref() }) else { return Ok(0) };
        if Kind::of(param.kind) != Some(kind) {
            return Err(mismatch(kind, param));
        }
        if !value.is_null() {
            // SAFETY: it is not NULL, so it may be written.
            unsafe { value.write(part(param.value)) };
        }
        Ok(1)
    })
}

fn mismatch(wanted: Kind, param: &TypedParameter) -> Error {
    let letters = param.field.iter().map(|letter| letter.to_ne_bytes()[0]);
    let name: Vec<u8> = letters.take_while(|letter| *letter != 0).collect();
    invalid(format!(
        "Invalid type '{}' requested for parameter '{}', actual type is '{}'",
        Kind::name(wanted as c_int),
        String::from_utf8_lossy(&name),
        Kind::name(param.kind)
    ))
}

/// Functions that give a value of one type.
macro_rules! getters {
    ($($symbol:ident: $kind:ident, $type:ty, $part:ident => $convert:expr, $what:literal;)*) => {$(
        #[doc = concat!("Gives the value of the first parameter of a name, ", $what, ".")]
        ///
        /// 1; 0 if there is no such parameter, and `value` is left alone; -1 with an error if it is of another type.
        ///
        /// # Safety
        /// `params` is NULL or has `nparams` parameters, `name` is NULL or ends in NUL, `value` is NULL or may be written.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(
            params: *mut TypedParameter,
            nparams: c_int,
            name: *const c_char,
            value: *mut $type,
        ) -> c_int {
            // SAFETY: `get` reads this part of parameters of this kind only; the rest is the caller's promise.
            let part = |all: TypedParameterValue| unsafe { all.$part };
            // SAFETY: the caller promises what `get` asks for.
            unsafe {
                get(stringify!($symbol), Kind::$kind, (params, nparams, name), value, |all| $convert(part(all)))
            }
        }
    )*};
}

getters! {
    virTypedParamsGetInt: Int, c_int, i => c_int::from, "an `int`";
    virTypedParamsGetUInt: UInt, c_uint, ui => c_uint::from, "an `unsigned int`";
    virTypedParamsGetLLong: LLong, c_longlong, l => c_longlong::from, "a `long long`";
    virTypedParamsGetULLong: ULLong, c_ulonglong, ul => c_ulonglong::from, "an `unsigned long long`";
    virTypedParamsGetDouble: Double, c_double, d => c_double::from, "a `double`";
    virTypedParamsGetBoolean: Boolean, c_int, b => truth, "0 or 1";
    virTypedParamsGetString: String, *const c_char, s => <*mut c_char>::cast_const, "a text that the list keeps";
}

fn truth(value: c_char) -> c_int {
    c_int::from(value != 0)
}

/// Frees the texts of a list, and keeps the list.
///
/// # Safety
/// `params` is NULL or has `nparams` parameters, whose texts come from the C allocator.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virTypedParamsClear(params: *mut TypedParameter, nparams: c_int) {
    if params.is_null() {
        return;
    }
    for index in 0..usize::try_from(nparams).unwrap_or(0) {
        // SAFETY: there are `nparams` parameters, which nobody else uses during the call.
        let param = unsafe { &mut *params.add(index) };
        if Kind::of(param.kind) == Some(Kind::String) {
            // SAFETY: a parameter of this type has a text, from the C allocator; it is forgotten at once.
            unsafe { c_memory::free(param.value.s) };
            param.value.s = null_mut();
        }
    }
}

/// Frees a list with its texts.
///
/// # Safety
/// As [`virTypedParamsClear`]; the list too comes from the C allocator, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virTypedParamsFree(params: *mut TypedParameter, nparams: c_int) {
    // SAFETY: the caller promises what both ask for; NULL may be freed.
    unsafe {
        virTypedParamsClear(params, nparams);
        libc::free(params.cast::<c_void>());
    }
}
