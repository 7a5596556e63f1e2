//! A daemon that speaks program NODEDEV, and breaks it.

use nodedev_driver::{
    Changes as _, Error, ErrorCode, ErrorDomain, LibvirtCalls as _, Next, Result, Snapshot, View,
};
use nodedev_rpc::bounds::MESSAGE_MIN;
use nodedev_rpc::{
    Array, Header, MessageType, NativeChange, NativeEntry, NativeEvent, NativeMissed, NativeProcedure,
    NativeReply, NativeSnapshot, Status, Str, WatchBegun, program,
};

use crate::random::Random;
use crate::server::{PATIENCE, Peer, Received, Server};

const REVISION: &str = "0000000000000001-5";

fn text(text: &str) -> Str<'_> {
    Str::truncated(text)
}

fn entry(name: &str) -> NativeEntry<'_> {
    NativeEntry {
        name: text(name),
        parent: Some(text("computer")),
        kind: text("net"),
        in_libvirt: true,
        active: true,
        persistent: false,
        autostart: false,
    }
}

fn snapshot(entries: Vec<NativeEntry<'_>>, revision: &str) -> Vec<u8> {
    let entries = Array::new(entries).expect("few");
    let reply = NativeReply::Snapshot(NativeSnapshot { revision: Str::truncated(revision), entries });
    payload(|out| reply.encode(0, out).expect("short"))
}

fn begun(callback: i32, revision: &str) -> Vec<u8> {
    let reply = NativeReply::Watch(WatchBegun { callback, revision: Str::truncated(revision) });
    payload(|out| reply.encode(0, out).expect("short"))
}

fn change<'a>(callback: i32, revision: &'a str, name: &'a str) -> NativeChange<'a> {
    NativeChange {
        callback,
        revision: text(revision),
        name: text(name),
        change: text("created"),
        former: None,
        kernel_driver: None,
        libvirt: 0,
        entry: Some(entry(name)),
    }
}

fn event(event: &NativeEvent<'_>) -> Vec<u8> {
    payload(|out| event.encode(out).expect("short"))
}

/// What is behind a message's header.
fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out.split_off(MESSAGE_MIN)
}

/// A message of any content.
fn message(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    nodedev_rpc::encode_message(&mut out, header, &nodedev_rpc::Void).expect("short");
    out.extend_from_slice(payload);
    let length = u32::try_from(out.len()).expect("short");
    out.splice(..4, length.to_be_bytes());
    out
}

fn answer(call: &Received, payload: &[u8]) -> Vec<u8> {
    message(&call.header.reply(Status::Ok), payload)
}

fn told(number: i32, payload: &[u8]) -> Vec<u8> {
    let header = Header { program: program::NODEDEV, kind: MessageType::Message, ..Header::call(number, 1) };
    message(&header, payload)
}

/// Asks for a snapshot once for each of these answers, and afterwards for something else: the connection goes on.
fn snapshots(answers: Vec<Vec<u8>>) -> Vec<Result<Snapshot>> {
    let count = answers.len();
    let server = Server::start(|mut peer: Peer| {
        peer.welcome();
        for payload in answers {
            let call = peer.expect_native(NativeProcedure::Snapshot).expect("a call");
            peer.send(&answer(&call, &payload));
        }
        peer.expect_native(NativeProcedure::Snapshot);
    });
    let driver = server.open().expect("open");
    let results = (0..count).map(|_| driver.snapshot(View::Native)).collect();
    assert_eq!(driver.is_active("x"), Ok(true), "the connection goes on");
    drop(driver);
    server.join();
    results
}

fn is_nonsense(error: &Error) -> bool {
    (error.code(), error.domain()) == (ErrorCode::RPC, ErrorDomain::RPC)
        && error.message().starts_with("the daemon's answer makes no sense: ")
}

