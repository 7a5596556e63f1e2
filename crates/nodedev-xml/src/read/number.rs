//! The numbers of documents: nothing may follow them.

use nodedev_model::CNumber;

/// A number without minus sign that fits.
pub(super) fn unsigned<T: TryFrom<u64>>(text: &str, base: u32) -> Option<T> {
    let number = CNumber::whole(text.as_bytes(), base).filter(|number| !number.negative)?;
    T::try_from(number.magnitude).ok()
}

/// A number that fits C's `int`.
pub(super) fn signed(text: &str, base: u32) -> Option<i32> {
    CNumber::whole(text.as_bytes(), base)?.signed()?.try_into().ok()
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
