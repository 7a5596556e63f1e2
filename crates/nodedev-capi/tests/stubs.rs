//! The functions that only fail, called as C calls them. What is expected is what libvirt 11.3 did; `tests/interop`
//! asks it about each.

#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::{CStr, c_int, c_uint, c_ulong, c_ulonglong, c_void};
use std::ptr::null_mut;

use nodedev_capi::connect::{virConnectClose, virConnectOpen};
use nodedev_capi::error::{virGetLastErrorCode, virGetLastErrorDomain, virGetLastErrorMessage};
use nodedev_capi::types::ConnectPtr;

// What build.rs makes is C's, and has no place in Rust.
unsafe extern "C" {
    fn virDomainFree(domain: *mut c_void) -> c_int;
    fn virDomainGetID(domain: *mut c_void) -> c_uint;
    fn virDomainGetMaxMemory(domain: *mut c_void) -> c_ulong;
    fn virDomainListGetStats(domains: *mut c_void, stats: c_uint, found: *mut c_void, flags: c_uint)
    -> c_int;
    fn virDomainFSInfoFree(info: *mut c_void);
    fn virDomainSnapshotNum(domain: *mut c_void, flags: c_uint) -> c_int;
    fn virStreamAbort(stream: *mut c_void) -> c_int;
    fn virConnectNumOfDomains(connection: ConnectPtr) -> c_int;
    fn virConnectNumOfNetworks(connection: ConnectPtr) -> c_int;
    fn virNodeGetFreeMemory(connection: ConnectPtr) -> c_ulonglong;
    fn virDomainCreateLinux(connection: ConnectPtr, document: *mut c_void, flags: c_uint) -> *mut c_void;
    fn virDomainLookupByUUIDString(connection: ConnectPtr, uuid: *mut c_void) -> *mut c_void;
}

/// The last error: code, domain, message.
fn error() -> (c_int, c_int, String) {
    // SAFETY: the message of the thread's last error lasts until the next call.
    let message = unsafe { CStr::from_ptr(virGetLastErrorMessage()) };
    (virGetLastErrorCode(), virGetLastErrorDomain(), message.to_string_lossy().into_owned())
}

#[test]
fn an_object_that_is_none_is_the_error_of_its_kind() {
    let mut memory = [0_u8; 64];
    for object in [null_mut(), memory.as_mut_ptr().cast::<c_void>()] {
        // SAFETY: a stub looks at no pointer.
        unsafe {
            assert_eq!(virDomainFree(object), -1);
            assert_eq!(error(), (7, 6, "invalid domain pointer in virDomainFree".into()));
            assert_eq!(virDomainGetID(object), c_uint::MAX);
            assert_eq!(virDomainGetMaxMemory(object), 0);
            assert_eq!(virDomainSnapshotNum(object, 0), -1);
            assert_eq!(error(), (7, 6, "invalid domain pointer in virDomainSnapshotNum".into()));
            assert_eq!(virStreamAbort(object), -1);
            assert_eq!(error(), (73, 38, "invalid stream pointer in virStreamAbort".into()));
            virDomainFSInfoFree(object);
            assert_eq!(virGetLastErrorCode(), 73, "what frees does not touch the error");
        }
    }
    // SAFETY: as above.
    assert_eq!(unsafe { virDomainListGetStats(null_mut(), 0, null_mut(), 0) }, -1);
    assert_eq!(error(), (8, 20, "doms in virDomainListGetStats must not be NULL".into()));
}

#[test]
fn a_connection_lacks_the_function_and_its_module_is_the_domain() {
    // SAFETY: the URI is a text.
    let connection = unsafe { virConnectOpen(c"test:///default".as_ptr()) };
    assert!(!connection.is_null(), "{:?}", error());
    let lacks = |name: &str| format!("this function is not supported by the connection driver: {name}");
    // SAFETY: a stub looks at no pointer but the handle.
    unsafe {
        assert_eq!(virConnectNumOfDomains(connection), -1);
        assert_eq!(error(), (3, 20, lacks("virConnectNumOfDomains")));
        assert_eq!(virConnectNumOfNetworks(connection), -1);
        assert_eq!(error(), (3, 19, lacks("virConnectNumOfNetworks")));
        assert_eq!(virNodeGetFreeMemory(connection), 0);
        assert_eq!(error(), (3, 20, lacks("virNodeGetFreeMemory")));
        assert!(virDomainCreateLinux(connection, null_mut(), 0).is_null());
        assert_eq!(error(), (3, 20, lacks("virDomainCreateXML")));
        assert!(virDomainLookupByUUIDString(connection, null_mut()).is_null());
        assert_eq!(error(), (3, 20, lacks("virDomainLookupByUUID")));
        assert!(virDomainLookupByUUIDString(null_mut(), null_mut()).is_null());
        assert_eq!(error(), (6, 20, "invalid connection pointer in virDomainLookupByUUIDString".into()));
    }
    assert_eq!(virConnectClose(connection), 0);
    // SAFETY: as above.
    assert_eq!(unsafe { virConnectNumOfDomains(connection) }, -1);
    assert_eq!(error(), (6, 20, "invalid connection pointer in virConnectNumOfDomains".into()));
}
