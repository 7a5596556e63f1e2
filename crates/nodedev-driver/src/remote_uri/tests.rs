//! What libvirt 11.3 made of each URI, as a daemon or `ssh` in its place saw it.

use super::*;
use crate::ConnectUri;

fn remote(uri: &str) -> RemoteUri {
    match uri.parse() {
        Ok(ConnectUri::Remote(remote)) => *remote,
        other => panic!("{uri}: {other:?}"),
    }
}

#[test]
fn the_name_on_the_wire_is_the_one_libvirt_sends() {
    for (uri, name) in [
        ("nodedev:///system?socket=/s", "nodedev:///system"),
        ("nodedev+unix:///system", "nodedev:///system"),
        ("nodedev+UNIX:///system?socket=/s", "nodedev:///system"),
        ("nodedev:///system?SOCKET=/s", "nodedev:///system"),
        ("nodedev:///system?socket=/s&name=qemu:///x", "qemu:///x"),
        ("nodedev:///system?name=&socket=/s", ""),
        ("nodedev:///system?socket=/s;foo=1", "nodedev:///system?foo=1"),
        ("nodedev:///system?socket=/s&foo&bar=", "nodedev:///system?foo=&bar="),
        ("nodedev:///sys%20tem?socket=/s#frag", "nodedev:///sys%20tem#frag"),
        ("nodedev:/system?socket=/s", "nodedev:///system"),
        ("nodedev:?socket=/s", "nodedev://"),
        ("nodedev:///?socket=/s", "nodedev:///"),
        ("nodedev:///a%2fb%3f%25?socket=/s", "nodedev:///a/b%3F%25"),
        ("nodedev+tcp://h:1/system?x=1", "nodedev:///system?x=1"),
        (
            "nodedev+unix:///system?foo=b%2fr/x%20y:@&socket=/s&Z=%20+&mode=direct&rot=/a~-_.!*(),&%61b=%c3%a4",
            "nodedev:///system?foo=b%2Fr%2Fx%20y%3A%40&Z=%20%2B&rot=%2Fa~-_.%21%2A%28%29%2C&ab=%C3%A4",
        ),
        (
            "nodedev+unix:///system?socket=/s&authfile=/x&tls_priority=N&sshauth=a&known_hosts=b&known_hosts_verify=c\
             &no_sanity=1&no_tty=1&no_verify=0&keyfile=q&netcat=w&proxy=auto&pkipath=e&command=r&auth=polkit",
            "nodedev:///system",
        ),
    ] {
        assert_eq!(remote(uri).wire_name(), name, "{uri}");
    }
}

#[test]
fn the_helper_gets_mode_and_socket_too() {
    for (uri, name) in [
        ("nodedev+ssh://h/system", "nodedev:///system"),
        (
            "nodedev+ssh://h/system?proxy=native&mode=direct&socket=/x",
            "nodedev:///system?mode=direct&socket=%2Fx",
        ),
        ("nodedev+ssh://h/system?foo=1&mode=legacy&no_tty=1", "nodedev:///system?foo=1&mode=legacy"),
        ("nodedev+ssh://h:0/system?proxy=native&name=x%20y", "x y"),
        ("nodedev+ssh://h/a%20b", "nodedev:///a%20b"),
    ] {
        assert_eq!(remote(uri).helper_name(), name, "{uri}");
    }
}

