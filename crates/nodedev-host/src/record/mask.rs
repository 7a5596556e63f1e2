//! Replaces what identifies a machine and its parts by invented values of the same form.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use aho_corasick::{AhoCorasick, MatchKind};
use nodedev_model::PciAddress;
use nodedev_sys::{Root, paths};

use crate::kernel::{Issues, KernelDevice};
use crate::scan::enumerate;
use crate::vpd;

/// Attributes whose value identifies one thing in the world.
const ATTRIBUTES: &[&str] = &[
    "address",
    "cid",
    "fabric_name",
    "macaddress",
    "nguid",
    "node_guid",
    "node_name",
    "port_name",
    "product_serial",
    "product_uuid",
    "serial",
    "subsysnqn",
    "sys_image_guid",
    "unique_id",
    "uuid",
    "wwid",
    "device/uid",
];

/// Properties of udev whose value does.
const PROPERTIES: &[&str] = &[
    "ID_SERIAL",
    "ID_SERIAL_SHORT",
    "ID_SCSI_SERIAL",
    "ID_USB_SERIAL",
    "ID_USB_SERIAL_SHORT",
    "ID_WWN",
    "ID_WWN_WITH_EXTENSION",
    "ID_FS_UUID",
    "ID_FS_UUID_ENC",
    "ID_FS_UUID_SUB",
    "ID_PART_ENTRY_UUID",
    "ID_PART_TABLE_UUID",
    "ID_NET_NAME_MAC",
    "DM_UUID",
    "MD_UUID",
];

/// Properties whose value is a person's choice, and the folders of links that repeat it. They can be any word, so they
/// are replaced where they stand only.
const LABELS: &[&str] = &["ID_FS_LABEL", "ID_FS_LABEL_ENC", "ID_FS_LABEL_SAFE", "ID_PART_ENTRY_NAME"];
const LABEL_LINKS: &[&str] = &["S:disk/by-label/", "S:disk/by-partlabel/"];

/// A shorter value is no identity but a number or a word.
const SHORTEST: usize = 6;

/// The values of a host that are replaced, and by what.
pub(super) struct Mask {
    finder: Option<AhoCorasick>,
    replacements: Vec<Vec<u8>>,
    values: usize,
    key: RandomState,
}

impl Mask {
    /// Looks at all devices of a host for values to replace.
    pub(super) fn of_host(root: &Root, issues: &Issues) -> Self {
        let key = RandomState::new();
        let mut replacements = BTreeMap::new();
        let mut values = 0;
        let mut add = |value: &[u8]| {
            if is_identity(value) && !replacements.contains_key(value) {
                values += 1;
                for form in forms(value) {
                    let invented = invent(&key, &form);
                    replacements.insert(form, invented);
                }
            }
        };
        enumerate(root, issues, |_| true, &mut |found| {
            let Some(device) = KernelDevice::open(root, &found.path, found.subsystem, issues) else { return };
            for name in ATTRIBUTES {
                if let Some(value) = device.text(name) {
                    add(value.trim_ascii());
                }
            }
            let short = device.property("ID_SERIAL_SHORT");
            for name in PROPERTIES {
                let Some(value) = device.property(name) else { continue };
                // A full serial number is often vendor, model and the short one; the model may stay.
                let has_short =
                    |short: &[u8]| value.len() > short.len() && contains(value, short) && is_identity(short);
                if !short.is_some_and(has_short) {
                    add(value);
                }
            }
            let mut data = Vec::new();
            let read = device.folder().map(|folder| folder.read_start(b"vpd", &mut data, vpd::MAX_LENGTH));
            if let Some(Ok(Some(content))) = read
                && let Ok(parsed) = vpd::parse(content)
                && let Some(serial) = parsed.read_only.and_then(|fields| fields.serial_number)
            {
                add(&serial);
            }
        });
        let (patterns, replacements): (Vec<_>, Vec<_>) = replacements.into_iter().unzip();
        // Building fails only beyond the limits of the automaton, far from what a host has.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok();
        Self { finder, replacements, values, key }
    }

    /// Number of different values.
    pub(super) fn len(&self) -> usize {
        self.values
    }

    /// Replaces all values in a text; its length stays.
    pub(super) fn apply(&self, text: &[u8]) -> Vec<u8> {
        match &self.finder {
            Some(finder) => finder.replace_all_bytes(text, &self.replacements),
            None => text.to_vec(),
        }
    }

