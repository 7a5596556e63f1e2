//! From a stream of bytes to whole messages.

use crate::bounds::{MESSAGE_MAX, MESSAGE_MIN};
use crate::frame::{FrameError, Packet};

/// What a connection that says little needs.
const SMALL: usize = 4096;

/// Collects the bytes that a peer sends and cuts them into messages.
///
/// Memory follows the bytes that came, not the length that a message claims: the buffer at most doubles beyond what is
/// in it, never exceeds the message it is for (or 4 KiB, for small ones), and shrinks afterwards.
///
/// ```
/// use nodedev_rpc::{Decoder, Keepalive};
///
/// let mut stream = Vec::new();
/// Keepalive::Ping.encode(&mut stream);
/// let mut decoder = Decoder::default();
/// let mut bytes = stream.as_slice();
/// while !bytes.is_empty() {
///     let space = decoder.space();
///     let count = std::io::Read::read(&mut bytes, space)?; // in real life: from a socket
///     decoder.filled(count);
///     while let Some(packet) = decoder.next_packet()? {
///         assert_eq!(Keepalive::from_header(&packet.header), Some(Keepalive::Ping));
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    limit: usize,
    /// Bytes still to come that each carry a descriptor of the last message, and say nothing.
    carriers: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limit(MESSAGE_MAX)
    }
}

