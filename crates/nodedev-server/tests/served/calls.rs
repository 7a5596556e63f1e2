//! Each procedure over a driver that notes what it is asked, and each way to be refused.

use std::sync::Arc;

use crate::common::{Client, Fake, Server, device, peer, text};
use nodedev_rpc::*;

/// The calls of libvirt's table about one device.
fn every_call(name: &str) -> Vec<Call<'_>> {
    let flagged = DeviceFlags { name: text(name), flags: 0 };
    let document = Document { xml: text("<d/>"), flags: 1 };
    vec![
        Call::NodeDeviceLookupByName(device(name)),
        Call::NodeDeviceGetXmlDesc(flagged.clone()),
        Call::NodeDeviceGetParent(device(name)),
        Call::NodeDeviceNumOfCaps(device(name)),
        Call::NodeDeviceListCaps(ListCapabilities { name: text(name), max_names: 1 }),
        Call::NodeDeviceGetAutostart(device(name)),
        Call::NodeDeviceIsPersistent(device(name)),
        Call::NodeDeviceIsActive(device(name)),
        Call::NodeDeviceDettach(device(name)),
        Call::NodeDeviceDetachFlags(Detach { name: text(name), driver: Some(text("vfio-pci")), flags: 0 }),
        Call::NodeDeviceReAttach(device(name)),
        Call::NodeDeviceReset(device(name)),
        Call::NodeDeviceCreateXml(document.clone()),
        Call::NodeDeviceDefineXml(document),
        Call::NodeDeviceDestroy(device(name)),
        Call::NodeDeviceUndefine(flagged.clone()),
        Call::NodeDeviceCreate(flagged),
        Call::NodeDeviceSetAutostart(Autostart { name: text(name), autostart: 1 }),
        Call::NodeDeviceUpdate(Update { name: text(name), xml: text("<d/>"), flags: 2 }),
    ]
}

#[test]
fn who_asked_for_each_change_of_which_device_is_written_to_the_log() {
    let heard = nodedev_testkit::messages::listen();
    let server = Server::new(Fake::small());
    let mut peer = peer(Some(0));
    peer.identity.program = Some("a-changer".to_owned());
    let (mut client, _) = server.join(peer);
    client.open(0);
    for call in every_call("net_eth0") {
        client.call(&call);
    }
    client.call(&Call::NodeDeviceDestroy(device("net_gone"))).error();
    let lines = heard.with("a-changer");
    // Documents name no device: those that are made have a name then.
    let want = [
        ("NodeDeviceDettach", "net_eth0", "done"),
        ("NodeDeviceDetachFlags", "net_eth0", "done"),
        ("NodeDeviceReAttach", "net_eth0", "done"),
        ("NodeDeviceReset", "net_eth0", "failed: "),
        ("NodeDeviceCreateXml", "net_eth0", "done"),
        ("NodeDeviceDefineXml", "net_eth0", "done"),
        ("NodeDeviceDestroy", "net_eth0", "done"),
        ("NodeDeviceUndefine", "net_eth0", "done"),
        ("NodeDeviceCreate", "net_eth0", "done"),
        ("NodeDeviceSetAutostart", "net_eth0", "done"),
        ("NodeDeviceUpdate", "net_eth0", "done"),
        ("NodeDeviceDestroy", "net_gone", "failed: "),
    ];
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, (call, device, result)) in lines.iter().zip(want) {
        assert!(line.starts_with("INFO nodedev::audit "), "{line}");
        for part in [format!("call={call} "), format!("device=\"{device}\""), "user=0 ".to_owned()] {
            assert!(line.contains(&part), "no '{part}' in {line}");
        }
        assert!(line.contains(&format!("result=\"{result}")), "{line}");
    }
}

