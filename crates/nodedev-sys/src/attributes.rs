//! How netlink lays out what it says: messages one after the other, and attributes in each. Both begin at multiples of four.
//!
//! Source: kernel, `include/uapi/linux/netlink.h`.

/// `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Head of an attribute: its length and its type.
const ATTRIBUTE_HEADER: usize = 4;
/// Two bits of a type are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE: u16 = 0x3fff;

/// A message without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram. What is left when it ends is no message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = self.0.get(..length).filter(|message| message.len() >= HEADER)?;
        let (kind, flags) = (u16_at(message, 4)?, u16_at(message, 6)?);
        let sequence = u32_at(message, 8)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, sequence, body: &message[HEADER..] })
    }
}

/// Attributes: type and value of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Attributes<'a> {
    /// Those behind a part of fixed length; none if that is not whole.
    pub(crate) fn behind(body: &'a [u8], length: usize) -> Self {
        Self(body.get(length..).unwrap_or_default())
    }

    /// The value of the first attribute of a type.
    pub(crate) fn find(mut self, wanted: u16) -> Option<&'a [u8]> {
        self.find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    /// The number that the first attribute of a type is.
    pub(crate) fn number(self, wanted: u16) -> Option<u32> {
        u32_at(self.find(wanted)?, 0)
    }

    /// The attributes that are within the first one of a type; none if there is none.
    pub(crate) fn within(self, wanted: u16) -> Self {
        Self(self.find(wanted).unwrap_or_default())
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16_at(self.0, 0)?);
        // One that is shorter than its head would never end.
        let attribute = self.0.get(..length).filter(|attribute| attribute.len() >= ATTRIBUTE_HEADER)?;
        let kind = u16_at(attribute, 2)? & TYPE;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, &attribute[ATTRIBUTE_HEADER..]))
    }
}

/// Text up to its NUL, if it has one.
pub(crate) fn text(value: &[u8]) -> &[u8] {
    value.split(|&b| b == 0).next().unwrap_or_default()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Adds an attribute to a message.
pub(crate) fn push(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend((value.len() as u16 + ATTRIBUTE_HEADER as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// A message with its header; what is behind the header is `body`.
pub(crate) fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    // The sender, which the kernel knows.
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Attributes one after the other, as they are in a message or in another attribute.
#[cfg(test)]
pub(crate) fn nested(attributes: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (kind, value) in attributes {
        push(&mut all, *kind, value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_messages_are_found_again() {
        let mut body = vec![9; 4];
        push(&mut body, 7, b"abc");
        push(&mut body, 0x8000 | 3, &21u32.to_ne_bytes());
        let two = [message(16, 2, 5, &body), message(17, 0, 6, &[])].concat();
        let messages: Vec<_> = Messages(&two).collect();
        assert_eq!(messages[0], Message { kind: 16, flags: 2, sequence: 5, body: &body });
        assert_eq!((messages.len(), messages[1].body), (2, &[][..]));
        let attributes = Attributes::behind(messages[0].body, 4);
        assert_eq!((attributes.find(7), attributes.number(3)), (Some(&b"abc"[..]), Some(21)));
        assert_eq!((attributes.find(9), attributes.within(9).next()), (None, None));
    }

    #[test]
    fn lengths_that_lie_end_the_reading() {
        let mut body = Vec::new();
        push(&mut body, 7, b"abc");
        let whole = message(16, 2, 5, &body);
        for at in 0..whole.len() {
            assert_eq!(Messages(&whole[..at]).next(), None);
        }
        assert_eq!(Messages(&[0; 32]).next(), None);
        for length in [0, 3, 9] {
            assert_eq!(Attributes(&[length, 0, 7, 0, 1, 2, 3, 4]).next(), None);
        }
    }
}
