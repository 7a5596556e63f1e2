//! What every driver promises, as one test suite: the calls agree with each other, and fail as libvirt's do.
//!
//! For the tests of drivers; every function panics where a promise is broken. The devices must not change meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::time::Duration;

use nodedev_model::{Capability, CapabilityType, DeviceName, DeviceState, NodeDevice, Visibility};
use nodedev_xml::{Dialect, Form, ParseOptions};

use crate::{
    DeviceRef, Devices, Driver, Error, ErrorCode, ErrorDomain, LibvirtCalls, ListFlags, Next, Revision, View,
    XmlFlags,
};

/// What differs between drivers that keep the contract.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Domain of the driver's own errors.
    pub domain: ErrorDomain,
    /// What libvirt calls the function that lists, in the error for unknown flags.
    pub list_function: &'static str,
    /// What libvirt calls the function that describes.
    pub xml_function: &'static str,
    /// Whether `capabilities` tells nested capabilities; the test driver does not.
    pub nested_capabilities: bool,
    /// Whether SCSI hosts can be looked up by World Wide Names.
    pub lookup_by_wwn: bool,
    /// Whether the driver has the native view.
    pub native_view: bool,
    /// Whether there are entries without the native view's descriptions, as `nodedevd` tells them over its wire.
    pub entries: bool,
    /// Whether there is exactly one root, `computer`.
    pub one_root: bool,
    /// Whether a call can be made about a name that is no device's; in C, devices are looked up before.
    pub calls_take_names: bool,
}

impl Expect {
    /// libvirt's node device driver and whatever stands in for it: the host driver, on this machine or a recording.
    pub const HOST: Self = Self {
        domain: ErrorDomain::NODEDEV,
        list_function: "nodeConnectListAllNodeDevices",
        xml_function: "nodeDeviceGetXMLDesc",
        nested_capabilities: true,
        lookup_by_wwn: true,
        native_view: true,
        entries: true,
        one_root: true,
        calls_take_names: true,
    };

    /// The test driver with its default devices.
    pub const TEST: Self = Self {
        domain: ErrorDomain::TEST,
        list_function: "testConnectListAllNodeDevices",
        xml_function: "testNodeDeviceGetXMLDesc",
        nested_capabilities: false,
        lookup_by_wwn: false,
        ..Self::HOST
    };
}

/// Runs the whole suite.
///
/// # Panics
/// Where the driver breaks a promise.
pub fn check(driver: &dyn Driver, expect: &Expect) {
    let calls = driver.calls();
    let devices = lists(calls);
    parents(calls, &devices, expect);
    capabilities(calls, &devices, expect);
    filters(calls, &devices);
    documents(calls, &devices, expect);
    bulk(calls, &devices);
    unknown_names(driver, expect);
    unknown_flags(calls, &devices, expect);
    events(driver, expect);
    world_wide_names(calls, &devices, expect);
    if expect.native_view {
        native_view(driver, &devices);
    } else if expect.entries {
        let entries = driver.changes().expect("changes").snapshot(View::Libvirt).expect("a snapshot").entries;
        let names = |device: &Known| device.device.name.clone();
        assert_eq!(
            entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>(),
            devices.iter().map(names).collect::<Vec<_>>()
        );
    } else {
        for view in [View::Libvirt, View::Native] {
            let entries = driver.devices().and_then(|devices| devices.entries(view));
            assert_eq!(code(entries), ErrorCode::NO_SUPPORT);
        }
    }
}

/// A device as the single calls tell it.
struct Known {
    device: DeviceRef,
    state: DeviceState,
    capabilities: Vec<CapabilityType>,
}

fn code<T: Debug>(result: crate::Result<T>) -> ErrorCode {
    result.expect_err("the call must fail").code()
}

