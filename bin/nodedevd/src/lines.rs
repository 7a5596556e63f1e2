//! Text of others in the daemon's messages: shown, not obeyed.

use std::io::{self, Write};

use nodedev_model::printable;

/// Writes messages, each of which is given in one piece that ends with a line end, as one line each.
pub(crate) struct Lines<W>(pub(crate) W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message.strip_suffix(b"\n").unwrap_or(message));
        let mut whole = printable(&text).into_owned();
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
            ("a\nERROR forged", r"a\x0aERROR forged"),
            ("\r\u{1b}]0;x\u{7}\t\u{7f}", r"\x0d\x1b]0;x\x07\x09\x7f"),
            ("\u{202e}RLO\u{2028}", r"\u{202e}RLO\u{2028}"),
        ] {
            let mut out = Vec::new();
            Lines(&mut out).write_all(format!("{text}\n").as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
        }
    }
}
