//! The test driver against what the real libvirt 11.3 answered to the same calls (`data/*.expected` were written from
//! its Python binding; codes, domains and messages below were read there too).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::{Path, PathBuf};

use nodedev_driver::{
    Changes as _, CreateFlags, Error, LibvirtCalls, LibvirtEvent, ListFlags, Next, Result, TestDriver,
    XmlFlags,
};

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", name].iter().collect()
}

/// All that the looking calls say, in the form of the expected files.
fn everything(driver: &dyn LibvirtCalls) -> Result<String> {
    let mut all = String::new();
    for name in driver.names(None, None, 0)? {
        let name = name.as_str();
        let parent = driver.parent(name)?.map_or("None".to_owned(), |parent| parent.to_string());
        let caps: Vec<_> = driver.capabilities(name, None)?.iter().map(ToString::to_string).collect();
        let (active, persistent) = (driver.is_active(name)?, driver.is_persistent(name)?);
        writeln!(
            all,
            "== {name} parent={parent} caps={} active={} persistent={}",
            caps.join(","),
            u8::from(active),
            u8::from(persistent)
        )
        .unwrap();
        all += &String::from_utf8(driver.xml(name, XmlFlags::empty())?).unwrap();
        all += "-- inactive\n";
        all += &String::from_utf8(driver.xml(name, XmlFlags::INACTIVE)?).unwrap();
    }
    Ok(all)
}

#[test]
fn default_devices_are_those_of_libvirt() {
    let expected = std::fs::read_to_string(data("default.expected")).unwrap();
    assert_eq!(everything(&TestDriver::new()).unwrap(), expected);
}

#[test]
fn a_file_gives_the_devices_that_libvirt_reads_from_it() {
    let expected = std::fs::read_to_string(data("devices.expected")).unwrap();
    assert_eq!(everything(&TestDriver::open(&data("devices.xml")).unwrap()).unwrap(), expected);
}

const NAMES: &str = "<wwnn>2000000000000001</wwnn><wwpn>2000000000000002</wwpn>";

fn vhba(parent: &str, names: &str) -> String {
    format!(
        "<device><name>ignored</name>{parent}<capability type='scsi_host'><capability type='fc_host'>{names}</capability></capability></device>"
    )
}

const CREATED: &str = "\
<device>
  <name>scsi_host12</name>
  <parent>scsi_host1</parent>
  <capability type='scsi_host'>
    <host>11</host>
    <unique_id>10</unique_id>
    <capability type='fc_host'>
      <wwnn>2000000000000001</wwnn>
      <wwpn>2000000000000002</wwpn>
      <fabric_wwn>2000000043214321</fabric_wwn>
    </capability>
  </capability>
</device>
";

#[test]
fn a_new_vhba_is_a_copy_of_scsi_host11_whatever_parent_was_asked_for() {
    for parent in [
        "",
        "<parent>scsi_host1</parent>",
        "<parent>scsi_host2</parent>",
        "<parent wwnn='2000000012341234' wwpn='1000000012341234'/>",
        "<parent wwnn='2000000012341234' wwpn='1000000012341239'>scsi_host2</parent>",
        "<parent fabric_wwn='1'>scsi_host2</parent>",
        "<parent fabric_wwn='2000000087658765'/>",
        "<parent fabric_wwn='2000000043214321'/>",
    ] {
        let driver = TestDriver::new();
        let created = driver.create_xml(vhba(parent, NAMES).as_bytes(), CreateFlags::empty()).unwrap();
        assert_eq!(created.as_str(), "scsi_host12", "{parent}");
        let xml = driver.xml("scsi_host12", XmlFlags::empty()).unwrap();
        assert_eq!(String::from_utf8(xml).unwrap(), CREATED, "{parent}");
        assert_eq!(driver.parent("scsi_host12").unwrap().unwrap().as_str(), "scsi_host1");
    }
}

#[test]
fn a_new_vhba_is_inactive_and_transient_until_destroyed() {
    let driver = TestDriver::new();
    driver.create_xml(vhba("", NAMES).as_bytes(), CreateFlags::empty()).unwrap();
    driver.create_xml(vhba("", NAMES).as_bytes(), CreateFlags::empty()).unwrap();
    assert!(!driver.is_active("scsi_host12").unwrap());
    assert!(!driver.is_persistent("scsi_host12").unwrap());
    let listed =
        |flags| driver.list(flags).unwrap().iter().any(|device| device.name.as_str() == "scsi_host12");
    assert!(listed(ListFlags::empty()) && listed(ListFlags::INACTIVE) && !listed(ListFlags::ACTIVE));
    let error = driver.xml("scsi_host12", XmlFlags::INACTIVE).unwrap_err();
    says(&error, 55, 12, "Requested operation is not valid: node device 'scsi_host12' is not persistent");
    driver.destroy("scsi_host12").unwrap();
    let error = driver.destroy("scsi_host12").unwrap_err();
    says(&error, 53, 12, "Node device not found: no node device with matching name 'scsi_host12'");
}