/// Where changes are told at all, a snapshot is the list, and nothing has happened since it.
fn events(driver: &dyn Driver, expect: &Expect) {
    match driver.calls().events() {
        Ok(mut events) => {
            assert_eq!(
                events.next(Some(Duration::ZERO)),
                Next::TimedOut,
                "the devices do not change meanwhile"
            );
        }
        Err(error) => assert_eq!(error.code(), ErrorCode::NO_SUPPORT, "{error}"),
    }
    let watched = driver.changes().and_then(|changes| Ok((changes, changes.watch(None)?)));
    let (changes, mut watch) = match watched {
        Ok(watched) => watched,
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::NO_SUPPORT, "{error}");
            return;
        }
    };
    assert_eq!(watch.next(Some(Duration::ZERO)), Next::TimedOut, "the devices do not change meanwhile");
    if let Some(revision) = changes.revision() {
        assert_eq!(revision, watch.revision(), "revision and watch");
    }
    for view in [View::Libvirt, View::Native] {
        match changes.snapshot(view) {
            Ok(snapshot) => {
                if expect.native_view {
                    let entries = driver.devices().expect("devices").entries(view);
                    assert_eq!(Ok(snapshot.entries), entries, "entries of a snapshot");
                }
                let mut since = changes.watch(Some(snapshot.revision)).expect("a watch since a snapshot");
                assert_eq!(since.next(Some(Duration::ZERO)), Next::TimedOut, "changes since a snapshot");
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::NO_SUPPORT, "{error}"),
        }
    }
    let foreign = Revision { history: !watch.revision().history, number: 0 };
    assert_eq!(
        code(changes.watch(Some(foreign))),
        ErrorCode::OPERATION_INVALID,
        "a revision of another history"
    );
}

/// Lists, names and lookups name the same devices, each once, sorted.
fn lists(driver: &dyn LibvirtCalls) -> Vec<Known> {
    let listed = driver.list(ListFlags::empty()).expect("list without flags");
    let names = sorted(driver.names(None, None, 0));
    assert!(listed.is_sorted_by(|a, b| a.name < b.name), "list is sorted and each name occurs once");
    assert_eq!(sorted(driver.list_names(ListFlags::empty())), names, "list_names and names");
    assert_eq!(driver.count(ListFlags::empty()), Ok(names.len()), "count and names");
    assert_eq!(driver.count_names(None, 0), Ok(names.len()), "count_names and names");
    for most in [0, 1, names.len()] {
        let first = driver.names(None, Some(most), 0).expect("the first names");
        assert_eq!(first.len(), most, "as many names as are wanted");
        assert!(first.iter().all(|name| names.contains(name)), "the first of the same names");
    }
    assert_eq!(listed.iter().map(|device| device.name.clone()).collect::<Vec<_>>(), names, "list and names");
    let unknown = Some("no such capability");
    assert!(driver.names(unknown, None, 0).expect("an unknown capability is no error").is_empty());
    assert_eq!(driver.count_names(unknown, 0), Ok(0));
    let known = |device: DeviceRef| {
        let name = device.name.as_str();
        assert_eq!(driver.lookup(name).as_ref(), Ok(&device.name), "lookup of {name}");
        let active = driver.is_active(name).expect("is_active");
        let persistent = driver.is_persistent(name).expect("is_persistent");
        let autostart = match driver.autostart(name) {
            Err(error) if error.code() == ErrorCode::NO_SUPPORT => false,
            autostart => autostart.expect("autostart"),
        };
        assert!(active || persistent, "{name} exists or is defined");
        assert!(persistent || !autostart, "{name} starts with the host and has a definition");
        let told = driver.capabilities(name, None).expect("capabilities");
        assert!(!told.is_empty(), "{name} has a capability");
        assert_eq!(driver.count_capabilities(name), Ok(told.len()), "capabilities of {name}");
        let first = driver.capabilities(name, Some(1)).expect("the first capability");
        assert_eq!(first.as_slice(), told.get(..1).unwrap_or_default(), "the first capability of {name}");
        let known = |kind: &std::borrow::Cow<'_, str>| kind.parse().expect("a type of libvirt's");
        let capabilities = told.iter().map(known).collect();
        Known { state: DeviceState { active, persistent, autostart }, capabilities, device }
    };
    listed.into_iter().map(known).collect()
}

fn sorted(names: crate::Result<Vec<DeviceName>>) -> Vec<DeviceName> {
    let mut names = names.expect("names");
    names.sort_unstable();
    names
}

/// Parents exist, and following them ends.
fn parents(driver: &dyn LibvirtCalls, devices: &[Known], expect: &Expect) {
    let parent_of: BTreeMap<&str, Option<&str>> = devices
        .iter()
        .map(|known| (known.device.name.as_str(), known.device.parent.as_ref().map(|parent| parent.as_str())))
        .collect();
    for known in devices {
        let name = known.device.name.as_str();
        assert_eq!(driver.parent(name).as_ref(), Ok(&known.device.parent), "parent of {name}");
        let mut above = name;
        let mut steps = 0;
        while let Some(parent) = parent_of.get(above).expect("each parent is a device") {
            above = parent;
            steps += 1;
            assert!(steps <= devices.len(), "the parents of {name} form a ring");
        }
        if expect.one_root {
            assert_eq!(above, DeviceName::COMPUTER, "root above {name}");
        }
    }
}

