//! Replaces what identifies a machine and its parts by invented values of the same form.
//!
//! Values that cannot be mistaken for anything else are looked for in the whole recording, in paths and links too. Short
//! serial numbers and labels can be any word: they are replaced where they stand.

mod invent;
mod tables;

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::ops::ControlFlow;

use aho_corasick::{AhoCorasick, MatchKind};
use nodedev_sys::Root;
use nodedev_sys::paths::{self, basename, join};
use nodedev_sys::udev::Record;

use crate::enumerate::enumerate;
use crate::kernel::{Issues, KernelDevice};
use crate::vpd;
use invent::{forms, identity_part, invent, invent_after, is_identity, is_long_number, of_vendor};
use tables::{is_identity_property, is_label, is_placeholder, label_link};

/// Length of what the SCSI standard says of `inquiry` data; the rest is the vendor's, often with a serial number.
const INQUIRY_STANDARD: usize = 36;

/// The values of a host that are replaced, and by what.
pub(super) struct Mask {
    finder: Option<AhoCorasick>,
    replacements: Vec<Vec<u8>>,
    values: usize,
    key: RandomState,
}

/// The values found so far.
struct Values {
    key: RandomState,
    replacements: BTreeMap<Vec<u8>, Vec<u8>>,
    count: usize,
}

impl Values {
    /// Adds a value, if it can be looked for everywhere.
    fn add(&mut self, value: &[u8]) {
        let value = identity_part(value);
        if is_identity(value) && !self.replacements.contains_key(value) {
            self.count += 1;
            for form in forms(value) {
                let invented = invent_after(&self.key, &form, of_vendor(value));
                self.replacements.insert(form, invented);
            }
        }
    }

    fn device(&mut self, device: &KernelDevice<'_>) {
        if matches!(device.subsystem, b"mdev" | b"vmbus") {
            self.add(device.sysname());
        }
        for name in tables::ATTRIBUTES {
            if let Some(value) = device.text(name) {
                // The serial number of a USB controller's own hub is the name of the controller.
                let is_place = device.path.split(|&b| b == b'/').any(|part| *part == *value);
                if !is_place {
                    self.add(&value);
                }
            }
        }
        for (name, value) in properties(device.uevent()) {
            let value = unquoted(value);
            // Of a Bluetooth device it is the address of the adapter, else a place.
            if is_identity_property(name) || name == b"HID_PHYS" && is_long_number(value) {
                self.add(value);
            }
        }
        let short = device.property("ID_SERIAL_SHORT");
        let record = device.record();
        for (name, value) in record.properties() {
            if name == b"ID_NET_NAME_MAC" {
                // Two letters and an `x` before the address.
                self.add(value.get(3..).unwrap_or_default());
            } else if name == b"ID_PATH" {
                // Of SAS and Fibre Channel it has the name of the port that leads to the disk.
                value.split(|&b| b == b'-').filter(|part| is_port_name(part)).for_each(|part| self.add(part));
            } else if is_identity_property(name)
                && serial_in(value, short).is_none()
                && !is_vendor_and_model(&record, value)
            {
                self.add(value);
            }
        }
        self.vital_product_data(device);
    }

    fn vital_product_data(&mut self, device: &KernelDevice<'_>) {
        let mut data = Vec::new();
        let read = device.folder().map(|folder| folder.read_start(b"vpd", &mut data, vpd::MAX_LENGTH));
        let Some(Ok(Some(content))) = read else { return };
        let Ok(parsed) = vpd::parse(content) else { return };
        let read_only = parsed.read_only.unwrap_or_default();
        let read_write = parsed.read_write.unwrap_or_default();
        for value in read_only.serial_number.iter().chain(&read_write.asset_tag) {
            self.add(value);
        }
        let free =
            read_only.vendor_fields.iter().chain(&read_write.vendor_fields).chain(&read_write.system_fields);
        for field in free.filter(|field| is_long_number(&field.value)) {
            self.add(&field.value);
        }
    }
}

