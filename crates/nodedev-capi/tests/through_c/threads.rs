//! One connection under many threads.

use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::c_driver::{CDriver, last_error};
use nodedev_capi::connect::{virConnectClose, virConnectRef};
use nodedev_capi::devices::*;
use nodedev_capi::error::virGetLastErrorCode;
use nodedev_capi::types::NodeDevicePtr;
use nodedev_driver::{LibvirtCalls as _, ListFlags, XmlFlags};

const THREADS: usize = 16;

#[test]
fn sixteen_threads_list_describe_and_fail_on_one_connection() {
    let driver = CDriver::open("test:///default").expect("no host is needed");
    let want: Vec<_> = driver.list(ListFlags::empty()).expect("devices");
    let calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (driver, want, calls) = (&driver, &want, &calls);
            scope.spawn(move || {
                for round in 0..200 {
                    assert_eq!(virConnectRef(driver.handle()), 0);
                    assert_eq!(&driver.list(ListFlags::empty()).expect("devices"), want);
                    for device in want {
                        driver.xml(device.name.as_str(), XmlFlags::empty()).expect("a document");
                    }
                    // The error of a thread is its own.
                    let missing = format!("missing_{thread}_{round}");
                    let error = driver.lookup(&missing).expect_err("there is no such device");
                    assert!(error.message().ends_with(&format!("'{missing}'")), "{error}");
                    assert_eq!(last_error(), error);
                    assert_eq!(virConnectClose(driver.handle()), 1);
                    assert_eq!(virGetLastErrorCode(), 0);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(calls.into_inner(), THREADS * 200);
}

#[test]
fn a_handle_that_threads_give_back_at_once_is_given_back_once() {
    let driver = CDriver::open("test:///default").expect("no host is needed");
    for _ in 0..200 {
        // SAFETY: a text is given.
        let device = unsafe { virNodeDeviceLookupByName(driver.handle(), c"computer".as_ptr()) };
        assert!(!device.is_null());
        let number = device.addr();
        let results: Vec<c_int> = std::thread::scope(|scope| {
            let give_back = move || {
                let device: NodeDevicePtr = ptr::without_provenance_mut(number);
                virNodeDeviceFree(device)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(give_back)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(results.iter().filter(|result| **result == 0).count(), 1, "{results:?}");
        assert!(virNodeDeviceGetName(device).is_null());
        assert_eq!(last_error().code().0, 52);
    }
}
