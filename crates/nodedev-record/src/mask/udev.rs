//! Masks a record of udev's database. A short serial number stands also at the end of the full one, and in the names of links
//! by identity.

use nodedev_sys::udev::Record;

use super::invent::{invent, is_identity};
use super::kept::{is_kept, is_known_tag};
use super::tables::{
    folder_of_link, is_identity_property, is_label, is_place_link, is_placeholder, is_word_of_links,
    label_link,
};
use super::{Mask, is_number_property, split_property};

/// What is known of a record while its lines are masked.
struct Known<'a> {
    of_mapper: bool,
    full: Option<&'a [u8]>,
    /// A short serial number that could be any word.
    short: Option<&'a [u8]>,
    is_vendor_and_model: bool,
    /// Words of vendor and model.
    words: Vec<&'a [u8]>,
}

impl<'a> Known<'a> {
    fn of(record: Record<'a>) -> Self {
        let full = record.get(b"ID_SERIAL");
        let is_vendor_and_model = full.is_some_and(|full| is_vendor_and_model(&record, full));
        let words = [&b"ID_VENDOR"[..], b"ID_MODEL", b"ID_BUS", b"ID_USB_VENDOR", b"ID_USB_MODEL"]
            .iter()
            .filter_map(|name| record.get(name))
            .flat_map(|text| text.split(|b| !b.is_ascii_alphanumeric()))
            .collect();
        Self {
            of_mapper: record.get(b"DM_NAME").is_some(),
            full,
            short: record
                .get(b"ID_SERIAL_SHORT")
                .or(full.filter(|_| !is_vendor_and_model))
                .filter(|serial| !is_identity(serial) && !is_placeholder(serial)),
            is_vendor_and_model,
            words,
        }
    }
}

impl Mask {
    /// The lines of a record that may stay, with other values. Properties and tags that are not known are left out.
    pub(super) fn record(&self, content: &[u8]) -> Vec<u8> {
        let known = Known::of(Record::new(content));
        let mut masked = Vec::with_capacity(content.len());
        for line in content.split_inclusive(|&b| matches!(b, b'\n' | b'\r' | 0)) {
            let (text, end) = match line.split_last() {
                Some((b'\n' | b'\r' | 0, text)) => (text, &line[text.len()..]),
                _ => (line, &b""[..]),
            };
            if let Some(text) = self.line(text, &known) {
                masked.extend(text);
                masked.extend_from_slice(end);
            }
        }
        masked
    }

    fn line(&self, line: &[u8], known: &Known<'_>) -> Option<Vec<u8>> {
        match line {
            [b'E', b':', property @ ..] => {
                let (name, value) = split_property(property);
                let start = &line[..line.len() - value.len()];
                Some([start, &self.property(name, value, known)?].concat())
            }
            [b'S', b':', ..] => Some(self.device_link(line, known)),
            [b'G' | b'Q', b':', tag @ ..] => is_known_tag(tag).then(|| line.to_vec()),
            [letter, b':', number @ ..] if letter.is_ascii_uppercase() => {
                number.iter().all(|b| b.is_ascii_digit() || *b == b'-').then(|| self.replacer.text(line))
            }
            [] => Some(Vec::new()),
            _ => None,
        }
    }

    /// `None` for a property that is left out.
    fn property(&self, name: &[u8], value: &[u8], known: &Known<'_>) -> Option<Vec<u8>> {
        if is_label(name) {
            Some(invent(&self.key, value))
        } else if is_identity_property(name) {
            Some(self.identity_property(value, known))
        } else if matches!(name, b"TAGS" | b"CURRENT_TAGS") {
            let tags = value.split(|&b| b == b':').filter(|tag| tag.is_empty() || is_known_tag(tag));
            Some(tags.collect::<Vec<_>>().join(&b':'))
        } else if is_number_property(name) {
            Some(self.replacer.text(value))
        } else {
            is_kept(name).then(|| self.free_text(value))
        }
    }

    fn identity_property(&self, value: &[u8], known: &Known<'_>) -> Vec<u8> {
        if serial_in(value, known.short).is_some() {
            let masked = self.words(&self.replacer.text(value), known.short);
            self.without_unknown_words(value, masked, known)
        } else if Some(value) == known.full && known.is_vendor_and_model {
            self.replacer.text(value)
        } else if Some(value) == known.full && known.short.is_none() {
            self.without_unknown_words(value, self.replacer.text(value), known)
        } else {
            self.whole(value)
        }
    }

    fn device_link(&self, line: &[u8], known: &Known<'_>) -> Vec<u8> {
        if let Some(start) = label_link(line, known.of_mapper) {
            [&line[..start], &invent(&self.key, &line[start..])].concat()
        } else if is_place_link(line) {
            self.free_text(line)
        } else {
            let (folder, name) = line.split_at(folder_of_link(line));
            let masked = self.words(&self.replacer.text(name), known.short);
            [folder, &self.without_unknown_words(name, masked, known)].concat()
        }
    }

    /// Replaces the words that neither were replaced already nor are known.
    fn without_unknown_words(&self, original: &[u8], mut masked: Vec<u8>, known: &Known<'_>) -> Vec<u8> {
        if masked.len() != original.len() {
            return masked;
        }
        let mut start = 0;
        while start < original.len() {
            let length = original[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
            let place = start..start + length;
            let word = &original[place.clone()];
            let stays =
                masked[place.clone()] == *word && !is_word_of_links(word) && !known.words.contains(&word);
            if length > 0 && stays && !is_placeholder(word) {
                masked[place].copy_from_slice(&self.another(word));
            }
            start += length + 1;
        }
        masked
    }

    /// Replaces `word` where it stands as a word of its own.
    pub(super) fn words(&self, text: &[u8], word: Option<&[u8]>) -> Vec<u8> {
        let Some(word) = word.filter(|word| !word.is_empty()) else { return text.to_vec() };
        let invented = self.another(word);
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let end = at + word.len();
            if text[at..].starts_with(word) && super::search::stands_alone(text, at, end) {
                masked.extend_from_slice(&invented);
                at = end;
            } else {
                masked.push(text[at]);
                at += 1;
            }
        }
        masked
    }
}

/// The short serial number, if the full one is more than that: vendor and model, which may stay, and the short one.
pub(super) fn serial_in<'a>(full: &[u8], short: Option<&'a [u8]>) -> Option<&'a [u8]> {
    short.filter(|short| full.len() > short.len() && contains(full, short))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len().max(1)).any(|window| window == part)
}

/// Whether a serial number is only vendor and model, as udev writes it for what has none.
pub(super) fn is_vendor_and_model(record: &Record<'_>, serial: &[u8]) -> bool {
    let part = |name: &[u8]| record.get(name).unwrap_or_default();
    !serial.is_empty() && [part(b"ID_VENDOR"), b"_", part(b"ID_MODEL")].concat() == serial
}