    /// Replaces all values in the content of the file at `path`, labels in udev's records, and puts the checksum of
    /// Vital Product Data right.
    pub(super) fn apply_to_file(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        let mut masked = self.apply(&content);
        if path.starts_with(paths::UDEV_DATA.as_bytes()) {
            masked = self.mask_record(&masked);
        }
        if paths::basename(path) == b"vpd" && vpd::parse(&content).is_ok() {
            repair_checksum(&mut masked);
        }
        masked
    }

    fn mask_record(&self, record: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(record.len());
        for line in record.split_inclusive(|&b| b == b'\n') {
            let property = |names: &[&str]| {
                let equals = line.iter().position(|&b| b == b'=')?;
                let name = line[..equals].strip_prefix(b"E:")?;
                names.iter().any(|known| known.as_bytes() == name).then_some(equals + 1)
            };
            // Values too short to be looked for everywhere are replaced where they stand as well.
            let short = || property(PROPERTIES).filter(|at| line.len() - at <= SHORTEST);
            let link =
                || LABEL_LINKS.iter().find(|prefix| line.starts_with(prefix.as_bytes())).map(|p| p.len());
            let kept = property(LABELS).or_else(short).or_else(link).unwrap_or(line.len());
            masked.extend_from_slice(&line[..kept]);
            masked.extend(invent(&self.key, &line[kept..]));
        }
        masked
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// Whether a value can be what tells one thing from all others: no word, no placeholder, no place in the machine.
fn is_identity(value: &[u8]) -> bool {
    let mut letters = value.strip_prefix(b"0x").unwrap_or(value).iter().filter(|b| b.is_ascii_alphanumeric());
    let first = letters.next();
    value.len() >= SHORTEST
        && (value.iter().any(u8::is_ascii_digit) || !value.iter().any(u8::is_ascii_lowercase))
        // All zeros or all `f` stand for "none".
        && letters.any(|letter| Some(letter) != first)
        && PciAddress::from_bytes(value).is_err()
}

/// The spellings of a value: as it is, and for addresses written in pairs also without their colons, in both cases;
/// without `0x`.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    let bare: Vec<u8> = value.iter().copied().filter(|b| *b != b':').collect();
    let digits = bare.strip_prefix(b"0x").unwrap_or(&bare);
    if digits.len() >= SHORTEST && digits.iter().all(u8::is_ascii_hexdigit) {
        forms.extend([digits.to_ascii_lowercase(), digits.to_ascii_uppercase(), value.to_ascii_uppercase()]);
    }
    forms
}

/// A value of the same form: digits for digits, letters for letters, everything else stays. Spellings that differ only
/// in case, colons and `0x` get results that differ only there.
fn invent(key: &RandomState, value: &[u8]) -> Vec<u8> {
    let start = if value.starts_with(b"0x") { 2 } else { 0 };
    let plain: Vec<u8> = value[start..].iter().filter(|b| **b != b':').map(u8::to_ascii_lowercase).collect();
    let all_hex = plain.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-');
    // The vendor's part of a hardware address may stay: it tells whose card it is, not which.
    let kept = if value.len() == 17 && value.iter().filter(|b| **b == b':').count() == 5
        || plain.len() == 12 && all_hex
    {
        6
    } else {
        0
    };
    let mut at = 0;
    let mut invented = value[..start].to_vec();
    for &byte in &value[start..] {
        if byte == b':' {
            invented.push(byte);
            continue;
        }
        let number = key.hash_one((&plain, at)) as usize;
        at += 1;
        let letters: usize = if all_hex { 6 } else { 26 };
        invented.push(match byte {
            _ if at <= kept => byte,
            b'0'..=b'9' => b'0' + (number % 10) as u8,
            b'a'..=b'z' => b'a' + (number % letters) as u8,
            b'A'..=b'Z' => b'A' + (number % letters) as u8,
            other => other,
        });
    }
    invented
}

/// Changes the byte that makes the sum of Vital Product Data zero, whose place the parser names.
fn repair_checksum(data: &mut [u8]) {
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
    fn invented_values_keep_their_form_and_agree_between_spellings() {
        let key = RandomState::new();
        let mac = invent(&key, b"52:54:00:aa:0f:10");
        assert!(mac.starts_with(b"52:54:00:") && mac.len() == 17, "{}", String::from_utf8_lossy(&mac));
        assert_ne!(mac, b"52:54:00:aa:0f:10");
        let bare: Vec<u8> = mac.iter().copied().filter(|b| *b != b':').collect();
        assert_eq!(invent(&key, b"525400aa0f10"), bare);
        assert_eq!(invent(&key, b"525400AA0F10"), bare.to_ascii_uppercase());
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
}
