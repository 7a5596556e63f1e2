use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::lenient::from_text;

/// Text as the kernel, udev or a device gave it: bytes that are usually, but not certainly, UTF-8.
///
/// `Display` and JSON show each byte that is not part of valid UTF-8 as `\xHH`, the way udev writes such bytes in
/// its own properties. The XML has U+FFFD in the place of such bytes, as no reader of XML takes them.
///
/// JSON is read back to the same bytes. So that nothing is taken for such a byte that is none, JSON has `\x5c` in the place
/// of a backslash that `x` and two digits follow which could be one: `80` to `ff`, or `5c`. Digits are lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Text(Box<[u8]>);

impl Text {
    /// The bytes, unchanged.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text that a string of JSON stands for.
    fn from_json(text: &str) -> Self {
        let mut rest = text.as_bytes();
        let mut bytes = Vec::with_capacity(rest.len());
        while let Some(at) = rest.iter().position(|&b| b == b'\\') {
            let (before, from) = rest.split_at(at);
            bytes.extend_from_slice(before);
            let (byte, length) = escaped(from).map_or((b'\\', 1), |byte| (byte, 4));
            bytes.push(byte);
            rest = &from[length..];
        }
        bytes.extend_from_slice(rest);
        Self::from(bytes)
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// The byte that an escape of JSON's stands for, if the text begins with one.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = text else { return None };
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let byte = digit(*high)? << 4 | digit(*low)?;
    (byte >= 0x80 || byte == b'\\').then_some(byte)
}

/// A text as JSON has it.
struct Escaped<'a>(&'a Text);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find("\\x") {
                let (before, from) = rest.split_at(at);
                f.write_str(before)?;
                f.write_str(if escaped(from.as_bytes()).is_some() { "\\x5c" } else { "\\" })?;
                rest = &from[1..];
            }
            f.write_str(rest)?;
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) if !text.contains("\\x") => serializer.serialize_str(text),
            _ => serializer.collect_str(&Escaped(self)),
        }
    }
}

from_text!(Text, |text: &str| Ok::<_, std::convert::Infallible>(Text::from_json(text)));

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_hex_escapes() {
        let text = Text::from(&b"a\xffb\xc3\xa4\xe2\x82"[..]);
        assert_eq!(text.to_string(), "a\\xffbä\\xe2\\x82");
        assert_eq!(text.as_str(), None);
        assert_eq!(text.as_bytes(), b"a\xffb\xc3\xa4\xe2\x82");
    }

    proptest::proptest! {
        #[test]
        fn json_is_read_back(parts in proptest::collection::vec(proptest::sample::select(vec![
            &b"\\"[..], b"x", b"5c", b"5", b"c", b"ff", b"\xff", b"\xc3", b"\xa4", b"\xe2\x82", b"\0", b"\x7f", b"F",
        ]), 0..12)) {
            let text = Text::from(parts.concat());
            let json = serde_json::to_string(&text).unwrap();
            proptest::prop_assert_eq!(&serde_json::from_str::<Text>(&json).unwrap(), &text);
            proptest::prop_assert_eq!(serde_json::from_slice::<Text>(json.as_bytes()).unwrap(), text);
        }
    }

    #[test]
    fn json_has_the_same_bytes_and_escapes_no_more_than_it_must() {
        for (bytes, json) in [
            (&b"plain \xc3\xa4"[..], "plain ä"),
            (b"a\xffb\xe2\x82", r"a\xffb\xe2\x82"),
            (br"by-label/a\x20b\x41\xFF", r"by-label/a\x20b\x41\xFF"),
            (br"\xff", r"\x5cxff"),
            (br"\x5c", r"\x5cx5c"),
            (br"\x5cx5c", r"\x5cx5cx5c"),
            (b"\\\xff\\", r"\\xff\"),
            (b"\\x\xff", r"\x\xff"),
            (b"\\x8\xc3\xa4", r"\x8ä"),
        ] {
            let text = Text::from(bytes);
            assert_eq!(serde_json::to_value(&text).unwrap(), serde_json::json!(json));
            assert_eq!(serde_json::from_value::<Text>(serde_json::json!(json)).unwrap(), text, "{json}");
        }
    }
}
