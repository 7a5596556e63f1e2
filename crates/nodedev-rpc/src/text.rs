//! Texts of the protocol.

use std::borrow::Cow;
use std::fmt;
use std::str::Utf8Error;

use crate::bounds::STRING_MAX;
use crate::xdr::{Reader, TooLong, Wire, XdrError, put_padded};

/// A text: up to [`STRING_MAX`] bytes without NUL, in any encoding.
///
/// As for the C programs at both ends, a text ends before its first NUL; what follows it is dropped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Str<'a>(&'a [u8]);

impl<'a> Str<'a> {
    /// A text of these bytes, up to the first NUL.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than [`STRING_MAX`].
    pub fn new(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Self, TooLong> {
        let bytes = bytes.as_ref();
        TooLong::check(bytes.len(), STRING_MAX).map(|_| Self::cut(bytes))
    }

    /// As much of these bytes as fits, for texts that repeat what a peer said: libvirt drops a client to which it can't
    /// repeat a name in an error.
    pub fn truncated(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        let bytes = bytes.as_ref();
        Self::cut(bytes.get(..STRING_MAX).unwrap_or(bytes))
    }

    fn cut(bytes: &'a [u8]) -> Self {
        // Slices search for a byte by words, iterators one by one: most texts have no NUL.
        if !bytes.contains(&0) {
            return Self(bytes);
        }
        Self(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is UTF-8.
    ///
    /// # Errors
    /// [`Utf8Error`] if it is not.
    pub fn to_str(self) -> Result<&'a str, Utf8Error> {
        std::str::from_utf8(self.0)
    }

    /// The text for people: what is not UTF-8 is replaced.
    pub fn to_string_lossy(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

impl<'a> TryFrom<&'a str> for Str<'a> {
    type Error = TooLong;

    fn try_from(text: &'a str) -> Result<Self, TooLong> {
        Self::new(text)
    }
}

impl fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'a> Wire<'a> for Str<'a> {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        let length = input.length(STRING_MAX, 1)?;
        let bytes = input.bytes(length)?;
        input.bytes(length.next_multiple_of(4) - length)?;
        Ok(Self::cut(bytes))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, self.0.len());
        put_padded(out, self.0);
    }
}

/// Bytes of any kind, up to `MAX`: XDR's `opaque<MAX>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opaque<'a, const MAX: usize>(&'a [u8]);

impl<'a, const MAX: usize> Opaque<'a, MAX> {
    /// These bytes.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than `MAX`.
    pub fn new(bytes: &'a [u8]) -> Result<Self, TooLong> {
        TooLong::check(bytes.len(), MAX).map(|_| Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl<'a, const MAX: usize> Wire<'a> for Opaque<'a, MAX> {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        let length = input.length(MAX, 1)?;
        let bytes = input.bytes(length)?;
        input.bytes(length.next_multiple_of(4) - length)?;
        Ok(Self(bytes))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, self.0.len());
        put_padded(out, self.0);
    }
}

/// A length that was checked against one of the protocol's limits, which are far below 2³².
pub(crate) fn put_length(out: &mut Vec<u8>, length: usize) {
    u32::try_from(length).unwrap_or(u32::MAX).encode(out);
}
