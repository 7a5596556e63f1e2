use nodedev_model::Text;

/// Lines of a document under way; pushes bytes and makes no text in between.
pub(super) struct Out<'a> {
    bytes: &'a mut Vec<u8>,
    depth: usize,
    /// Elements and attributes with a text of which something was replaced.
    pub(super) replaced: Vec<String>,
}

impl<'a> Out<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, depth: 0, replaced: Vec::new() }
    }

    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn indent(&mut self) {
        const BLANKS: &[u8] = &[b' '; 16];
        self.bytes.extend_from_slice(&BLANKS[..(2 * self.depth).min(BLANKS.len())]);
    }

    /// A line with a start tag; what follows is a level deeper.
    pub(super) fn open(&mut self, name: &str) {
        self.start(name).end_open();
    }

    /// The line `<capability type='…'>`; what follows is a level deeper.
    pub(super) fn open_capability(&mut self, kind: &str) {
        self.start("capability").attribute("type", kind.as_bytes()).end_open();
    }

    /// The line `<capability type='…'/>`.
    pub(super) fn empty_capability(&mut self, kind: &str) {
        self.start("capability").attribute("type", kind.as_bytes()).end_empty();
    }

    /// A line with an end tag, a level less deep.
    pub(super) fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.indent();
        self.push("</");
        self.push(name);
        self.push(">\n");
    }

    /// Begins a line with a start tag that may get attributes.
    pub(super) fn start<'o>(&'o mut self, name: &'o str) -> Line<'o, 'a> {
        self.indent();
        self.push("<");
        self.push(name);
        Line { out: self, element: name }
    }

    /// The line `<name>text</name>`.
    pub(super) fn text(&mut self, name: &str, text: &[u8]) {
        self.start(name).text(text).end(name);
    }

    /// The line `<name>text</name>`, if there is a text.
    pub(super) fn optional(&mut self, name: &str, text: Option<&Text>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// The line `<name>number</name>`.
    pub(super) fn number(&mut self, name: &str, number: impl Into<u64>) {
        let line = self.start(name);
        line.out.push(">");
        decimal(line.out.bytes, number.into());
        line.end(name);
    }

    /// The line `<name>0xnumber</name>`, with at least `width` digits.
    pub(super) fn hex(&mut self, name: &str, number: u32, width: usize) {
        let line = self.start(name);
        line.out.push(">");
        hex(line.out.bytes, number, width);
        line.end(name);
    }
}

/// A line whose start tag is still open.
#[must_use]
pub(super) struct Line<'o, 'a> {
    out: &'o mut Out<'a>,
    element: &'o str,
}

impl Line<'_, '_> {
    fn name(&mut self, name: &str) {
        self.out.push(" ");
        self.out.push(name);
        self.out.push("='");
    }

    pub(super) fn attribute(mut self, name: &str, value: &[u8]) -> Self {
        self.name(name);
        if escape(self.out.bytes, value) {
            self.out.replaced.push(format!("{}/@{name}", self.element));
        }
        self.out.push("'");
        self
    }

    pub(super) fn number(mut self, name: &str, value: impl Into<u64>) -> Self {
        self.name(name);
        decimal(self.out.bytes, value.into());
        self.out.push("'");
        self
    }

    /// An attribute `0x…` with at least `width` digits.
    pub(super) fn hex(mut self, name: &str, value: u32, width: usize) -> Self {
        self.name(name);
        hex(self.out.bytes, value, width);
        self.out.push("'");
        self
    }

    /// An attribute `0x…` whose digits are decimal, as libvirt prints functions.
    pub(super) fn function(mut self, name: &str, value: u32) -> Self {
        self.name(name);
        self.out.push("0x");
        decimal(self.out.bytes, value.into());
        self.out.push("'");
        self
    }

    /// Ends the start tag and adds text; [`Line::end`] ends the line.
    pub(super) fn text(self, text: &[u8]) -> Self {
        self.out.push(">");
        if escape(self.out.bytes, text) {
            self.out.replaced.push(self.element.to_owned());
        }
        self
    }

    /// Ends a line that has text.
    pub(super) fn end(self, name: &str) {
        self.out.push("</");
        self.out.push(name);
        self.out.push(">\n");
    }

    /// Ends the start tag and the line; what follows is a level deeper.
    pub(super) fn end_open(self) {
        self.out.push(">\n");
        self.out.depth += 1;
    }

    /// Ends a line that has no content.
    pub(super) fn end_empty(self) {
        self.out.push("/>\n");
    }

    /// Ends a line that has no content, with a blank before the slash.
    pub(super) fn end_empty_blank(self) {
        self.out.push(" />\n");
    }
}

/// Appends text with XML's five special characters escaped and without the control characters that XML cannot carry. Bytes that
/// are not UTF-8, and the two characters that are none, become U+FFFD; says whether there were any.
fn escape(out: &mut Vec<u8>, text: &[u8]) -> bool {
    if std::str::from_utf8(text).is_ok_and(|text| !text.contains(NO_CHARACTERS)) {
        escape_characters(out, text);
        return false;
    }
    for chunk in text.utf8_chunks() {
        let mut parts = chunk.valid().split(NO_CHARACTERS);
        escape_characters(out, parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            out.extend_from_slice(REPLACEMENT);
            escape_characters(out, part.as_bytes());
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(REPLACEMENT);
        }
    }
    true
}

/// What UTF-8 can carry and XML cannot.
const NO_CHARACTERS: [char; 2] = ['\u{fffe}', '\u{ffff}'];
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

fn escape_characters(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'<' | b'>' | b'&' | b'"' | b'\'' | ..b' ')) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&apos;"),
            b @ (b'\t' | b'\n' | b'\r') => out.push(b),
            _ => {}
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn hex(out: &mut Vec<u8>, number: u32, width: usize) {
    out.extend_from_slice(b"0x");
    let needed = (32 - number.leading_zeros() as usize).div_ceil(4).max(1);
    for place in (0..needed.max(width)).rev() {
        let digit = number.checked_shr(4 * place as u32).unwrap_or(0) & 0xf;
        out.push(b"0123456789abcdef"[digit as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal, hex};

    #[test]
    fn numbers_print_as_with_the_standard_library() {
        for number in [0, 7, 10, 99, 255, 65535, 16_777_216, u32::MAX] {
            for width in [1, 2, 4, 6] {
                let mut out = Vec::new();
                hex(&mut out, number, width);
                assert_eq!(String::from_utf8(out).unwrap(), format!("0x{number:0width$x}"));
            }
            let mut out = Vec::new();
            decimal(&mut out, number.into());
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
        let mut out = Vec::new();
        decimal(&mut out, u64::MAX);
        assert_eq!(out, b"18446744073709551615");
    }
}