/// The list of each capability holds the devices that have it.
fn capabilities(driver: &dyn LibvirtCalls, devices: &[Known], expect: &Expect) {
    for kind in CapabilityType::ALL {
        let names = sorted(driver.names(Some(kind.as_str()), None, 0));
        assert_eq!(
            driver.count_names(Some(kind.as_str()), 0),
            Ok(names.len()),
            "number of devices with {kind}"
        );
        let listed = driver.list(ListFlags::capability(kind)).expect("list with a capability");
        assert_eq!(
            listed.into_iter().map(|device| device.name).collect::<Vec<_>>(),
            names,
            "devices with {kind}"
        );
        let telling: Vec<_> = devices
            .iter()
            .filter(|known| known.capabilities.contains(&kind))
            .map(|known| known.device.name.clone())
            .collect();
        if expect.nested_capabilities {
            assert_eq!(telling, names, "devices that say they have {kind}");
        } else {
            assert!(telling.iter().all(|name| names.contains(name)), "devices that say they have {kind}");
        }
    }
}

/// Flags select by state as the single calls tell it, and combine with capabilities.
fn filters(driver: &dyn LibvirtCalls, devices: &[Known]) {
    let states = [ListFlags::ACTIVE, ListFlags::INACTIVE, ListFlags::PERSISTENT, ListFlags::TRANSIENT];
    let pairs = [ListFlags::CAP_PCI_DEV | ListFlags::CAP_SCSI_HOST, ListFlags::CAP_MDEV, ListFlags::empty()];
    for set in 0..1 << states.len() {
        let by_state = states.iter().enumerate().filter(|(bit, _)| set & 1 << bit != 0);
        let by_state = by_state.fold(ListFlags::empty(), |flags, (_, flag)| flags | *flag);
        for flags in pairs.map(|capabilities| capabilities | by_state) {
            let listed: Vec<_> =
                driver.list(flags).expect("list").into_iter().map(|device| device.name).collect();
            let bits = |known: &Known| known.capabilities.iter().fold(0, |bits, kind| bits | kind.bit());
            let want: Vec<_> = devices
                .iter()
                .filter(|known| flags.selects(bits(known), known.state))
                .map(|known| known.device.name.clone())
                .collect();
            assert_eq!(listed, want, "list with {flags:?}");
            assert_eq!(driver.count(flags), Ok(want.len()), "count with {flags:?}");
        }
    }
}

/// Documents are those of the device, and go through the parser to the same bytes.
fn documents(driver: &dyn LibvirtCalls, devices: &[Known], expect: &Expect) {
    for Known { device, state, capabilities } in devices {
        let name = device.name.as_str();
        let live = driver.xml(name, XmlFlags::empty()).expect("xml");
        let inactive = driver.xml(name, XmlFlags::INACTIVE);
        if state.persistent {
            let inactive = inactive.expect("xml of a definition");
            assert!(!contains(&inactive, b"\n  <path>"), "the definition of {name} has no path");
            if !state.active {
                assert_eq!(inactive, live, "{name} is described by its definition");
            }
        } else {
            assert_eq!(inactive, Err(Error::not_persistent(expect.domain, name)));
        }
        assert!(live.starts_with(b"<device>\n  <name>") && live.ends_with(b"\n</device>\n"), "{name}");
        if std::str::from_utf8(&live).is_err() {
            continue;
        }
        let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
        let mut parsed = nodedev_xml::parse(&live, options).expect("the document parses");
        parsed.activate_definition();
        assert_eq!((&parsed.name, &parsed.parent), (&device.name, &device.parent), "document of {name}");
        let kinds: Vec<_> = if expect.nested_capabilities {
            parsed.capability_types().collect()
        } else {
            parsed.capabilities.iter().filter_map(Capability::kind).collect()
        };
        assert_eq!(kinds, *capabilities, "capabilities in the document of {name}");
        let again = nodedev_xml::write(&parsed, if state.active { Form::Live } else { Form::Inactive });
        assert_eq!(lossy(&again), without_empty_names(&live), "document of {name}, parsed and written");
    }
}