#[test]
fn world_wide_names_that_are_missing_are_invented_and_others_are_taken_as_they_are() {
    let driver = TestDriver::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        driver.create_xml(vhba("", "").as_bytes(), CreateFlags::empty()).unwrap();
        let xml = String::from_utf8(driver.xml("scsi_host12", XmlFlags::empty()).unwrap()).unwrap();
        for tag in ["<wwnn>", "<wwpn>"] {
            let name = &xml[xml.find(tag).unwrap() + tag.len()..][..16];
            assert!(name.starts_with("5100000"), "{name}");
            assert!(name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{name}");
            assert!(seen.insert(name.to_owned()), "{name} again");
        }
    }
    driver
        .create_xml(vhba("", "<wwnn>12</wwnn><wwpn>a&amp;b</wwpn>").as_bytes(), CreateFlags::empty())
        .unwrap();
    let xml = String::from_utf8(driver.xml("scsi_host12", XmlFlags::empty()).unwrap()).unwrap();
    assert!(xml.contains("<wwnn>12</wwnn>\n      <wwpn>a&amp;b</wwpn>\n"), "{xml}");
}

fn says(error: &Error, code: i32, domain: i32, message: &str) {
    assert_eq!((error.code().0, error.domain().0, error.message()), (code, domain, message));
}

#[test]
fn what_makes_no_vhba_is_refused_as_libvirt_does() {
    let unable = |host| format!("internal error: Parent device {host} is not capable of vport operations");
    let nowhere = "internal error: Could not find parent device for 'new device'";
    let no_adapter = "internal error: Device is not a fibre channel HBA";
    for (xml, code, message) in [
        (vhba("<parent>computer</parent>", NAMES), 1, &*unable("computer")),
        (vhba("<parent>scsi_host11</parent>", NAMES), 1, &*unable("scsi_host11")),
        (vhba("<parent>nope</parent>", NAMES), 1, nowhere),
        (vhba("<parent wwnn='2000000012341234' wwpn='1000000012341235'/>", NAMES), 1, nowhere),
        (vhba("<parent wwnn='2000000034563456' wwpn='1000000034563456'/>", NAMES), 1, nowhere),
        (vhba("<parent wwnn='0x2000000012341234' wwpn='1000000012341234'/>", NAMES), 1, nowhere),
        (vhba("<parent fabric_wwn='2000000087658765'>scsi_host9</parent>", NAMES), 1, nowhere),
        (
            vhba("<parent wwnn='2000000012341234'/>", NAMES),
            27,
            "XML error: when providing parent wwnn='2000000012341234', the wwpn must also be provided",
        ),
        ("<device><capability type='scsi_host'/></device>".to_owned(), 1, no_adapter),
        (
            "<device><capability type='net'><interface>x</interface></capability></device>".to_owned(),
            1,
            no_adapter,
        ),
        ("<device/>".to_owned(), 1, "internal error: no device capabilities for 'new device'"),
        (
            "<device".to_owned(),
            35,
            "at line 1: Couldn't find end of Start Tag device line 1\n<device\n-------^",
        ),
    ] {
        let driver = TestDriver::new();
        let error = driver.create_xml(xml.as_bytes(), CreateFlags::empty()).unwrap_err();
        says(&error, code, 22, message);
        assert_eq!(driver.names(None, None, 0).unwrap().len(), 4, "{xml}");
    }
    let driver = TestDriver::new();
    let error = driver.create_xml(b"<device/>", CreateFlags::from_bits_retain(2)).unwrap_err();
    says(&error, 8, 12, "unsupported flags (0x2) in function testNodeDeviceCreateXML");
    let error = driver.create_xml(b"<device/>", CreateFlags::VALIDATE).unwrap_err();
    assert_eq!((error.code().0, error.domain().0), (92, 5));
    driver.destroy("scsi_host1").unwrap();
    driver.destroy("scsi_host2").unwrap();
    let error = driver.create_xml(vhba("", NAMES).as_bytes(), CreateFlags::empty()).unwrap_err();
    says(&error, 1, 22, "internal error: Could not find any vport capable device");
}

