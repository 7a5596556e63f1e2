//! The suite of all drivers, over a daemon whose devices are the test driver's.

use nodedev_driver::contract::{Expect, check};
use nodedev_driver::{CreateFlags, Error, LibvirtCalls, ListFlags, Result, TestDriver, XmlFlags};
use nodedev_model::DeviceName;
use nodedev_rpc::{
    AllDevices, Array, Call, Callback, Device, ErrorObject, Names, Number, OptionalText, Reply, Str, Text,
    Void,
};

use crate::server::{Peer, Received, Server};

fn refuse(peer: &mut Peer, received: &Received, error: &Error) {
    let text = |text| Str::new(text).expect("short");
    let [str1, str2, str3] = error.strings().map(|string| string.map(text));
    let [int1, int2] = error.ints();
    let object = ErrorObject {
        code: error.code().0,
        domain: error.domain().0,
        message: Some(text(error.message())),
        level: error.level() as i32,
        guest: None,
        str1,
        str2,
        str3,
        int1,
        int2,
        network: None,
    };
    peer.refuse(received, &object);
}

fn names(names: &[DeviceName]) -> Array<Str<'_>, 65_536> {
    Array::new(names.iter().rev().map(|name| Str::new(name.as_str()).expect("short")).collect()).expect("few")
}

fn argument(device: &DeviceName) -> Device<'_> {
    Device { name: Str::new(device.as_str()).expect("short") }
}

/// Answers calls from a driver until the client goes.
fn serve(mut peer: Peer, driver: &dyn LibvirtCalls) {
    peer.welcome();
    while let Some(received) = peer.receive() {
        if let Err(error) = answer(&mut peer, &received, driver) {
            refuse(&mut peer, &received, &error);
        }
    }
}

fn answer(peer: &mut Peer, received: &Received, driver: &dyn LibvirtCalls) -> Result<()> {
    let text = |text: Str<'_>| text.to_str().expect("UTF-8").to_owned();
    let number = |yes: bool| Number { number: i32::from(yes) };
    match received.call() {
        Call::ConnectListAllNodeDevices(asked) => {
            let listed = driver.list_names(ListFlags::from_bits_retain(asked.flags))?;
            let count = u32::try_from(listed.len()).expect("few");
            let shown = if asked.need_results == 0 { &[] } else { listed.as_slice() };
            let all = AllDevices { devices: names(shown), count };
            peer.reply(received, &Reply::ConnectListAllNodeDevices(all));
        }
        Call::NodeListDevices(asked) => {
            let capability = asked.capability.map(text);
            let most = usize::try_from(asked.max_names).ok();
            let listed = driver.names(capability.as_deref(), most, asked.flags)?;
            peer.reply(received, &Reply::NodeListDevices(Names { names: names(&listed) }));
        }
        Call::NodeNumOfDevices(asked) => {
            let capability = asked.capability.map(text);
            let count = driver.count_names(capability.as_deref(), asked.flags)?;
            let number = i32::try_from(count).expect("few");
            peer.reply(received, &Reply::NodeNumOfDevices(Number { number }));
        }
        Call::NodeDeviceNumOfCaps(asked) => {
            let number = i32::try_from(driver.count_capabilities(&text(asked.name))?).expect("few");
            peer.reply(received, &Reply::NodeDeviceNumOfCaps(Number { number }));
        }
        Call::NodeDeviceLookupByName(asked) => {
            let found = driver.lookup(&text(asked.name))?;
            peer.reply(received, &Reply::NodeDeviceLookupByName(argument(&found)));
        }
        Call::NodeDeviceLookupScsiHostByWwn(asked) => {
            let found = driver.lookup_scsi_host_by_wwn(&text(asked.wwnn), &text(asked.wwpn), asked.flags)?;
            peer.reply(received, &Reply::NodeDeviceLookupScsiHostByWwn(argument(&found)));
        }
        Call::NodeDeviceGetXmlDesc(asked) => {
            let xml = driver.xml(&text(asked.name), XmlFlags::from_bits_retain(asked.flags))?;
            peer.reply(received, &Reply::NodeDeviceGetXmlDesc(Text { text: Str::new(&xml).expect("short") }));
        }
        Call::NodeDeviceGetParent(asked) => {
            let parent = driver.parent(&text(asked.name))?;
            let text = parent.as_ref().map(|parent| Str::new(parent.as_str()).expect("short"));
            peer.reply(received, &Reply::NodeDeviceGetParent(OptionalText { text }));
        }
        Call::NodeDeviceListCaps(asked) => {
            let kinds = driver.capabilities(&text(asked.name), usize::try_from(asked.max_names).ok())?;
            let kinds = kinds.iter().map(|kind| Str::new(&**kind).expect("short"));
            let names = Array::new(kinds.collect()).expect("few");
            peer.reply(received, &Reply::NodeDeviceListCaps(Names { names }));
        }
        Call::NodeDeviceIsActive(asked) => {
            let yes = number(driver.is_active(&text(asked.name))?);
            peer.reply(received, &Reply::NodeDeviceIsActive(yes));
        }
        Call::NodeDeviceIsPersistent(asked) => {
            let yes = number(driver.is_persistent(&text(asked.name))?);
            peer.reply(received, &Reply::NodeDeviceIsPersistent(yes));
        }
        Call::NodeDeviceGetAutostart(asked) => {
            let yes = number(driver.autostart(&text(asked.name))?);
            peer.reply(received, &Reply::NodeDeviceGetAutostart(yes));
        }
        Call::NodeDeviceCreateXml(asked) => {
            let flags = CreateFlags::from_bits_retain(asked.flags);
            let new = driver.create_xml(asked.xml.as_bytes(), flags)?;
            peer.reply(received, &Reply::NodeDeviceCreateXml(argument(&new)));
        }
        Call::NodeDeviceDestroy(asked) => {
            driver.destroy(&text(asked.name))?;
            peer.reply(received, &Reply::NodeDeviceDestroy(Void));
        }
        Call::ConnectNodeDeviceEventRegisterAny(_) => {
            let callback = Callback { callback: 0 };
            peer.reply(received, &Reply::ConnectNodeDeviceEventRegisterAny(callback));
        }
        Call::NodeDeviceReset(_) => return Err(Error::no_support("virNodeDeviceReset")),
        Call::ConnectClose(_) => peer.reply(received, &Reply::ConnectClose(Void)),
        other => panic!("{other:?}"),
    }
    Ok(())
}

#[test]
fn the_remote_driver_keeps_the_contract() {
    let server = Server::start(|peer| serve(peer, &TestDriver::new()));
    let driver = server.open().expect("open");
    check(&driver, &Expect { native_view: false, entries: false, ..Expect::TEST });
    drop(driver);
    server.join();
}

#[test]
fn changes_reach_the_daemon_and_its_refusals_come_back() {
    const VHBA: &[u8] =
        b"<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>\
        <wwnn>2000000012341234</wwnn><wwpn>1000000012341234</wwpn></capability></capability></device>";
    let server = Server::start(|peer| serve(peer, &TestDriver::new()));
    let driver = server.open().expect("open");
    let made = driver.create_xml(VHBA, CreateFlags::empty()).expect("a new device");
    assert_eq!(driver.parent(made.as_str()), Ok(Some("scsi_host1".parse().expect("a name"))));
    assert_eq!(driver.lookup(made.as_str()), Ok(made.clone()));
    assert_eq!(driver.destroy(made.as_str()), Ok(()));
    assert!(driver.lookup(made.as_str()).is_err());
    assert_eq!(driver.reset("computer"), Err(Error::no_support("virNodeDeviceReset")));
    drop(driver);
    server.join();
}
