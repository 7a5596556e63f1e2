//! The numbers of sysfs and udev, read with the rules that libvirt has for each.

use nodedev_model::CNumber;

/// An unsigned number of 32 bits with anything behind it.
pub(crate) fn leading_u32(text: &[u8], base: u32) -> Option<u32> {
    wrapped_u32(CNumber::leading(text, base)?)
}

/// An unsigned number of 32 bits. Like libvirt's reader, a minus sign wraps around: `-1` is 4294967295.
pub(crate) fn wrapping_u32(text: &[u8], base: u32) -> Option<u32> {
    wrapped_u32(CNumber::whole(text, base)?)
}

fn wrapped_u32(number: CNumber<'_>) -> Option<u32> {
    let value = u32::try_from(number.magnitude).ok()?;
    Some(if number.negative { value.wrapping_neg() } else { value })
}

/// An unsigned number of 32 bits.
pub(crate) fn u32(text: &[u8], base: u32) -> Option<u32> {
    CNumber::whole(text, base)?.signed()?.try_into().ok()
}

/// An unsigned number of 64 bits. Like libvirt's reader, a minus sign wraps around.
pub(crate) fn wrapping_u64(text: &[u8], base: u32) -> Option<u64> {
    let number = CNumber::whole(text, base)?;
    Some(if number.negative { number.magnitude.wrapping_neg() } else { number.magnitude })
}

/// An unsigned number of 64 bits.
pub(crate) fn u64(text: &[u8], base: u32) -> Option<u64> {
    CNumber::whole(text, base)
        .filter(|number| !number.negative || number.magnitude == 0)
        .map(|number| number.magnitude)
}

/// A signed number of 32 bits.
pub(crate) fn i32(text: &[u8], base: u32) -> Option<i32> {
    CNumber::whole(text, base)?.signed()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn signs_and_what_follows_are_treated_as_libvirt_does() {
        assert_eq!(super::u32(b"4294967295", 10), Some(u32::MAX));
        assert_eq!(super::u32(b"4294967296", 10), None);
        assert_eq!(super::u32(b"-1", 10), None);
        assert_eq!(super::i32(b"-1", 10), Some(-1));
        assert_eq!(super::i32(b"2147483648", 10), None);
        assert_eq!(super::wrapping_u32(b"-1", 10), Some(u32::MAX));
        assert_eq!(super::wrapping_u64(b"-1", 0), Some(u64::MAX));
        assert_eq!(super::leading_u32(b" +12 junk", 10), Some(12));
        assert_eq!(super::leading_u32(b"-1x", 10), Some(u32::MAX));
        assert_eq!(super::leading_u32(b"x1", 10), None);
        assert_eq!(super::u64(b"18446744073709551615", 10), Some(u64::MAX));
        assert_eq!(super::u64(b"-1", 10), None);
    }
}
