//! Numbers as C's `strtoul` family reads them, with libvirt's rule on top that nothing may follow.

/// Reads a number: blanks before it, a sign, and for base 16 or 0 a prefix are allowed; nothing may follow.
///
/// Base 0 means that of C: `0x` hexadecimal, `0` octal, else decimal.
fn number(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefixed = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (base, digits) = match (base, prefixed) {
        (0 | 16, Some(digits)) => (16, digits),
        (0, None) if digits.starts_with('0') => (8, digits),
        (0, None) => (10, digits),
        (base, _) => (base, digits),
    };
    let mut value: i128 = 0;
    if digits.is_empty() {
        return None;
    }
    for digit in digits.chars() {
        value = value * i128::from(base) + i128::from(digit.to_digit(base)?);
        if value > i128::from(u64::MAX) {
            return None;
        }
    }
    Some(if negative { -value } else { value })
}

/// A number without minus sign that fits.
pub(super) fn unsigned<T: TryFrom<i128>>(text: &str, base: u32) -> Option<T> {
    if text.contains('-') { None } else { T::try_from(number(text, base)?).ok() }
}

/// A number that fits C's `int`.
pub(super) fn signed(text: &str, base: u32) -> Option<i32> {
    i32::try_from(number(text, base)?).ok()
}

#[cfg(test)]
mod tests {
    use super::{signed, unsigned};

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, base, want) in [
            ("5", 10, Some(5)),
            (" \t\n+5", 10, Some(5)),
            ("5 ", 10, None),
            ("", 10, None),
            ("+", 10, None),
            ("-0", 10, None),
            ("+-5", 10, None),
            ("0x5", 10, None),
            ("0x5", 16, Some(5)),
            ("0XfF", 16, Some(255)),
            ("fF", 16, Some(255)),
            ("0x", 16, None),
            ("0x0x1", 16, None),
            ("0x1f", 0, Some(31)),
            ("010", 0, Some(8)),
            ("0", 0, Some(0)),
            ("08", 0, None),
            ("4294967295", 10, Some(u32::MAX)),
            ("4294967296", 10, None),
            ("99999999999999999999999999999999999999999999", 10, None),
        ] {
            assert_eq!(unsigned::<u32>(text, base), want, "{text:?} base {base}");
        }
        assert_eq!(unsigned::<u64>("18446744073709551615", 10), Some(u64::MAX));
        assert_eq!(unsigned::<u64>("18446744073709551616", 10), None);
        assert_eq!(signed("-2147483648", 10), Some(i32::MIN));
        assert_eq!(signed("2147483648", 10), None);
    }
}
