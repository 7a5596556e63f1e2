//! Attributes that only the native view tells: what is missing, refused or of another form is absent.

use nodedev_model::Text;

use crate::kernel::{KernelDevice, attribute_value};
use crate::number;

/// Reads attributes of a device.
pub(super) struct Facts<'d, 'a>(pub(super) &'d KernelDevice<'a>);

impl Facts<'_, '_> {
    /// The attribute's value, unless there is nothing but blanks, with which some drivers pad. Files that refuse to be read are
    /// no fault: drivers do so for what they do not know.
    fn value<T>(&self, name: &str, use_it: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = Vec::new();
        match self.0.folder()?.read(name.as_bytes(), &mut buffer) {
            Ok(content) => {
                let value = attribute_value(content?).trim_ascii();
                if value.is_empty() { None } else { use_it(value) }
            }
            Err(error) => {
                self.0.issues.only_exhausted(&error);
                None
            }
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<Text> {
        self.value(name, |value| Some(value.into()))
    }

    /// The attribute's word behind a number and a colon, as `1: CA`.
    pub(super) fn word(&self, name: &str) -> Option<Text> {
        self.value(name, |value| value.splitn(2, |&b| b == b':').last().map(|word| word.trim_ascii().into()))
    }

    /// Words between blanks.
    pub(super) fn words(&self, name: &str) -> Option<Vec<Text>> {
        self.value(name, |value| {
            let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            Some(words.map(Text::from).collect())
        })
    }

    /// A number that `parse` reads. One that is malformed is reported.
    fn parsed<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        self.value(name, |value| {
            let number = parse(value);
            if number.is_none() {
                self.0.malformed(name, value, "a number");
            }
            number
        })
    }

    /// A number in base 10, or in hexadecimal digits behind `0x`.
    pub(super) fn u32(&self, name: &str) -> Option<u32> {
        self.parsed(name, |value| number::u32(value, base(value)))
    }

    /// A number in base 10, or in hexadecimal digits behind `0x`.
    pub(super) fn u64(&self, name: &str) -> Option<u64> {
        self.parsed(name, |value| number::u64(value, base(value)))
    }

    /// Whether a number is not 0.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        Some(self.u32(name)? != 0)
    }

    /// A number that is negative where there is none.
    pub(super) fn node(&self, name: &str) -> Option<u32> {
        let node = self.parsed(name, |value| number::i32(value, 10))?;
        u32::try_from(node).ok()
    }

    /// Names in a folder of the device's, sorted.
    pub(super) fn names(&self, folder: &str) -> Option<Vec<Text>> {
        let mut path = Vec::new();
        let names = match self.0.folder()?.open(folder.as_bytes(), &mut path) {
            Ok(folder) => folder?.names(),
            Err(error) => Err(error),
        };
        match names {
            Ok(mut names) => {
                names.sort_unstable();
                Some(names.iter().map(|name| Text::from(&**name)).collect())
            }
            Err(error) => {
                self.0.issues.only_exhausted(&error);
                None
            }
        }
    }
}

fn base(value: &[u8]) -> u32 {
    if value.starts_with(b"0x") { 16 } else { 10 }
}

/// What was found, unless that is nothing.
pub(super) fn known<T: Default + PartialEq>(facts: T) -> Option<T> {
    (facts != T::default()).then_some(facts)
}