#[test]
fn snapshots_that_cannot_be_read_fail_their_call_alone() {
    let whole = snapshot(vec![entry("net_a"), entry("net_b")], REVISION);
    let mut answers: Vec<(String, Vec<u8>)> =
        (0..whole.len()).map(|at| (format!("cut off at {at}"), whole[..at].to_vec())).collect();
    // The count comes behind the revision: a length, and the text filled up to four bytes.
    let with_count = |count: u32| {
        let mut bytes = whole.clone();
        let at = 4 + REVISION.len().next_multiple_of(4);
        bytes.splice(at..at + 4, count.to_be_bytes());
        bytes
    };
    for count in [3, 70_000, 1 << 20, 1 << 31, u32::MAX] {
        answers.push((format!("{count} entries said to be there"), with_count(count)));
    }
    let mut long_text = whole.clone();
    long_text.splice(..4, u32::MAX.to_be_bytes());
    answers.push(("a text of 4 GiB".into(), long_text));
    for (what, name, revision) in [
        ("no name", "", REVISION),
        ("no revision", "net_a", ""),
        ("another kind of revision", "net_a", "x-y"),
        ("an immense revision", "net_a", "99999999999999999999999-1"),
    ] {
        answers.push((what.into(), snapshot(vec![entry(name)], revision)));
    }
    let mut no_text = entry("net_a");
    no_text.name = Str::new(b"net_\xff").expect("short");
    answers.push(("a name that is no text".into(), snapshot(vec![no_text], REVISION)));
    let (names, payloads): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    for (what, result) in names.iter().zip(snapshots(payloads)) {
        let error = result.expect_err(what);
        assert!(is_nonsense(&error), "{what}: {error}");
    }
    // The same, whole, twice, and not in order.
    let twice = snapshot(vec![entry("net_b"), entry("net_a"), entry("net_b")], REVISION);
    for result in snapshots(vec![whole, twice]) {
        let found = result.expect("a snapshot");
        let names: Vec<&str> = found.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            (names.as_slice(), found.revision.to_string().as_str()),
            (&["net_a", "net_b"][..], REVISION)
        );
    }
}

#[test]
fn replies_that_belong_to_nothing_end_the_connection() {
    type Answer = fn(&Received) -> Vec<u8>;
    let cases: [(&str, Answer); 6] = [
        ("another serial number", |call| {
            let header = call.header.reply(Status::Ok);
            message(&Header { serial: header.serial + 7, ..header }, &snapshot(Vec::new(), REVISION))
        }),
        ("another procedure of the program", |call| {
            let header = Header { procedure: 2, ..call.header.reply(Status::Ok) };
            message(&header, &begun(1, REVISION))
        }),
        ("a procedure that is not there", |call| {
            message(&Header { procedure: 99, ..call.header.reply(Status::Ok) }, &[])
        }),
        ("libvirt's procedure of the same number", |call| {
            message(&Header { program: program::REMOTE, ..call.header.reply(Status::Ok) }, &[])
        }),
        ("another version", |call| message(&Header { version: 9, ..call.header.reply(Status::Ok) }, &[])),
        ("a broken change", |_| told(4, &[0, 0, 0, 1])),
    ];
    for (what, bytes) in cases {
        let server = Server::start(move |mut peer| {
            peer.welcome();
            let call = peer.expect_native(NativeProcedure::Snapshot).expect("a call");
            peer.send(&bytes(&call));
            while peer.receive_any().is_some() {}
        });
        let driver = server.open().expect("open");
        let error = driver.snapshot(View::Native).expect_err(what);
        assert_eq!((error.code(), error.domain()), (ErrorCode::RPC, ErrorDomain::RPC), "{what}: {error}");
        assert_eq!(driver.is_active("x"), Err(error), "{what}: later calls fail at once");
        drop(driver);
        server.join();
    }
}

#[test]
fn a_status_of_no_reply_and_a_broken_error_fail_their_call() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        for (status, payload) in
            [(Status::Continue, vec![]), (Status::Error, vec![0; 3]), (Status::Error, vec![0xff; 64])]
        {
            let call = peer.expect_native(NativeProcedure::Snapshot).expect("a call");
            peer.send(&message(&call.header.reply(status), &payload));
        }
        peer.expect_native(NativeProcedure::Snapshot);
    });
    let driver = server.open().expect("open");
    for what in ["a status of no reply", "an error cut off", "an error with wrong lengths"] {
        let error = driver.snapshot(View::Native).expect_err(what);
        assert!(is_nonsense(&error), "{what}: {error}");
    }
    assert_eq!(driver.is_active("x"), Ok(true));
    drop(driver);
    server.join();
}

/// Begins a watch with this reply, then sends these messages; returns how the watch goes.
fn watched(begun: Vec<u8>, messages: Vec<Vec<u8>>) -> (Result<()>, Vec<Next>) {
    let server = Server::start(move |mut peer| {
        peer.welcome();
        let call = peer.expect_native(NativeProcedure::Watch).expect("a call");
        peer.send(&answer(&call, &begun));
        for message in messages {
            peer.send(&message);
        }
        // Until the client has had enough, which it says or shows.
        while let Some(received) = peer.receive_any() {
            if received.header.program == program::REMOTE {
                break;
            }
        }
    });
    let driver = server.open().expect("open");
    let mut seen = Vec::new();
    let result = driver.watch(None).map(|mut watch| {
        // The last message that is sent ends the connection.
        loop {
            let next = watch.next(Some(PATIENCE));
            let is_last = matches!(next, Next::Ended(_) | Next::TimedOut);
            seen.push(next);
            if is_last {
                break;
            }
        }
    });
    drop(driver);
    server.join();
    (result, seen)
}

