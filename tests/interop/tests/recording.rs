//! The hand-made hosts keep the contract of drivers, and a recording of one says what the host says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use nodedev_driver::contract::{Expect, check};
use nodedev_driver::{Driver, View};
use nodedev_host::HostDriver;
use nodedev_host::record::{RecordOptions, record};
use nodedev_interop::made;
use nodedev_sys::Root;

fn open(path: &Path) -> HostDriver {
    HostDriver::new(Root::open(path).unwrap())
}

/// Every device with its description and libvirt's document.
fn everything(driver: &HostDriver) -> BTreeMap<String, String> {
    let mut devices = BTreeMap::new();
    let issues = driver
        .visit(View::Native, &mut |device| {
            let xml = driver.xml(device.name.as_str(), nodedev_driver::XmlFlags::empty());
            let xml = xml.map(|xml| String::from_utf8_lossy(&xml).into_owned());
            devices.insert(device.name.as_str().to_owned(), format!("{device:#?}\n{xml:#?}"));
            ControlFlow::Continue(())
        })
        .unwrap();
    devices.insert("issues".into(), format!("{issues:#?}"));
    devices
}

#[test]
fn hand_made_hosts_keep_the_contract_and_their_recordings_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("made.tar");
    for made in made::ALL {
        let tree = made.tree().unwrap();
        let driver = open(tree.root());
        check(&driver, &Expect::HOST);
        record(driver.root(), &archive, RecordOptions::default()).unwrap();
        let (host, recorded) = (everything(&driver), everything(&open(&archive)));
        for (name, device) in &host {
            assert_eq!(Some(device), recorded.get(name), "{}: {name}", made.name);
        }
        assert_eq!(host.len(), recorded.len(), "{}", made.name);
    }
}
