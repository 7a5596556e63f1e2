//! The values that tell one thing from all others, as they are found on a host.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::RandomState;
use std::net::IpAddr;

use super::invent::{identity_part, invent, invent_after, invent_ip, is_identity, of_vendor};
use super::place::{ip, qualified};
use super::search::{Beside, Pattern, Replacer};
use super::tables::is_placeholder;
use crate::spelling::{View, bytes, digits, is_weak, orders, packings, plain};

/// A longer value is replaced where it stands only.
const LONGEST: usize = 1024;
/// So many letters and digits cannot be met by accident: they are looked for in all their spellings.
const LONG: usize = 12;
/// Shorter names of a machine are a word.
const SHORTEST_HOST_NAME: usize = 6;
/// How often another value is invented for one that is a real one of the same host.
const TRIES: u32 = 16;

/// What is looked for, and the place on the host where it was found first.
struct Identity {
    value: Vec<u8>,
    /// How many digits stay.
    kept: usize,
    source: String,
}

/// The values found so far.
pub(super) struct Identities {
    pub(super) key: RandomState,
    /// By letters and digits.
    plain: BTreeMap<Vec<u8>, Identity>,
    /// Names and addresses that are replaced as a whole, and where they were found.
    names: BTreeMap<Vec<u8>, String>,
    addresses: BTreeMap<Vec<u8>, (IpAddr, String)>,
    /// Eight bytes of a PCIe serial number each.
    serials: BTreeMap<[u8; 8], String>,
    host_names: BTreeSet<Vec<u8>>,
}

impl Identities {
    pub(super) fn new() -> Self {
        Self {
            key: RandomState::new(),
            plain: BTreeMap::new(),
            names: BTreeMap::new(),
            addresses: BTreeMap::new(),
            serials: BTreeMap::new(),
            host_names: BTreeSet::new(),
        }
    }

    /// Adds a value, if it can be looked for everywhere. `source` says where it was found.
    pub(super) fn add(&mut self, value: &[u8], source: &dyn Fn() -> String) {
        let value = value.trim_ascii();
        if value.len() > LONGEST {
            return;
        }
        if let Some(address) = ip(value) {
            if !address.is_unspecified() && !address.is_loopback() {
                self.addresses.entry(value.to_vec()).or_insert_with(|| (address, source()));
            }
            return;
        }
        if let Some(name) = qualified(value) {
            if !name.is_common_authority() || !is_identity(name.own) {
                self.names.entry(value.to_vec()).or_insert_with(&source);
            }
            if !name.is_common_authority() && name.authority.len() >= SHORTEST_HOST_NAME {
                self.names.entry(name.authority.to_vec()).or_insert_with(source);
            }
        }
        let value = identity_part(value);
        if is_identity(value) {
            let kept = of_vendor(value);
            let identity = self.plain.entry(plain(value)).or_insert_with(|| Identity {
                value: value.to_vec(),
                kept,
                source: source(),
            });
            identity.kept = identity.kept.max(kept);
        }
    }

    /// Adds the serial number of a PCI Express function, which may be made of a hardware address.
    pub(super) fn add_express_serial(&mut self, serial: [u8; 8], source: &dyn Fn() -> String) {
        self.serials.entry(serial).or_insert_with(source);
    }

    /// Adds the name of a machine.
    pub(super) fn add_host_name(&mut self, name: &[u8], source: &dyn Fn() -> String) {
        let first = name.split(|&b| b == b'.').next().unwrap_or_default();
        for name in [name, first] {
            if is_placeholder(name) || name == b"localhost" || name.len() < 3 {
                continue;
            }
            let is_a_word = name.len() < SHORTEST_HOST_NAME || name.iter().all(u8::is_ascii_alphabetic);
            if is_a_word {
                self.host_names.insert(name.to_vec());
            } else {
                self.names.entry(name.to_vec()).or_insert_with(source);
            }
        }
    }

    /// What replaces them all, where they were found, and the names of the machine that are words.
    pub(super) fn finish(mut self) -> (Replacer, Vec<Secret>, Vec<Vec<u8>>) {
        self.take_serials();
        let mut replacer = Replacer::default();
        let mut secrets = Vec::new();
        for (plain, identity) in &self.plain {
            let new = self.another(plain, identity.kept);
            let name = restored(&identity.value, &new);
            add_text(&mut replacer, &identity.value, plain, &new, &name);
            secrets.push(Secret { value: identity.value.clone(), source: identity.source.clone() });
        }
        for (value, source) in &self.names {
            let new = match qualified(value) {
                Some(name) => {
                    let own = plain(name.own);
                    let of_own = self.plain.get(&own).map(|identity| self.another(&own, identity.kept));
                    let own =
                        of_own.map_or_else(|| invent(&self.key, name.own), |new| restored(name.own, &new));
                    name.with(&self.authority(name.authority), &own)
                }
                None => self.authority(value),
            };
            for (value, new) in [(value.clone(), new.clone()), (as_tag(value), as_tag(&new))] {
                replacer.add_short(Pattern { value, new, beside: Beside::NoLetter });
            }
            secrets.push(Secret { value: value.clone(), source: source.clone() });
        }
        for (value, (address, source)) in &self.addresses {
            let new = invent_ip(&self.key, *address).to_string().into_bytes();
            let dashed =
                |text: &[u8]| as_tag(text).iter().map(|b| if *b == b'_' { b'-' } else { *b }).collect();
            let tags = (as_tag(value), as_tag(&new));
            for (value, new) in [(value.clone(), new.clone()), tags, (dashed(value), dashed(&new))] {
                replacer.add_short(Pattern { value, new, beside: Beside::NoLetter });
            }
            secrets.push(Secret { value: value.clone(), source: source.clone() });
        }
        replacer.build();
        (replacer, secrets, self.host_names.into_iter().collect())
    }

