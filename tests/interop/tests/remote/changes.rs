//! Calls that change something, and the events of it, with the real daemon and mdevctl.

use std::time::{Duration, Instant};

use nodedev_driver::{
    Change, Changes as _, CreateFlags, Error, ErrorCode, LibvirtCalls as _, ListFlags, Next, UpdateFlags,
    Watch, XmlFlags,
};
use nodedev_interop::Failure;
use nodedev_testkit::peer::{Libvirt, Scene};
use nodedev_testkit::synthetic::Host;

use crate::open;

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a change of a device; others come before it.
fn expect(watch: &mut Watch, name: &str, change: &Change) -> Result<(), Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        match watch.next(Some(until.saturating_duration_since(Instant::now()))) {
            Next::Event(event) if event.name.as_str() == name && event.change == *change => return Ok(()),
            Next::Event(_) => {}
            other => return Err(format!("{other:?} in place of {change:?} of {name}").into()),
        }
    }
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_definition_is_made_changed_and_removed_and_each_is_told() -> Result<(), Failure> {
    let failed = |error: Error| Failure::from(format!("{error:?}"));
    let dir = tempfile::tempdir()?;
    Host::new(150).mdev(true).write(dir.path())?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(dir.path().into()))?;
    let driver = open(daemon.uri()).map_err(failed)?;
    let inactive = driver.list_names(ListFlags::INACTIVE | ListFlags::CAP_MDEV).map_err(failed)?;
    let model = inactive.first().ok_or("the host has a definition".to_owned())?;
    let document = driver.xml(model.as_str(), XmlFlags::INACTIVE).map_err(failed)?;
    let document = String::from_utf8(document).map_err(|error| error.to_string())?;
    // The same with a UUID of its own.
    let uuid = "11111111-2222-4333-8444-555555555555";
    let (before, rest) = document.split_once("<uuid>").ok_or("a UUID".to_owned())?;
    let (_, after) = rest.split_once("</uuid>").ok_or("a UUID".to_owned())?;
    let document = format!("{before}<uuid>{uuid}</uuid>{after}");

    let mut watch = driver.watch(None).map_err(failed)?;
    let made = driver.define_xml(document.as_bytes(), CreateFlags::VALIDATE).map_err(failed)?;
    let name = made.as_str();
    assert!(name.starts_with("mdev_11111111_2222_4333_8444_555555555555"), "{name}");
    expect(&mut watch, name, &Change::Defined)?;
    assert_eq!((driver.is_active(name), driver.is_persistent(name)), (Ok(false), Ok(true)));
    assert_eq!(driver.parent(name), driver.parent(model.as_str()));

    driver.set_autostart(name, true).map_err(failed)?;
    assert_eq!(driver.autostart(name), Ok(true));
    match driver.update(name, document.as_bytes(), UpdateFlags::CONFIG) {
        Ok(()) => expect(&mut watch, name, &Change::Updated)?,
        // An mdevctl before 1.3.
        Err(error) => assert_eq!(
            error.message(),
            "Operation not supported: Unable to modify mediated device: modify unsupported"
        ),
    }

    driver.undefine(name, 0).map_err(failed)?;
    expect(&mut watch, name, &Change::Undefined)?;
    assert_eq!(driver.lookup(name).map_err(|error| error.code()), Err(ErrorCode::NO_NODE_DEVICE));
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn refusals_of_the_daemon_come_as_it_words_them() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(20).write(dir.path())?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(dir.path().into()))?;
    let driver = open(daemon.uri()).map_err(|error| format!("{error:?}"))?;
    let unsupported = "this function is not supported by the connection driver: ";
    for (result, code, message) in [
        (driver.destroy("computer"), 67, "unsupported configuration: Unsupported device type".to_owned()),
        (driver.undefine("computer", 0), 67, "unsupported configuration: Unsupported device type".to_owned()),
        (
            driver.create("computer", 0),
            55,
            "Requested operation is not valid: Device is already active".to_owned(),
        ),
        (driver.detach("computer"), 3, format!("{unsupported}virNodeDeviceDettach")),
        (
            driver.detach_flags("computer", Some("vfio-pci"), 0),
            3,
            format!("{unsupported}virNodeDeviceDetachFlags"),
        ),
        (driver.reattach("computer"), 3, format!("{unsupported}virNodeDeviceReAttach")),
        (driver.reset("computer"), 3, format!("{unsupported}virNodeDeviceReset")),
    ] {
        let error = result.expect_err("refused");
        assert_eq!((error.code(), error.message()), (ErrorCode(code), message.as_str()));
    }
    let error = driver.define_xml(b"<device/>", CreateFlags::empty()).expect_err("no device");
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode(1), "internal error: no device capabilities for 'new device'")
    );
    let uri = daemon.uri().parse::<nodedev_driver::ConnectUri>().map_err(|error| error.to_string())?;
    let read_only = nodedev::Options { read_only: true, ..nodedev::Options::default() };
    let connection = nodedev::Connection::open_uri(&uri, &read_only).map_err(|error| error.to_string())?;
    let error = connection.destroy("computer").expect_err("read-only");
    let want = "operation forbidden: read only access prevents virNodeDeviceDestroy";
    assert_eq!((error.code(), error.message()), (ErrorCode::OPERATION_DENIED, want));
    Ok(())
}
