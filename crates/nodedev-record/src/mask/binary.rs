//! Identities in binary attributes: the serial number in the extended configuration space, Vital Product Data, what a SCSI
//! device answers to an inquiry.

use std::hash::RandomState;
use std::ops::Range;

use nodedev_host::vpd;
use nodedev_sys::pci_config;

use super::Mask;
use super::identities::restored;
use super::invent::invent;
use super::tables::is_placeholder;
use crate::spelling::{bytes, digits};

/// Length of what the SCSI standard says of `inquiry` data; the rest is the vendor's, often with a serial number.
const INQUIRY_STANDARD: usize = 36;

const TAG_NAME: u8 = 0x82;
const TAG_READ_ONLY: u8 = 0x90;
const TAG_READ_WRITE: u8 = 0x91;
const TAG_END: u8 = 0x78;
const LARGE: u8 = 0x80;

/// Keywords of fields that tell of a product: engineering change, manufacturer, part number, and the two that have no text.
const OF_PRODUCTS: [&[u8; 2]; 5] = [b"EC", b"MN", b"PN", b"RV", b"RW"];

/// A part of Vital Product Data.
pub(super) struct VitalField {
    /// `None` for the name, and for what is no field at all.
    keyword: Option<[u8; 2]>,
    is_name: bool,
    data: Range<usize>,
}

impl VitalField {
    /// The data, without blanks around it.
    pub(super) fn value<'a>(&self, content: &'a [u8]) -> &'a [u8] {
        let data = &content[self.data.clone()];
        data.split(|&b| b == 0).next().unwrap_or_default().trim_ascii()
    }

    /// Whether its value is a serial number or an asset tag.
    pub(super) fn is_identity(&self) -> bool {
        matches!(&self.keyword, Some([b'S', b'N'] | [b'Y', b'A']))
    }

    fn is_of_product(&self) -> bool {
        self.is_name || self.keyword.is_some_and(|keyword| OF_PRODUCTS.contains(&&keyword))
    }
}

/// The parts of Vital Product Data, also of one that is damaged: what makes no sense is one part.
pub(super) fn vital_fields(content: &[u8]) -> Vec<VitalField> {
    let unknown = |data: Range<usize>| VitalField { keyword: None, is_name: false, data };
    let mut found = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let tag = content[at];
        let header = if tag & LARGE == 0 { 1 } else { 3 };
        let Some(bytes) = content.get(at..at + header) else {
            found.push(unknown(at..content.len()));
            break;
        };
        let start = at + header;
        let length = match bytes {
            [_, low, high] => usize::from(u16::from_le_bytes([*low, *high])),
            _ => usize::from(tag & 7),
        };
        let end = (start + length).min(content.len());
        match tag {
            TAG_NAME => found.push(VitalField { keyword: None, is_name: true, data: start..end }),
            TAG_READ_ONLY | TAG_READ_WRITE => block_fields(content, start..end, &mut found),
            _ => found.push(unknown(start..end)),
        }
        at = end;
        if tag & !7 == TAG_END {
            found.push(unknown(at..content.len()));
            break;
        }
    }
    found
}

fn block_fields(content: &[u8], block: Range<usize>, found: &mut Vec<VitalField>) {
    let mut at = block.start;
    while at < block.end {
        let (keyword, start) = match content[at..block.end] {
            [first, second, _, ..] => (Some([first, second]), at + 3),
            _ => (None, at),
        };
        let length = if keyword.is_some() { usize::from(content[at + 2]) } else { block.end - at };
        let end = (start + length).min(block.end);
        found.push(VitalField { keyword, is_name: false, data: start..end });
        at = end;
    }
}

/// The serial number of a PCI Express function, the most significant byte first, and where it is.
pub(super) fn express_serial(space: &[u8]) -> Option<(usize, [u8; 8])> {
    const SERIAL_NUMBER: u16 = 0x3;
    let at = pci_config::find_extended(space, SERIAL_NUMBER)? + 4;
    let mut serial: [u8; 8] = space.get(at..at + 8)?.try_into().ok()?;
    serial.reverse();
    Some((at, serial))
}

impl Mask {
    pub(super) fn configuration_space(&self, content: &[u8]) -> Vec<u8> {
        let mut masked = self.replacer.bytes(content);
        let Some((at, serial)) = express_serial(content) else { return masked };
        let place = at..at + 8;
        // Zeros and ones say that there is none.
        let is_one = serial.iter().any(|byte| !matches!(byte, 0 | 0xff));
        if is_one
            && masked[place.clone()] == content[place.clone()]
            && let Some(mut new) = bytes(&invent(&self.key, &digits(&serial)))
        {
            new.reverse();
            masked[place].copy_from_slice(&new);
        }
        masked
    }

