//! Events and the default loop. All of it is in one test: a process has one loop.

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nodedev_capi::devices::*;
use nodedev_capi::event_loop::*;
use nodedev_capi::types::{ConnectPtr, NodeDeviceEventCallback, NodeDeviceLifecycleCallback, NodeDevicePtr};
use nodedev_driver::{CreateFlags, LibvirtCalls as _};

use crate::c_driver::{CDriver, last_error};

/// What the callbacks were told, in order.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn tell(line: String) {
    TOLD.lock().expect("no test panics with it").push(line);
}

fn told() -> Vec<String> {
    std::mem::take(&mut *TOLD.lock().expect("no test panics with it"))
}

unsafe extern "C-unwind" fn lifecycle(
    _connection: ConnectPtr,
    device: NodeDevicePtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) {
    // SAFETY: the name is a text of the device, which is there during the call.
    let name = unsafe { CStr::from_ptr(virNodeDeviceGetName(device)) }.to_string_lossy().into_owned();
    tell(format!("{name} {event} {detail} {}", opaque.addr()));
}

/// As [`lifecycle`], and ends its own registration, the number of which is given.
unsafe extern "C-unwind" fn once(
    connection: ConnectPtr,
    device: NodeDevicePtr,
    event: c_int,
    _detail: c_int,
    _opaque: *mut c_void,
) {
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(virNodeDeviceGetName(device)) }.to_string_lossy().into_owned();
    tell(format!("once {name} {event}"));
    assert_eq!(virConnectNodeDeviceEventDeregisterAny(connection, 1), 0);
    assert_eq!(virConnectNodeDeviceEventDeregisterAny(connection, 1), -1);
    tell("still here".to_owned());
}

unsafe extern "C-unwind" fn freed(opaque: *mut c_void) {
    tell(format!("freed {}", opaque.addr()));
}

unsafe extern "C-unwind" fn timer(number: c_int, opaque: *mut c_void) {
    tell(format!("timer {}", opaque.addr()));
    virEventUpdateTimeout(number, -1);
}

fn generic(callback: NodeDeviceLifecycleCallback) -> NodeDeviceEventCallback {
    // SAFETY: it is only called as what it is, after the kind of event has said so.
    unsafe { std::mem::transmute(callback) }
}

fn opaque(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

fn register(driver: &CDriver, event: c_int, callback: NodeDeviceLifecycleCallback, number: usize) -> c_int {
    // SAFETY: the callback is one of lifecycle events, and static.
    unsafe {
        virConnectNodeDeviceEventRegisterAny(
            driver.handle(),
            ptr::null_mut(),
            event,
            Some(generic(callback)),
            opaque(number),
            Some(freed),
        )
    }
}

/// Runs the loop until so many lines were told.
fn run_until(count: usize) -> Vec<String> {
    // The loop waits for something to happen; this is what happens at the latest.
    unsafe extern "C-unwind" fn tick(_timer: c_int, _opaque: *mut c_void) {}
    // SAFETY: the callback is static and needs nothing.
    let tick = unsafe { virEventAddTimeout(20, Some(tick), ptr::null_mut(), None) };
    let patience = Instant::now() + Duration::from_secs(20);
    while TOLD.lock().expect("no test panics with it").len() < count {
        assert!(Instant::now() < patience, "{:?}", told());
        assert_eq!(virEventRunDefaultImpl(), 0);
    }
    assert_eq!(virEventRemoveTimeout(tick), 0);
    told()
}

/// The test driver describes virtual ports that it makes as it does `scsi_host11`.
const DEVICES: &str = "<node>\
    <device><name>scsi_host1</name><parent>computer</parent><capability type='scsi_host'><host>1</host>\
    <unique_id>0</unique_id><capability type='fc_host'><wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn>\
    </capability><capability type='vport_ops'><max_vports>128</max_vports><vports>1</vports></capability></capability>\
    </device>\
    <device><name>scsi_host11</name><parent>scsi_host1</parent><capability type='scsi_host'><host>11</host>\
    <capability type='fc_host'><wwnn>2000000012341111</wwnn><wwpn>1000000012341111</wwpn></capability></capability>\
    </device></node>";

const VHBA: &str = "<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>\
                    <wwnn>2001001b32a9da5e</wwnn><wwpn>2101001b32a9da5e</wwpn></capability></capability></device>";

#[test]
fn events_come_by_the_programs_loop_and_in_order() {
    // Of its own: those of test:///default are the whole process's, and other tests look at them.
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("devices.xml");
    std::fs::write(&file, DEVICES).expect("the folder is there");
    let driver = CDriver::open(&format!("test://{}", file.display())).expect("devices of a file");
    assert_eq!(register(&driver, 0, lifecycle, 4), -1, "there is no loop");
    assert_eq!(last_error().message(), "internal error: could not initialize domain event timer");
    assert_eq!(virEventRegisterDefaultImpl(), 0);

    // Timers.
    // SAFETY: the callbacks are static.
    let number = unsafe { virEventAddTimeout(0, Some(timer), opaque(3), Some(freed)) };
    assert_eq!(run_until(1), ["timer 3"]);
    assert_eq!(virEventRemoveTimeout(number), 0);
    assert_eq!(virEventRemoveTimeout(number), -1);
    assert_eq!(told(), Vec::<String>::new(), "freed by a later round only");
    assert_eq!(run_until(1), ["freed 3"]);

    // Two who are told of all, one of them once.
    assert_eq!(register(&driver, 0, lifecycle, 4), 0);
    assert_eq!(register(&driver, 0, once, 5), 1);
    assert_eq!(register(&driver, 0, lifecycle, 6), -1, "the same function for the same");
    assert_eq!(last_error().message(), "invalid argument: event callback already tracked");
    let made = driver.create_xml(VHBA.as_bytes(), CreateFlags::empty()).expect("a virtual port");
    let name = made.as_str();
    let want = [&format!("{name} 0 0 4"), &format!("once {name} 0"), "still here", "freed 5"];
    assert_eq!(run_until(4), want);
    driver.destroy(name).expect("it is there");
    assert_eq!(run_until(1), [format!("{name} 1 0 4")]);

    // Only of one device.
    // SAFETY: a text is given; the callback is one of lifecycle events, and static.
    let other = unsafe {
        let device = virNodeDeviceLookupByName(driver.handle(), c"scsi_host1".as_ptr());
        let number = virConnectNodeDeviceEventRegisterAny(
            driver.handle(),
            device,
            0,
            Some(generic(lifecycle)),
            opaque(7),
            Some(freed),
        );
        assert_eq!(virNodeDeviceFree(device), 0);
        number
    };
    assert_eq!(other, 2);
    let made = driver.create_xml(VHBA.as_bytes(), CreateFlags::empty()).expect("a virtual port");
    assert_eq!(run_until(1), [format!("{} 0 0 4", made)]);
    driver.destroy(made.as_str()).expect("it is there");
    assert_eq!(run_until(1), [format!("{} 1 0 4", made)]);

    // What was given is given back at once when nothing is running, and the connection can be closed then.
    assert_eq!(virConnectNodeDeviceEventDeregisterAny(driver.handle(), 0), 0);
    assert_eq!(virConnectNodeDeviceEventDeregisterAny(driver.handle(), other), 0);
    assert_eq!(told(), ["freed 4", "freed 7"]);
}
