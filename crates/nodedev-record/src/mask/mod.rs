//! Replaces what identifies a machine and its parts by invented values of the same form.
//!
//! Values that cannot be mistaken for anything else are looked for in the whole recording, in paths and links too. Short
//! serial numbers and labels can be any word: they are replaced where they stand. Properties that no table knows are left out,
//! so that what nobody thought of is not told.

mod binary;
mod collect;
mod identities;
mod invent;
mod kept;
mod place;
mod search;
mod tables;
mod text;
mod udev;

use std::hash::RandomState;

use nodedev_sys::Root;
use nodedev_sys::paths::{self, basename};

pub(super) use identities::Secret;
use nodedev_host::raw::Issues;
use search::Replacer;
pub(super) use search::stands_alone;

/// The values of a host that are replaced, and by what.
pub(super) struct Mask {
    replacer: Replacer,
    /// Names of the machine that are words.
    host_names: Vec<Vec<u8>>,
    secrets: Vec<Secret>,
    key: RandomState,
}

impl Mask {
    /// Looks at all devices of a host for values to replace.
    pub(super) fn of_host(root: &Root, issues: &Issues) -> Self {
        let identities = collect::of_host(root, issues);
        let key = identities.key.clone();
        let (replacer, secrets, host_names) = identities.finish();
        Self { replacer, host_names, secrets, key }
    }

    /// Number of different values that are looked for everywhere.
    pub(super) fn len(&self) -> usize {
        self.secrets.len()
    }

    /// What must not be in the recording.
    pub(super) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// Replaces all values in a path.
    pub(super) fn apply(&self, path: &[u8]) -> Vec<u8> {
        self.replacer.text(path)
    }

    /// Replaces all values in the content of the file at `path`, and what has to be replaced where it stands: labels and
    /// short serial numbers.
    pub(super) fn apply_to_file(&self, path: &[u8], content: Vec<u8>) -> Vec<u8> {
        if is_public(path) {
            return content;
        }
        if path.starts_with(paths::UDEV_DATA.as_bytes()) {
            return self.record(&content);
        }
        if path.starts_with(paths::MDEVCTL.as_bytes()) {
            return self.definition(&content);
        }
        match basename(path) {
            b"uevent" => self.uevent(&content),
            b"vpd" => self.vital_product_data(&content),
            b"inquiry" => self.inquiry(&content),
            b"config" => self.configuration_space(&content),
            _ if path == paths::CPUINFO.as_bytes() => self.processors(&content),
            _ if path == b"proc/version" => self.version(&content),
            b"address" if content.contains(&b'=') => self.fabric_address(&content),
            name => self.attribute(path, name, &content),
        }
    }
}

/// Whether a file is the same on many machines.
pub(super) fn is_public(path: &[u8]) -> bool {
    paths::PCI_IDS.iter().any(|public| path.starts_with(public.as_bytes()))
}

/// Whether a property is a number, however long, or the kind of a partition.
fn is_number_property(name: &[u8]) -> bool {
    name == b"ID_PART_ENTRY_TYPE"
        || kept::is_kept(name)
            && [&b"SIZE"[..], b"OFFSET", b"LASTBLOCK", b"CAPACITY", b"INITIALIZED"]
                .iter()
                .any(|end| name.ends_with(end))
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
