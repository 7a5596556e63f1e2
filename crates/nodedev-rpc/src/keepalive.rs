//! Whether the other side still lives: program KEEPALIVE.

use crate::frame::{Header, encode_message, program};
use crate::open::{MessageType, Status};
use crate::xdr::Void;

/// A question that either side may ask at any time, also before the login, and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
}

impl Keepalive {
    /// Whether a header is that of such a message.
    pub fn from_header(header: &Header) -> Option<Self> {
        let ours = (header.program, header.version) == (program::KEEPALIVE, program::VERSION);
        match header.procedure {
            1 if ours && header.kind == MessageType::Message => Some(Self::Ping),
            2 if ours && header.kind == MessageType::Message => Some(Self::Pong),
            _ => None,
        }
    }

    /// Appends the message.
    pub fn encode(self, out: &mut Vec<u8>) {
        let header = Header {
            program: program::KEEPALIVE,
            version: program::VERSION,
            procedure: if self == Self::Ping { 1 } else { 2 },
            kind: MessageType::Message,
            serial: 0,
            status: Status::Ok,
        };
        let encoded = encode_message(out, &header, &Void);
        debug_assert!(encoded.is_ok(), "a header alone is never too long");
    }
}