    pub(super) fn inquiry(&self, content: &[u8]) -> Vec<u8> {
        let mut masked = self.replacer.bytes(content);
        masked.iter_mut().skip(INQUIRY_STANDARD).for_each(|byte| *byte = 0);
        masked
    }

    /// Names and parts of products stay, and versions. The checksum is put right.
    pub(super) fn vital_product_data(&self, content: &[u8]) -> Vec<u8> {
        let mut masked = self.replacer.bytes(content);
        for field in vital_fields(content) {
            let place = field.data.clone();
            if field.is_of_product() {
                let text = self.free_text(&masked[place.clone()]);
                if text.len() == place.len() {
                    masked[place].copy_from_slice(&text);
                }
                continue;
            }
            let value = field.value(content);
            let is_text = value.iter().all(|b| matches!(b, b' '..=b'~'));
            let is_known = is_placeholder(value) || !field.is_identity() && is_version(value);
            let is_whole = content[place.clone()].iter().all(|b| matches!(b, 0 | b' '..=b'~'));
            if field.keyword.is_some()
                && is_text
                && is_whole
                && (is_known || masked[place.clone()] != content[place.clone()])
            {
                continue;
            }
            let new = scrambled(&self.key, &content[place.clone()]);
            masked[place].copy_from_slice(&new);
        }
        repair_checksum(content, &mut masked);
        masked
    }
}

/// Whether a text is a version: numbers with dots between them.
fn is_version(text: &[u8]) -> bool {
    let digits = text.iter().position(u8::is_ascii_digit).unwrap_or(text.len());
    let (letters, numbers) = text.split_at(digits);
    letters.len() <= 4
        && letters.iter().all(u8::is_ascii_alphabetic)
        && numbers.contains(&b'.')
        && numbers
            .split(|&b| b == b'.')
            .all(|part| (1..=5).contains(&part.len()) && part.iter().all(u8::is_ascii_digit))
}

/// Other letters and digits; of bytes that are no text nothing stays.
fn scrambled(key: &RandomState, content: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = content.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect();
    let letters: Vec<u8> = content
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' | b'\n' | 0 | 0xff => *byte,
            _ => 0,
        })
        .collect();
    restored(&letters, &invent(key, &text))
}

/// Changes the byte that makes the sum of Vital Product Data zero, if it was zero before. The parser names its place.
fn repair_checksum(content: &[u8], data: &mut [u8]) {
    if vpd::parse(content).is_err() {
        return;
    }
    let Err(error) = vpd::parse(data) else { return };
    let Some(old) = data.get(error.offset).copied() else { return };
    for byte in 0..=u8::MAX {
        data[error.offset] = byte;
        if vpd::parse(data).is_ok() {
            return;
        }
    }
    data[error.offset] = old;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_data_is_taken_apart_as_far_as_it_goes() {
        let content = b"\x82\x04\0Card\x90\x20\0SN\x03ABCV0\x40secret";
        let fields = vital_fields(content);
        let shown: Vec<_> = fields.iter().map(|field| (field.keyword, field.value(content))).collect();
        assert_eq!(shown, [(None, &b"Card"[..]), (Some(*b"SN"), b"ABC"), (Some(*b"V0"), b"secret")]);
        let all: Vec<_> = vital_fields(b"no vpd").iter().map(|field| field.data.clone()).collect();
        assert!(all.iter().map(ExactSizeIterator::len).sum::<usize>() >= 2, "{all:?}");
        assert!(vital_fields(b"").is_empty());
    }

    #[test]
    fn versions_are_told_from_serial_numbers() {
        for version in ["FFV17.5.10", "1.2", "v14.32.1010"] {
            assert!(is_version(version.as_bytes()), "{version}");
        }
        for other in ["VQ81", "", "1234567890.1", "10.0.0.a", "jane"] {
            assert!(!is_version(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn nothing_stays_of_bytes_that_are_unknown() {
        let new = scrambled(&RandomState::new(), b"ab\x91\x02 7\0");
        assert_eq!((new.len(), &new[2..5], new[6]), (7, &b"\0\0 "[..], 0));
        assert!(new[0] != b'a' && new[1] != b'b' && new[5] != b'7');
    }
}
