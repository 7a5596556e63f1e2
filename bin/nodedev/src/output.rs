//! Standard output: one buffer, and whether a person reads it.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};
use nodedev::{Text, is_obeyed, printable};
use serde::Serialize;

/// Names of devices.
pub(crate) const NAME: Style = Style::new().bold();
/// What explains and is not the matter: types, labels, parents.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What is there and was not, is not there any more, or is another.
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();
pub(crate) const CHANGED: Style = AnsiColor::Yellow.on_default();

/// Where commands write.
pub(crate) struct Output {
    writer: BufWriter<Box<dyn Write>>,
    terminal: bool,
    colour: bool,
    /// JSON that is to be written.
    value: Vec<u8>,
}

impl Output {
    /// Standard output. Colour is for terminals, and obeys `NO_COLOR` and `CLICOLOR_FORCE`.
    pub(crate) fn stdout() -> Self {
        let stdout = io::stdout();
        let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never;
        let terminal = stdout.is_terminal();
        // The descriptor itself: the standard library's stream would look for line ends in every buffer.
        let writer: Box<dyn Write> = match stdout.as_fd().try_clone_to_owned() {
            Ok(descriptor) => Box::new(File::from(descriptor)),
            Err(_) => Box::new(stdout),
        };
        Self { writer: BufWriter::with_capacity(1 << 16, writer), terminal, colour, value: Vec::new() }
    }

    /// Whether a person reads it now.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// `text` in a style, where there is colour.
    pub(crate) fn paint<T: Display>(&self, style: Style, text: T) -> Painted<T> {
        Painted { style: self.colour.then_some(style), text }
    }

    /// Writes a line: of bytes, without the cost of formatting.
    pub(crate) fn line(&mut self, text: &[u8]) -> io::Result<()> {
        self.writer.write_all(text)?;
        self.writer.write_all(b"\n")
    }

    /// Writes a line of foreign text, such as the name of a device: one line, whatever is in it.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.line(printable(text).as_bytes())
    }

    /// Writes a document, bytes as they are; on a terminal with what a terminal would obey made visible.
    pub(crate) fn document(&mut self, text: &[u8]) -> io::Result<()> {
        let text = if self.terminal { visible(text) } else { text.into() };
        self.writer.write_all(&text)
    }

    /// Where JSON is written; on a terminal with what a terminal would obey escaped, which is the same value.
    pub(crate) fn json_parts(&mut self) -> JsonParts<'_> {
        JsonParts(self)
    }

    /// Writes a value as JSON, without a line break; on a terminal as [`Output::json_parts`].
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        // Into memory first: the serializer writes a few bytes at a time.
        self.value.clear();
        serde_json::to_writer(&mut self.value, value)?;
        let text = if self.terminal { escaped(&self.value) } else { self.value.as_slice().into() };
        self.writer.write_all(&text)?;
        Ok(())
    }
}

/// Writes JSON whose parts come whole: no character is cut in two.
pub(crate) struct JsonParts<'a>(&'a mut Output);

impl Write for JsonParts<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let text = if self.0.terminal { escaped(part) } else { part.into() };
        self.0.writer.write_all(&text)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A document as it can be shown: its lines and tabs stay, everything else that would be obeyed is made visible, and so are
/// bytes that are no text.
fn visible(text: &[u8]) -> Cow<'_, [u8]> {
    let stays = |c: char| matches!(c, '\n' | '\t') || !is_obeyed(c);
    if std::str::from_utf8(text).is_ok_and(|text| text.chars().all(stays)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(['\n', '\t']) {
            let bare = piece.trim_end_matches(['\n', '\t']);
            out.push_str(&printable(bare));
            out.push_str(&piece[bare.len()..]);
        }
        out.push_str(&Text::from(chunk.invalid()).to_string());
    }
    out.into_bytes().into()
}

/// JSON as it can be shown: what would be obeyed is within a string, and can be written as an escape.
fn escaped(json: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(json);
    if !text.contains(is_obeyed) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len() + 8);
    for c in text.chars() {
        if is_obeyed(c) {
            // Writing to a String does not fail.
            let _ = c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"));
        } else {
            out.push(c);
        }
    }
    out.into_bytes().into()
}

/// Text in a style.
pub(crate) struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

/// Whether an error is that nobody reads the output any more, which is no failure.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::{escaped, visible};

    #[test]
    fn what_a_terminal_would_obey_does_not_reach_it() {
        let shown = visible(b"<a>\x1b[31m\tb\r\n\xc3\xa4\xc2\x9b\xff\n\n");
        assert_eq!(String::from_utf8_lossy(&shown), "<a>\\x1b[31m\tb\\x0d\n\u{e4}\\x9b\\xff\n\n");
        assert_eq!(&*visible(b"<a/>\n"), b"<a/>\n");
    }

    #[test]
    fn json_is_the_same_value_on_a_terminal() {
        let value = serde_json::json!({"a": "\u{9b}2J\u{202e}\u{e0041}\u{1b}\u{e4}"});
        let text = serde_json::to_vec(&value).unwrap();
        let shown = escaped(&text);
        assert!(!String::from_utf8_lossy(&shown).contains(nodedev::is_obeyed));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&shown).unwrap(), value);
    }
}