#[test]
fn every_procedure_reaches_the_driver_and_its_answer_the_client() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let mut client = server.open();
    let number = |number| Number { number };
    let name = |name| device(name);
    let expected = [
        Reply::NodeDeviceLookupByName(name("net_eth0")),
        Reply::NodeDeviceGetXmlDesc(Text { text: text("<device><name>net_eth0</name></device>") }),
        Reply::NodeDeviceGetParent(OptionalText { text: Some(text("computer")) }),
        Reply::NodeDeviceNumOfCaps(number(2)),
        Reply::NodeDeviceListCaps(Names { names: Array::new(vec![text("scsi_host")]).unwrap() }),
        Reply::NodeDeviceGetAutostart(number(0)),
        Reply::NodeDeviceIsPersistent(number(0)),
        Reply::NodeDeviceIsActive(number(1)),
        Reply::NodeDeviceDettach(Void),
        Reply::NodeDeviceDetachFlags(Void),
        Reply::NodeDeviceReAttach(Void),
        Reply::NodeDeviceReset(Void),
        Reply::NodeDeviceCreateXml(name("net_eth0")),
        Reply::NodeDeviceDefineXml(name("net_eth0")),
        Reply::NodeDeviceDestroy(Void),
        Reply::NodeDeviceUndefine(Void),
        Reply::NodeDeviceCreate(Void),
        Reply::NodeDeviceSetAutostart(Void),
        Reply::NodeDeviceUpdate(Void),
    ];
    for (call, expected) in every_call("net_eth0").iter().zip(expected) {
        let answer = client.call(call);
        if matches!(call, Call::NodeDeviceReset(_)) {
            // The driver lacks it, and the client is told by the name of the function that it called.
            let text = "this function is not supported by the connection driver: virNodeDeviceReset";
            assert_eq!(answer.error(), (3, 22, text.into()));
            continue;
        }
        assert_eq!(answer.reply(), expected);
    }
    let done = [
        "detach net_eth0 -",
        "detach net_eth0 vfio-pci",
        "reattach net_eth0",
        "create_xml <d/> 1",
        "define_xml <d/> 1",
        "destroy net_eth0",
        "undefine net_eth0",
        "create net_eth0",
        "set_autostart net_eth0 true",
        "update net_eth0 <d/> 2",
    ];
    assert_eq!(*fake.done.lock().unwrap(), done);
    let parent = client.call(&Call::NodeDeviceGetParent(device("computer")));
    assert_eq!(parent.reply(), Reply::NodeDeviceGetParent(OptionalText { text: None }));
}

#[test]
fn a_device_that_is_not_there_is_named_in_the_error() {
    let server = Server::new(Fake::small());
    let mut client = server.open();
    for call in every_call("nosuch") {
        if matches!(
            call,
            Call::NodeDeviceCreateXml(_) | Call::NodeDeviceDefineXml(_) | Call::NodeDeviceReset(_)
        ) {
            continue;
        }
        let text = "Node device not found: no node device with matching name 'nosuch'".to_owned();
        assert_eq!(client.call(&call).error(), (53, 22, text), "{call:?}");
    }
}

#[test]
fn changes_are_refused_on_read_only_connections_whatever_their_device() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let mut by_flag = server.connect();
    by_flag.open(1);
    let (mut by_socket, _) = server.join(nodedev_server::Peer { read_only: true, ..peer(Some(0)) });
    by_socket.open(0);
    let mut refused = 0;
    for client in [&mut by_flag, &mut by_socket] {
        for name in ["net_eth0", "nosuch"] {
            for call in every_call(name).iter().filter(|call| call.procedure().effect() == Effect::Writes) {
                let (code, domain, text) = client.call(call).error();
                assert_eq!((code, domain), (29, 22), "{text}");
                assert!(
                    text.starts_with("operation forbidden: read only access prevents virNodeDevice"),
                    "{text}"
                );
                refused += 1;
            }
        }
        client.call(&Call::NodeDeviceIsActive(device("net_eth0"))).reply();
        assert_eq!(client.register(0, None), 0, "events are no change");
    }
    assert_eq!(refused, 44);
    assert!(fake.done.lock().unwrap().is_empty());
}

#[test]
fn the_connection_says_what_it_is() {
    let server = Server::new(Fake::small());
    let mut client = server.open();
    let texts = |text_: &'static str| Text { text: text(text_) };
    for (call, expected) in [
        (Call::ConnectGetType(Void), Reply::ConnectGetType(texts("nodedev"))),
        (Call::ConnectGetUri(Void), Reply::ConnectGetUri(texts("nodedev:///system"))),
        (Call::ConnectGetHostname(Void), Reply::ConnectGetHostname(texts("host.example"))),
        (Call::ConnectGetLibVersion(Void), Reply::ConnectGetLibVersion(Version { version: 11_003_000 })),
        (Call::ConnectIsSecure(Void), Reply::ConnectIsSecure(Number { number: 1 })),
        (Call::ConnectRegisterCloseCallback(Void), Reply::ConnectRegisterCloseCallback(Void)),
        (Call::ConnectUnregisterCloseCallback(Void), Reply::ConnectUnregisterCloseCallback(Void)),
    ] {
        assert_eq!(client.call(&call).reply(), expected);
    }
    let info = client.call(&Call::NodeGetInfo(Void));
    let Reply::NodeGetInfo(info) = info.reply() else { panic!("{info:?}") };
    assert_eq!(
        (info.model.text(), info.memory_kib, info.cpus, info.cores),
        (b"x86_64".as_slice(), 1024, 4, 2)
    );
    let capabilities = client.call(&Call::ConnectGetCapabilities(Void));
    let Reply::ConnectGetCapabilities(Text { text }) = capabilities.reply() else {
        panic!("{capabilities:?}")
    };
    assert!(text.to_string().contains("<arch>x86_64</arch>"), "{text}");
    let supported: Vec<i32> = (-1..20)
        .filter(|&feature| {
            let question = FeatureQuestion { feature: Feature::from(feature) };
            let answer = client.call(&Call::ConnectSupportsFeature(question));
            answer.reply() == Reply::ConnectSupportsFeature(Number { number: 1 })
        })
        .collect();
    assert_eq!(supported, [8, 10, 14, 15]);
}

