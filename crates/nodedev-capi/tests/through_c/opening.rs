//! What a program may ask for when it opens a connection. The answers are those of libvirt 11.3.

use std::ptr;

use nodedev_capi::connect::{virConnectClose, virConnectOpenAuth};
use nodedev_driver::{ErrorCode, ErrorDomain};

use crate::c_driver::{CDriver, last_error};

#[test]
fn flags_that_the_test_driver_does_not_know_are_refused() {
    // It has no messages printed.
    drop(CDriver::open("test:///default").expect("open"));
    let uri = c"test:///default".as_ptr();
    for (flags, unknown) in
        [(2, "0x2"), (3, "0x2"), (4, "0x4"), (1 << 20, "0x100000"), (1 << 31, "0x80000000")]
    {
        // SAFETY: a text is given.
        let connection = unsafe { virConnectOpenAuth(uri, ptr::null_mut(), flags) };
        assert!(connection.is_null(), "{flags}");
        let error = last_error();
        let want = format!("unsupported flags ({unknown}) in function testConnectOpen");
        assert_eq!(error.message(), want);
        assert_eq!((error.code(), error.domain()), (ErrorCode::INVALID_ARG, ErrorDomain::TEST));
        assert_eq!(error.strings(), [Some("testConnectOpen"), Some("flags"), None]);
        assert_eq!(error.ints(), [0, 0]);
    }
    for flags in [0, 1] {
        // SAFETY: as above.
        let connection = unsafe { virConnectOpenAuth(uri, ptr::null_mut(), flags) };
        assert!(!connection.is_null(), "{flags}");
        assert_eq!(virConnectClose(connection), 0);
    }
}
