//! What libvirt's own client makes of URIs, and what nodedev makes of the same: the name that a daemon is asked to open,
//! the arguments that `ssh` gets, and the words of what is wrong.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use nodedev_interop::Failure;
use nodedev_rpc::{Array, AuthType, AuthTypes, Call, Decoder, Fault, Number, Procedure, Reply, Void};

use crate::open;

/// Answers just enough to be opened, and tells the names that it is asked to open.
fn serve(mut client: UnixStream, opened: &Sender<String>) -> Option<()> {
    let mut decoder = Decoder::default();
    loop {
        while let Some(packet) = decoder.next_packet().ok()? {
            let mut out = Vec::new();
            let procedure = Procedure::from_number(packet.header.procedure)?;
            let reply = match Call::decode(procedure, packet.payload).ok()? {
                Call::AuthList(_) => {
                    Reply::AuthList(AuthTypes { types: Array::new(vec![AuthType::None]).ok()? })
                }
                Call::ConnectSupportsFeature(_) => Reply::ConnectSupportsFeature(Number { number: 0 }),
                Call::ConnectOpen(open) => {
                    opened.send(open.name?.to_string()).ok()?;
                    Reply::ConnectOpen(Void)
                }
                Call::ConnectClose(_) => Reply::ConnectClose(Void),
                _ => {
                    Fault::no_support(procedure.number())
                        .object()
                        .encode_reply(&packet.header, &mut out)
                        .ok()?;
                    client.write_all(&out).ok()?;
                    continue;
                }
            };
            reply.encode(packet.header.serial, &mut out).ok()?;
            client.write_all(&out).ok()?;
        }
        match client.read(decoder.space()) {
            Ok(count @ 1..) => decoder.filled(count),
            _ => return None,
        }
    }
}

fn daemon(socket: &Path) -> Result<Receiver<String>, Failure> {
    let listener = UnixListener::bind(socket)?;
    let (opened, names) = channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            serve(client, &opened);
        }
    });
    Ok(names)
}

/// Has virsh connect; what it complains of, without its own preface.
fn virsh(uri: &str) -> Result<String, Failure> {
    let output =
        Command::new("virsh").args(["-c", uri, "uri"]).env("LC_ALL", "C").stdin(Stdio::null()).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let complaint = complaint.lines().filter(|line| *line != "error: failed to connect to the hypervisor");
    Ok(complaint.map(|line| line.trim_start_matches("error: ")).collect::<Vec<_>>().join("\n"))
}

/// What comes before and after `socket=PATH` in URIs for the daemon of this test.
const NAMES: &[(&str, &str)] = &[
    ("nodedev:///system?", ""),
    ("nodedev+unix:///system?", ""),
    ("nodedev+UNIX:///system?", ""),
    ("nodedev:///session?", ""),
    ("nodedev:/system?", ""),
    ("nodedev:?", ""),
    ("nodedev:///?", ""),
    ("nodedev:///sys%20tem?", "#frag"),
    ("nodedev:///a%2fb%3f%25&;=?", ""),
    ("nodedev:///system?foo=b%2fr/x%20y:@&", "&Z=%20+&mode=direct&rot=/a~-_.!*(),&%61b=%c3%a4"),
    ("nodedev:///system?", "&name=qemu:///x%20y"),
    ("nodedev:///system?name=a&name=b&", ""),
    ("nodedev:///system?name=&", ""),
    ("nodedev:///system?", ";foo=1"),
    ("nodedev:///system?foo&", "&bar="),
    ("nodedev:///system?foo=1=2&", "&&"),
    ("nodedev:///system?socket=/nonexist&", ""),
    ("nodedev:///system?FOO=a&Name=x&", ""),
    ("nodedev:///system?mode=legacy&mode=auto&", "&proxy=native&netcat=x&keyfile=y&command=z"),
    (
        "nodedev:///system?",
        "&tls_priority=N&sshauth=a&known_hosts=b&known_hosts_verify=c&no_sanity=1&no_tty=1&pkipath=e",
    ),
];

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_daemon_is_asked_to_open_what_virsh_asks_for() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("sock");
    let names = daemon(&socket)?;
    let name = || names.recv_timeout(Duration::from_secs(10)).map_err(|_| "nothing was opened".to_owned());
    for (before, after) in NAMES {
        let uri = format!("{before}socket={}{after}", socket.display());
        let complaint = virsh(&uri)?;
        let theirs = name().map_err(|error| format!("{uri}: {error}: {complaint}"))?;
        let driver = open(&uri).map_err(|error| format!("{uri}: {error:?}"))?;
        drop(driver);
        assert_eq!(name()?, theirs, "{uri}");
    }
    Ok(())
}