#[test]
fn lists_are_made_once_until_something_changes() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let made = || fake.lists.load(std::sync::atomic::Ordering::Relaxed);
    let (mut one, mut other) = (server.open(), server.open());
    assert_eq!(one.names(0), ["computer", "net_eth0"]);
    assert_eq!(other.names(0), ["computer", "net_eth0"]);
    let count = other.call(&Call::NodeNumOfDevices(CountDevices { capability: None, flags: 0 }));
    assert_eq!(count.reply(), Reply::NodeNumOfDevices(Number { number: 2 }));
    assert_eq!(made(), 1);
    fake.add("net_eth1");
    assert_eq!(one.names(0), ["computer", "net_eth0", "net_eth1"]);
    assert_eq!(made(), 2);
    // Capabilities that come and go in silence are looked for each time.
    let mdev_types = 1 << 13;
    assert!(one.names(mdev_types).is_empty() && one.names(mdev_types).is_empty());
    assert_eq!(made(), 4);
}

#[test]
fn counts_and_lists_keep_to_their_limits() {
    let server = Server::new(Fake::new((0..70_000).map(|number| format!("net_{number:05}")), 10));
    let mut client = server.open();
    let mut list = |capability: Option<&'static str>, max_names| {
        let capability = capability.map(text);
        client.call(&Call::NodeListDevices(ListDevices { capability, max_names, flags: 0 }))
    };
    let answer = list(Some("net"), 3);
    let Reply::NodeListDevices(Names { names }) = answer.reply() else { panic!() };
    assert_eq!(
        names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["net_00000", "net_00001", "net_00002"]
    );
    let answer = list(None, 65_536);
    let Reply::NodeListDevices(Names { names }) = answer.reply() else { panic!() };
    assert_eq!(names.len(), 65_536);
    for (max_names, text) in
        [(-1, "maxnames must be non-negative"), (65_537, "maxnames > REMOTE_NODE_DEVICE_LIST_MAX")]
    {
        assert_eq!(list(None, max_names).error(), (39, 7, text.into()));
    }
    let answer = list(Some("no such capability"), 10);
    assert_eq!(answer.reply(), Reply::NodeListDevices(Names { names: Array::default() }));
    for need_results in [0, 1] {
        let all = Call::ConnectListAllNodeDevices(ListAllDevices { need_results, flags: 0 });
        let text = "Too many node_devices '70000' for limit '65536'".to_owned();
        assert_eq!(client.call(&all).error(), (39, 7, text));
    }
    let few = client.call(&Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 0, flags: 1 }));
    assert_eq!(
        few.reply(),
        Reply::ConnectListAllNodeDevices(AllDevices { devices: Array::default(), count: 0 })
    );
}

/// Each row of the table of dispatch errors in the specification of the wire, A1.
#[test]
fn the_dispatcher_refuses_what_libvirt_refuses_in_the_same_words() {
    let server = Server::new(Fake::small());
    let mut client = server.connect();
    let call = |number| Header::call(number, 0);
    let refuse = |client: &mut Client, header: Header, payload: &[u8]| client.raw(header, payload).error();
    let not_open = "internal error: connection not open".to_owned();
    assert_eq!(refuse(&mut client, call(113), &[0; 8]), (1, 7, not_open.clone()));
    let no_name = client.call(&Call::ConnectOpen(Open { name: None, flags: 0 }));
    assert_eq!(no_name.error(), (1, 7, not_open.clone()));
    let text = "internal error: hypervisor connection not open".to_owned();
    assert_eq!(refuse(&mut client, call(3), &[]), (1, 7, text.clone()));
    assert_eq!(refuse(&mut client, call(316), &[]), (1, 7, text));
    client.open(0xffff_fffe);
    for (header, payload, text) in [
        (Header { program: 0x2000_8088, ..call(1) }, &[][..], "Cannot find program 536903816 version 1"),
        (Header { version: 2, ..call(1) }, &[], "Cannot find program 536903814 version 2"),
        (call(0), &[], "unknown procedure: 0"),
        (call(-5), &[], "unknown procedure: -5"),
        (call(454), &[], "unknown procedure: 454"),
        (call(376), &[], "unknown procedure: 376"),
        (Header { status: Status::Error, ..call(3) }, &[], "Unexpected message status 1"),
        (call(113), &[], "Unable to decode message payload"),
        (call(113), &[0, 0x40, 0, 1], "Unable to decode message payload"),
    ] {
        assert_eq!(refuse(&mut client, header, payload), (39, 7, text.to_owned()), "{header:?}");
    }
    let text = "this function is not supported by the connection driver: virConnectListAllDomains".to_owned();
    assert_eq!(refuse(&mut client, call(273), &[0; 8]), (3, 20, text));
    // Ignored: the next answer is the one to the next call.
    for kind in [1, 2, 3, 6, 7].map(MessageType::from) {
        client.write(&crate::common::message(Header { kind, ..call(3) }, &[]));
        client.write(&crate::common::message(Header { kind, program: 1, ..call(3) }, &[]));
    }
    let with_descriptors = Header { kind: MessageType::CallWithDescriptors, serial: 77, ..call(3) };
    let answer = client.raw(with_descriptors, &[0; 4]);
    assert_eq!((answer.header.serial, answer.header.status), (77, Status::Ok));
    // The second OPEN closes the first, and a third works.
    let open = Call::ConnectOpen(Open { name: Some(crate::common::text("nodedev:///system")), flags: 0 });
    let text = "internal error: connection already open".to_owned();
    assert_eq!(client.call(&open).error(), (1, 7, text));
    assert_eq!(client.call(&Call::NodeDeviceIsActive(device("computer"))).error(), (1, 7, not_open));
    client.call(&open).reply();
    client.call(&Call::NodeDeviceIsActive(device("computer"))).reply();
}

