//! A daemon that breaks the protocol, or fails.

use nodedev_driver::{Changes as _, Error, ErrorCode, ErrorDomain, LibvirtCalls as _, ListFlags, Next};
use nodedev_model::DeviceName;
use nodedev_remote::RemoteDriver;
use nodedev_rpc::{
    AllDevices, Array, ErrorObject, Fault, Header, Number, OptionalText, Procedure, Reply, Status, Str, Void,
    encode_message,
};

use crate::server::{Peer, Received, Server};

/// The error that a call about a parent gets from a daemon that answers so.
fn error_of(answer: impl FnOnce(&mut Peer, &Received) + Send + 'static) -> (RemoteDriver, Error) {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let call = peer.expect(Procedure::NodeDeviceGetParent);
        answer(&mut peer, &call);
        // Until the client goes.
        while peer.receive().is_some() {}
    });
    let driver = server.open().expect("open");
    let error = driver.parent("x").expect_err("a broken daemon");
    (driver, error)
}

fn no_parent(serial: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let reply = Reply::NodeDeviceGetParent(OptionalText { text: None });
    reply.encode(serial, &mut out).expect("short");
    out
}

#[test]
fn what_makes_no_sense_ends_the_connection_with_an_error() {
    type Bytes = Box<dyn FnOnce(u32) -> Vec<u8> + Send>;
    let of_length = |length: u32| -> Bytes { Box::new(move |_| length.to_be_bytes().to_vec()) };
    let cases: Vec<(&str, Bytes)> = vec![
        ("another serial number", Box::new(|serial| no_parent(serial + 1))),
        ("the answer to an earlier call", Box::new(|_| no_parent(0))),
        ("an answer twice", Box::new(|serial| [no_parent(serial - 1), no_parent(serial)].concat())),
        (
            "another procedure",
            Box::new(|serial| {
                let mut out = Vec::new();
                let reply = Reply::NodeDeviceIsActive(Number { number: 1 });
                reply.encode(serial, &mut out).expect("short");
                out
            }),
        ),
        ("a length of nothing", of_length(0)),
        ("a length that is too short", of_length(27)),
        ("a length that is too long", of_length(33_554_437)),
        ("an immense length", of_length(u32::MAX)),
        ("a page of the web", Box::new(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())),
        (
            "a broken event",
            Box::new(|_| {
                let mut out = Vec::new();
                let header = Header { kind: nodedev_rpc::MessageType::Message, ..Header::call(376, 1) };
                encode_message(&mut out, &header, &1_u32).expect("short");
                out
            }),
        ),
    ];
    for (situation, bytes) in cases {
        let (driver, error) = error_of(move |peer, call| {
            let bytes = bytes(call.header.serial);
            peer.send(&bytes);
        });
        assert_eq!(
            (error.code(), error.domain()),
            (ErrorCode::RPC, ErrorDomain::RPC),
            "{situation}: {error}"
        );
        assert!(error.message().starts_with("the daemon's answer makes no sense: "), "{situation}: {error}");
        assert_eq!(driver.is_active("x"), Err(error), "{situation}: later calls fail at once");
    }
}

#[test]
fn an_answer_that_cannot_be_read_fails_its_call_alone() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let call = peer.expect(Procedure::ConnectListAllNodeDevices);
        let mut out = Vec::new();
        // A list of more names than the protocol allows, and of more than are there.
        encode_message(&mut out, &call.header.reply(Status::Ok), &70_000_u32).expect("short");
        peer.send(&out);
        let call = peer.expect(Procedure::ConnectListAllNodeDevices);
        let devices = Array::new(vec![Str::default()]).expect("one");
        peer.reply(&call, &Reply::ConnectListAllNodeDevices(AllDevices { devices, count: 1 }));
        let call = peer.expect(Procedure::ConnectListAllNodeDevices);
        let devices = Array::new(vec![Str::new(b"\xff").expect("short")]).expect("one");
        peer.reply(&call, &Reply::ConnectListAllNodeDevices(AllDevices { devices, count: 1 }));
        let call = peer.expect(Procedure::NodeDeviceIsActive);
        out.clear();
        encode_message(&mut out, &call.header.reply(Status::Continue), &1_u32).expect("short");
        peer.send(&out);
        peer.answer_numbers();
    });
    let driver = server.open().expect("open");
    for (situation, error) in [
        ("a long list", driver.list(ListFlags::empty()).expect_err("error")),
        ("an empty name", driver.list(ListFlags::empty()).expect_err("error")),
        ("a name that is no text", driver.list_names(ListFlags::empty()).expect_err("error")),
        ("a status of no reply", driver.is_active("x").expect_err("error")),
    ] {
        assert_eq!(error.code(), ErrorCode::RPC, "{situation}: {error}");
    }
    assert_eq!(driver.is_active("x"), Ok(true), "the connection goes on");
    drop(driver);
    server.join();
}

