//! The wire protocol against the real daemon: what `nodedev-rpc` writes is understood, what it reads is what was meant,
//! and its tables say what the daemon does.

mod connection;

use std::io::Write as _;

use connection::{Failure, Wires, message};
use nodedev_interop::is_reference;
use nodedev_rpc::{
    Array, Call, Decoder, Device, DeviceFlags, Effect, Fault, Feature, FeatureQuestion, Header, Identity,
    Keepalive, Kind, Known, ListAllDevices, MessageType, Needs, Procedure, Reply, Request, Status, Str,
    TypedParameter, TypedValue, Void, calls, program,
};
use nodedev_testkit::peer::{Daemon, Libvirt, Scene};
use nodedev_testkit::random::Random;
use nodedev_testkit::synthetic::Host;

/// The real daemon on a small host; nothing where it is of a version whose tables and templates are others.
fn daemon() -> Result<Option<(tempfile::TempDir, Daemon)>, Failure> {
    if !is_reference()? {
        return Ok(None);
    }
    let dir = tempfile::tempdir()?;
    Host::new(50).write(dir.path())?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(dir.path().into()))?;
    Ok(Some((dir, daemon)))
}

/// Calls that end the real daemon (11.3.0) when it lacks the driver they are for: it looks for the driver's function
/// where there is no driver.
const DEADLY: &[i32] = &[87, 98, 152, 153, 154, 155, 156, 378, 444, 445];
/// Calls that the daemon answers itself before it looks for a driver: there is no such registration, no descriptor came
/// along, or nothing was asked for.
const ANSWERED_BEFORE: &[i32] = &[106, 159, 168, 249, 314, 317, 343, 369, 381, 443];

/// What the tables promise and the daemon does otherwise.
#[derive(Default)]
struct Differences {
    checked: usize,
    found: Vec<String>,
}

impl Differences {
    fn check(&mut self, situation: &str, number: i32, holds: bool, answer: &connection::Answer) {
        self.checked += 1;
        if !holds {
            let name = Known::find(number).map_or("", |known| known.name);
            self.found.push(format!("{situation}: {number} {name}: {}", answer.shown()));
        }
    }

