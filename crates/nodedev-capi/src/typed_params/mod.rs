//! Lists of typed parameters (`libvirt/libvirt-common.h`), the caller's or made here: names with values of seven types.
//!
//! All of it is local, and complete. Whatever a caller will free comes from the C allocator. Where libvirt would crash,
//! on a list that is NULL, there is an error.

#![allow(unsafe_code, reason = "lists and texts are the caller's memory")]

pub mod add;
mod list;
pub mod look;
mod parse;

use std::ffi::{CStr, c_char, c_double, c_int, c_longlong, c_uint, c_ulonglong};

use nodedev_driver::{Error, ErrorCode, ErrorDomain};

use crate::function::Function;

/// Room for a name, its NUL included (`VIR_TYPED_PARAM_FIELD_LENGTH`).
pub const FIELD_LENGTH: usize = 80;

/// `virTypedParameter`.
#[repr(C)]
pub struct TypedParameter {
    /// The name, ending in NUL.
    pub field: [c_char; FIELD_LENGTH],
    /// `virTypedParameterType`: which part of `value` there is.
    pub kind: c_int,
    /// The value.
    pub value: TypedParameterValue,
}

impl std::fmt::Debug for TypedParameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedParameter").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The value of a [`TypedParameter`].
#[derive(Clone, Copy)]
#[repr(C)]
pub union TypedParameterValue {
    /// Type 1.
    pub i: c_int,
    /// Type 2.
    pub ui: c_uint,
    /// Type 3.
    pub l: c_longlong,
    /// Type 4.
    pub ul: c_ulonglong,
    /// Type 5.
    pub d: c_double,
    /// Type 6; 0 or 1.
    pub b: c_char,
    /// Type 7; from the C allocator.
    pub s: *mut c_char,
}

/// `virTypedParameterType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int = 1,
    UInt = 2,
    LLong = 3,
    ULLong = 4,
    Double = 5,
    Boolean = 6,
    String = 7,
}

impl Kind {
    /// The types, as errors name them.
    const ALL: [(Self, &'static str); 7] = [
        (Self::Int, "int"),
        (Self::UInt, "uint"),
        (Self::LLong, "llong"),
        (Self::ULLong, "ullong"),
        (Self::Double, "double"),
        (Self::Boolean, "boolean"),
        (Self::String, "string"),
    ];

    fn of(number: c_int) -> Option<Self> {
        Self::ALL.iter().map(|(kind, _)| *kind).find(|kind| *kind as c_int == number)
    }

    /// The name of a type that need not be one.
    fn name(number: c_int) -> &'static str {
        let known = Self::ALL.iter().find(|(kind, _)| *kind as c_int == number);
        // The others as libvirt prints them.
        known.map_or(if number == 0 { "unknown" } else { "(null)" }, |(_, name)| name)
    }
}

/// A value to be added.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value<'a> {
    Int(c_int),
    UInt(c_uint),
    LLong(c_longlong),
    ULLong(c_ulonglong),
    Double(c_double),
    Boolean(bool),
    String(&'a CStr),
}

/// A function of this module.
fn function(name: &'static str) -> Function {
    Function { name, domain: ErrorDomain::NONE }
}

/// Something is wrong with a value (code 8).
fn invalid(detail: String) -> Error {
    Error::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, detail)
}
