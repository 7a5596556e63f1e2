//! Numbers the way the C library reads them, which is how libvirt reads every number of sysfs and udev: leading blanks,
//! a sign and (for bases 0 and 16) `0x` are allowed, anything behind the last digit is not.

/// Reads a number in `base` (0 for C's rules: `0x` is hexadecimal, a leading `0` octal): whether it is negative, its
/// magnitude, and what follows it. `None` if the text does not begin with a number or it does not fit 64 bits.
fn leading(text: &[u8], base: u32) -> Option<(bool, u64, &[u8])> {
    let start = text.iter().position(|b| !matches!(b, b' ' | 0x09..=0x0d))?;
    let text = &text[start..];
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (base, digits) = match (base, text) {
        (0 | 16, [b'0', b'x' | b'X', rest @ ..]) if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        (0, [b'0', ..]) => (8, text),
        (0, _) => (10, text),
        (base, _) => (base, text),
    };
    let length = digits.iter().take_while(|&&digit| char::from(digit).is_digit(base)).count();
    let (digits, rest) = digits.split_at(length);
    if digits.is_empty() {
        return None;
    }
    let value = digits
        .iter()
        .filter_map(|&digit| char::from(digit).to_digit(base))
        .try_fold(0u64, |value, digit| value.checked_mul(u64::from(base))?.checked_add(u64::from(digit)))?;
    Some((negative, value, rest))
}

/// A number that is all of the text.
fn magnitude(text: &[u8], base: u32) -> Option<(bool, u64)> {
    leading(text, base).filter(|(_, _, rest)| rest.is_empty()).map(|(negative, value, _)| (negative, value))
}

/// An unsigned number of 32 bits with anything behind it.
pub(crate) fn leading_u32(text: &[u8], base: u32) -> Option<u32> {
    let (negative, value, _) = leading(text, base)?;
    let value = u32::try_from(value).ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// An unsigned number of 32 bits. Like libvirt's reader, a minus sign wraps around: `-1` is 4294967295.
pub(crate) fn wrapping_u32(text: &[u8], base: u32) -> Option<u32> {
    let (negative, value) = magnitude(text, base)?;
    let value = u32::try_from(value).ok()?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// An unsigned number of 32 bits.
pub(crate) fn u32(text: &[u8], base: u32) -> Option<u32> {
    i64(text, base)?.try_into().ok()
}

/// An unsigned number of 64 bits. Like libvirt's reader, a minus sign wraps around.
pub(crate) fn wrapping_u64(text: &[u8], base: u32) -> Option<u64> {
    magnitude(text, base).map(|(negative, value)| if negative { value.wrapping_neg() } else { value })
}

/// An unsigned number of 64 bits.
pub(crate) fn u64(text: &[u8], base: u32) -> Option<u64> {
    match magnitude(text, base)? {
        (true, value) if value != 0 => None,
        (_, value) => Some(value),
    }
}

/// A signed number of 32 bits.
pub(crate) fn i32(text: &[u8], base: u32) -> Option<i32> {
    i64(text, base)?.try_into().ok()
}

fn i64(text: &[u8], base: u32) -> Option<i64> {
    let (negative, value) = magnitude(text, base)?;
    let value = i64::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_read_as_the_c_library_does() {
        for (text, base, want) in [
            ("0", 10, Some(0)),
            (" 42", 10, Some(42)),
            ("+42", 10, Some(42)),
            ("42 ", 10, None),
            ("", 10, None),
            ("-1", 10, None),
            ("0x1f", 16, Some(31)),
            ("0X1F", 16, Some(31)),
            ("1f", 16, Some(31)),
            ("0x", 16, None),
            ("x", 16, None),
            ("0x10", 0, Some(16)),
            ("010", 0, Some(8)),
            ("10", 0, Some(10)),
            ("08", 0, None),
            ("4294967295", 10, Some(u32::MAX)),
            ("4294967296", 10, None),
            ("99999999999999999999999", 10, None),
        ] {
            assert_eq!(super::u32(text.as_bytes(), base), want, "{text:?}");
        }
        assert_eq!(super::i32(b"-1", 10), Some(-1));
        assert_eq!(super::wrapping_u32(b"-1", 10), Some(u32::MAX));
        assert_eq!(super::wrapping_u64(b"-1", 0), Some(u64::MAX));
        assert_eq!(super::leading_u32(b" +12 junk", 10), Some(12));
        assert_eq!(super::leading_u32(b"-1x", 10), Some(u32::MAX));
        assert_eq!(super::leading_u32(b"x1", 10), None);
        assert_eq!(super::leading_u32(b"1000 ", 16), Some(0x1000));
        assert_eq!(super::u64(b"18446744073709551615", 10), Some(u64::MAX));
        assert_eq!(super::u64(b"-1", 10), None);
    }
}