#[test]
fn transport_machine_and_parameters_are_read() {
    let uri =
        remote("nodedev+ssh://u%40x@[::1]:2222/session?socket=/nonexist&socket=/a%20b&no_tty=2&no_verify=-1");
    assert_eq!(uri.transport, Transport::Ssh);
    assert_eq!((uri.user.as_deref(), uri.host.as_deref(), uri.port), (Some("u@x"), Some("::1"), Some(2222)));
    assert_eq!((uri.socket, uri.no_tty, uri.no_verify, uri.session), (Some("/a b".into()), true, true, true));
    let uri =
        remote("nodedev://user:pw@h:0/system?mode=legacy&proxy=netcat&netcat=my%20nc&keyfile=&known_hosts=x");
    assert_eq!((uri.transport, uri.port, uri.mode), (Transport::Tls, None, SocketMode::Legacy));
    assert_eq!((uri.user.as_deref(), uri.proxy), (Some("user:pw"), Some(SshProxy::Netcat)));
    assert_eq!((uri.netcat.as_deref(), uri.keyfile), (Some("my nc"), Some("".into())));
    assert_eq!(uri.ignored, ["known_hosts"]);
    assert_eq!(remote("nodedev+ext:///system?command=/bin/c").command, Some("/bin/c".into()));
    assert_eq!(remote("nodedev+unix:///system?auth=sasl.PLAIN").auth, Some(WantedAuth::Sasl));
}

#[test]
fn mistakes_have_the_texts_of_libvirt_and_a_way_out() {
    for (uri, message) in [
        ("nodedev:///system?mode=", "invalid argument: Unknown remote mode ''"),
        ("nodedev:///system?mode=Direct", "invalid argument: Unknown remote mode 'Direct'"),
        ("nodedev+ssh://h/system?proxy=NATIVE", "invalid argument: Unknown proxy type 'NATIVE'"),
        (
            "nodedev+tls://h/system?no_verify=0x1",
            "invalid argument: Failed to parse value of URI component no_verify",
        ),
        ("nodedev+ssh://h/system?no_tty=", "invalid argument: Failed to parse value of URI component no_tty"),
        ("nodedev+unix:///system?auth=none", "authentication failed: unknown authentication type none"),
        (
            "nodedev+unix://host/system",
            "invalid argument: using unix socket and remote server 'host' is not supported.",
        ),
        (
            "nodedev+foo:///system",
            "invalid argument: remote_open: transport in URL not recognised (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
        ),
        (
            "nodedev+://h/system",
            "invalid argument: remote_open: transport in URL not recognised (should be tls|unix|ssh|ext|tcp|libssh2|libssh)",
        ),
        ("nodedev+libssh2://h/system", "invalid argument: libssh2 transport support was not enabled"),
        (
            "nodedev+tcp://127.0.0.1:abc/system",
            "internal error: Unable to parse URI nodedev+tcp://127.0.0.1:abc/system",
        ),
        ("nodedev+tcp://[::1/system", "internal error: Unable to parse URI nodedev+tcp://[::1/system"),
        ("nodedev:///system?socket=%zz", "internal error: Unable to parse URI nodedev:///system?socket=%zz"),
        ("nodedev:///system?socket=%00", "internal error: Unable to parse URI nodedev:///system?socket=%00"),
        (
            "nodedev+unix:///system?root=/a",
            "invalid argument: parameter root names a recording, which a daemon can't open",
        ),
    ] {
        let error = uri.parse::<ConnectUri>().unwrap_err();
        assert_eq!(error.message(), message);
        assert!(error.help().is_some(), "{uri}");
    }
}

#[test]
fn what_a_daemon_is_asked_to_open_names_no_machine() {
    for (uri, want) in [
        ("nodedev+unix:system", "nodedev:system"),
        ("nodedev+unix:system/x?foo=1&mode=direct#f", "nodedev:system/x?foo=1#f"),
        ("test:&proxy=autoxml", "test:&proxy=autoxml"),
        ("nodedev:%2Fsystem", "nodedev:///system"),
        ("nodedev+tcp://host", "nodedev://"),
        ("nodedev+tcp://host?foo=1", "nodedev://?foo=1"),
        ("nodedev+unix:////system", "nodedev:////system"),
        ("nodedev+unix:/system", "nodedev:///system"),
    ] {
        let uri = RemoteUri::of(uri).unwrap();
        assert_eq!(uri.wire_name(), want);
        let again = RemoteUri::of(want).unwrap();
        assert_eq!((again.host.as_deref(), again.wire_name()), (None, want));
    }
}