/// What stands before and after `command=PROGRAM` in URIs for `ssh`.
const ARGUMENTS: &[(&str, &str)] = &[
    ("nodedev+ssh://h/system?", ""),
    ("nodedev+ssh:///system?", ""),
    ("nodedev+SSH://u%40x@[::1]:22/system?", ""),
    ("nodedev+ssh://user:pw@h:0/session?", ""),
    ("nodedev+ssh://h/system?", "&proxy=native&foo=1"),
    ("nodedev+ssh://h/system?", "&proxy=native&mode=legacy"),
    ("nodedev+ssh://h/system?", "&proxy=native&mode=direct&socket=/x"),
    ("nodedev+ssh://h/system?", "&proxy=auto&socket=/x"),
    ("nodedev+ssh://h/system?", "&proxy=netcat&netcat=/my%20nc"),
    ("nodedev+ssh://h/system?", "&netcat=nc.openbsd&socket=/run/libvirt/virtnodedevd-sock"),
    ("nodedev+ssh://h/system?", "&netcat=it%27s"),
    ("nodedev+ssh://h/system?", "&keyfile=/k%20e&no_tty=1;no_verify=-1"),
    ("nodedev+ssh://h/system?", "&keyfile=&no_tty=0&no_verify=0"),
    ("nodedev+ssh://h/a%20b?", "&proxy=native&name=x%20y"),
    ("nodedev+ssh://h/?", "&proxy=native"),
    ("nodedev+ssh://-oX/system?", ""),
];

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn ssh_gets_the_arguments_that_virsh_gives_it() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let (program, told) = (dir.path().join("ssh"), dir.path().join("told"));
    let text = format!("#!/bin/sh\nprintf '[%s]\\n' \"$@\" >{}\nexit 1\n", told.display());
    fs::write(&program, text)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    for (before, after) in ARGUMENTS {
        let uri = format!("{before}command={}{after}", program.display());
        let complaint = virsh(&uri)?;
        let theirs = fs::read_to_string(&told).map_err(|error| format!("{uri}: {error}: {complaint}"))?;
        fs::remove_file(&told)?;
        open(&uri).map(drop).expect_err("it ends at once");
        assert_eq!(fs::read_to_string(&told)?, theirs, "{uri}");
        fs::remove_file(&told)?;
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn what_is_wrong_is_told_in_the_words_of_virsh() -> Result<(), Failure> {
    for uri in [
        "nodedev:///system?socket=/nonexist",
        "nodedev:///system?mode=bogus",
        "nodedev:///system?mode=",
        "nodedev+ssh://h/system?mode=direct",
        "nodedev+ssh://h/system?no_verify=abc",
        "nodedev+tls://h/system?no_verify=99999999999",
        "nodedev+tcp://127.0.0.1:1/system",
        "nodedev+tcp://[::1]:1/system",
        "nodedev+tcp://127.0.0.1:abc/system",
        "nodedev+tcp://no.such.host.invalid/system",
        "nodedev+ext:///system",
        "nodedev+ext://host/system?command=/bin/cat",
        "nodedev+foo:///system",
        "nodedev+://h/system",
        "nodedev+unix+tcp://h/system",
        "nodedev+unix://host/system",
        "nodedev://host/system?pkipath=/nonexist",
        "nodedev:///system?socket=%zz",
    ] {
        let error = open(uri).map(drop).expect_err(uri);
        assert_eq!(error.message(), virsh(uri)?, "{uri}");
    }
    // virsh says one thing or the other, as the program ends before or after it is written to.
    let error = open("nodedev+ext:///system?command=/bin/true").map(drop).expect_err("nobody is there");
    let either = ["Cannot recv data: : Connection reset by peer", "internal error: client socket is closed"];
    assert!(either.contains(&error.message()), "{error:?}");
    Ok(())
}