/// libvirt's oddity: only an unknown name fails.
#[test]
fn destroying_what_cannot_be_destroyed_succeeds_and_changes_nothing() {
    let driver = TestDriver::new();
    driver.destroy("computer").unwrap();
    assert!(driver.lookup("computer").is_ok());
    driver.destroy("scsi_host1").unwrap();
    assert!(driver.lookup("scsi_host1").is_err());
    // Its parent is gone.
    driver.destroy("scsi_host11").unwrap();
    assert!(driver.lookup("scsi_host11").is_ok());
}

#[test]
fn calls_that_libvirts_test_driver_lacks_are_refused_by_their_public_names() {
    let driver = TestDriver::new();
    let refused = |result: Result<()>, function: &str| {
        let message = format!("this function is not supported by the connection driver: {function}");
        says(&result.unwrap_err(), 3, 22, &message);
    };
    let none = CreateFlags::empty();
    refused(driver.lookup_scsi_host_by_wwn("a", "b", 0).map(drop), "virNodeDeviceLookupSCSIHostByWWN");
    refused(driver.define_xml(b"<device/>", none).map(drop), "virNodeDeviceDefineXML");
    refused(driver.undefine("computer", 0), "virNodeDeviceUndefine");
    refused(driver.create("computer", 0), "virNodeDeviceCreate");
    refused(driver.autostart("computer").map(drop), "virNodeDeviceGetAutostart");
    refused(driver.set_autostart("computer", true), "virNodeDeviceSetAutostart");
    refused(driver.update("computer", b"<device/>", Default::default()), "virNodeDeviceUpdate");
    refused(driver.detach("computer"), "virNodeDeviceDettach");
    refused(driver.detach_flags("computer", Some("vfio-pci"), 0), "virNodeDeviceDetachFlags");
    refused(driver.reattach("computer"), "virNodeDeviceReAttach");
    refused(driver.reset("computer"), "virNodeDeviceReset");
}

#[test]
fn a_bad_file_is_refused_as_libvirt_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let path = file("nodes.xml");
    let shown = |path: &Path| path.display().to_string();
    let other = file("other.xml");
    std::fs::write(&other, "<device><name>").unwrap();
    for (text, code, domain, message) in [
        ("<nod/>", 27, 5, "XML error: expecting root element of 'node', not 'nod'".to_owned()),
        (
            "<node><device></node>",
            35,
            12,
            format!(
                "{}:1: Opening and ending tag mismatch: device line 1 and node\n<node><device></node>\n---------------------^",
                shown(&path)
            ),
        ),
        (
            "<node><device file='other.xml'/></node>",
            35,
            12,
            format!(
                "{}:1: Premature end of data in tag name line 1\n<device><name>\n--------------^",
                shown(&other)
            ),
        ),
        (
            "<node><device file='missing.xml'/></node>",
            38,
            0,
            format!("Failed to open file '{}': No such file or directory", shown(&file("missing.xml"))),
        ),
        (
            "<node><device><capability type='net'><interface>x</interface></capability></device></node>",
            21,
            22,
            "missing name information".to_owned(),
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = TestDriver::open(&path).unwrap_err();
        says(&error, code, domain, &message);
    }
    std::fs::write(&path, "<node/>").unwrap();
    assert_eq!(TestDriver::open(&path).unwrap().names(None, None, 0).unwrap(), []);
    let error = TestDriver::open(folder.path()).unwrap_err();
    says(&error, 38, 0, &format!("Failed to read file '{}': Is a directory", shown(folder.path())));
}

/// As libvirt's own test driver told its Python binding: 0 (created) and 1 (deleted), and nothing for `computer`.
#[test]
fn watchers_are_told_of_a_vhba_that_is_made_and_destroyed() {
    let driver = TestDriver::new();
    let before = driver.snapshot(nodedev_driver::View::Libvirt).unwrap();
    let mut watch = driver.watch(Some(before.revision)).unwrap();
    let xml = b"<device><parent>scsi_host1</parent><capability type='scsi_host'><capability type='fc_host'>\
        <wwnn>1111222233334444</wwnn><wwpn>5555666677778888</wwpn></capability></capability></device>";
    let created = driver.create_xml(xml, CreateFlags::empty()).unwrap();
    driver.destroy("computer").unwrap();
    driver.destroy(created.as_str()).unwrap();
    let mut told = Vec::new();
    while let Next::Event(event) = watch.next(Some(std::time::Duration::ZERO)) {
        told.extend(event.libvirt_events().map(|(name, event)| (name.to_string(), event)));
    }
    let name = || "scsi_host12".to_owned();
    assert_eq!(told, [(name(), LibvirtEvent::Created), (name(), LibvirtEvent::Deleted)]);
}