    /// The domain of whoever gave a name, in their order; the first word, which is most often the top of it, stays.
    fn authority(&self, domain: &[u8]) -> Vec<u8> {
        let mut words = domain.split(|&b| b == b'.');
        let mut new = words.next().unwrap_or_default().to_vec();
        if !domain.contains(&b'.') {
            return invent(&self.key, domain);
        }
        for word in words {
            new.push(b'.');
            new.extend(invent(&self.key, word));
        }
        new
    }

    /// Letters and digits in the place of others, which are no real ones of this host.
    fn another(&self, plain: &[u8], kept: usize) -> Vec<u8> {
        let mut new = invent_after(&self.key, plain, kept);
        for _ in 0..TRIES {
            if !self.plain.contains_key(&new) {
                break;
            }
            new = invent_after(&self.key, &new, kept);
        }
        new
    }

    /// Serial numbers of PCI Express that are hardware addresses become these, the others numbers.
    fn take_serials(&mut self) {
        for (serial, source) in std::mem::take(&mut self.serials) {
            let [a, b, c, middle, end, d, e, f] = serial;
            let source = || source.clone();
            if middle == 0xff && matches!(end, 0xfe | 0xff) {
                let colons: Vec<_> = [a, b, c, d, e, f].iter().map(|byte| format!("{byte:02x}")).collect();
                self.add(colons.join(":").as_bytes(), &source);
            } else if !is_weak(&serial) {
                self.add(&digits(&serial), &source);
            }
        }
    }
}

/// A value of the original that must not be in a masked recording.
pub(crate) struct Secret {
    pub(crate) value: Vec<u8>,
    /// Where it was found on the host.
    pub(crate) source: String,
}

/// Adds the spellings of a value.
fn add_text(replacer: &mut Replacer, value: &[u8], plain: &[u8], new: &[u8], name: &[u8]) {
    let has_digit = plain.iter().any(u8::is_ascii_digit);
    match (bytes(plain), bytes(new)) {
        (Some(number), Some(other)) if !is_weak(&number) => {
            for (order, other) in orders(&number).into_iter().zip(orders(&other)) {
                replacer.add_long(&digits(&order), &digits(&other));
                replacer.add_binary(order, other);
            }
        }
        (Some(_), _) => add_short(replacer, value, name, has_digit),
        (None, _) => {
            if plain.len() >= LONG && has_digit {
                replacer.add_long(plain, new);
            } else {
                add_short(replacer, value, name, has_digit);
            }
            // As the kernel writes a serial number in the name of an NVMe namespace.
            replacer.add_long(&digits(value), &digits(name));
            for (packed, other) in packings(value).into_iter().zip(packings(name)) {
                replacer.add_binary(packed, other);
            }
        }
    }
}

fn add_short(replacer: &mut Replacer, value: &[u8], name: &[u8], has_digit: bool) {
    let is_number = plain(value).iter().all(u8::is_ascii_hexdigit);
    let beside = if is_number { Beside::NoDigit } else { Beside::Anything };
    let mut add = |value: Vec<u8>, new: Vec<u8>| {
        replacer.add_short(Pattern { value, new, beside });
    };
    let joined =
        |text: &[u8]| -> Vec<u8> { text.iter().copied().filter(u8::is_ascii_alphanumeric).collect() };
    let tagged =
        |text: &[u8]| -> Vec<u8> { text.iter().map(|b| if *b == b' ' { b'_' } else { *b }).collect() };
    for (value, new) in
        [(value.to_vec(), name.to_vec()), (tagged(value), tagged(name)), (joined(value), joined(name))]
    {
        // Without a digit it is a word, and in another case perhaps another one.
        if has_digit {
            add(value.to_ascii_lowercase(), new.to_ascii_lowercase());
            add(value.to_ascii_uppercase(), new.to_ascii_uppercase());
        }
        add(value, new);
    }
}

/// A text with other letters and digits, in the same cases and with the same separators.
pub(super) fn restored(text: &[u8], new: &[u8]) -> Vec<u8> {
    let view = View::new(text);
    let skipped = view.letters.len().saturating_sub(new.len());
    let mut out = text.to_vec();
    for (place, letter) in view.places.iter().skip(skipped).zip(new) {
        replace_letter(&mut out[*place], *letter);
    }
    out
}

/// Puts another letter or digit in the place of one, in the same case.
pub(super) fn replace_letter(byte: &mut u8, new: u8) {
    if byte.is_ascii_alphanumeric() {
        *byte = if byte.is_ascii_uppercase() { new.to_ascii_uppercase() } else { new };
    }
}

/// As udev writes a text in `ID_PATH_TAG`.
fn as_tag(text: &[u8]) -> Vec<u8> {
    let mut tag: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b if b.is_ascii_alphanumeric() || *b == b'-' => tag.push(*b),
            _ if tag.last() == Some(&b'_') => {}
            _ => tag.push(b'_'),
        }
    }
    tag
}