    fn assert_none(self) {
        assert!(
            self.found.is_empty(),
            "{} of {}:\n{}",
            self.found.len(),
            self.checked,
            self.found.join("\n")
        );
    }
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn procedures_need_and_forbid_what_the_table_says() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let mut differences = Differences::default();
    for procedure in Procedure::ALL {
        let number = procedure.number();
        let answer = Wires::connect(&daemon)?.call_number(number)?;
        let holds = match procedure.needs() {
            // It is opened without a name, and the answer is about that.
            Needs::Nothing if *procedure == Procedure::ConnectOpen => {
                answer.is(&Fault::node_devices_not_open())
            }
            Needs::Nothing => {
                !answer.is(&Fault::connection_not_open()) && !answer.is(&Fault::node_devices_not_open())
            }
            Needs::Connection => answer.is(&Fault::connection_not_open()),
            Needs::NodeDevices => answer.is(&Fault::node_devices_not_open()),
        };
        differences.check("before CONNECT_OPEN", number, holds, &answer);
        if procedure.needs() != Needs::Nothing {
            let answer = Wires::open(&daemon, 1)?.call_number(number)?;
            let refused = answer.is(&Fault::read_only(*procedure));
            differences.check(
                "read-only",
                number,
                refused == (procedure.effect() == Effect::Writes),
                &answer,
            );
        }
    }
    differences.assert_none();
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn calls_that_node_devices_lack_are_refused_as_the_real_daemon_does() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let mut differences = Differences::default();
    for known in Known::ALL.iter().filter(|known| Procedure::from_number(known.number).is_none()) {
        if DEADLY.contains(&known.number) || ANSWERED_BEFORE.contains(&known.number) {
            continue;
        }
        let answer = Wires::open(&daemon, 0)?.call_number(known.number)?;
        let holds = match known.kind {
            Kind::Call { function, domain } => {
                // Some functions refuse zeros first; the refusal names the function.
                let refused = answer.error().is_some_and(|error| {
                    (error.code, error.domain) == (8, domain.0)
                        && error.str1.is_some_and(|text| text.as_bytes() == function.as_bytes())
                });
                refused || answer.is(&Fault::no_support(known.number))
            }
            Kind::Event | Kind::Login => answer.is(&Fault::unknown_procedure(known.number)),
        };
        differences.check("not for node devices", known.number, holds, &answer);
    }
    assert!(differences.checked > 350, "{}", differences.checked);
    differences.assert_none();
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn odd_messages_are_refused_or_ignored_as_the_real_daemon_does() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let mut wires = Wires::open(&daemon, 0)?;
    let mut differences = Differences::default();
    let call = Header::call(Procedure::ConnectGetType.number(), 0);
    let mut odd = Vec::new();
    for program in [program::REMOTE, program::LXC, program::ADMIN, program::KEEPALIVE, 0, u32::MAX] {
        for version in [0, 1, 2, u32::MAX] {
            for procedure in [i32::MIN, -1, 0, 1, 2, 3, 7, 376, 454, i32::MAX] {
                for kind in [0, 1, 2, 3, 4, 5, 6, 7, u32::MAX].map(MessageType::from) {
                    for status in [0, 1, 2, 3, u32::MAX].map(Status::from) {
                        odd.push(Header { program, version, procedure, kind, status, ..call });
                    }
                }
            }
        }
    }
    for header in odd {
        let header = Header { serial: wires.serial, ..header };
        let expected = Request::of(&header);
        let descriptors = [0; 4];
        let with_count =
            matches!(header.kind, MessageType::CallWithDescriptors | MessageType::ReplyWithDescriptors);
        let payload: &[u8] = if with_count { &descriptors } else { &[] };
        match expected {
            // Opening and closing would change what the next ones meet.
            Request::Call(Procedure::ConnectOpen | Procedure::ConnectClose) => {}
            Request::Call(procedure) => {
                let answer = wires.send(&header, payload)?;
                let served = answer.status == Status::Ok || answer.is(&Fault::no_support(procedure.number()));
                differences.check(&format!("{header:?}"), header.procedure, served, &answer);
            }
            Request::Refused(fault) => {
                let answer = wires.send(&header, payload)?;
                differences.check(&format!("{header:?}"), header.procedure, answer.is(&fault), &answer);
            }
            // No answer: what comes first is the answer to the next call.
            _ => {
                wires.socket.write_all(&message(&header, payload)?)?;
                wires.serial += 1;
                let mut out = Vec::new();
                Call::ConnectGetType(Void).encode(wires.serial, &mut out)?;
                wires.socket.write_all(&out)?;
                let answer = wires.receive()?;
                let ignored = answer.serial == wires.serial;
                differences.check(&format!("{header:?}"), header.procedure, ignored, &answer);
                if !ignored {
                    wires = Wires::open(&daemon, 0)?;
                }
                wires.serial += 1;
            }
        }
    }
    differences.assert_none();
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn broken_messages_end_the_connection_where_the_real_daemon_ends_it() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let get_type = Header::call(Procedure::ConnectGetType.number(), 0);
    let of_kind = |kind, payload: &[u8]| message(&Header { kind, ..get_type }, payload);
    let of_length = |length: u32| {
        let mut bytes = message(&get_type, &[])?;
        bytes.splice(..4, length.to_be_bytes());
        Ok::<_, Failure>(bytes)
    };
    let mut broken = Vec::new();
    for length in [0, 3, 4, 5, 20, 27, 28, 33_554_437, u32::MAX] {
        broken.push((format!("length {length}"), of_length(length)?));
    }
    // Replies with descriptors are left out: they come from servers, and a daemon does not look into one.
    for kind in [MessageType::Call, MessageType::CallWithDescriptors] {
        for count in [0, 33, 34, u32::MAX] {
            broken
                .push((format!("{kind:?} of {count} descriptors"), of_kind(kind, &u32::to_be_bytes(count))?));
        }
        broken.push((format!("{kind:?} without their number"), of_kind(kind, &[])?));
        broken.push((format!("{kind:?} with half their number"), of_kind(kind, &[0, 0])?));
    }
    for (situation, bytes) in broken {
        let mut decoder = Decoder::default();
        let mut ours = Ok(());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && ours.is_ok() {
            rest = &rest[decoder.feed(rest)..];
            ours = decoder.next_packet().map(drop);
        }
        let mut wires = Wires::open(&daemon, 0)?;
        wires.socket.write_all(&bytes)?;
        wires.serial = 77;
        let mut call = Vec::new();
        Call::ConnectGetType(Void).encode(wires.serial, &mut call)?;
        // Where the connection is closed already, writing or reading fails.
        let theirs = wires.socket.write_all(&call).map_err(Failure::from).and_then(|()| {
            loop {
                let answer = wires.receive()?;
                if answer.serial == wires.serial {
                    return Ok(());
                }
            }
        });
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{situation}: {ours:?}, {theirs:?}");
    }
    Ok(())
}

