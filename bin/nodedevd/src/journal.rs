//! systemd's journal as a place for messages, each an entry of one line.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use nodedev_model::printable;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where the journal takes entries.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longer messages are cut off: an entry is sent in one datagram, in which a byte can take four.
const LONGEST: usize = 16 << 10;

/// The journal.
pub(crate) struct Journal(UnixDatagram);

impl Journal {
    /// Looks whether a journal listens.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.send_to(b"", SOCKET)?;
        Ok(Self(socket))
    }
}

/// An entry that is to be written.
pub(crate) struct Entry<'a> {
    journal: &'a Journal,
    /// As syslog counts.
    priority: u8,
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Entry<'a> {
        Entry { journal: self, priority: 5 }
    }

    fn make_writer_for(&'a self, message: &Metadata<'_>) -> Entry<'a> {
        let priority = match *message.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            Level::TRACE => 7,
        };
        Entry { journal: self, priority }
    }
}

impl Write for Entry<'_> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.journal.0.send_to(&fields(self.priority, message), SOCKET)?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An entry as the journal takes it: a field a line, so that a message must not have more than one.
fn fields(priority: u8, message: &[u8]) -> Vec<u8> {
    let message = message.trim_ascii_end();
    let message = String::from_utf8_lossy(message.get(..LONGEST).unwrap_or(message));
    let line = printable(&message);
    format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=nodedevd\nMESSAGE={line}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_field_whatever_is_in_it() {
        let entry = |message: &str| String::from_utf8(fields(4, message.as_bytes())).unwrap();
        let want = "PRIORITY=4\nSYSLOG_IDENTIFIER=nodedevd\nMESSAGE=a\\x0aPRIORITY=0 \\x1b[2J\n";
        assert_eq!(entry("a\nPRIORITY=0 \u{1b}[2J\n"), want);
        let long = entry(&"\u{7f}".repeat(2 * LONGEST));
        assert!(long.len() < 10 * LONGEST, "{}", long.len());
    }
}