#[test]
fn a_watch_that_cannot_be_read_ends_the_connection() {
    for (what, reply) in [
        ("nothing", Vec::new()),
        ("no revision", begun(1, REVISION)[..4].to_vec()),
        ("a revision of nothing", begun(1, "")),
        ("a revision of letters", begun(1, "x-y")),
    ] {
        let (result, _) = watched(reply, Vec::new());
        let error = result.expect_err(what);
        assert!(is_nonsense(&error), "{what}: {error}");
    }
}

#[test]
fn changes_that_make_no_sense_end_the_watch_with_an_error_after_those_that_did() {
    let good = |revision: &str| told(4, &event(&NativeEvent::Change(change(1, revision, "net_a"))));
    let broken = |change: NativeChange<'_>| told(4, &event(&NativeEvent::Change(change)));
    let cases = [
        ("cut off", told(4, &event(&NativeEvent::Change(change(1, "1-7", "net_a")))[..20])),
        ("of a name that is none", broken(NativeChange { name: text(""), ..change(1, "1-7", "net_a") })),
        (
            "of an entry that is none",
            broken(NativeChange { entry: Some(entry("")), ..change(1, "1-7", "a") }),
        ),
        (
            "of a former name that is none",
            broken(NativeChange { former: Some(text("")), ..change(1, "1-7", "a") }),
        ),
        ("of no revision", broken(change(1, "", "net_a"))),
        ("that comes again", good("1-6")),
        ("of before", good("1-2")),
        ("of another history", good("2-7")),
        (
            "missed, of no revision",
            told(5, &event(&NativeEvent::Missed(NativeMissed { callback: 1, revision: text("x") }))),
        ),
        (
            "missed, of before",
            told(5, &event(&NativeEvent::Missed(NativeMissed { callback: 1, revision: text("1-1") }))),
        ),
    ];
    for (what, bytes) in cases {
        // Messages that are for nobody, or of a later version, mean nothing.
        let others = [told(4, &event(&NativeEvent::Change(change(77, "1-9", "net_a")))), told(77, b"later")];
        let messages = others.into_iter().chain([good("1-6"), bytes]).collect();
        let (result, seen) = watched(begun(1, REVISION), messages);
        assert_eq!(result, Ok(()), "{what}");
        let [Next::Event(first), Next::Ended(Some(error))] = seen.as_slice() else {
            panic!("{what}: {seen:?}")
        };
        assert_eq!((first.name.as_str(), first.revision.number), ("net_a", 6), "{what}");
        assert!(is_nonsense(error), "{what}: {error}");
    }
}

#[test]
fn a_number_that_another_watch_has_ends_the_connection() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        for _ in 0..2 {
            let call = peer.expect_native(NativeProcedure::Watch).expect("a call");
            peer.send(&answer(&call, &begun(1, REVISION)));
        }
        while peer.receive_any().is_some() {}
    });
    let driver = server.open().expect("open");
    let mut first = driver.watch(None).expect("a watch");
    let error = driver.watch(None).map(drop).expect_err("the same number");
    assert!(is_nonsense(&error), "{error}");
    // Its changes could be either's.
    assert_eq!(first.next(Some(PATIENCE)), Next::Ended(Some(error)));
    drop(driver);
    server.join();
}

#[test]
fn wrong_bytes_anywhere_in_program_nodedev_are_errors_and_never_a_panic() {
    let mut failures = 0;
    for seed in 1..300_u64 {
        let server = Server::start(move |mut peer| {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            peer.welcome();
            peer.socket.set_read_timeout(Some(std::time::Duration::from_millis(20))).expect("a timeout");
            while let Some(call) = peer.receive_any() {
                let mut bytes = match call.header.procedure {
                    1 if call.header.program == program::NODEDEV => {
                        answer(&call, &snapshot(vec![entry("net_a"), entry("net_b")], REVISION))
                    }
                    2 if call.header.program == program::NODEDEV => {
                        let change = event(&NativeEvent::Change(change(1, "1-6", "net_a")));
                        [answer(&call, &begun(1, REVISION)), told(4, &change)].concat()
                    }
                    _ => break,
                };
                random.corrupt(&mut bytes);
                peer.send(&bytes);
            }
        });
        let driver = server.open().expect("open");
        for _ in 0..2 {
            failures += u32::from(driver.snapshot(View::Native).is_err());
        }
        match driver.watch(None) {
            Ok(mut watch) => failures += u32::from(!matches!(watch.next(Some(PATIENCE)), Next::Event(_))),
            Err(_) => failures += 1,
        }
        drop(driver);
        server.join();
    }
    assert!(failures > 200, "{failures} calls failed");
}