/// Arguments made of lengths, numbers and texts that are mostly right, and cut anywhere.
fn arguments(random: &mut Random) -> Vec<u8> {
    const WORDS: &[u32] = &[
        0,
        0,
        0,
        1,
        1,
        2,
        3,
        4,
        5,
        7,
        8,
        20,
        21,
        0x1_0000,
        0x1_0001,
        0x40_0000,
        0x40_0001,
        0x100_0000,
        u32::MAX,
    ];
    let mut out = Vec::new();
    for _ in 0..random.next() % 8 {
        if random.next().is_multiple_of(3) {
            let text = &b"computer\0name"[..(random.next() % 14) as usize];
            out.extend((text.len() as u32).to_be_bytes());
            out.extend(text);
            let padding = if random.next().is_multiple_of(4) { 0xff } else { 0 };
            out.resize(out.len().next_multiple_of(4), padding);
        } else {
            out.extend(WORDS[random.next() as usize % WORDS.len()].to_be_bytes());
        }
    }
    if random.next().is_multiple_of(4) {
        out.truncate(random.next() as usize % (out.len() + 1));
    }
    out
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn arguments_are_readable_to_both_or_to_none() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let mut random = Random::new(1);
    let mut differences = Differences::default();
    let mut malformed = 0;
    for procedure in Procedure::ALL {
        if procedure.is_login() || matches!(procedure, Procedure::ConnectOpen | Procedure::ConnectClose) {
            continue;
        }
        // Read-only, so that no call that is understood changes anything.
        let mut wires = Wires::open(&daemon, 1)?;
        for _ in 0..200 {
            let payload = arguments(&mut random);
            let answer = wires.send(&Header::call(procedure.number(), wires.serial), &payload)?;
            let readable = Call::decode(*procedure, &payload).is_ok();
            malformed += u32::from(!readable);
            let refused = answer.is(&Fault::undecodable());
            let situation = payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            differences.check(&situation, procedure.number(), refused != readable, &answer);
        }
    }
    assert!(malformed > 1000 && differences.checked > 2 * malformed as usize, "{malformed} malformed");
    differences.assert_none();
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_conversation_with_the_real_daemon_is_understood_by_both() -> Result<(), Failure> {
    let Some((_dir, daemon)) = daemon()? else { return Ok(()) };
    let mut wires = Wires::open(&daemon, 0)?;
    let asked = |feature| Call::ConnectSupportsFeature(FeatureQuestion { feature });
    for (feature, expected) in
        [(Feature::Keepalive, 1), (Feature::CloseCallback, 1), (Feature::Unknown(99), 0)]
    {
        let answer = wires.call(&asked(feature))?;
        let reply = answer.packet().reply::<calls::ConnectSupportsFeature>()?;
        assert_eq!(reply.map(|reply| reply.number), Ok(expected), "{feature:?}");
    }
    let parameters = [
        ("user-name", TypedValue::String(Str::new("somebody")?)),
        ("unix-user-id", TypedValue::ULLong(1000)),
        ("process-id", TypedValue::LLong(1)),
    ];
    let parameter = |(field, value)| Ok::<_, Failure>(TypedParameter { field: Str::new(field)?, value });
    let parameters = parameters.into_iter().map(parameter).collect::<Result<_, _>>()?;
    let identity = Identity { parameters: Array::new(parameters)?, flags: 0 };
    assert_eq!(wires.call(&Call::ConnectSetIdentity(identity))?.status, Status::Ok);

    let listed =
        wires.call(&Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 }))?;
    let devices =
        listed.packet().reply::<calls::ConnectListAllNodeDevices>()?.map_err(|error| format!("{error:?}"))?;
    let mut names: Vec<_> = devices.devices.iter().map(|name| name.to_string()).collect();
    names.sort();
    assert_eq!(names.join("\n"), daemon.virsh(&["nodedev-list"])?.trim_end());
    assert_eq!(devices.count as usize, names.len());
    assert!(names.len() > 40);

    // All at once, as a client that is far away asks; answers come in any order.
    let mut out = Vec::new();
    let first = wires.serial;
    for name in &devices.devices {
        let call = Call::NodeDeviceGetXmlDesc(DeviceFlags { name: *name, flags: 0 });
        call.encode(wires.serial, &mut out)?;
        wires.serial += 1;
    }
    wires.socket.write_all(&out)?;
    for _ in 0..devices.devices.len() {
        let answer = wires.receive()?;
        let name = devices.devices[(answer.serial - first) as usize];
        let xml =
            answer.packet().reply::<calls::NodeDeviceGetXmlDesc>()?.map_err(|error| format!("{error:?}"))?;
        assert!(xml.text.to_str()?.contains(&format!("<name>{name}</name>")), "{name}: {xml:?}");
    }

    let answer = wires.call(&Call::NodeDeviceGetParent(Device { name: Str::new("computer")? }))?;
    assert_eq!(answer.packet().reply::<calls::NodeDeviceGetParent>()?.map(|parent| parent.text), Ok(None));
    // What was read is written as it came.
    for answer in [&listed, &answer] {
        let packet = answer.packet();
        let procedure = Procedure::from_number(packet.header.procedure).ok_or("served")?;
        let mut out = Vec::new();
        Reply::decode(procedure, packet.payload)?.encode(answer.serial, &mut out)?;
        assert!(out == answer.message, "{procedure:?}");
    }

    let mut ping = Vec::new();
    Keepalive::Ping.encode(&mut ping);
    wires.socket.write_all(&ping)?;
    let closed = wires.call(&Call::ConnectClose(Void))?;
    assert_eq!(closed.status, Status::Ok);
    assert!(wires.receive().is_err(), "the daemon closes the socket after CONNECT_CLOSE");
    Ok(())
}
