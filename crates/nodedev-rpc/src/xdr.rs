//! External Data Representation (RFC 4506) as libvirt reads and writes it: big-endian words of four bytes.
//!
//! Reading is as lenient as libvirt's, because clients rely on it (docs/protocol.md lists what they send): padding may
//! hold anything, every word but 0 is "true", text ends at its first NUL, and bytes after the arguments are left alone.
//! What is written is always canonical. Lengths are checked against the protocol's bounds and against what is there
//! before memory is spent on them.

/// Bytes that are not what a procedure's arguments or reply look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XdrError {
    /// The bytes end too early.
    #[error("{needed} bytes are needed and {left} are left")]
    Short {
        /// How many bytes the next value takes at least.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A text or list is longer than the protocol allows.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A typed parameter is of a type that the protocol does not have.
    #[error("{0} is no type of a parameter")]
    ParameterType(i32),
}

/// More than the protocol allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} is more than the protocol's {limit}")]
pub struct TooLong {
    /// The length that was asked for: bytes of a text or message, or items of a list.
    pub length: usize,
    /// The protocol's limit, in the same unit.
    pub limit: usize,
}

impl TooLong {
    /// Holds a length against a limit.
    pub(crate) fn check(length: usize, limit: usize) -> Result<usize, Self> {
        if length > limit { Err(Self { length, limit }) } else { Ok(length) }
    }
}

/// What is left of a message's payload to be read.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the beginning of `payload`.
    pub fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// Bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`XdrError::Short`] if there are fewer.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], XdrError> {
        let short = XdrError::Short { needed: count, left: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], XdrError> {
        let short = XdrError::Short { needed: N, left: self.rest.len() };
        let (taken, rest) = self.rest.split_first_chunk().ok_or(short)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The length of a text or list, at most `limit`, of items that take `size` bytes or more each.
    ///
    /// # Errors
    /// [`XdrError::TooLong`] if it is over the limit, [`XdrError::Short`] if so many items can't be there.
    pub fn length(&mut self, limit: usize, size: usize) -> Result<usize, XdrError> {
        let length = TooLong::check(usize::try_from(u32::decode(self)?).unwrap_or(usize::MAX), limit)?;
        let needed = length.saturating_mul(size);
        if needed > self.rest.len() {
            return Err(XdrError::Short { needed, left: self.rest.len() });
        }
        Ok(length)
    }
}

/// A value with a representation on the wire.
pub trait Wire<'a>: Sized {
    /// Fewest bytes that a value takes.
    const MIN_SIZE: usize;

    /// Reads a value; texts borrow from what is read.
    ///
    /// # Errors
    /// [`XdrError`] if the bytes are not such a value.
    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError>;

    /// Appends the value. This can't fail: values beyond the protocol's bounds can't be made.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Numbers are themselves, big-endian.
macro_rules! numbers {
    ($($type:ident)*) => {$(
        impl Wire<'_> for $type {
            const MIN_SIZE: usize = size_of::<$type>();

            fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
                input.array().map($type::from_be_bytes)
            }

            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}
numbers! { i32 u32 i64 u64 f64 }

impl Wire<'_> for bool {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(u32::decode(input)? != 0)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }
}

/// A value that may be absent: a word that says whether it is there, then the value.
impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    const MIN_SIZE: usize = 4;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        bool::decode(input)?.then(|| T::decode(input)).transpose()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

/// Bytes of a fixed number, for instance a UUID.
impl<const N: usize> Wire<'_> for [u8; N] {
    const MIN_SIZE: usize = N.next_multiple_of(4);

    fn decode(input: &mut Reader<'_>) -> Result<Self, XdrError> {
        let bytes = input.array()?;
        input.bytes(Self::MIN_SIZE - N)?;
        Ok(bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put_padded(out, self);
    }
}

/// Bytes and the zeros that fill their last word.
pub(crate) fn put_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.extend_from_slice(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()]);
}

/// Nothing: the arguments or reply of a procedure that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Void;

impl Wire<'_> for Void {
    const MIN_SIZE: usize = 0;

    fn decode(_: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(Self)
    }

    fn encode(&self, _: &mut Vec<u8>) {}
}
