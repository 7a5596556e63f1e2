//! Values that are written as texts, with what `strtol` and its relatives accept: blanks and a sign in front, a
//! wrap-around for negative numbers without sign.

use std::ffi::{CStr, c_char, c_double, c_int, c_uint};

use nodedev_driver::{Error, ErrorDomain};

use super::{Kind, Value, invalid};

/// The value of a type that need not be one; `name` is for the error.
pub(super) fn value<'a>(kind: c_int, name: &CStr, text: &'a CStr) -> Result<Value<'a>, Error> {
    let name = name.to_string_lossy();
    let Some(kind) = Kind::of(kind) else {
        return Err(Error::internal(ErrorDomain::NONE, format!("unexpected type {kind} for field {name}")));
    };
    let (value, expected) = match kind {
        Kind::Int => (int(text).map(Value::Int), "int"),
        Kind::UInt => (unsigned(text).map(Value::UInt), "unsigned int"),
        Kind::LLong => (signed(text).map(Value::LLong), "long long"),
        Kind::ULLong => (integer(text).map(Integer::wrapped).map(Value::ULLong), "unsigned long long"),
        Kind::Double => (double(text).map(Value::Double), "double"),
        Kind::Boolean => {
            return match text.to_bytes() {
                b"0" => Ok(Value::Boolean(false)),
                b"1" => Ok(Value::Boolean(true)),
                word if word.eq_ignore_ascii_case(b"false") => Ok(Value::Boolean(false)),
                word if word.eq_ignore_ascii_case(b"true") => Ok(Value::Boolean(true)),
                _ => Err(invalid(format!("Invalid boolean value for field '{name}'"))),
            };
        }
        Kind::String => return Ok(Value::String(text)),
    };
    value.ok_or_else(|| invalid(format!("Invalid value for field '{name}': expected {expected}")))
}

/// Sign and magnitude of a number.
#[derive(Clone, Copy)]
struct Integer {
    is_negative: bool,
    magnitude: u64,
}

impl Integer {
    fn wrapped(self) -> u64 {
        if self.is_negative { self.magnitude.wrapping_neg() } else { self.magnitude }
    }
}

/// A decimal number that fills the whole text, blanks in front excepted.
fn integer(text: &CStr) -> Option<Integer> {
    let text = text.to_str().ok()?.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    // `parse` would take a second sign.
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    let magnitude = digits.parse().ok().filter(|_| are_digits)?;
    Some(Integer { is_negative, magnitude })
}

fn signed(text: &CStr) -> Option<i64> {
    let number = integer(text)?;
    if number.is_negative {
        0_i64.checked_sub_unsigned(number.magnitude)
    } else {
        number.magnitude.try_into().ok()
    }
}

fn int(text: &CStr) -> Option<c_int> {
    signed(text)?.try_into().ok()
}

/// Here -1 means the greatest number, whatever the size of a `long`.
fn unsigned(text: &CStr) -> Option<c_uint> {
    let number = integer(text)?;
    let magnitude: c_uint = number.magnitude.try_into().ok()?;
    Some(if number.is_negative { magnitude.wrapping_neg() } else { magnitude })
}

/// What the C library takes for a number, hexadecimal ones and infinity included, with a point in every locale.
fn double(text: &CStr) -> Option<c_double> {
    let c_locale = c"C".as_ptr();
    let mut end: *mut c_char = std::ptr::null_mut();
    // SAFETY: the locale is made, used by this thread alone, put back and freed before anything else can see it; the
    // text ends in NUL, and `end` outlives the call.
    let (number, error) = unsafe {
        let locale = libc::newlocale(libc::LC_ALL_MASK, c_locale, std::ptr::null_mut());
        if locale.is_null() {
            return None;
        }
        let before = libc::uselocale(locale);
        *libc::__errno_location() = 0;
        let number = libc::strtod(text.as_ptr(), &raw mut end);
        let error = *libc::__errno_location();
        libc::uselocale(before);
        libc::freelocale(locale);
        (number, error)
    };
    let read = end.addr() - text.as_ptr().addr();
    (error == 0 && read > 0 && read == text.count_bytes()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{Value, value};

    /// What libvirt 11.3 made of these.
    #[test]
    fn texts_are_read_as_the_c_library_reads_them() {
        for (kind, text, expected) in [
            (1, c"\t 010", Some(Value::Int(10))),
            (1, c"-2147483648", Some(Value::Int(i32::MIN))),
            (1, c"2147483648", None),
            (1, c"1 ", None),
            (1, c"+-1", None),
            (1, c"", None),
            (2, c"-1", Some(Value::UInt(u32::MAX))),
            (2, c"-4294967295", Some(Value::UInt(1))),
            (2, c"-4294967296", None),
            (3, c"-9223372036854775808", Some(Value::LLong(i64::MIN))),
            (3, c"-9223372036854775809", None),
            (4, c"-18446744073709551615", Some(Value::ULLong(1))),
            (4, c"18446744073709551616", None),
            (5, c" 0x1p3", Some(Value::Double(8.0))),
            (5, c"5.", Some(Value::Double(5.0))),
            (5, c"1e400", None),
            (5, c"1e-400", None),
            (5, c"1,5", None),
            (5, c" ", None),
            (6, c"TRUE", Some(Value::Boolean(true))),
            (6, c"0", Some(Value::Boolean(false))),
            (6, c"yes", None),
            (7, c"", Some(Value::String(c""))),
            (8, c"1", None),
        ] {
            assert_eq!(value(kind, c"field", text).ok(), expected, "{kind} {text:?}");
        }
    }
}
