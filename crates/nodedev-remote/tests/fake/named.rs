//! Calls by name to a daemon that is older, and to one that answers nonsense.

use std::ops::ControlFlow;

use nodedev_driver::{
    Changes as _, Devices as _, Error, ErrorCode, ErrorDomain, ExplainOptions, LibvirtCalls as _,
    Operations as _, Result, View,
};
use nodedev_model::{DeviceName, Issue};
use nodedev_rpc::{Fault, NamedAnswer, NativeProcedure, NativeReply, Opaque};

use crate::server::{Peer, Received, Server};

fn answer(peer: &mut Peer, call: &Received, json: &str) {
    let json = Opaque::new(json.as_bytes()).expect("short");
    let mut out = Vec::new();
    NativeReply::Named(NamedAnswer { json }).encode(call.header.serial, &mut out).expect("short");
    peer.send(&out);
}

/// Asks something of a daemon that gives these answers, and afterwards something else: the connection goes on.
fn asked<T>(answers: &'static [&'static str], ask: impl FnOnce(&nodedev_remote::RemoteDriver) -> T) -> T {
    let server = Server::start(move |mut peer: Peer| {
        peer.welcome();
        for json in answers {
            let call = peer.expect_native(NativeProcedure::Named).expect("a call");
            answer(&mut peer, &call, json);
        }
        peer.expect_native(NativeProcedure::Named);
    });
    let driver = server.open().expect("open");
    let result = ask(&driver);
    assert_eq!(driver.is_active("x"), Ok(true), "the connection goes on");
    drop(driver);
    server.join();
    result
}

fn is_nonsense(error: &Error) -> bool {
    (error.code(), error.domain()) == (ErrorCode::RPC, ErrorDomain::RPC)
        && error.message().starts_with("the daemon's answer makes no sense: ")
}

fn visited(driver: &nodedev_remote::RemoteDriver) -> (Vec<DeviceName>, Result<Vec<Issue>>) {
    let mut names = Vec::new();
    let issues = driver.visit(View::Native, &mut |device| {
        names.push(device.name.clone());
        ControlFlow::Continue(())
    });
    (names, issues)
}

macro_rules! device {
    ($name:literal) => {
        concat!(
            r#"{"name":""#,
            $name,
            r#"","view":"native","active":true,"persistent":false,"autostart":false,"capabilities":[]}"#
        )
    };
}

#[test]
fn a_daemon_that_is_older_than_the_calls_says_so_and_its_other_calls_go_on() {
    let server = Server::start(|mut peer: Peer| {
        peer.welcome();
        for _ in 0..2 {
            let call = peer.expect_native(NativeProcedure::Named).expect("a call");
            peer.refuse(&call, &Fault::unknown_procedure(call.header.procedure).object());
        }
        peer.expect_native(NativeProcedure::Named);
    });
    let driver = server.open().expect("open");
    assert_eq!(driver.has_values(), Ok(false));
    let error = driver.handovers().expect_err("too old");
    assert_eq!(error.code(), ErrorCode::NO_SUPPORT);
    assert_eq!(error.help(), Some("the daemon is older than this call; update it"));
    assert_eq!(driver.is_active("x"), Ok(true));
    drop(driver);
    server.join();
}

#[test]
fn of_a_daemon_of_libvirts_there_are_no_such_calls() {
    let server = Server::start(|mut peer: Peer| {
        peer.welcome();
        while peer.receive().is_some() {}
    });
    let driver = server.open().expect("open");
    assert_eq!(driver.has_values(), Ok(false));
    assert_eq!(driver.handovers(), Err(Error::no_native_call()));
    assert_eq!(driver.snapshot(View::Native).expect_err("no such program").code(), ErrorCode::NO_SUPPORT);
    drop(driver);
    server.join();
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for answers in [&[""][..], &["[]"], &["{"], &[r#"{"devices":[{}]}"#], &[r#"{"devices":7}"#], &["\u{0}"]] {
        let (names, issues) = asked(answers, visited);
        assert!(names.is_empty() && is_nonsense(&issues.expect_err("nonsense")), "{answers:?}");
    }
    for json in [r#"{"answers":[]}"#, r#"{"answers":[{"maybe":1}]}"#] {
        let answers: &'static [&'static str] = Box::leak(Box::new([json]));
        let explained = asked(answers, |driver| driver.explain("a", &ExplainOptions::default()));
        assert!(is_nonsense(&explained.expect_err("no answer")), "{json}");
    }
}

#[test]
fn pages_that_lead_nowhere_end_the_visit() {
    let (names, issues) = asked(&[r#"{"devices":[],"more":true}"#], visited);
    assert!(names.is_empty() && is_nonsense(&issues.expect_err("no end")));
    let first = concat!(r#"{"devices":["#, device!("b"), r#"],"more":true}"#);
    let back = concat!(r#"{"devices":["#, device!("a"), r#"],"more":true}"#);
    let same: &'static [&'static str] = Box::leak(Box::new([first, first]));
    let pages: &'static [&'static str] = Box::leak(Box::new([first, back]));
    for pages in [same, pages] {
        let (names, issues) = asked(pages, visited);
        assert_eq!(names.len(), 2);
        assert!(is_nonsense(&issues.expect_err("a page that goes back")));
    }
    let last = concat!(r#"{"devices":["#, device!("c"), r#"],"issues":[],"later":1}"#);
    let pages: &'static [&'static str] = Box::leak(Box::new([first, last]));
    let (names, issues) = asked(pages, visited);
    assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(issues, Ok(Vec::new()));
}
