//! Masks files of text: attributes, `uevent`, definitions of mediated devices, what the kernel says of itself.

use nodedev_sys::udev::Uevent;

use super::identities::restored;
use super::invent::{identity_part, invent, is_long_number};
use super::kept::is_kept_of_kernel;
use super::place::{FABRIC_KEPT, host_of, ip, qualified};
use super::tables::{
    LABEL_ATTRIBUTES, NOTHING_BUT_IDENTITY, NUMBERS, is_identity_property, is_label, is_placeholder,
};
use super::{Mask, split_property, unquoted};
use crate::spelling::plain;

/// What `/proc/cpuinfo` may tell: some machines have their serial number in it.
const OF_PROCESSORS: &[&[u8]] = &[
    b"processor",
    b"vendor_id",
    b"cpu family",
    b"model",
    b"model name",
    b"stepping",
    b"microcode",
    b"cpu MHz",
    b"cpu MHz static",
    b"cpu MHz dynamic",
    b"cache size",
    b"physical id",
    b"siblings",
    b"core id",
    b"cpu cores",
    b"flags",
    b"Features",
    b"features",
    b"BogoMIPS",
    b"bogomips",
    b"address sizes",
    b"CPU implementer",
    b"CPU architecture",
    b"CPU variant",
    b"CPU part",
    b"CPU revision",
    b"cpu",
    b"clock",
    b"revision",
    b"# processors",
    b"isa",
    b"mmu",
];

impl Mask {
    /// Text that a maker chose. What looks like a number, an address or a name of a single thing is replaced, and the name of
    /// the machine.
    pub(super) fn free_text(&self, text: &[u8]) -> Vec<u8> {
        let mut masked = self.replacer.text(text);
        for name in &self.host_names {
            masked = self.words(&masked, Some(name));
        }
        if masked.len() != text.len() {
            return masked;
        }
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'.' | b'@');
        let mut start = 0;
        while start < text.len() {
            let length = text[start..].iter().take_while(|b| is_part(b)).count();
            let place = start..start + length;
            let word = &text[place.clone()];
            // What was replaced already stays.
            if length > 0 && masked[place.clone()] == *word && is_of_one_thing(word) {
                masked[place].copy_from_slice(&invent(&self.key, word));
            }
            start += length + 1;
        }
        masked
    }

    /// A value that is nothing but an identity: what is looked for everywhere is replaced as there, another value by
    /// itself.
    pub(super) fn whole(&self, value: &[u8]) -> Vec<u8> {
        let masked = self.replacer.text(value);
        let part = identity_part(value);
        if masked != value || is_placeholder(part) {
            return masked;
        }
        // `identity_part` is a part of the value: what is before it stays.
        let end = value.trim_ascii_end().len();
        let start = end - part.len();
        [&value[..start], &self.another(part), &value[end..]].concat()
    }

    /// Another value in the place of one, alike in all its spellings.
    pub(super) fn another(&self, value: &[u8]) -> Vec<u8> {
        restored(value, &invent(&self.key, &plain(value)))
    }

    pub(super) fn attribute(&self, path: &[u8], name: &[u8], content: &[u8]) -> Vec<u8> {
        let has = |table: &[&str]| table.iter().any(|known| known.as_bytes() == name);
        if has(NOTHING_BUT_IDENTITY) {
            let is_place = path.split(|&b| b == b'/').any(|part| part == content.trim_ascii());
            return if is_place { content.to_vec() } else { self.whole(content) };
        }
        let of_interface = path.windows(5).any(|part| part == b"/net/");
        if name == b"address" && of_interface {
            return self.whole(content);
        }
        if has(NUMBERS) {
            return self.replacer.text(content);
        }
        let is_label = LABEL_ATTRIBUTES.iter().any(|label| path.ends_with(label.as_bytes()));
        if is_label || name == b"name" && is_named_by_a_person(path) {
            return invent(&self.key, content);
        }
        self.free_text(content)
    }

    /// The properties that the kernel states, without those that no table knows.
    pub(super) fn uevent(&self, content: &[u8]) -> Vec<u8> {
        let of_bluetooth = content
            .split(|&b| b == b'\n')
            .any(|line| line.starts_with(b"HID_ID=0005:") || line.starts_with(b"PRODUCT=5/"));
        let mut masked = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|&b| b == b'\n') {
            let (name, value) = split_property(line);
            let (open, rest) = value.split_at(value.len() - value.strip_prefix(b"\"").unwrap_or(value).len());
            let bare = unquoted(value);
            let new = match name {
                b"NVME_TRADDR" | b"NVME_HOST_TRADDR" => self.transport_address(bare),
                b"NAME" | b"HID_NAME" if of_bluetooth => invent(&self.key, bare),
                b"MODALIAS" | b"KEY" | b"ABS" | b"PHYS" | b"HID_PHYS" => self.replacer.text(bare),
                _ if is_identity_property(name) => self.whole(bare),
                _ if is_label(name) => invent(&self.key, bare),
                _ if is_kept_of_kernel(name) => self.free_text(bare),
                _ => continue,
            };
            let start = &line[..line.len() - value.len()];
            masked.extend([start, open, &new, &rest[bare.len()..]].concat());
        }
        // A device without any property is none.
        if masked.is_empty() && !Uevent::new(content).is_empty() {
            masked.extend_from_slice(b"MASKED=1\n");
        }
        masked
    }

    /// The address of an NVMe controller over fabrics, of which the port and the interface stay.
    pub(super) fn fabric_address(&self, content: &[u8]) -> Vec<u8> {
        let end = content.trim_ascii_end().len();
        let fields: Vec<Vec<u8>> = content[..end]
            .split(|&b| b == b',')
            .map(|field| {
                let (name, value) = split_property(field);
                let start = &field[..field.len() - value.len()];
                let value = match name {
                    _ if FABRIC_KEPT.contains(&name) => self.replacer.text(value),
                    _ => self.transport_address(value),
                };
                [start, &value].concat()
            })
            .collect();
        [&fields.join(&b','), &content[end..]].concat()
    }

    /// An address of the Internet, a PCI function, or names of ports.
    fn transport_address(&self, value: &[u8]) -> Vec<u8> {
        let masked = self.replacer.text(value);
        let is_place = nodedev_model::PciAddress::from_bytes(value).is_ok() || is_placeholder(value);
        let is_local = ip(value).is_some_and(|address| address.is_loopback() || address.is_unspecified());
        if masked != value || is_place || is_local { masked } else { invent(&self.key, value) }
    }

    /// A definition of mdevctl's: values that are no numbers are replaced.
    pub(super) fn definition(&self, content: &[u8]) -> Vec<u8> {
        let masked = self.replacer.text(content);
        let Ok(mut parsed) = serde_json::from_slice::<serde_json::Value>(&masked) else {
            return invent(&self.key, &masked);
        };
        let known = |name: &str| matches!(name, "mdev_type" | "start");
        let Some(fields) = parsed.as_object_mut() else { return invent(&self.key, &masked) };
        let mut changed = false;
        for (_, value) in fields.iter_mut().filter(|(name, _)| !known(name)) {
            changed |= self.replace_strings(value);
        }
        if !changed {
            return masked;
        }
        serde_json::to_vec(&parsed).unwrap_or_default()
    }

    /// Replaces the strings in a part of a definition; names of attributes stay. Says whether there was one.
    fn replace_strings(&self, value: &mut serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => {
                let is_number = text.len() <= 64
                    && text.bytes().all(|b| {
                        b.is_ascii_hexdigit() || matches!(b, b'x' | b',' | b'.' | b'+' | b'-' | b' ')
                    });
                if is_number {
                    return false;
                }
                *text = String::from_utf8_lossy(&invent(&self.key, text.as_bytes())).into_owned();
                true
            }
            serde_json::Value::Array(parts) => {
                let mut changed = false;
                for part in parts {
                    changed |= self.replace_strings(part);
                }
                changed
            }
            serde_json::Value::Object(fields) => {
                let mut changed = false;
                for (_, part) in fields.iter_mut() {
                    changed |= self.replace_strings(part);
                }
                changed
            }
            _ => false,
        }
    }

    /// `/proc/cpuinfo` without the lines that no table knows.
    pub(super) fn processors(&self, content: &[u8]) -> Vec<u8> {
        let lines = content.split_inclusive(|&b| b == b'\n').filter(|line| {
            let name = line.split(|&b| b == b':').next().unwrap_or_default().trim_ascii();
            name.is_empty() || OF_PROCESSORS.contains(&name)
        });
        self.replacer.text(&lines.collect::<Vec<_>>().concat())
    }

    /// `/proc/version` without who built the kernel where.
    pub(super) fn version(&self, content: &[u8]) -> Vec<u8> {
        let end = content.iter().position(|&b| b == b'(').unwrap_or(content.len());
        let mut masked = self.free_text(content[..end].trim_ascii_end());
        masked.push(b'\n');
        masked
    }
}

