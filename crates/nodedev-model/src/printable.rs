//! Foreign text for people: names and messages of devices, daemons and documents.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character does something to whatever shows it, or to the text around it, and is not seen itself: control
/// characters of either set, ends of lines and paragraphs, and what turns or hides text (Unicode Standard Annex #9; the tag
/// characters of the block Tags).
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with each character that would be obeyed ([`is_obeyed`]) written as `\xHH` or `\u{HHHH}`, so that it stays on its
/// line, moves no cursor and turns no text round. For everything that people read: output, messages and logs.
///
/// ```
/// use nodedev_model::printable;
/// assert_eq!(printable("net_a\n\u{9b}2J\u{202e}"), r"net_a\x0a\x9b2J\u{202e}");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        // Writing to a String does not fail.
        let _ = match u32::from(c) {
            _ if !is_obeyed(c) => {
                out.push(c);
                Ok(())
            }
            code @ ..=0xff => write!(out, "\\x{code:02x}"),
            code => write!(out, "\\u{{{code:x}}}"),
        };
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_obeyed_is_shown_and_the_rest_is_kept() {
        for (text, want) in [
            ("plain ä", "plain ä"),
            ("a\x1b[31mb", "a\\x1b[31mb"),
            ("a\nb\r", "a\\x0ab\\x0d"),
            ("\u{9b}x\x7f\u{85}", "\\x9bx\\x7f\\x85"),
            ("\u{202e}RLO\u{2066}", "\\u{202e}RLO\\u{2066}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("\u{200f}\u{61c}\u{e0041}", "\\u{200f}\\u{61c}\\u{e0041}"),
            // Joiners are a part of words, and of pictures.
            ("क\u{94d}\u{200d}ष \u{5d0} 👩\u{200d}🔧", "क\u{94d}\u{200d}ष \u{5d0} 👩\u{200d}🔧"),
        ] {
            assert_eq!(printable(text), want);
        }
    }
}
