//! The functions of `libvirt/libvirt-host.h` about the machine that the devices are of.

#![expect(unsafe_code, reason = "functions for C")]

use std::ffi::{c_char, c_int, c_uint};

use crate::c_memory::{number, text, try_copy};
use crate::function::Function;
use crate::source::Value;
use crate::typed_params::TypedParameter;
use crate::types::{ConnectPtr, NodeInfo};
use nodedev_driver::{Error, ErrorCode, ErrorDomain, Result};
use std::ffi::{CStr, CString};

/// Parameters that an identity has at most.
const IDENTITY_MAX: usize = 20;

/// What the machine can do, as XML; freed by the caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectGetCapabilities(conn: ConnectPtr) -> *mut c_char {
    Function::of_connections("virConnectGetCapabilities")
        .on_connection(conn, |connection| try_copy(connection.calls()?.host_capabilities()?.as_bytes()))
}

/// How many processors a guest of a kind may have.
///
/// # Safety
/// `kind` is NULL or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectGetMaxVcpus(conn: ConnectPtr, kind: *const c_char) -> c_int {
    Function::of_connections("virConnectGetMaxVcpus").on_connection(conn, |connection| {
        // SAFETY: the caller's promise.
        let kind = unsafe { text(kind) }.map(CStr::to_string_lossy);
        connection.calls()?.max_vcpus(kind.as_deref())
    })
}

/// The firmware's description of the machine, as XML; freed by the caller.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virConnectGetSysinfo(conn: ConnectPtr, flags: c_uint) -> *mut c_char {
    Function::of_connections("virConnectGetSysinfo")
        .on_connection(conn, |connection| try_copy(connection.calls()?.sysinfo(flags)?.as_bytes()))
}

/// The machine's processors and memory.
///
/// # Safety
/// `info` is NULL or points to memory for the structure.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virNodeGetInfo(conn: ConnectPtr, info: *mut NodeInfo) -> c_int {
    let function = Function::of_connections("virNodeGetInfo");
    function.on_connection(conn, |connection| {
        if info.is_null() {
            return Err(function.null("info"));
        }
        let found = connection.calls()?.host_info()?;
        let mut model = [0; 32];
        let name = found.architecture.unwrap_or_default();
        // The last byte stays NUL.
        for (to, from) in model.iter_mut().take(31).zip(name.bytes()) {
            *to = from as c_char;
        }
        let whole = NodeInfo {
            model,
            memory: number(found.memory_kib),
            cpus: found.cpus,
            mhz: found.mhz,
            nodes: found.nodes,
            sockets: found.sockets,
            cores: found.cores,
            threads: found.threads,
        };
        // SAFETY: the caller's promise; it is not NULL.
        unsafe { info.write(whole) };
        Ok(0)
    })
}

/// Says on whose behalf the calls of a connection are made, which the daemon must allow.
///
/// # Safety
/// `parameters` is NULL or points to `count` parameters.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virConnectSetIdentity(
    conn: ConnectPtr,
    parameters: *const TypedParameter,
    count: c_int,
    flags: c_uint,
) -> c_int {
    let function = Function::of_connections("virConnectSetIdentity");
    function.on_connection(conn, |connection| {
        if parameters.is_null() {
            return Err(function.null("params"));
        }
        let count = usize::try_from(count).map_err(|_| function.negative("nparams"))?;
        if count > IDENTITY_MAX {
            let detail = format!("too many parameters '{count}' for limit '{IDENTITY_MAX}'");
            return Err(Error::new(ErrorDomain::RPC, ErrorCode::RPC, detail));
        }
        // SAFETY: the caller's promise; the pointer is not NULL and the count not large.
        let parameters = unsafe { std::slice::from_raw_parts(parameters, count) };
        // SAFETY: the caller's promise is about each parameter.
        let parameters = parameters.iter().map(|parameter| unsafe { read(function, parameter) });
        connection.source().set_identity(&parameters.collect::<Result<Vec<_>>>()?, flags)?;
        Ok(0)
    })
}

/// # Safety
/// The value is of the parameter's type, and a text if it is one.
unsafe fn read(function: Function, parameter: &TypedParameter) -> Result<(CString, Value)> {
    let name = parameter.field.map(|byte| byte as u8);
    let name = CStr::from_bytes_until_nul(&name)
        .map_err(|_| function.argument("params", "must have names that end in NUL"))?;
    // SAFETY: the caller promises that this is the member that is set.
    let value = unsafe {
        match parameter.kind {
            1 => Value::Int(parameter.value.i),
            2 => Value::Uint(parameter.value.ui),
            3 => Value::Llong(parameter.value.l),
            4 => Value::Ullong(parameter.value.ul),
            5 => Value::Double(parameter.value.d),
            6 => Value::Boolean(parameter.value.b != 0),
            7 => {
                let value = text(parameter.value.s).ok_or_else(|| function.null("params"))?;
                Value::String(value.to_owned())
            }
            other => {
                let name = name.to_string_lossy();
                let detail = format!("unknown type {other} of parameter '{name}'");
                return Err(Error::new(ErrorDomain::RPC, ErrorCode::RPC, detail));
            }
        }
    };
    Ok((name.to_owned(), value))
}