impl Mask {
    /// Looks at all devices of a host for values to replace.
    pub(super) fn of_host(root: &Root, issues: &Issues) -> Self {
        let mut values = Values { key: RandomState::new(), replacements: BTreeMap::new(), count: 0 };
        let _ = enumerate(root, issues, |_| true, &mut |found| {
            if let Some(device) = KernelDevice::open(root, &found.path, found.subsystem, issues) {
                values.device(&device);
            }
            ControlFlow::Continue(())
        });
        let definitions = paths::MDEVCTL.as_bytes();
        for parent in root.names(definitions).unwrap_or_default() {
            for name in root.names(&join(definitions, &parent)).unwrap_or_default() {
                if is_long_number(&name) {
                    values.add(&name);
                }
            }
        }
        let Values { key, replacements, count } = values;
        let (patterns, replacements): (Vec<_>, Vec<_>) = replacements.into_iter().unzip();
        // Building fails only beyond the limits of the automaton, far from what a host has.
        let finder = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(patterns).ok();
        Self { finder, replacements, values: count, key }
    }

    /// Number of different values that are looked for everywhere.
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

    /// Replaces all values in the content of the file at `path`, and what has to be replaced where it stands: labels and
    /// short serial numbers. Vital Product Data gets its checksum put right.
    pub(super) fn apply_to_file(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if paths::PCI_IDS.iter().any(|public| path.starts_with(public.as_bytes())) {
            return content;
        }
        let name = basename(path);
        if path.starts_with(paths::UDEV_DATA.as_bytes()) {
            return self.record(&content);
        }
        match name {
            b"uevent" => self.uevent(&content),
            b"vpd" => self.vital_product_data(&content),
            b"inquiry" => {
                let mut masked = self.apply(&content);
                masked.iter_mut().skip(INQUIRY_STANDARD).for_each(|byte| *byte = 0);
                masked
            }
            _ if tables::NOTHING_BUT_IDENTITY.iter().any(|known| known.as_bytes() == name) => {
                let is_place = path.split(|&b| b == b'/').any(|part| part == content.trim_ascii());
                if is_place { content } else { self.whole(&content) }
            }
            _ => self.apply(&content),
        }
    }

    /// A value that is nothing but an identity: what is looked for everywhere is replaced as there, another value by
    /// itself.
    fn whole(&self, value: &[u8]) -> Vec<u8> {
        let masked = self.apply(value);
        let part = identity_part(value);
        if masked != value || is_placeholder(part) {
            return masked;
        }
        // `identity_part` is a part of the value: what is before it stays.
        let end = value.trim_ascii_end().len();
        let start = end - part.len();
        [&value[..start], &invent(&self.key, part), &value[end..]].concat()
    }

