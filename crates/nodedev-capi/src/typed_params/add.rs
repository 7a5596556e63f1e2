//! Adding to a list.

use std::ffi::{CStr, c_char, c_double, c_int, c_longlong, c_uint, c_ulonglong};

use nodedev_driver::Error;

use super::list::List;
use super::{TypedParameter, Value, function, invalid, parse};
use crate::c_memory;
use crate::function::Function;

/// The part that all have in common: the list and the name, as the caller gave them.
///
/// # Safety
/// As [`List::new`] for the list; `name` is NULL or ends in NUL.
unsafe fn to_list<'a>(
    function: Function,
    (params, count, room): (*mut *mut TypedParameter, *mut c_int, *mut c_int),
    name: *const c_char,
) -> Result<(List<'a>, &'a CStr), Error> {
    // SAFETY: the caller promises what both ask for.
    let (list, name) = unsafe { (List::new(function, params, count, room), c_memory::text(name)) };
    Ok((list?, name.ok_or_else(|| function.null("name"))?))
}

/// Functions that add a value of one type.
macro_rules! adders {
    ($($symbol:ident: $value:ident: $type:ty => $make:expr, $what:literal;)*) => {$(
        #[doc = concat!("Adds ", $what, " to a list, which grows as needed: 0, or -1 with an error.")]
        ///
        /// # Safety
        /// The variables describe a list: NULL with room for 0, or memory of the C allocator. The texts end in NUL.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $symbol(
            params: *mut *mut TypedParameter,
            nparams: *mut c_int,
            maxparams: *mut c_int,
            name: *const c_char,
            $value: $type,
        ) -> c_int {
            let function = function(stringify!($symbol));
            function.run(|| {
                // SAFETY: the caller promises what `to_list` asks for.
                let (mut list, name) = unsafe { to_list(function, (params, nparams, maxparams), name) }?;
                list.add(name, || Ok($make))?;
                Ok(0)
            })
        }
    )*};
}

adders! {
    virTypedParamsAddInt: value: c_int => Value::Int(value), "an `int`";
    virTypedParamsAddUInt: value: c_uint => Value::UInt(value), "an `unsigned int`";
    virTypedParamsAddLLong: value: c_longlong => Value::LLong(value), "a `long long`";
    virTypedParamsAddULLong: value: c_ulonglong => Value::ULLong(value), "an `unsigned long long`";
    virTypedParamsAddDouble: value: c_double => Value::Double(value), "a `double`";
    virTypedParamsAddBoolean: value: c_int => Value::Boolean(value != 0), "a truth, any number but 0 being true,";
    virTypedParamsAddString: value: *const c_char => string(&value), "a copy of a text, an empty one in place of NULL,";
}

/// A text of the caller's that lives as long as the variable it is in.
fn string(value: &*const c_char) -> Value<'_> {
    // SAFETY: the caller of an exported function promises that its texts end in NUL, and to leave them alone until it
    // returns.
    Value::String(unsafe { c_memory::text(*value) }.unwrap_or_default())
}

/// Adds several texts of the same name, from an array that ends in NULL: 0, or -1 with an error. -1 without an error
/// means that the array was empty.
///
/// # Safety
/// As [`virTypedParamsAddString`]; `values` is NULL or ends in NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virTypedParamsAddStringList(
    params: *mut *mut TypedParameter,
    nparams: *mut c_int,
    maxparams: *mut c_int,
    name: *const c_char,
    values: *const *const c_char,
) -> c_int {
    // Named after the function that adds each, as in libvirt.
    let function = function("virTypedParamsAddString");
    function.run(|| {
        if values.is_null() {
            return Ok(0);
        }
        let mut result = -1;
        for index in 0.. {
            // SAFETY: the array ends in NULL, where this loop ends too.
            let value = unsafe { values.add(index).read() };
            if value.is_null() {
                break;
            }
            // SAFETY: the caller promises what `to_list` asks for.
            let (mut list, name) = unsafe { to_list(function, (params, nparams, maxparams), name) }?;
            list.add(name, || Ok(string(&value)))?;
            result = 0;
        }
        Ok(result)
    })
}

/// Adds a value that is written as a text: 0, or -1 with an error.
///
/// # Safety
/// As [`virTypedParamsAddString`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virTypedParamsAddFromString(
    params: *mut *mut TypedParameter,
    nparams: *mut c_int,
    maxparams: *mut c_int,
    name: *const c_char,
    kind: c_int,
    value: *const c_char,
) -> c_int {
    let function = function("virTypedParamsAddFromString");
    function.run(|| {
        // SAFETY: the caller promises what `to_list` asks for.
        let (mut list, name) = unsafe { to_list(function, (params, nparams, maxparams), name) }?;
        // SAFETY: as above.
        let Some(value) = (unsafe { c_memory::text(value) }) else {
            list.reserve()?;
            return Err(invalid(format!("NULL value for field '{}'", name.to_string_lossy())));
        };
        list.add(name, || parse::value(kind, name, value))?;
        Ok(0)
    })
}
