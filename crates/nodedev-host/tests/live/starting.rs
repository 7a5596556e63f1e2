//! How following begins and ends.

use std::time::{Duration, Instant};

use nodedev_driver::{Changes as _, Devices as _, ErrorCode, LibvirtCalls, Next, View};
use nodedev_host::HostDriver;
use nodedev_sys::Root;
use nodedev_testkit::synthetic::Host;
use nodedev_testkit::tree::Tree;

use super::feed::Feed;
use super::world::Live;

#[test]
fn a_recording_has_no_events() {
    let tree = Tree::temporary().unwrap();
    for driver in [
        HostDriver::new(Root::open(tree.root()).unwrap()),
        HostDriver::watching(Root::open(tree.root()).unwrap()).unwrap(),
    ] {
        assert_eq!(driver.watch(None).unwrap_err().code(), ErrorCode::NO_SUPPORT);
        assert_eq!(driver.snapshot(View::Native).unwrap_err().code(), ErrorCode::NO_SUPPORT);
        assert_eq!(driver.entries(View::Native).unwrap().len(), 1);
    }
}

#[test]
fn a_dropped_driver_ends_its_watches_at_once() {
    let Live { driver, mut watch, .. } = Live::of(&[]);
    let start = Instant::now();
    drop(driver);
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert_eq!(watch.next(None), Next::Ended(None));
}

#[test]
fn a_driver_that_is_dropped_while_it_looks_for_the_first_time_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    Host::new(3000).share_contents(true).write(&folder.path().join("host")).unwrap();
    let root = Root::open(&folder.path().join("host")).unwrap();
    let driver = HostDriver::following(root, Feed::default()).unwrap();
    let start = Instant::now();
    drop(driver);
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

#[test]
fn devices_that_are_known_already_are_found_while_the_first_look_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    Host::new(3000).share_contents(true).write(&folder.path().join("host")).unwrap();
    let open = || Root::open(&folder.path().join("host")).unwrap();
    let whole = HostDriver::new(open());
    let entries = whole.entries(View::Libvirt).unwrap();
    let driver = HostDriver::following(open(), Feed::default()).unwrap();
    // Some of these are answered before the end, the others wait for it; all are right.
    for entry in &entries {
        assert_eq!(driver.parent(entry.name.as_str()).unwrap(), entry.parent, "{}", entry.name);
    }
    assert_eq!(driver.entries(View::Libvirt).unwrap(), entries);
    assert_eq!(driver.entries(View::Native).unwrap(), whole.entries(View::Native).unwrap());
}
