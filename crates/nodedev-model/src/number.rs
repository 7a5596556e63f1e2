//! Numbers the way the C library reads them (`strtol` and its kin), which is how libvirt reads every number of sysfs,
//! of udev and of documents.

/// A number at the start of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CNumber<'a> {
    /// It has a minus sign.
    pub negative: bool,
    /// Its value without the sign.
    pub magnitude: u64,
    /// What follows it.
    pub rest: &'a [u8],
}

impl<'a> CNumber<'a> {
    /// Reads the number that a text begins with, in base 8, 10 or 16, or in that which its prefix tells for base 0 (`0x`
    /// is hexadecimal, a leading `0` octal). Blanks before it, a sign, and for base 16 `0x` are allowed. `None` if there
    /// is no number or it does not fit 64 bits.
    ///
    /// ```
    /// use nodedev_model::CNumber;
    /// let number = CNumber::leading(b" -0x1f.", 0).unwrap();
    /// assert_eq!((number.negative, number.magnitude, number.rest), (true, 31, &b"."[..]));
    /// ```
    pub fn leading(text: &'a [u8], base: u32) -> Option<Self> {
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
        let magnitude = digits
            .iter()
            .filter_map(|&digit| char::from(digit).to_digit(base))
            .try_fold(0u64, |value, digit| {
                value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))
            })?;
        Some(Self { negative, magnitude, rest })
    }

    /// Reads a number that is all of the text.
    pub fn whole(text: &'a [u8], base: u32) -> Option<Self> {
        Self::leading(text, base).filter(|number| number.rest.is_empty())
    }

    /// The value with its sign; `None` beyond 63 bits.
    pub fn signed(&self) -> Option<i64> {
        let value = i64::try_from(self.magnitude).ok()?;
        Some(if self.negative { -value } else { value })
    }
}

#[cfg(test)]
mod tests {
    use super::CNumber;

    #[test]
    fn numbers_are_read_as_the_c_library_does() {
        for (text, base, want) in [
            ("0", 10, Some(0)),
            (" \t\n+42", 10, Some(42)),
            ("42 ", 10, None),
            ("", 10, None),
            ("+", 10, None),
            ("+-5", 10, None),
            ("-1", 10, Some(-1)),
            ("0x1f", 16, Some(31)),
            ("0X1F", 16, Some(31)),
            ("1f", 16, Some(31)),
            ("0x", 16, None),
            ("0x0x1", 16, None),
            ("0x1f", 10, None),
            ("0x10", 0, Some(16)),
            ("010", 0, Some(8)),
            ("10", 0, Some(10)),
            ("08", 0, None),
            ("9223372036854775807", 10, Some(i64::MAX)),
            ("9223372036854775808", 10, None),
            ("99999999999999999999999", 10, None),
        ] {
            let number = CNumber::whole(text.as_bytes(), base).and_then(|number| number.signed());
            assert_eq!(number, want, "{text:?} base {base}");
        }
        assert_eq!(CNumber::leading(b"1000 junk", 16).unwrap().rest, b" junk");
        assert_eq!(CNumber::whole(b"18446744073709551615", 10).unwrap().magnitude, u64::MAX);
    }
}