#[test]
fn errors_of_the_daemon_arrive_as_they_were_sent() {
    let (_driver, error) = error_of(|peer, call| {
        let text = |text| Some(Str::new(text).expect("short"));
        let object = ErrorObject {
            code: 9999,
            domain: 8888,
            message: text("100% \u{e4}"),
            level: 1,
            guest: None,
            str1: text("template %1$s"),
            str2: None,
            str3: text("third"),
            int1: 5,
            int2: -7,
            network: None,
        };
        peer.refuse(call, &object);
    });
    let want = Error::raw(ErrorDomain(8888), ErrorCode(9999), "100% \u{e4}")
        .with_level(nodedev_driver::ErrorLevel::Warning)
        .with_strings([Some("template %1$s".into()), None, Some("third".into())])
        .with_ints([5, -7]);
    assert_eq!(error, want);
}

#[test]
fn a_procedure_that_the_daemon_lacks_is_not_supported() {
    let (driver, error) = error_of(|peer, call| {
        let fault = Fault::unknown_procedure(115);
        peer.refuse(call, &fault.object());
        let call = peer.expect(Procedure::NodeDeviceIsActive);
        peer.reply(&call, &Reply::NodeDeviceIsActive(Number { number: 0 }));
    });
    assert_eq!((error.code(), error.domain()), (ErrorCode::NO_SUPPORT, ErrorDomain::RPC));
    assert_eq!(error.message(), "unknown procedure: 115");
    assert_eq!(driver.is_active("x"), Ok(false), "the connection goes on");
}

#[test]
fn all_who_wait_are_told_when_the_connection_is_lost() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        peer.register(2);
        for _ in 0..4 {
            peer.expect(Procedure::NodeDeviceIsActive);
        }
        // In the middle of a message.
        peer.send(&[0, 0, 1]);
    });
    let driver = server.open().expect("open");
    let mut watch = driver.watch(None).expect("watch");
    let errors: Vec<Error> = std::thread::scope(|scope| {
        let calls: Vec<_> =
            (0..4).map(|_| scope.spawn(|| driver.is_active("x").expect_err("lost"))).collect();
        calls.into_iter().map(|call| call.join().expect("no panic")).collect()
    });
    server.join();
    for error in &errors {
        assert_eq!(error.message(), "End of file while reading data: Input/output error");
        assert_eq!((error.code(), error.ints()), (ErrorCode::SYSTEM_ERROR, [5, -1]));
    }
    assert_eq!(watch.next(None), Next::Ended(Some(errors[0].clone())));
    assert_eq!(
        driver.watch(None).map(|mut watch| watch.next(None)),
        Ok(Next::Ended(Some(errors[0].clone())))
    );
}

#[test]
fn an_argument_that_would_be_cut_is_refused_here() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let close = peer.expect(Procedure::ConnectClose);
        peer.reply(&close, &Reply::ConnectClose(Void));
    });
    let driver = server.open().expect("open");
    assert_eq!(driver.destroy("pci_a\0b").expect_err("no such device").code(), ErrorCode::NO_NODE_DEVICE);
    let long = "x".repeat(5 << 20);
    assert_eq!(driver.is_active(&long).expect_err("too long").message(), "Unable to encode message payload");
    drop(driver);
    server.join();
}

/// An answer with as much behind it as a message may have, which means nothing.
fn filled(serial: u32) -> Vec<u8> {
    const FILLED: usize = 32 << 20;
    let mut out = no_parent(serial);
    out.resize(FILLED, 0);
    let length = u32::try_from(FILLED).expect("short");
    out.splice(..4, length.to_be_bytes());
    out
}

/// Asks for the parents of so many devices, which ends the connection.
fn too_much_is_answered(server: Server, devices: usize) {
    let names: Vec<DeviceName> =
        (0..devices).map(|number| format!("pci_{number}").parse().expect("a name")).collect();
    let driver = server.open().expect("open");
    let error = driver.parents(&names).expect_err("too much");
    assert!(error.message().ends_with("more than 64 MiB of answers at once"), "{error}");
    drop(driver);
    server.join();
}

#[test]
fn an_answer_that_is_too_much_ends_the_connection_though_no_other_is_waited_for() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let calls: Vec<_> = (0..3).map(|_| peer.expect(Procedure::NodeDeviceGetParent)).collect();
        // The first comes last: until then the others are kept.
        for call in calls.iter().rev() {
            peer.send(&filled(call.header.serial));
        }
    });
    too_much_is_answered(server, 3);
}

#[test]
fn answers_that_pile_up_end_the_connection() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        // The first call is never answered, so that the answers to the others wait.
        peer.expect(Procedure::NodeDeviceGetParent);
        while let Some(call) = peer.receive() {
            peer.send(&filled(call.header.serial));
        }
    });
    too_much_is_answered(server, 20);
}
