//! Lists of the protocol.

use std::ops::Deref;

use crate::text::put_length;
use crate::xdr::{Reader, TooLong, Wire, XdrError};

/// A list of at most `MAX` items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Array<T, MAX> {
    /// A list of these items.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than `MAX`.
    pub fn new(items: Vec<T>) -> Result<Self, TooLong> {
        TooLong::check(items.len(), MAX).map(|_| Self(items))
    }

    /// The items.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for Array<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for Array<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Array<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T: Wire<'a>, const MAX: usize> Wire<'a> for Array<T, MAX> {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        let length = input.length(MAX, T::MIN_SIZE)?;
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(T::decode(input)?);
        }
        Ok(Self(items))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, self.0.len());
        for item in &self.0 {
            item.encode(out);
        }
    }
}

/// At most `MAX` bytes that the protocol declares as a list of characters: each takes a word of its own, with its sign.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chars<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Chars<MAX> {
    /// These bytes.
    ///
    /// # Errors
    /// [`TooLong`] if there are more than `MAX`.
    pub fn new(bytes: Vec<u8>) -> Result<Self, TooLong> {
        TooLong::check(bytes.len(), MAX).map(|_| Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> Wire<'_> for Chars<MAX> {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
        let length = input.length(MAX, 4)?;
        let mut bytes = Vec::with_capacity(length);
        for _ in 0..length {
            bytes.push(take_char(input)?);
        }
        Ok(Self(bytes))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_length(out, self.0.len());
        put_chars(out, &self.0);
    }
}

/// Exactly `N` characters, each in a word of its own: a C array that a text and NULs fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedChars<const N: usize>([u8; N]);

impl<const N: usize> FixedChars<N> {
    /// A text, cut so that a NUL follows it.
    pub fn truncated(text: &[u8]) -> Self {
        let mut chars = [0; N];
        for (char, byte) in chars.iter_mut().zip(text.iter().take(N.saturating_sub(1))) {
            *char = *byte;
        }
        Self(chars)
    }

    /// The text before the first NUL.
    pub fn text(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl<const N: usize> Wire<'_> for FixedChars<N> {
    const MIN_SIZE: usize = 4 * N;

    fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
        let mut chars = [0; N];
        for char in &mut chars {
            *char = take_char(input)?;
        }
        Ok(Self(chars))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_chars(out, &self.0);
    }
}

/// The last byte of a word; the others say its sign again.
fn take_char(input: &mut Reader<'_>) -> Result<u8, XdrError> {
    let [.., char] = u32::decode(input)?.to_be_bytes();
    Ok(char)
}

fn put_chars(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        i32::from(byte.cast_signed()).encode(out);
    }
}
