//! Standard output: one buffer, and whether a person reads it.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use anstyle::{AnsiColor, Style};

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
        Self { writer: BufWriter::with_capacity(1 << 16, writer), terminal, colour }
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

    /// Writes a document, bytes as they are; on a terminal without what a terminal would obey.
    pub(crate) fn document(&mut self, text: &[u8]) -> io::Result<()> {
        let text = if self.terminal { harmless(text) } else { text.into() };
        self.writer.write_all(&text)
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

/// Control bytes other than tab and line feed become `?`.
fn harmless(text: &[u8]) -> Cow<'_, [u8]> {
    let obeyed = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t');
    if !text.iter().any(obeyed) {
        return text.into();
    }
    text.iter().map(|byte| if obeyed(byte) { b'?' } else { *byte }).collect()
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
    use super::harmless;

    #[test]
    fn escape_sequences_of_a_device_do_not_reach_the_terminal() {
        assert_eq!(&*harmless(b"<a>\x1b[31m\tb\r\n\xc3\xa4"), b"<a>?[31m\tb?\n\xc3\xa4");
        assert_eq!(&*harmless(b"<a/>\n"), b"<a/>\n");
    }
}