/// What is left of a document's empty names of PCI vendors and products: libvirt writes them, and reads them as none.
fn without_empty_names(text: &[u8]) -> String {
    lossy(text).replace("'></vendor>", "'/>").replace("'></product>", "'/>")
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// All documents in one call are the single ones, in the order of the list, and the caller can stop.
fn bulk(driver: &dyn LibvirtCalls, devices: &[Known]) {
    for (list, xml) in [
        (ListFlags::empty(), XmlFlags::empty()),
        (ListFlags::ACTIVE, XmlFlags::empty()),
        (ListFlags::PERSISTENT, XmlFlags::INACTIVE),
    ] {
        let mut seen = Vec::new();
        let all = driver.visit_xml(list, xml, &mut |name, text| {
            assert_eq!(
                text.map(lossy),
                driver.xml(name.as_str(), xml).map(|text| lossy(&text)),
                "xml of {name}"
            );
            seen.push(name.clone());
            ControlFlow::Continue(())
        });
        all.expect("visit_xml");
        let want: Vec<_> = devices
            .iter()
            .filter(|known| list.selects(0, known.state))
            .map(|known| &known.device.name)
            .collect();
        assert_eq!(seen.iter().collect::<Vec<_>>(), want, "devices of visit_xml with {list:?}");
    }
    let mut count = 0;
    let stopped = driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |_, _| {
        count += 1;
        ControlFlow::Break(())
    });
    stopped.expect("visit_xml");
    assert_eq!(count, devices.len().min(1), "visit_xml stops when told to");
}

/// Every call says of an unknown name that there is no such device.
fn unknown_names(driver: &dyn Driver, expect: &Expect) {
    let calls = driver.calls();
    for name in ["no_such_device", "", "computer ", "../computer", "<&>'\"", "n\u{e4}me"] {
        let want = Error::no_device(expect.domain, name);
        unknown(calls.lookup(name), &want);
        unknown(calls.xml(name, XmlFlags::empty()), &want);
        unknown(calls.xml(name, XmlFlags::INACTIVE), &want);
        unknown(calls.parent(name), &want);
        unknown(calls.capabilities(name, None), &want);
        unknown(calls.count_capabilities(name), &want);
        unknown(calls.is_active(name), &want);
        unknown(calls.is_persistent(name), &want);
        match calls.autostart(name) {
            Err(error) if error.code() == ErrorCode::NO_SUPPORT => {}
            autostart => unknown(autostart, &want),
        }
        if expect.native_view {
            unknown(driver.devices().expect("devices").device(name), &want);
        }
    }
}

/// The error is the wanted one in all that clients see; the help is the driver's own.
fn unknown<T: Debug>(result: crate::Result<T>, want: &Error) {
    let error = result.expect_err("an unknown name is an error");
    assert_eq!(
        (error.code(), error.domain(), error.level(), error.message(), error.strings(), error.ints()),
        (want.code(), want.domain(), want.level(), want.message(), want.strings(), want.ints())
    );
}

/// Flags that do not exist are refused before anything is looked up.
fn unknown_flags(driver: &dyn LibvirtCalls, devices: &[Known], expect: &Expect) {
    for bits in [1 << 24, 1 << 27, 0x0f00_0000] {
        let flags = ListFlags::from_bits_retain(bits | 1);
        let want = Error::unsupported_flags(expect.domain, bits, expect.list_function);
        assert_eq!(driver.list(flags), Err(want.clone()));
        assert_eq!(driver.count(flags), Err(want.clone()));
        let visited = driver.visit_xml(flags, XmlFlags::empty(), &mut |name, _| panic!("{name} was visited"));
        assert_eq!(visited, Err(want));
    }
    let want = Error::unsupported_flags(expect.domain, 6, expect.xml_function);
    let name = if expect.calls_take_names { "no_such_device" } else { devices[0].device.name.as_str() };
    assert_eq!(driver.xml(name, XmlFlags::from_bits_retain(7)), Err(want));
}

