//! Reading what a newer program wrote: a word or a number that this version has no value for costs its field, and not the
//! document.

use serde::de::value::{Error, StringDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde::{Deserialize, Deserializer};

/// The value of a word; `None` for a word that this version does not know.
pub(crate) fn word<T: DeserializeOwned>(word: String) -> Option<T> {
    let word: StringDeserializer<Error> = word.into_deserializer();
    T::deserialize(word).ok()
}

/// Reads a field that holds a word.
pub(crate) fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    reader: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(reader)?.and_then(word))
}

/// Implements `Deserialize` for a type that is written as text and has `FromStr`.
macro_rules! from_text {
    ($name:ident, $read:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("the text of a ", stringify!($name)))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        ($read)(text).map_err(E::custom)
                    }
                }
                reader.deserialize_str(Visitor)
            }
        }
    };
}
pub(crate) use from_text;
