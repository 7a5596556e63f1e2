//! Messages: a length word, a header of six words, and a payload.

use crate::bounds::{DESCRIPTORS_MAX, LENGTH_SIZE, MESSAGE_MAX, MESSAGE_MIN};
use crate::open::{MessageType, Status};
use crate::xdr::{Reader, TooLong, Wire, XdrError};

/// Programs: what a message's procedure number is a number of.
pub mod program {
    /// The calls of libvirt's API.
    pub const REMOTE: u32 = 0x2000_8086;
    /// Calls that only QEMU's driver has. `nodedev` does not serve them.
    pub const QEMU: u32 = 0x2000_8087;
    /// Calls that only the driver of LXC has. `nodedev` does not serve them.
    pub const LXC: u32 = 0x2000_8088;
    /// Calls that manage the daemon, on a socket of their own.
    pub const ADMIN: u32 = 0x0690_0690;
    /// `nodedevd`'s own calls ("node"), which libvirt does not know.
    pub const NODEDEV: u32 = 0x6e6f_6465;
    /// PING and PONG.
    pub const KEEPALIVE: u32 = 0x6b65_6570;
    /// The version of all of them.
    pub const VERSION: u32 = 1;
}

/// What a message says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the procedure's number is a number of, one of [`program`].
    pub program: u32,
    /// The program's version.
    pub version: u32,
    /// The procedure's number.
    pub procedure: i32,
    /// What the message is.
    pub kind: MessageType,
    /// The call's number, which its reply repeats. Clients count from 0 or from 1; events have 1, PING and PONG 0.
    pub serial: u32,
    /// How the call went.
    pub status: Status,
}

impl Header {
    /// The header of a call of program REMOTE.
    pub fn call(procedure: i32, serial: u32) -> Self {
        Self {
            program: program::REMOTE,
            version: program::VERSION,
            procedure,
            kind: MessageType::Call,
            serial,
            status: Status::Ok,
        }
    }

    /// The header of the reply to this call.
    #[must_use]
    pub fn reply(self, status: Status) -> Self {
        Self { kind: MessageType::Reply, status, ..self }
    }

    /// What a client finds the call of a reply by: replies come in any order.
    pub fn key(&self) -> (u32, u32, u32) {
        (self.program, self.version, self.serial)
    }
}

impl Wire<'_> for Header {
    const MIN_SIZE: usize = crate::bounds::HEADER_SIZE;

    fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(Self {
            program: u32::decode(input)?,
            version: u32::decode(input)?,
            procedure: i32::decode(input)?,
            kind: MessageType::decode(input)?,
            serial: u32::decode(input)?,
            status: Status::decode(input)?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.program.encode(out);
        self.version.encode(out);
        self.procedure.encode(out);
        self.kind.encode(out);
        self.serial.encode(out);
        self.status.encode(out);
    }
}

/// A whole message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What it says about itself.
    pub header: Header,
    /// How many descriptors come with it. Each is sent after the message with one byte to carry it.
    pub descriptors: u32,
    /// Arguments, results, or an error.
    pub payload: &'a [u8],
}

/// A message after which nothing more can be understood: libvirt closes the connection without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length word says less than a header takes, or a message ends before what must be in it.
    #[error("a message of {0} bytes is too short")]
    TooShort(usize),
    /// The length word says more than is allowed.
    #[error("a message is too long: {0}")]
    TooLong(#[from] TooLong),
    /// More descriptors than the protocol allows.
    #[error("{0} descriptors with a message are too many")]
    TooManyDescriptors(u32),
}

impl<'a> Packet<'a> {
    /// The length of the message that begins with `bytes`, with its length word, at most `limit`; nothing if there
    /// are not yet four bytes.
    ///
    /// # Errors
    /// [`FrameError::TooShort`] and [`FrameError::TooLong`].
    pub fn length(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
        let Some(word) = bytes.first_chunk::<LENGTH_SIZE>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*word)).unwrap_or(usize::MAX);
        if length < MESSAGE_MIN {
            return Err(FrameError::TooShort(length));
        }
        Ok(Some(TooLong::check(length, limit.min(MESSAGE_MAX))?))
    }

    /// Reads a whole message, which begins with its length word.
    ///
    /// # Errors
    /// [`FrameError`] if the header is not whole, or the length word does not say the length of `message`.
    pub fn parse(message: &'a [u8]) -> Result<Self, FrameError> {
        let whole = Self::length(message, MESSAGE_MAX)? == Some(message.len());
        let short = |_| FrameError::TooShort(message.len());
        if !whole {
            return Err(FrameError::TooShort(message.len()));
        }
        let mut input = Reader::new(message.get(LENGTH_SIZE..).unwrap_or_default());
        let header = Header::decode(&mut input).map_err(short)?;
        let descriptors = match header.kind {
            MessageType::CallWithDescriptors | MessageType::ReplyWithDescriptors => {
                u32::decode(&mut input).map_err(short)?
            }
            _ => 0,
        };
        if descriptors > DESCRIPTORS_MAX {
            return Err(FrameError::TooManyDescriptors(descriptors));
        }
        Ok(Self { header, descriptors, payload: input.rest() })
    }
}

/// Appends a message to `out`: its length word, `header`, and `body`.
///
/// # Errors
/// [`TooLong`] if it is longer than [`MESSAGE_MAX`]; `out` is then as before.
pub fn encode_message<'a>(out: &mut Vec<u8>, header: &Header, body: &impl Wire<'a>) -> Result<(), TooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_SIZE]);
    header.encode(out);
    body.encode(out);
    let length = out.len() - start;
    if let Err(error) = TooLong::check(length, MESSAGE_MAX) {
        out.truncate(start);
        return Err(error);
    }
    // MESSAGE_MAX is below 2³².
    let word = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = out.get_mut(start..).and_then(|message| message.first_chunk_mut()) {
        *place = word;
    }
    Ok(())
}
