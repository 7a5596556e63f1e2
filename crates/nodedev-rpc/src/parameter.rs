//! Typed parameters: named values of several types in one list.

use crate::Str;
use crate::xdr::{Reader, Wire, XdrError};

/// A named value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TypedParameter<'a> {
    /// Its name.
    pub field: Str<'a>,
    /// Its value.
    pub value: TypedValue<'a>,
}

/// Declares the types of values from their numbers on the wire.
macro_rules! values {
    ($lt:lifetime $($(#[$doc:meta])* $variant:ident($type:ty) = $number:literal,)*) => {
        /// A value and its type (`virTypedParameterType`).
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum TypedValue<$lt> {
            $($(#[$doc])* $variant($type),)*
        }

        impl<$lt> Wire<$lt> for TypedValue<$lt> {
            const MIN_SIZE: usize = 8;

            fn decode(input: &mut Reader<$lt>) -> Result<Self, XdrError> {
                match i32::decode(input)? {
                    $($number => <$type>::decode(input).map(Self::$variant),)*
                    other => Err(XdrError::ParameterType(other)),
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(value) => {
                        <i32 as Wire<'_>>::encode(&$number, out);
                        value.encode(out);
                    })*
                }
            }
        }
    };
}

values! { 'a
    /// A signed number of 32 bits.
    Int(i32) = 1,
    /// An unsigned number of 32 bits.
    UInt(u32) = 2,
    /// A signed number of 64 bits.
    LLong(i64) = 3,
    /// An unsigned number of 64 bits.
    ULLong(u64) = 4,
    /// A floating-point number.
    Double(f64) = 5,
    /// A truth value.
    Boolean(bool) = 6,
    /// A text.
    String(Str<'a>) = 7,
}

impl<'a> Wire<'a> for TypedParameter<'a> {
    const MIN_SIZE: usize = <Str<'_>>::MIN_SIZE + <TypedValue<'_>>::MIN_SIZE;

    fn decode(input: &mut Reader<'a>) -> Result<Self, XdrError> {
        Ok(Self { field: Str::decode(input)?, value: TypedValue::decode(input)? })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.field.encode(out);
        self.value.encode(out);
    }
}