    fn uevent(&self, content: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|&b| b == b'\n') {
            let (name, value) = split_property(line);
            masked.extend_from_slice(&line[..line.len() - value.len()]);
            if is_label(name) {
                masked.extend(invent(&self.key, value));
            } else if is_identity_property(name) {
                let (open, rest) =
                    value.split_at(value.len() - value.strip_prefix(b"\"").unwrap_or(value).len());
                masked.extend_from_slice(open);
                let bare = unquoted(value);
                masked.extend(self.whole(bare));
                masked.extend_from_slice(&rest[bare.len()..]);
            } else {
                masked.extend(self.apply(value));
            }
        }
        masked
    }

    /// A record of udev's database. A short serial number stands also at the end of the full one, and in the names of
    /// links by identity.
    fn record(&self, content: &[u8]) -> Vec<u8> {
        let record = Record::new(content);
        let of_mapper = record.get(b"DM_NAME").is_some();
        let full = record.get(b"ID_SERIAL");
        let short = record
            .get(b"ID_SERIAL_SHORT")
            .or(full.filter(|full| !is_vendor_and_model(&record, full)))
            .filter(|serial| !is_identity(serial) && !is_placeholder(serial));
        let mut masked = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|&b| b == b'\n') {
            let (name, value) = split_property(line);
            let name = name.strip_prefix(b"E:").unwrap_or_default();
            let stays = line.len() - value.len();
            if is_label(name) {
                masked.extend_from_slice(&line[..stays]);
                masked.extend(invent(&self.key, value));
            } else if let Some(start) = label_link(line, of_mapper) {
                masked.extend_from_slice(&line[..start]);
                masked.extend(invent(&self.key, &line[start..]));
            } else if is_identity_property(name) {
                masked.extend_from_slice(&line[..stays]);
                let (value, end) = value.split_at(value.trim_ascii_end().len());
                masked.extend(match serial_in(value, short) {
                    Some(_) => self.words(&self.apply(value), short),
                    None if Some(value) == full && short.is_none() => self.apply(value),
                    None => self.whole(value),
                });
                masked.extend_from_slice(end);
            } else if line.starts_with(b"S:") && contains(line, b"/by-id/") {
                masked.extend(self.words(&self.apply(line), short));
            } else {
                masked.extend(self.apply(line));
            }
        }
        masked
    }

    /// Replaces `word` where it stands as a word of its own.
    fn words(&self, text: &[u8], word: Option<&[u8]>) -> Vec<u8> {
        let Some(word) = word.filter(|word| !word.is_empty()) else { return text.to_vec() };
        let invented = invent(&self.key, word);
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let is_word = text[at..].starts_with(word)
                && !text[..at].last().is_some_and(u8::is_ascii_alphanumeric)
                && !text.get(at + word.len()).is_some_and(u8::is_ascii_alphanumeric);
            if is_word {
                masked.extend_from_slice(&invented);
                at += word.len();
            } else {
                masked.push(text[at]);
                at += 1;
            }
        }
        masked
    }

    fn vital_product_data(&self, content: &[u8]) -> Vec<u8> {
        let mut masked = self.apply(content);
        let Ok(parsed) = vpd::parse(content) else { return masked };
        let serial = parsed.read_only.and_then(|fields| fields.serial_number);
        let tag = parsed.read_write.and_then(|fields| fields.asset_tag);
        for (keyword, value) in [(b"SN", serial), (b"YA", tag)] {
            let Some(value) = value.filter(|value| !is_placeholder(value)) else { continue };
            // Keyword, length, data; the value is the data without blanks around it.
            for at in 0..content.len().saturating_sub(3) {
                let start = at + 3;
                let end = (start + usize::from(content[at + 2])).min(content.len());
                if content[at..].starts_with(keyword)
                    && content[start..end].trim_ascii().starts_with(&value)
                    && masked[start..end] == content[start..end]
                {
                    let invented = invent(&self.key, &content[start..end]);
                    masked[start..end].copy_from_slice(&invented);
                }
            }
        }
        repair_checksum(&mut masked);
        masked
    }
}

/// The lines `KEY=value` of a `uevent` file.
fn properties(content: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    content.split(|&b| b == b'\n').map(split_property)
}

/// Name and value of a line `NAME=value`; a line of another form is all value.
fn split_property(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&b| b == b'=') {
        Some(equals) => (&line[..equals], &line[equals + 1..]),
        None => (b"", line),
    }
}

/// Without the line break, and the quotes around it.
fn unquoted(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii_end();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    value.strip_suffix(b"\"").unwrap_or(value)
}

/// The short serial number, if the full one is more than that: vendor and model, which may stay, and the short one.
fn serial_in<'a>(full: &[u8], short: Option<&'a [u8]>) -> Option<&'a [u8]> {
    short.filter(|short| full.len() > short.len() && contains(full, short))
}

/// Whether a part of a path through the machine is a World Wide Name.
fn is_port_name(part: &[u8]) -> bool {
    part.starts_with(b"0x") && is_long_number(part)
}

/// Whether a serial number is only vendor and model, as udev writes it for what has none.
fn is_vendor_and_model(record: &Record<'_>, serial: &[u8]) -> bool {
    let part = |name: &[u8]| record.get(name).unwrap_or_default();
    !serial.is_empty() && [part(b"ID_VENDOR"), b"_", part(b"ID_MODEL")].concat() == serial
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
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
