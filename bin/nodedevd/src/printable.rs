//! Text of others in the daemon's messages: shown, not obeyed.

use std::fmt::Write as _;
use std::io::{self, Write};

use nodedev_model::is_obeyed;

/// One line of text: each character that would be obeyed is written as Rust writes it, `\n` or `\u{202e}`.
pub(crate) fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        // Writing to a string does not fail.
        let _ = if is_obeyed(sign) { write!(out, "{}", sign.escape_default()) } else { out.write_char(sign) };
    }
    out
}

/// Writes messages, each of which is given in one piece that ends with a line end, as one line each.
pub(crate) struct Lines<W>(pub(crate) W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message.strip_suffix(b"\n").unwrap_or(message));
        let mut whole = line(&text);
        whole.push('\n');
        self.0.write_all(whole.as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_sends_nothing_to_a_terminal() {
        for (text, expected) in [
            ("a client's net_eth0 'x' \\ \"y\"", "a client's net_eth0 'x' \\ \"y\""),
            ("a\nERROR forged", r"a\nERROR forged"),
            ("\r\u{1b}]0;x\u{7}\t\u{7f}", r"\r\u{1b}]0;x\u{7}\t\u{7f}"),
            ("\u{9b}2J\u{85}", r"\u{9b}2J\u{85}"),
            ("\u{202e}RLO\u{2066}\u{200f}\u{2028}\u{feff}", r"\u{202e}RLO\u{2066}\u{200f}\u{2028}\u{feff}"),
            ("Müller 日本", "Müller 日本"),
        ] {
            let mut out = Vec::new();
            Lines(&mut out).write_all(format!("{text}\n").as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        }
    }
}