/// Whether an input device has the name that a person gave it: one of Bluetooth.
fn is_named_by_a_person(path: &[u8]) -> bool {
    path.split(|&b| b == b'/').any(|part| part.starts_with(b"0005:") && part.contains(&b'.'))
}

/// Whether a word can be nothing but the number, address or name of a single thing.
fn is_of_one_thing(word: &[u8]) -> bool {
    let word = word.strip_suffix(b".").or(word.strip_suffix(b":")).unwrap_or(word);
    let is_address = || match ip(host_of(word)) {
        // A version can have four numbers.
        Some(std::net::IpAddr::V4(address)) => {
            !address.is_unspecified() && !address.is_loopback() && address.octets()[0] >= 10
        }
        Some(std::net::IpAddr::V6(address)) => word.len() > 6 && !address.is_loopback(),
        None => false,
    };
    is_long_number(word) || is_address() || qualified(word).is_some() || word[..].contains(&b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_products_are_told_from_those_of_single_things() {
        for word in [
            "525400aa0f10",
            "52:54:00:aa:0f:10",
            "7452791a-1836-4f24-86aa-6ed9fd3712f5",
            "192.168.7.1",
            "192.168.7.1:6789",
            "fd00::1:2",
            "jane@example",
        ] {
            assert!(is_of_one_thing(word.as_bytes()), "{word}");
        }
        for word in ["Server", "X11SPL-F", "1.2.3.4", "0000:00:04.0", "ABBA", "000000000000", "3.2a", "::"] {
            assert!(!is_of_one_thing(word.as_bytes()), "{word}");
        }
    }
}
