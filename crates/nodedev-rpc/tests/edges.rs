//! Malformed, odd and forbidden messages, and what the real libvirtd 11.3.0 answered to them.

#[path = "common/mod.rs"]
mod common;

use common::unhex;
use nodedev_rpc::{
    Call, Fault, Header, Keepalive, Kind, Known, MessageType, Packet, Procedure, Reply, Request, Status, Str,
    Wire, bounds, calls, program,
};

/// Code, domain, message and both texts of an error.
type Shape = (i32, i32, String, String, String);
type Expected = (i32, i32, &'static str, &'static str, &'static str);
type Holds = fn(&Reply<'_>) -> bool;

fn shape(fault: &Fault) -> Shape {
    let error = fault.object();
    assert_eq!((error.level, error.int1, error.int2, error.str3), (2, -1, -1, None));
    assert!(error.guest.is_none() && error.network.is_none());
    let text = |text: Option<Str<'_>>| text.unwrap_or_default().to_string_lossy().into_owned();
    (error.code, error.domain, text(error.message), text(error.str1), text(error.str2))
}

const CALL: Header = Header {
    program: program::REMOTE,
    version: 1,
    procedure: 3,
    kind: MessageType::Call,
    serial: 5,
    status: Status::Ok,
};

#[test]
fn the_dispatchers_errors_are_word_for_word_those_of_libvirt() {
    let rpc = |text: &'static str| (39, 7, text, "%s", text);
    const INTERNAL: &str = "internal error: %1$s";
    const NO_SUPPORT: &str = "this function is not supported by the connection driver: %1$s";
    const DENIED: &str = "operation forbidden: %1$s";
    #[rustfmt::skip]
    let table: &[(Fault, Expected)] = &[
        (Fault::unknown_program(0x1234, 1), rpc("Cannot find program 4660 version 1")),
        (Fault::unknown_program(program::REMOTE, 2), rpc("Cannot find program 536903814 version 2")),
        (Fault::unknown_program(program::KEEPALIVE, 1), rpc("Cannot find program 1801807216 version 1")),
        (Fault::unknown_program(program::LXC, 1), rpc("Cannot find program 536903816 version 1")),
        (Fault::unknown_program(program::ADMIN, 1), rpc("Cannot find program 110102160 version 1")),
        (Fault::unknown_program(u32::MAX, 1 << 31), rpc("Cannot find program -1 version -2147483648")),
        (Fault::unknown_procedure(9999), rpc("unknown procedure: 9999")),
        (Fault::unknown_procedure(-1), rpc("unknown procedure: -1")),
        (Fault::unexpected_status(Status::Error), rpc("Unexpected message status 1")),
        (Fault::unexpected_status(Status::Continue), rpc("Unexpected message status 2")),
        (Fault::undecodable(), rpc("Unable to decode message payload")),
        (Fault::negative_max_names(), rpc("maxnames must be non-negative")),
        (Fault::too_many_names_wanted(), rpc("maxnames > REMOTE_NODE_DEVICE_LIST_MAX")),
        (Fault::too_many_capabilities_wanted(), rpc("maxnames > REMOTE_NODE_DEVICE_CAPS_LIST_MAX")),
        (Fault::authentication_required(), rpc("authentication required")),
        (Fault::node_devices_not_open(),
            (1, 7, "internal error: connection not open", INTERNAL, "connection not open")),
        (Fault::connection_not_open(),
            (1, 7, "internal error: hypervisor connection not open", INTERNAL, "hypervisor connection not open")),
        (Fault::already_open(),
            (1, 7, "internal error: connection already open", INTERNAL, "connection already open")),
        (Fault::unsupported_event(2),
            (1, 7, "internal error: unsupported node device event ID 2", INTERNAL, "unsupported node device event ID 2")),
        (Fault::unsupported_event(-1),
            (1, 7, "internal error: unsupported node device event ID -1", INTERNAL, "unsupported node device event ID -1")),
        (Fault::already_tracked(),
            (8, 0, "invalid argument: event callback already tracked", "invalid argument: %1$s", "event callback already tracked")),
        (Fault::not_registered(12345),
            (1, 7, "internal error: node device event callback 12345 not registered", INTERNAL,
             "node device event callback 12345 not registered")),
        (Fault::authentication_failed(),
            (45, 7, "authentication failed: authentication failed", "authentication failed: %1$s", "authentication failed")),
        (Fault::read_only(Procedure::NodeDeviceDestroy),
            (29, 22, "operation forbidden: read only access prevents virNodeDeviceDestroy", DENIED,
             "read only access prevents virNodeDeviceDestroy")),
        (Fault::read_only(Procedure::NodeDeviceSetAutostart),
            (29, 22, "operation forbidden: read only access prevents virNodeDeviceSetAutostart", DENIED,
             "read only access prevents virNodeDeviceSetAutostart")),
        (Fault::no_support(316),
            (3, 20, "this function is not supported by the connection driver: virConnectDomainEventRegisterAny",
             NO_SUPPORT, "virConnectDomainEventRegisterAny")),
        (Fault::no_support(313),
            (3, 19, "this function is not supported by the connection driver: virConnectNetworkEventRegisterAny",
             NO_SUPPORT, "virConnectNetworkEventRegisterAny")),
        (Fault::no_support(87),
            (3, 18, "this function is not supported by the connection driver: virStoragePoolGetInfo", NO_SUPPORT,
             "virStoragePoolGetInfo")),
        (Fault::no_support(385), rpc("unknown procedure: 385")),
    ];
    for (fault, expected) in table {
        let (code, domain, message, str1, str2) = shape(fault);
        assert_eq!((code, domain, &*message, &*str1, &*str2), *expected);
    }
    for number in [6, 105] {
        assert!(shape(&Fault::no_support(number)).4.starts_with("vir"));
    }
}

/// Every refusal of this kind in the recordings is the one that we would send, byte for byte.
#[test]
fn calls_that_node_devices_lack_are_refused_as_recorded() {
    let mut numbers = std::collections::BTreeSet::new();
    for message in common::recorded() {
        let packet = Packet::parse(&message.bytes).expect("well-formed");
        let header = packet.header;
        if message.to_server || header.status != Status::Error {
            continue;
        }
        let error = nodedev_rpc::ErrorObject::decode(&mut nodedev_rpc::Reader::new(packet.payload))
            .expect("an error");
        // The templates of libvirt 9.0 have no numbers in them.
        let template = error.str1.unwrap_or_default().to_string_lossy().into_owned();
        let ours = match error.code {
            3 => Fault::no_support(header.procedure),
            29 => Fault::read_only(Procedure::from_number(header.procedure).expect("served")),
            _ => continue,
        };
        if template.contains("%1$s") {
            let mut out = Vec::new();
            ours.object().encode_reply(&header, &mut out).expect("short");
            assert!(out == message.bytes, "{} {}: {}", message.place, message.name, out.escape_ascii());
        } else {
            let shape = shape(&ours);
            assert_eq!((shape.0, shape.1), (error.code, error.domain), "{}", message.place);
            assert_eq!(shape.2.as_bytes(), error.message.unwrap_or_default().as_bytes(), "{}", message.place);
        }
        numbers.insert(header.procedure);
    }
    assert!(numbers.len() >= 20, "{numbers:?}");
}

#[test]
fn a_message_is_served_refused_or_ignored_as_libvirt_does() {
    let refused = |fault: Fault| Request::Refused(fault);
    let keepalive =
        Header { program: program::KEEPALIVE, procedure: 1, kind: MessageType::Message, serial: 0, ..CALL };
    let secret = Known::find(388).expect("a call");
    assert!(matches!(secret.kind, Kind::Call { .. }));
    #[rustfmt::skip]
    let table = [
        (CALL, Request::Call(Procedure::ConnectGetType)),
        (Header { kind: MessageType::CallWithDescriptors, ..CALL }, Request::Call(Procedure::ConnectGetType)),
        (Header { program: 0x1234, ..CALL }, refused(Fault::unknown_program(0x1234, 1))),
        (Header { program: program::QEMU, ..CALL }, refused(Fault::unknown_program(program::QEMU, 1))),
        (Header { version: 2, ..CALL }, refused(Fault::unknown_program(program::REMOTE, 2))),
        (Header { program: 0x1234, kind: MessageType::CallWithDescriptors, ..CALL },
            refused(Fault::unknown_program(0x1234, 1))),
        (Header { program: 0x1234, kind: MessageType::Message, ..CALL }, Request::Ignored),
        (Header { procedure: 9999, ..CALL }, refused(Fault::unknown_procedure(9999))),
        (Header { procedure: 0, ..CALL }, refused(Fault::unknown_procedure(0))),
        (Header { procedure: -1, ..CALL }, refused(Fault::unknown_procedure(-1))),
        (Header { procedure: 376, ..CALL }, refused(Fault::unknown_procedure(376))),
        (Header { procedure: 454, ..CALL }, refused(Fault::unknown_procedure(454))),
        (Header { procedure: 388, ..CALL }, Request::Foreign(secret)),
        (Header { kind: MessageType::Reply, ..CALL }, Request::Ignored),
        (Header { kind: MessageType::Message, ..CALL }, Request::Ignored),
        (Header { kind: MessageType::Stream, ..CALL }, Request::Ignored),
        (Header { kind: MessageType::StreamHole, ..CALL }, Request::Ignored),
        (Header { kind: MessageType::Unknown(7), ..CALL }, Request::Ignored),
        (Header { status: Status::Error, ..CALL }, refused(Fault::unexpected_status(Status::Error))),
        (Header { status: Status::Continue, ..CALL }, refused(Fault::unexpected_status(Status::Continue))),
        (keepalive, Request::Keepalive(Keepalive::Ping)),
        (Header { procedure: 2, ..keepalive }, Request::Keepalive(Keepalive::Pong)),
        (Header { procedure: 7, ..keepalive }, Request::Ignored),
        (Header { version: 2, ..keepalive }, Request::Ignored),
        (Header { kind: MessageType::Call, ..keepalive }, refused(Fault::unknown_program(program::KEEPALIVE, 1))),
    ];
    for (header, expected) in table {
        assert_eq!(Request::of(&header), expected, "{header:?}");
    }
}

#[test]
fn arguments_are_read_as_leniently_as_libvirt_reads_them() {
    let name = |hex: &str| match Call::decode(Procedure::NodeDeviceLookupByName, &unhex(hex)) {
        Ok(Call::NodeDeviceLookupByName(device)) => Ok(device.name.as_bytes().to_vec()),
        other => Err(format!("{other:?}")),
    };
    for (situation, hex, expected) in [
        ("bytes after the arguments", "00000008636f6d7075746572deadbeefff", &b"computer"[..]),
        ("padding that is not zero", "00000009626c6f636b5f766461ffffff", b"block_vda"),
        ("a NUL in the middle", "0000000b636f6d7075746572007878ff", b"computer"),
        ("no text", "00000000", b""),
        ("not UTF-8", "00000002fffe0000", b"\xff\xfe"),
    ] {
        assert_eq!(name(hex).as_deref(), Ok(expected), "{situation}");
    }
    for (situation, hex) in [
        ("nothing", ""),
        ("half a length", "0000"),
        ("a length beyond the end", "00000064616263"),
        ("padding that is not there", "0000000161"),
        ("a length of everything", "ffffffff61616161"),
    ] {
        assert!(name(hex).is_err(), "{situation}");
    }
}

#[test]
fn answers_from_the_hand_made_recording_are_read() {
    #[rustfmt::skip]
    let table: &[(Procedure, &str, Holds)] = &[
        (Procedure::ConnectGetUri, "000000116e6f64656465763a2f2f2f73797374656d000000",
            |reply| matches!(reply, Reply::ConnectGetUri(uri) if uri.text.as_bytes() == b"nodedev:///system")),
        (Procedure::ConnectGetType, "000000076e6f646564657600",
            |reply| matches!(reply, Reply::ConnectGetType(name) if name.text.as_bytes() == b"nodedev")),
        (Procedure::ConnectListAllNodeDevices, "000000000000000c",
            |reply| matches!(reply, Reply::ConnectListAllNodeDevices(all) if all.devices.is_empty() && all.count == 12)),
        (Procedure::ConnectNodeDeviceEventRegisterAny, "00000012",
            |reply| matches!(reply, Reply::ConnectNodeDeviceEventRegisterAny(callback) if callback.callback == 18)),
        (Procedure::ConnectIsSecure, "00000001",
            |reply| matches!(reply, Reply::ConnectIsSecure(secure) if secure.number == 1)),
    ];
    for (procedure, hex, holds) in table {
        let payload = unhex(hex);
        let reply = Reply::decode(*procedure, &payload).expect("well-formed");
        assert!(holds(&reply), "{reply:?}");
        let mut out = Vec::new();
        reply.encode(0, &mut out).expect("short");
        assert_eq!(out[bounds::MESSAGE_MIN..], payload);
    }
}

#[test]
fn an_error_that_repeats_a_huge_name_can_still_be_sent() {
    let name = "x".repeat(bounds::STRING_MAX);
    let message = format!("Node device not found: no node device with matching name '{name}'");
    let fault = Fault::undecodable();
    let error = nodedev_rpc::ErrorObject {
        message: Some(Str::truncated(&message)),
        str2: Some(Str::truncated(&message)),
        ..fault.object()
    };
    let mut out = Vec::new();
    error.encode_reply(&Header::call(113, 1), &mut out).expect("it fits");
    let reply = Packet::parse(&out).expect("whole").reply::<calls::NodeDeviceLookupByName>();
    let read = reply.expect("well-formed").expect_err("an error");
    assert_eq!(read.message.map(|text| text.as_bytes().len()), Some(bounds::STRING_MAX));
}

#[test]
fn a_server_that_lacks_a_procedure_is_recognised() {
    let unknown = Fault::unknown_procedure(447);
    assert!(unknown.object().is_unknown_procedure());
    assert!(nodedev_rpc::ErrorObject { domain: 13, ..unknown.object() }.is_unknown_procedure());
    for other in [
        nodedev_rpc::ErrorObject { domain: 22, ..unknown.object() },
        nodedev_rpc::ErrorObject { code: 38, ..unknown.object() },
        nodedev_rpc::ErrorObject { level: 1, ..unknown.object() },
        nodedev_rpc::ErrorObject { message: None, ..unknown.object() },
        Fault::undecodable().object(),
    ] {
        assert!(!other.is_unknown_procedure(), "{other:?}");
    }
}

#[test]
fn a_server_that_lacks_a_program_is_recognised() {
    let unknown = Fault::unknown_program(program::NODEDEV, 1);
    assert!(unknown.object().is_unknown_program());
    for other in [
        nodedev_rpc::ErrorObject { domain: 22, ..unknown.object() },
        nodedev_rpc::ErrorObject { code: 38, ..unknown.object() },
        nodedev_rpc::ErrorObject { message: None, ..unknown.object() },
        Fault::unknown_procedure(4).object(),
    ] {
        assert!(!other.is_unknown_program(), "{other:?}");
    }
}
