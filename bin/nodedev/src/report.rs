//! What goes wrong, on standard error: what, and below it what to do.

use std::fmt::Write as _;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use nodedev::ErrorCode;

use crate::text::printable;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default();

/// Prints an error with all its causes, and the help that goes with it.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = String::new();
    for (depth, cause) in error.chain().enumerate() {
        if depth > 0 {
            text.push_str(": ");
        }
        // Writing to a String does not fail.
        let _ = write!(text, "{cause}");
    }
    let help = error.chain().find_map(|cause| {
        let driver = cause.downcast_ref::<nodedev::Error>().and_then(nodedev::Error::help);
        driver.or_else(|| cause.downcast_ref::<Advice>().map(|advice| advice.help.as_str()))
    });
    let mut stderr = anstream::AutoStream::auto(std::io::stderr().lock());
    // Nothing can be done about a standard error that cannot be written.
    let is_about_xml =
        error.chain().any(|cause| cause.downcast_ref::<nodedev::Error>().is_some_and(is_about_a_document));
    let text = if is_about_xml { lines(&text) } else { printable(&text).into_owned() };
    let _ = writeln!(stderr, "{ERROR}error:{ERROR:#} {text}");
    if let Some(help) = help {
        let _ = writeln!(stderr, "{HELP}help:{HELP:#} {}", printable(help));
    }
}

/// Whether a message has lines of its own: that about a document has the line with the mistake, and a mark below the place.
fn is_about_a_document(error: &nodedev::Error) -> bool {
    matches!(error.code(), ErrorCode::XML_ERROR | ErrorCode::XML_DETAIL | ErrorCode::XML_INVALID_SCHEMA)
}

/// The text with its lines kept, and set off so that none can be taken for a message of its own.
fn lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n  ")
}

/// A mistake in a document; lines and columns count from 1, columns in characters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mistake {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// The widest piece of a line of a document that is shown with a mistake.
const SHOWN: usize = 76;

/// Prints mistakes in a document, each with its line and a caret below the place.
pub(crate) fn mistakes(name: &str, text: &[u8], mistakes: &[Mistake]) {
    let mut stderr = anstream::AutoStream::auto(std::io::stderr().lock());
    let mut lines = text.split(|&byte| byte == b'\n').zip(1u32..).peekable();
    for Mistake { line, column, message } in mistakes {
        // Nothing can be done about a standard error that cannot be written.
        let _ = writeln!(
            stderr,
            "{}:{line}:{column}: {ERROR}error:{ERROR:#} {}",
            printable(name),
            printable(message)
        );
        while lines.next_if(|(_, number)| number < line).is_some() {}
        if let Some((source, _)) = lines.peek().filter(|(_, number)| number == line) {
            let (shown, caret) = excerpt(source, *column);
            let _ = writeln!(stderr, " {line:>5} | {shown}");
            let _ = writeln!(stderr, "       | {:>caret$}", "^");
        }
    }
    let count = crate::text::count(mistakes.len(), "mistake");
    let _ = writeln!(stderr, "{count} in {}", printable(name));
}

/// The part of a line around a column, and the column in it, from 1. Tabs and other controls become spaces, so that
/// the caret stands below its character.
fn excerpt(line: &[u8], column: u32) -> (String, usize) {
    let column = (column as usize).max(1);
    let start = if column > SHOWN * 3 / 4 { column - SHOWN / 2 } else { 1 };
    let text = String::from_utf8_lossy(line);
    let shown: String = text
        .chars()
        .skip(start - 1)
        .take(SHOWN)
        .map(|c| if nodedev::is_obeyed(c) { ' ' } else { c })
        .collect();
    (shown.trim_end().to_owned(), column - start + 1)
}

/// A failure of the command line itself, with what to do about it.
#[derive(Debug)]
pub(crate) struct Advice {
    what: String,
    help: String,
    /// Whether the arguments were wrong, as opposed to what they name.
    usage: bool,
}

impl Advice {
    /// A failure with help.
    pub(crate) fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into(), usage: false }
    }

    /// Wrong arguments, with help.
    pub(crate) fn usage(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(what, help) }
    }
}

impl std::fmt::Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Advice {}

/// Whether an error is that of wrong arguments.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<Advice>().is_some_and(|advice| advice.usage))
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn the_caret_stands_below_the_column_also_in_long_lines() {
        let long = format!("{}X{}", "a".repeat(499), "b".repeat(500));
        for (line, column, at) in [
            ("<device>", 1, '<'),
            ("<device>", 3, 'e'),
            ("\t\t<x/>", 3, '<'),
            (&long, 500, 'X'),
            ("ä<b", 2, '<'),
        ] {
            let (shown, caret) = excerpt(line.as_bytes(), column);
            assert_eq!(shown.chars().nth(caret - 1), Some(at), "{line}");
            assert!(shown.chars().count() <= 76);
        }
        assert_eq!(excerpt(b"<a>", 4), ("<a>".to_owned(), 4));
        assert_eq!(excerpt(b"", 0), (String::new(), 1));
    }
}
