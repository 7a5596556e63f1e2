use std::time::Duration;

use nodedev_driver::{Changes as _, LibvirtCalls as _, Next};
use nodedev_remote::{Options, Pings};
use nodedev_rpc::{AuthType, Call, Feature, FeatureQuestion, Keepalive, Number, Procedure, Reply, Void};

use crate::server::{Peer, Server};

/// Quick, but not so quick that a busy machine looks like a daemon that is gone.
const QUICK: Pings = Pings { interval: Duration::from_millis(250), count: 2 };

fn send(peer: &mut Peer, message: Keepalive) {
    let mut out = Vec::new();
    message.encode(&mut out);
    peer.send(&out);
}

/// Answers the calls that open a connection of a client with pings; pings among them stay without an answer.
fn welcome(peer: &mut Peer) {
    peer.offer(AuthType::None);
    loop {
        let received = peer.receive().expect("a message");
        if received.is_ping() {
            continue;
        }
        match received.call() {
            Call::ConnectSupportsFeature(FeatureQuestion { feature: Feature::Keepalive }) => {
                peer.reply(&received, &Reply::ConnectSupportsFeature(Number { number: 1 }));
            }
            Call::ConnectOpen(_) => return peer.reply(&received, &Reply::ConnectOpen(Void)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_ping_of_the_daemon_is_answered_also_without_pings_of_our_own() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let call = peer.expect(Procedure::NodeDeviceIsActive);
        for _ in 0..3 {
            send(&mut peer, Keepalive::Ping);
            assert!(peer.receive().expect("a message").is_pong());
        }
        peer.reply(&call, &Reply::NodeDeviceIsActive(Number { number: 1 }));
    });
    let driver = server.open().expect("open");
    assert_eq!(driver.is_active("x"), Ok(true));
    drop(driver);
    server.join();
}

#[test]
fn a_daemon_that_answers_no_ping_is_given_up() {
    let server = Server::start(|mut peer| {
        welcome(&mut peer);
        let mut pings = 0;
        while let Some(received) = peer.receive() {
            pings += u32::from(received.is_ping());
            if !received.is_ping() && matches!(received.call(), Call::ConnectNodeDeviceEventRegisterAny(_)) {
                let callback = nodedev_rpc::Callback { callback: 0 };
                peer.reply(&received, &Reply::ConnectNodeDeviceEventRegisterAny(callback));
                pings = 0;
            }
        }
        assert_eq!(pings, QUICK.count);
    });
    let driver = server.open_with(&Options { pings: Some(QUICK), ..Options::default() }).expect("open");
    let mut watch = driver.watch(None).expect("watch");
    let error = driver.is_active("x").expect_err("no answer");
    assert_eq!(error.message(), "internal error: connection closed due to keepalive timeout");
    assert_eq!(watch.next(None), Next::Ended(Some(error)));
    server.join();
}

#[test]
fn a_slow_daemon_that_answers_pings_is_waited_for() {
    let server = Server::start(|mut peer| {
        welcome(&mut peer);
        let call = peer.expect(Procedure::NodeDeviceIsActive);
        // Longer than it takes to be given up.
        for _ in 0..3 * QUICK.count {
            while !peer.receive().expect("a message").is_ping() {}
            send(&mut peer, Keepalive::Pong);
        }
        peer.reply(&call, &Reply::NodeDeviceIsActive(Number { number: 1 }));
    });
    let driver = server.open_with(&Options { pings: Some(QUICK), ..Options::default() }).expect("open");
    assert_eq!(driver.is_active("x"), Ok(true));
    drop(driver);
    server.join();
}
