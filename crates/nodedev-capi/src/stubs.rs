//! The functions of libvirt that this library does not have.
//!
//! Programs that are linked with `-z now`, as all of Debian are, need every symbol that they name before they start. So
//! each function of libvirt is here; the tables in `symbols` say which only fail. They do what libvirt does where a driver
//! lacks a function: the last error is cleared; an object that is none is an error of its own; else the function is not
//! supported. The only object that can be good is a connection, since nothing here gives a domain or a network.

#![allow(unsafe_code, reason = "exported symbols are declared as such; nothing is dereferenced")]

use std::ffi::{c_char, c_int, c_void};

use nodedev_driver::{Error, ErrorCode, ErrorDomain};

use crate::c_memory::text;
use crate::function::Function;
use crate::types::ConnectPtr;

/// What the first argument of a function has to be.
#[derive(Debug, Clone, Copy)]
enum Object {
    /// A connection; the domain of errors is that of the function's module.
    Connection(ErrorDomain),
    Domain,
    /// A list of domains that ends in NULL.
    DomainList,
    DomainCheckpoint,
    DomainSnapshot,
    Interface,
    Network,
    NetworkPort,
    NwFilter,
    NwFilterBinding,
    Secret,
    StoragePool,
    StorageVolume,
    Stream,
    /// Nothing that a driver gives: whatever it is, the function is not supported.
    Value,
}

impl Object {
    /// Code and domain of the error when it is no such object. All are libvirt 11.3's; `tests/interop` asks it.
    const fn invalid(self) -> (ErrorCode, ErrorDomain) {
        match self {
            Self::Connection(domain) => (ErrorCode::INVALID_CONN, domain),
            Self::Domain | Self::DomainList => (ErrorCode::INVALID_DOMAIN, ErrorDomain::DOM),
            Self::DomainCheckpoint => (ErrorCode::INVALID_DOMAIN_CHECKPOINT, ErrorDomain::DOMAIN_CHECKPOINT),
            Self::DomainSnapshot => (ErrorCode::INVALID_DOMAIN_SNAPSHOT, ErrorDomain::DOMAIN_SNAPSHOT),
            Self::Interface => (ErrorCode::INVALID_INTERFACE, ErrorDomain::INTERFACE),
            Self::Network => (ErrorCode::INVALID_NETWORK, ErrorDomain::NETWORK),
            Self::NetworkPort => (ErrorCode::INVALID_NETWORK_PORT, ErrorDomain::NETWORK),
            Self::NwFilter => (ErrorCode::INVALID_NWFILTER, ErrorDomain::NWFILTER),
            Self::NwFilterBinding => (ErrorCode::INVALID_NWFILTER_BINDING, ErrorDomain::NWFILTER),
            Self::Secret => (ErrorCode::INVALID_SECRET, ErrorDomain::SECRET),
            Self::StoragePool => (ErrorCode::INVALID_STORAGE_POOL, ErrorDomain::STORAGE),
            Self::StorageVolume => (ErrorCode::INVALID_STORAGE_VOL, ErrorDomain::STORAGE),
            Self::Stream => (ErrorCode::INVALID_STREAM, ErrorDomain::STREAMS),
            Self::Value => (ErrorCode::NO_SUPPORT, ErrorDomain::NONE),
        }
    }
}

/// Fails as the function `name` of libvirt does where the driver lacks `lacks`, which mostly is the same. `object` is
/// its first argument; `changes`: read-only connections are refused before.
fn refuse(kind: Object, name: &'static str, lacks: &'static str, changes: bool, object: *mut c_void) {
    if let Object::Connection(domain) = kind {
        let connection: ConnectPtr = object.cast();
        let missing = Function { name: lacks, domain };
        let _failed: c_int = Function { name, domain }.on_connection(connection, |connection| {
            if changes {
                missing.writes(connection)?;
            }
            Err(missing.no_support())
        });
        return;
    }
    let (code, domain) = kind.invalid();
    let function = Function { name, domain };
    let _failed: c_int = function.run(|| {
        if let (Object::DomainList, true) = (kind, object.is_null()) {
            return Err(Function::of_connections(name).null("doms"));
        }
        Err(Error::new(domain, code, name))
    });
}

/// The functions of libraries beside this one (`libvirt-qemu.so.0`, `libvirt-lxc.so.0`), made by `build.rs`: name, whether it
/// changes something, object.
const BESIDE: &[(&str, bool, Object)] = &include!(concat!(env!("OUT_DIR"), "/refusals.rs"));

/// What the functions of libraries beside this one call with their name and first argument. It is on a version node of ours,
/// and no part of libvirt's interface.
///
/// # Safety
/// `name` is NULL or a text.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn nodedevRefuse(name: *const c_char, object: *mut c_void) {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name) }.unwrap_or_default().to_bytes();
    match BESIDE.iter().find(|(known, ..)| known.as_bytes() == name) {
        Some((name, changes, kind)) => refuse(*kind, name, name, *changes, object),
        // A library of another release of nodedev has one more.
        None => refuse(Object::Value, "an unknown function", "an unknown function", false, object),
    }
}

/// A function that fails. What comes after the object is not looked at.
macro_rules! stub {
    ($symbol:ident, $name:literal, $lacks:literal, $changes:literal, $object:expr, ($($argument:ident: $type:ty),*) -> $result:ty, $failed:expr) => {
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $symbol(object: *mut c_void $(, $argument: $type)*) -> $result {
            refuse($object, $name, $lacks, $changes, object);
            $failed
        }
    };
}

/// A function that frees what only a stub could have given: there is nothing that it could be called with but NULL.
macro_rules! free {
    ($symbol:ident) => {
        #[unsafe(no_mangle)]
        extern "C-unwind" fn $symbol(_nothing: *mut c_void) {}
    };
}

/// Made by `build.rs` of `symbols/libvirt.toml`.
#[allow(non_snake_case, reason = "the names are libvirt's")]
mod made {
    use std::ffi::{c_int, c_longlong, c_uint, c_ulong, c_ulonglong, c_void};
    use std::ptr::null_mut;

    use nodedev_driver::ErrorDomain;

    use super::{Object, refuse};

    include!(concat!(env!("OUT_DIR"), "/stubs.rs"));
}
