//! Which characters may stand where (XML 1.0, sections 2.2 and 2.3), and where in a text an offset is.

/// Ranges of characters beyond ASCII that may start a name.
const NAME_START: [(char, char); 12] = [
    ('\u{c0}', '\u{d6}'),
    ('\u{d8}', '\u{f6}'),
    ('\u{f8}', '\u{2ff}'),
    ('\u{370}', '\u{37d}'),
    ('\u{37f}', '\u{1fff}'),
    ('\u{200c}', '\u{200d}'),
    ('\u{2070}', '\u{218f}'),
    ('\u{2c00}', '\u{2fef}'),
    ('\u{3001}', '\u{d7ff}'),
    ('\u{f900}', '\u{fdcf}'),
    ('\u{fdf0}', '\u{fffd}'),
    ('\u{10000}', '\u{effff}'),
];

pub(super) fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic()
        || c == '_'
        || !c.is_ascii() && NAME_START.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Whether a character may continue a name; the colon may too.
pub(super) fn is_name(c: char) -> bool {
    is_name_start(c)
        || c.is_ascii_digit()
        || matches!(c, '-' | '.' | ':' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

/// Whether a document may hold a character.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

pub(super) fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// A place in a text that moves forward only, so that many places cost one pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    offset: usize,
    /// Line, from 1.
    pub(crate) line: u32,
    /// Column in characters, from 1.
    pub(crate) column: u32,
}

impl Place {
    /// The beginning.
    pub(crate) const START: Self = Self { offset: 0, line: 1, column: 1 };

    /// Moves to an offset that is not before the current one.
    pub(crate) fn advance(&mut self, text: &[u8], offset: usize) {
        let offset = offset.min(text.len());
        for byte in text.get(self.offset..offset).unwrap_or_default() {
            match byte {
                b'\n' => (self.line, self.column) = (self.line + 1, 1),
                0x80..=0xbf => {}
                _ => self.column += 1,
            }
        }
        self.offset = self.offset.max(offset);
    }
}

/// libvirt's text for a mistake: line, what is wrong, the line of the document, and a pointer into that.
///
/// `cursor` is where the parser stood when it noticed, which is where the pointer points.
pub(super) fn describe(text: &[u8], line: u32, what: &str, cursor: usize) -> String {
    let is_end = |b: &u8| matches!(b, b'\n' | b'\r');
    let at = |i: usize| text.get(i).copied().unwrap_or(0);
    // At the end of the text the last line is meant, not the nothing after its line break.
    let mut start = if cursor >= text.len() { text.len().saturating_sub(1) } else { cursor };
    while start > 0 && is_end(&at(start)) {
        start -= 1;
    }
    while start > 0 && !is_end(&at(start)) {
        start -= 1;
    }
    if is_end(&at(start)) {
        start += 1;
    }
    let context = text.get(start..).unwrap_or_default();
    let context = &context[..context.iter().position(|b| is_end(b) || *b == 0).unwrap_or(context.len())];
    let pointer: String = context
        .iter()
        .take(cursor.saturating_sub(start))
        .map(|b| if *b == b'\t' { '\t' } else { '-' })
        .collect();
    let context = if context.is_empty() { "(null)".into() } else { String::from_utf8_lossy(context) };
    format!("at line {line}: {what}\n{context}\n{pointer}^")
}

#[cfg(test)]
mod tests {
    use super::{Place, is_char, is_name, is_name_start};

    #[test]
    fn names_start_with_letters_and_go_on_with_digits_and_marks() {
        for c in ['a', 'Z', '_', 'ä', '\u{4e00}', '\u{10000}'] {
            assert!(is_name_start(c) && is_name(c), "{c:?}");
        }
        for c in ['1', '-', '.', ':', '\u{b7}', '\u{301}'] {
            assert!(!is_name_start(c) && is_name(c), "{c:?}");
        }
        for c in [' ', '<', '\u{d7}', '\u{f7}', '\u{37e}', '\u{2000}', '\u{fffe}'] {
            assert!(!is_name(c), "{c:?}");
        }
    }

    #[test]
    fn control_characters_and_non_characters_are_none_of_xml() {
        assert!(['\t', '\n', '\r', ' ', '\u{7f}', '\u{fffd}', '\u{10ffff}'].into_iter().all(is_char));
        assert!(!['\0', '\u{1}', '\u{1f}', '\u{fffe}', '\u{ffff}'].into_iter().any(is_char));
    }

    #[test]
    fn columns_count_characters() {
        let text = "ab\näöx\n".as_bytes();
        let mut place = Place::START;
        let places = [0, 2, 3, 7, 8, 9, 99].map(|offset| {
            place.advance(text, offset);
            (place.line, place.column)
        });
        assert_eq!(places, [(1, 1), (1, 3), (2, 1), (2, 3), (2, 4), (3, 1), (3, 1)]);
    }
}
