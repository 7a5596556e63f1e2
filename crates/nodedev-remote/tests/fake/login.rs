use nodedev_driver::{ErrorCode, ErrorDomain};
use nodedev_remote::Options;
use nodedev_rpc::{AuthType, Call, ErrorObject, Number, Open, Procedure, Reply, Str, Void};

use crate::server::{Peer, Server};

fn until_the_client_goes(mut peer: Peer) {
    while peer.receive().is_some() {}
}

#[test]
fn what_is_opened_is_the_uri_without_its_transport() {
    for (read_only, flags) in [(false, 0), (true, 1)] {
        let server = Server::start_with("&foo=a%2fb&mode=direct", move |mut peer| {
            peer.offer(AuthType::None);
            let received = peer.expect(Procedure::ConnectOpen);
            let name = Some(Str::new("nodedev:///system?foo=a%2Fb").expect("short"));
            assert_eq!(received.call(), Call::ConnectOpen(Open { name, flags }));
            peer.reply(&received, &Reply::ConnectOpen(Void));
            until_the_client_goes(peer);
        });
        server.open_with(&Options { read_only, pings: None }).expect("open");
        server.join();
    }
}

#[test]
fn polkit_decides_where_the_daemon_says_so() {
    let server = Server::start(|mut peer| {
        peer.offer(AuthType::Polkit);
        let asked = peer.expect(Procedure::AuthPolkit);
        peer.reply(&asked, &Reply::AuthPolkit(Number { number: 1 }));
        let open = peer.expect(Procedure::ConnectOpen);
        peer.reply(&open, &Reply::ConnectOpen(Void));
        until_the_client_goes(peer);
    });
    server.open().expect("open");
    server.join();
}

#[test]
fn the_no_of_polkit_comes_with_what_to_do() {
    const MESSAGE: &str = "authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'";
    let server = Server::start(|mut peer| {
        peer.offer(AuthType::Polkit);
        let asked = peer.expect(Procedure::AuthPolkit);
        let object = ErrorObject {
            code: 94,
            domain: 60,
            message: Some(Str::new(MESSAGE).expect("short")),
            level: 2,
            guest: None,
            str1: None,
            str2: None,
            str3: None,
            int1: -1,
            int2: -1,
            network: None,
        };
        peer.refuse(&asked, &object);
        until_the_client_goes(peer);
    });
    let error = server.open().expect_err("refused");
    assert_eq!((error.code(), error.domain(), error.message()), (ErrorCode(94), ErrorDomain(60), MESSAGE));
    assert!(error.help().is_some_and(|help| help.contains("pkttyagent")), "{error:?}");
    server.join();
}

#[test]
fn logins_that_are_not_there_are_refused_with_a_way_out() {
    for (parameters, offered, message) in [
        (
            "",
            AuthType::Sasl,
            "authentication failed: the daemon asks for a SASL login, which nodedev does not support",
        ),
        (
            "&auth=sasl",
            AuthType::Sasl,
            "authentication failed: the daemon asks for a SASL login, which nodedev does not support",
        ),
        ("", AuthType::Unknown(7), "authentication failed: unsupported authentication type 7"),
        (
            "&auth=polkit",
            AuthType::None,
            "authentication failed: requested authentication type polkit rejected",
        ),
        ("&auth=sasl", AuthType::None, "authentication failed: requested authentication type sasl rejected"),
    ] {
        let server = Server::start_with(parameters, move |mut peer| {
            peer.offer(offered);
            until_the_client_goes(peer);
        });
        let error = server.open().expect_err("refused");
        assert_eq!((error.code().0, error.message()), (45, message));
        assert!(error.help().is_some(), "{error:?}");
        server.join();
    }
}

#[test]
fn a_daemon_that_closes_at_once_is_an_error() {
    let server = Server::start(drop);
    let error = server.open().expect_err("closed");
    assert_eq!(error.code(), ErrorCode::SYSTEM_ERROR);
    server.join();
}