#[test]
fn closing_is_answered_after_all_else_and_then_ends_the_stream() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let (mut client, served) = server.join(peer(Some(0)));
    client.open(0);
    fake.hold(true);
    let slow = client.send(&Call::NodeDeviceGetXmlDesc(DeviceFlags { name: text("computer"), flags: 0 }));
    let close = client.send(&Call::ConnectClose(Void));
    crate::common::wait_for("the call has begun", || {
        fake.describing.load(std::sync::atomic::Ordering::SeqCst) == 1
    });
    fake.hold(false);
    let order = [client.receive().unwrap().header.serial, client.receive().unwrap().header.serial];
    assert_eq!(order, [slow, close]);
    assert_eq!(client.receive(), None);
    assert_eq!(server.runtime.block_on(served).unwrap(), nodedev_server::End::Closed);
}

#[test]
fn a_driver_learns_where_a_client_is_connected_that_takes_a_device_whomever_it_speaks_for() {
    let fake = Fake::small();
    let server = Server::new(fake.clone());
    let mut of_network = peer(Some(0));
    of_network.identity.connected_at = Some("192.0.2.1".parse().unwrap());
    let (mut client, _) = server.join(of_network);
    client.open(0);
    client.call(&Call::NodeDeviceDettach(device("net_eth0"))).reply();
    let parameter = TypedParameter { field: text("unix-user-id"), value: TypedValue::ULLong(1000) };
    let parameters = Array::new(vec![parameter]).unwrap();
    client.call(&Call::ConnectSetIdentity(Identity { parameters, flags: 0 })).reply();
    let detach = Detach { name: text("net_eth0"), driver: Some(text("vfio-pci")), flags: 0 };
    client.call(&Call::NodeDeviceDetachFlags(detach)).reply();
    assert_eq!(*fake.done.lock().unwrap(), ["detach for ConnectedAt(192.0.2.1) net_eth0"; 2]);
    // One of this machine may have been started over a network.
    let mut of_machine = peer(Some(0));
    of_machine.identity.process_id = Some(4321);
    let (mut client, _) = server.join(of_machine);
    client.open(0);
    client.call(&Call::NodeDeviceDettach(device("net_eth0"))).reply();
    assert_eq!(fake.done.lock().unwrap().last().unwrap(), "detach for Process(4321) net_eth0");
}

#[test]
fn only_root_and_the_daemons_own_user_speak_for_others() {
    let server = Server::new(Fake::small());
    let identity = |field: &'static str, value| {
        let parameters = Array::new(vec![TypedParameter { field: text(field), value }]).unwrap();
        Call::ConnectSetIdentity(Identity { parameters, flags: 0 })
    };
    let user = identity("unix-user-id", TypedValue::ULLong(1000));
    for (id, allowed) in [(Some(0), true), (Some(4242), true), (Some(1000), false), (None, false)] {
        let (mut client, _) = server.join(peer(id));
        client.open(1);
        for _ in 0..2 {
            let answer = client.call(&user);
            if allowed {
                answer.reply();
            } else {
                assert_eq!(answer.error(), (88, 55, "access denied: 'nodedev' denied access".into()));
            }
        }
    }
    let mut client = server.open();
    let refused = client.call(&identity("bogus", TypedValue::Int(1)));
    assert_eq!(refused.error(), (74, 0, "argument unsupported: parameter 'bogus' not supported".into()));
}