impl Decoder {
    /// Takes messages of at most `limit` bytes, and of no more than [`MESSAGE_MAX`].
    pub fn with_limit(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, limit, carriers: 0 }
    }

    /// Changes the limit for messages that were not taken yet: a client may be trusted with more after its login.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Where to put the bytes that come next. Not empty after [`Decoder::next_packet`] said that there is nothing;
    /// before, it may be.
    pub fn space(&mut self) -> &mut [u8] {
        self.drop_carriers();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            // A larger one is given back once what it was for has gone.
            if self.buffer.len() > SMALL {
                self.buffer = Vec::new();
            }
        }
        let wanted = self.wanted();
        // Moved at most once for each message, and grown by doubling: the time is linear however few bytes come at once.
        if self.start > 0 && self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            let size = wanted.min(self.end.saturating_mul(2)).max(SMALL);
            if size > self.buffer.len() {
                self.buffer.reserve_exact(size - self.buffer.len());
                self.buffer.resize(size, 0);
            }
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that the first `count` bytes of [`Decoder::space`] were filled.
    pub fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buffer.len());
    }

    /// Takes as many of `bytes` as there is space for, and returns how many: 0 only if `bytes` is empty or a message
    /// waits to be taken.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        for (to, from) in space.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.filled(count);
        count
    }

    /// The next message, if it is whole.
    ///
    /// # Errors
    /// [`FrameError`]; the connection can then only be closed.
    pub fn next_packet(&mut self) -> Result<Option<Packet<'_>>, FrameError> {
        self.drop_carriers();
        let Some(length) = Packet::length(self.waiting(), self.limit)? else { return Ok(None) };
        let (start, end) = (self.start, self.start + length);
        if end > self.end {
            return Ok(None);
        }
        self.start = end;
        let packet = Packet::parse(self.buffer.get(start..end).unwrap_or_default())?;
        self.carriers = usize::try_from(packet.descriptors).unwrap_or(usize::MAX);
        Ok(Some(packet))
    }

    /// How long the message is that is being collected, with its length word: what [`Decoder::space`] will make room for.
    /// Nothing as long as its first four bytes are not there, or if they say what no message can.
    pub fn expected(&mut self) -> Option<usize> {
        self.drop_carriers();
        Packet::length(self.waiting(), self.limit).ok().flatten()
    }

    /// Whether part of a message is here and the rest is not: the peer went in the middle of it.
    pub fn is_amid_message(&self) -> bool {
        self.start != self.end || self.carriers > 0
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes the message takes that is being collected, as far as is known.
    fn wanted(&self) -> usize {
        match Packet::length(self.waiting(), self.limit) {
            Ok(Some(length)) => length,
            // Malformed: the next look at it says so.
            Ok(None) | Err(_) => MESSAGE_MIN,
        }
    }

    fn drop_carriers(&mut self) {
        let gone = self.carriers.min(self.end - self.start);
        self.start += gone;
        self.carriers -= gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Header, MessageType, Str, TooLong, encode_message};

    fn message(name: &[u8], serial: u32) -> Vec<u8> {
        let mut out = Vec::new();
        encode_message(&mut out, &Header::call(113, serial), &Str::new(name).expect("short")).expect("short");
        out
    }

    fn collect(decoder: &mut Decoder, mut bytes: &[u8], chunk: usize) -> Vec<(u32, usize)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let taken = decoder.feed(&bytes[..chunk.min(bytes.len())]);
            assert!(taken > 0, "no space although everything was taken");
            bytes = &bytes[taken..];
            while let Some(packet) = decoder.next_packet().expect("well-formed") {
                found.push((packet.header.serial, packet.payload.len()));
            }
        }
        found
    }

    #[test]
    fn messages_come_out_whole_however_the_bytes_arrive() {
        let mut stream = message(b"a", 1);
        stream.extend(message(&[b'x'; 100_000], 2));
        stream.extend(message(b"", 3));
        for chunk in [1, 3, 27, 28, 29, 4096, usize::MAX] {
            let mut decoder = Decoder::default();
            assert_eq!(collect(&mut decoder, &stream, chunk), [(1, 8), (2, 100_004), (3, 4)], "{chunk}");
            assert!(!decoder.is_amid_message());
        }
    }

    #[test]
    fn length_is_checked_at_both_ends_of_what_libvirt_accepts() {
        for (length, expected) in [
            (0, Err(FrameError::TooShort(0))),
            (3, Err(FrameError::TooShort(3))),
            (4, Err(FrameError::TooShort(4))),
            (20, Err(FrameError::TooShort(20))),
            (27, Err(FrameError::TooShort(27))),
            (28, Ok(None)),
            (33_554_436, Ok(None)),
            (33_554_437, Err(FrameError::TooLong(TooLong { length: 33_554_437, limit: 33_554_436 }))),
            (u32::MAX, Err(FrameError::TooLong(TooLong { length: 4_294_967_295, limit: 33_554_436 }))),
        ] {
            let mut decoder = Decoder::default();
            assert_eq!(decoder.feed(&length.to_be_bytes()), 4);
            assert_eq!(decoder.next_packet(), expected, "{length}");
            assert!(decoder.space().len() <= SMALL, "memory for a length that was only claimed");
        }
    }

    #[test]
    fn memory_follows_what_came_and_is_given_back() {
        let long = message(&vec![b'x'; 4_000_000], 1);
        let mut decoder = Decoder::default();
        let mut sent = 0;
        while sent < long.len() {
            sent += decoder.feed(&long[sent..long.len().min(sent + 1000)]);
            assert!(decoder.buffer.capacity() <= (2 * sent).max(SMALL), "{sent}");
        }
        assert!(decoder.next_packet().expect("well-formed").is_some());
        assert!(decoder.space().len() <= SMALL);
        assert!(decoder.buffer.capacity() <= SMALL);
    }

    #[test]
    fn a_limit_of_ones_own_holds_until_it_is_raised() {
        let long = message(&[b'x'; 1000], 1);
        let mut decoder = Decoder::with_limit(100);
        decoder.feed(&long);
        assert!(matches!(decoder.next_packet(), Err(FrameError::TooLong(_))));
        decoder.set_limit(usize::MAX);
        assert!(decoder.next_packet().is_ok_and(|packet| packet.is_some()));
    }

    #[test]
    fn bytes_that_carry_descriptors_are_no_message() {
        let mut stream = Vec::new();
        let header = Header { kind: MessageType::CallWithDescriptors, ..Header::call(3, 7) };
        encode_message(&mut stream, &header, &2_u32).expect("short");
        stream.extend([0, 0]);
        stream.extend(message(b"a", 8));
        for chunk in [1, 29, 30, 1000] {
            assert_eq!(collect(&mut Decoder::default(), &stream, chunk), [(7, 0), (8, 8)], "{chunk}");
        }
        for (count, accepted) in [(0, true), (32, true), (33, false), (u32::MAX, false)] {
            let mut stream = Vec::new();
            encode_message(&mut stream, &header, &count).expect("short");
            assert_eq!(Packet::parse(&stream).is_ok(), accepted, "{count}");
        }
    }
}
