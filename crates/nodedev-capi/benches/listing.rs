//! What a list costs through C, beside the Rust interface: of this machine, and of many invented devices.

#![expect(unsafe_code, reason = "functions of C are called")]

use std::ffi::CString;
use std::hint::black_box;
use std::ptr;

use criterion::{Criterion, criterion_group, criterion_main};
use nodedev::{Connection, HostDriver, ListFlags};
use nodedev_capi::connect::{virConnectClose, virConnectOpen};
use nodedev_capi::devices::{virConnectListAllNodeDevices, virNodeDeviceFree};
use nodedev_capi::types::{ConnectPtr, NodeDevicePtr};
use nodedev_testkit::synthetic::Host;

const DEVICES: usize = 10_000;

fn open(uri: &str) -> ConnectPtr {
    let uri = CString::new(uri).expect("no NUL");
    // SAFETY: a text is given.
    let connection = unsafe { virConnectOpen(uri.as_ptr()) };
    assert!(!connection.is_null());
    connection
}

/// Lists all devices and gives them back.
fn list(connection: ConnectPtr) -> usize {
    let mut array: *mut NodeDevicePtr = ptr::null_mut();
    // SAFETY: a pointer for the array is given.
    let count = unsafe { virConnectListAllNodeDevices(connection, &raw mut array, 0) };
    let count = usize::try_from(count).expect("devices");
    for index in 0..count {
        // SAFETY: the array has so many devices.
        virNodeDeviceFree(unsafe { *array.add(index) });
    }
    // SAFETY: the array is from the C allocator and ours.
    unsafe { libc::free(array.cast()) };
    count
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open-and-list-this-machine");
    // The C library follows the machine, since programs keep connections for long.
    group.bench_function("rust", |bencher| {
        bencher.iter(|| {
            let root = Connection::root(None).expect("this machine");
            let host = Connection::from_driver(HostDriver::watching(root).expect("netlink"));
            black_box(host.list(ListFlags::empty()).expect("devices").len())
        });
    });
    group.bench_function("c", |bencher| {
        bencher.iter(|| {
            let connection = open("nodedev:///system");
            black_box(list(connection));
            virConnectClose(connection)
        });
    });
    group.finish();

    let host = tempfile::tempdir().expect("a folder");
    Host::new(DEVICES).share_contents(true).write(host.path()).expect("the folder is there");
    let uri = format!("nodedev:///system?root={}", host.path().display());
    let mut group = criterion.benchmark_group("open-and-list-10000");
    group.sample_size(20);
    group.bench_function("rust", |bencher| {
        bencher.iter(|| {
            let host = Connection::open(&uri).expect("a recording");
            black_box(host.list(ListFlags::empty()).expect("devices").len())
        });
    });
    group.bench_function("c", |bencher| {
        bencher.iter(|| {
            let connection = open(&uri);
            black_box(list(connection));
            virConnectClose(connection)
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("list-again-10000");
    let known = Connection::open(&uri).expect("a recording");
    group.bench_function("rust", |bencher| {
        bencher.iter(|| black_box(known.list(ListFlags::empty()).expect("devices").len()));
    });
    let connection = open(&uri);
    group.bench_function("c", |bencher| bencher.iter(|| black_box(list(connection))));
    group.finish();
    virConnectClose(connection);
}

criterion_group!(all, benches);
criterion_main!(all);
