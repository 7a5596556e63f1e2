//! Tells identities from words, and invents others of the same form.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nodedev_model::PciAddress;

use super::tables::is_placeholder;

/// A shorter value can be a number or a word that stands for something else elsewhere.
const SHORTEST: usize = 6;

/// What names of disks begin with, before the identity.
const PREFIXES: &[&[u8]] = &[b"naa.", b"eui.", b"uuid.", b"t10.", b"nvme."];

/// The part of a value that tells one thing from all others: without the kind of a name, and without the name of the
/// authority that gave it.
pub(super) fn identity_part(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    if value.starts_with(b"nqn.") || value.starts_with(b"iqn.") {
        return value.iter().position(|&b| b == b':').map_or(value, |colon| {
            let rest = &value[colon + 1..];
            rest.strip_prefix(b"uuid:").unwrap_or(rest)
        });
    }
    PREFIXES.iter().find_map(|prefix| value.strip_prefix(*prefix)).unwrap_or(value)
}

/// Whether a value can be looked for everywhere: no word, no placeholder, no place in the machine.
pub(super) fn is_identity(value: &[u8]) -> bool {
    value.len() >= SHORTEST
        && (value.iter().any(u8::is_ascii_digit) || !value.iter().any(u8::is_ascii_lowercase))
        && !is_placeholder(value)
        && PciAddress::from_bytes(value).is_err()
}

/// Whether a value is the hexadecimal digits of an address, a World Wide Name or a UUID.
pub(super) fn is_long_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"0x").unwrap_or(value);
    let plain = digits.iter().filter(|b| !matches!(b, b':' | b'-'));
    plain.clone().count() >= 12 && plain.clone().all(u8::is_ascii_hexdigit) && !is_placeholder(value)
}

/// How many digits of a value need not be replaced: the vendor's part of a hardware address tells whose card it is, not
/// which.
pub(super) fn of_vendor(value: &[u8]) -> usize {
    let is_address = value.len() == 17
        && value
            .iter()
            .enumerate()
            .all(|(at, b)| if at % 3 == 2 { *b == b':' } else { b.is_ascii_hexdigit() });
    if is_address { 6 } else { 0 }
}

/// A value of the same form, with nothing of it kept.
pub(super) fn invent(key: &RandomState, value: &[u8]) -> Vec<u8> {
    invent_after(key, value, 0)
}

/// A value of the same form: another digit for each digit, another letter for each letter, everything else stays.
/// Spellings that differ only in case, colons and `0x` get results that differ only there; udev's `_` for a blank too.
/// The first `kept` digits stay.
pub(super) fn invent_after(key: &RandomState, value: &[u8], kept: usize) -> Vec<u8> {
    let start = if value.starts_with(b"0x") { 2 } else { 0 };
    let plain: Vec<u8> = value[start..]
        .iter()
        .filter(|b| **b != b':')
        .map(|b| if *b == b' ' { b'_' } else { b.to_ascii_lowercase() })
        .collect();
    let all_hex = plain.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    let letters: usize = if all_hex { 6 } else { 26 };
    let mut at = 0;
    let mut invented = value[..start].to_vec();
    for &byte in &value[start..] {
        if byte == b':' {
            invented.push(byte);
            continue;
        }
        let number = key.hash_one((&plain, at)) as usize;
        at += 1;
        // Never the same one, or a short value could stay as it is.
        let another = |first: u8, count: usize| {
            let old = usize::from(byte - first) % count;
            first + ((old + 1 + number % (count - 1)) % count) as u8
        };
        invented.push(match byte {
            _ if at <= kept => byte,
            b'0'..=b'9' => another(b'0', 10),
            b'a'..=b'z' => another(b'a', letters),
            b'A'..=b'Z' => another(b'A', letters),
            other => other,
        });
    }
    invented
}

/// An address of those that are set aside for tests and examples (RFC 2544, RFC 3849), in the place of one of the same kind.
pub(super) fn invent_ip(key: &RandomState, address: IpAddr) -> IpAddr {
    let number = key.hash_one(address);
    match address {
        IpAddr::V4(_) => {
            let [.., a, b, c] = number.to_be_bytes();
            Ipv4Addr::new(198, 18 | a & 1, b, c).into()
        }
        IpAddr::V6(_) => {
            let [a, b, c, d] = [48, 32, 16, 0].map(|shift| (number >> shift) as u16);
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, a, b, c, d).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_values_keep_their_form_and_agree_between_spellings() {
        let key = RandomState::new();
        let mac = invent_after(&key, b"52:54:00:aa:0f:10", of_vendor(b"52:54:00:aa:0f:10"));
        assert!(mac.starts_with(b"52:54:00:") && mac.len() == 17, "{}", String::from_utf8_lossy(&mac));
        assert_ne!(mac, b"52:54:00:aa:0f:10");
        let bare: Vec<u8> = mac.iter().copied().filter(|b| *b != b':').collect();
        assert_eq!(invent_after(&key, b"525400aa0f10", 6), bare);
        assert_eq!(invent_after(&key, b"525400AA0F10", 6), bare.to_ascii_uppercase());
        // The same digits as a serial number are nobody's address.
        assert_eq!(of_vendor(b"525400aa0f10"), 0);
        let name = invent(&key, b"0x5000c500a0000001");
        assert_eq!(&name[..2], b"0x");
        assert!(name[2..].iter().all(u8::is_ascii_hexdigit));
        assert_eq!(invent(&key, b"5000c500a0000001"), &name[2..]);
        let serial = invent(&key, b"WD-WX31A_7");
        assert!(
            serial[2] == b'-'
                && serial[8] == b'_'
                && serial[9].is_ascii_digit()
                && serial[0].is_ascii_uppercase()
        );
        assert_eq!(invent(&key, b"WD WX"), invent(&key, b"WD_WX").replace_underscores());
        for value in [&b"1"[..], b"a", b"Z", b"pv0"] {
            let invented = invent(&key, value);
            assert!(invented.iter().zip(value).all(|(new, old)| new != old));
        }
    }

    trait ReplaceUnderscores {
        fn replace_underscores(self) -> Self;
    }

    impl ReplaceUnderscores for Vec<u8> {
        fn replace_underscores(self) -> Self {
            self.into_iter().map(|b| if b == b'_' { b' ' } else { b }).collect()
        }
    }

    #[test]
    fn words_and_placeholders_are_no_identities() {
        for value in [
            "none",
            "Not Specified",
            "00:00:00:00:00:00",
            "0x0000000000000000",
            "ffffffff",
            "12345",
            "0000:01:00.0",
        ] {
            assert!(!is_identity(value.as_bytes()), "{value}");
        }
        for value in ["52:54:00:aa:00:10", "S3X8NB0K", "ROOTDISK", "0x5000c500a0000001"] {
            assert!(is_identity(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn kinds_and_authorities_are_no_part_of_an_identity() {
        for (value, want) in [
            ("naa.5000c500a0000001", "5000c500a0000001"),
            ("nqn.2019-08.org.qemu:NVME-A-0", "NVME-A-0"),
            ("nqn.2014-08.org.nvmexpress:uuid:7452791a-1836", "7452791a-1836"),
            (" S3X8NB0K  ", "S3X8NB0K"),
        ] {
            assert_eq!(identity_part(value.as_bytes()), want.as_bytes());
        }
    }
}
