//! Text from devices and documents, for people: it is untrusted, and a terminal obeys control characters.

use std::borrow::Cow;
use std::fmt::Write;

/// The text with each control character written as `\xHH`, so that it stays on its line and moves no cursor.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control()) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() {
            // Writing to a String does not fail.
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// `1 device`, `2 devices`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{count, printable};

    #[test]
    fn control_characters_are_shown_and_the_rest_is_kept() {
        for (text, want) in [
            ("plain ä", "plain ä"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("a\nb\r", "a\\x0ab\\x0d"),
            ("\u{9b}x\x7f", "\\x9bx\\x7f"),
        ] {
            assert_eq!(printable(text), want);
        }
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "device"), "1 device");
        assert_eq!(count(0, "device"), "0 devices");
    }
}