/// SCSI hosts are found by both World Wide Names, written exactly so.
fn world_wide_names(driver: &dyn LibvirtCalls, devices: &[Known], expect: &Expect) {
    if !expect.lookup_by_wwn {
        let lookup = driver.lookup_scsi_host_by_wwn("2000000012341234", "1000000012341234", 0);
        assert_eq!(lookup, Err(Error::no_support("virNodeDeviceLookupSCSIHostByWWN")));
        return;
    }
    assert_eq!(driver.lookup_scsi_host_by_wwn("no such", "name", 0), Err(Error::unknown_cause()));
    for known in devices.iter().filter(|known| known.capabilities.contains(&CapabilityType::FcHost)) {
        let name = known.device.name.as_str();
        let text = driver.xml(name, XmlFlags::empty()).expect("xml");
        let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
        let parsed = nodedev_xml::parse(&text, options).expect("the document parses");
        let pair = parsed.capabilities.iter().find_map(|capability| match capability {
            Capability::ScsiHost(host) => {
                let fc_host = host.fc_host.as_ref()?;
                Some((
                    fc_host.wwnn.as_ref()?.as_str()?.to_owned(),
                    fc_host.wwpn.as_ref()?.as_str()?.to_owned(),
                ))
            }
            _ => None,
        });
        let Some((wwnn, wwpn)) = pair else { continue };
        assert_eq!(
            driver.lookup_scsi_host_by_wwn(&wwnn, &wwpn, 0).as_ref(),
            Ok(&known.device.name),
            "{name} by its names"
        );
        for (wwnn, wwpn) in [(wwnn.clone(), format!("0x{wwpn}")), (wwpn.clone(), "0".to_owned())] {
            assert_eq!(driver.lookup_scsi_host_by_wwn(&wwnn, &wwpn, 0), Err(Error::unknown_cause()));
        }
    }
}

/// The native view holds libvirt's, and tells the same of its devices.
fn native_view(driver: &dyn Driver, devices: &[Known]) {
    let all = driver.devices().expect("devices");
    let libvirt = all.entries(View::Libvirt).expect("entries");
    assert_eq!(libvirt.len(), devices.len(), "entries of libvirt's view");
    for (entry, known) in libvirt.iter().zip(devices) {
        assert_eq!((&entry.name, &entry.parent), (&known.device.name, &known.device.parent));
        assert_eq!((entry.state, entry.visibility), (known.state, Visibility::Libvirt), "{}", entry.name);
        assert_eq!(
            Some(&*entry.kind),
            known.capabilities.first().map(|kind| kind.as_str()),
            "{}",
            entry.name
        );
    }
    let native = all.entries(View::Native).expect("entries of the native view");
    assert!(native.is_sorted_by(|a, b| a.name < b.name), "entries are sorted and each name occurs once");
    let names: BTreeSet<&DeviceName> = native.iter().map(|entry| &entry.name).collect();
    assert!(
        devices.iter().all(|known| names.contains(&known.device.name)),
        "the native view has every device"
    );
    for entry in &native {
        assert!(!entry.kind.is_empty(), "{} is something", entry.name);
        assert!(
            entry.parent.as_ref().is_none_or(|parent| names.contains(parent)),
            "parent of {}",
            entry.name
        );
        let hidden = driver.calls().lookup(entry.name.as_str()).is_err();
        assert_eq!(entry.visibility == Visibility::Native, hidden, "{} is in libvirt's view", entry.name);
    }
    for (view, entries) in [(View::Libvirt, &libvirt), (View::Native, &native)] {
        let mut seen = Vec::new();
        let visited = all.visit(view, &mut |device| {
            described(driver.calls(), all, device);
            seen.push(device.name.clone());
            ControlFlow::Continue(())
        });
        visited.expect("visit");
        assert_eq!(
            seen,
            entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>(),
            "devices of {view:?}"
        );
    }
    let mut count = 0;
    let stopped = all.visit(View::Native, &mut |_| {
        count += 1;
        ControlFlow::Break(())
    });
    stopped.expect("visit");
    assert_eq!(count, native.len().min(1), "visit stops when told to");
    all.issues().expect("issues");
}

/// A device of a visit is the one that is described alone, and libvirt's document is written from it.
fn described(driver: &dyn LibvirtCalls, all: &dyn Devices, device: &NodeDevice) {
    let name = device.name.as_str();
    assert_eq!(all.device(name).as_ref(), Ok(device), "{name} described alone and with all");
    if device.visibility == Visibility::Libvirt {
        let form = if device.state.active { Form::Live } else { Form::Inactive };
        let xml = driver.xml(name, XmlFlags::empty()).expect("xml");
        assert_eq!(lossy(&nodedev_xml::write(device, form)), lossy(&xml), "document of {name}");
        assert_eq!(driver.parent(name).as_ref(), Ok(&device.parent), "parent of {name}");
    }
}
