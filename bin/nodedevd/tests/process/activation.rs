//! Sockets that somebody else has made, passed on as systemd does it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nodedev_rpc::{Call, Device, Status, Str, Void};

use crate::common::{Client, Daemon, PATIENCE, Scene};

const BOTH: &str = "virtnodedevd-ro.socket:virtnodedevd.socket";

/// The daemon with two files as its descriptors 3 and 4. What the environment says about them goes before `exec`: the
/// process number is known only there.
fn given(scene: &Scene, files: [OwnedFd; 2], environment: &str) -> Command {
    let daemon = scene.command();
    let script = format!("exec 3<&0 4<&1 </dev/null >&2; export {environment}; exec \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script, "sh"]).arg(daemon.get_program()).args(daemon.get_args());
    command.env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM").env_remove("LISTEN_PID");
    let [third, fourth] = files;
    command.stdin(Stdio::from(third)).stdout(Stdio::from(fourth)).stderr(Stdio::piped());
    command
}

fn listener(scene: &Scene, name: &str) -> OwnedFd {
    UnixListener::bind(scene.path(name)).unwrap().into()
}

fn refusal(client: &mut Client) -> String {
    let (status, said) =
        client.ask(&Call::NodeDeviceReset(Device { name: Str::new("computer").unwrap() })).unwrap();
    assert_eq!(status, Status::Error);
    said
}

#[test]
fn given_sockets_are_served_as_their_names_say_and_stay_when_it_ends() {
    let scene = Scene::new();
    // What only looks comes first: names count, and not the order.
    let files = [listener(&scene, "a"), listener(&scene, "b")];
    let environment = format!("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={BOTH}");
    let mut daemon = Daemon(given(&scene, files, &environment).spawn().unwrap());
    let mut looking = Client::connect(&scene.path("a"));
    let mut changing = Client::connect(&scene.path("b"));
    assert_eq!((looking.lookup(), changing.lookup()), (Some(Status::Ok), Some(Status::Ok)));
    let (forbidden, allowed) = (refusal(&mut looking), refusal(&mut changing));
    assert!(forbidden.contains("read only access"), "{forbidden}");
    // A recording can't be changed, but that is another reason.
    assert!(!allowed.contains("read only access"), "{allowed}");
    assert!(!scene.socket().exists(), "it makes no other sockets");
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().0, Some(0), "{}", daemon.errors());
    assert!(scene.path("a").exists() && scene.path("b").exists(), "they are systemd's");
}

#[test]
fn other_machines_are_served_beside_given_sockets_and_for_as_long_as_it_takes() {
    let scene = Scene::new();
    // Nobody has it once this has found it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    scene.configure(&format!(
        "auth_unix_rw = \"none\"\nlisten_tcp = 1\nauth_tcp = \"none\"\nlisten_addr = \"127.0.0.1\"\ntcp_port = \"{port}\"\n"
    ));
    let files = [listener(&scene, "a"), listener(&scene, "b")];
    let environment = format!("LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={BOTH}");
    let mut command = given(&scene, files, &environment);
    command.args(["--timeout", "1"]);
    let _daemon = Daemon(command.spawn().unwrap());
    assert_eq!(Client::connect(&scene.path("b")).lookup(), Some(Status::Ok));
    // systemd would not start it again for this one.
    std::thread::sleep(Duration::from_millis(1500));
    let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut call = Vec::new();
    Call::AuthList(Void).encode(0, &mut call).unwrap();
    far.write_all(&call).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(far.read(&mut [0; 64]).unwrap() > 0);
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let scene = Scene::new();
    let files = [listener(&scene, "a"), listener(&scene, "b")];
    let environment = format!("LISTEN_PID=1 LISTEN_FDS=2 LISTEN_FDNAMES={BOTH}");
    let _daemon = scene.started(given(&scene, files, &environment));
    assert_eq!(Client::connect(&scene.socket()).lookup(), Some(Status::Ok));
}

#[test]
fn what_cannot_be_served_is_told_with_name_and_cure() {
    let connected = || -> OwnedFd { UnixStream::pair().unwrap().0.into() };
    let scene = Scene::new();
    let socket = |name: &str| {
        // Whatever was there was the case before.
        let _ = fs::remove_file(scene.path(name));
        listener(&scene, name)
    };
    let not_listening = "virtnodedevd.socket is not a listening Unix socket";
    let cases: [(&str, OwnedFd, u32, &str, &str); 9] = [
        ("a file", File::open("/dev/null").unwrap().into(), 2, BOTH, not_listening),
        ("a connection", connected(), 2, BOTH, not_listening),
        ("a datagram socket", UnixDatagram::unbound().unwrap().into(), 2, BOTH, not_listening),
        ("TCP", TcpListener::bind("127.0.0.1:0").unwrap().into(), 2, BOTH, not_listening),
        ("closed", socket("b"), 3, &format!("{BOTH}:nodedevd.socket"), "nodedevd.socket is not a listening"),
        ("fewer names", socket("b"), 2, "virtnodedevd.socket", "gives 2 socket(s) and 1 name(s)"),
        ("more names", socket("b"), 1, BOTH, "gives 1 socket(s) and 2 name(s)"),
        ("another name", socket("b"), 2, "virtnodedevd.socket:x.socket", "gives a socket x.socket"),
        ("administration", socket("b"), 1, "virtnodedevd-admin.socket", "gives no socket that nodedevd can"),
    ];
    for (what, fourth, count, names, complaint) in cases {
        let environment = format!("LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}");
        let mut daemon = Daemon(given(&scene, [socket("a"), fourth], &environment).spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = daemon.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "{what}: it serves");
            std::thread::sleep(Duration::from_millis(2));
        };
        let text = daemon.errors();
        assert_eq!(status.code(), Some(78), "{what}: {text}");
        assert!(text.contains(complaint) && text.contains("help: use the socket units"), "{what}: {text}");
        assert!(!scene.path("run/nodedevd.pid").exists(), "{what}: its lock stays behind");
    }
    let environment = "LISTEN_PID=$$ LISTEN_FDS=2";
    let (code, text) = scene.fail(given(&scene, [socket("a"), socket("b")], environment));
    assert_eq!((code, text.contains("without names (LISTEN_FDNAMES)")), (78, true), "{text}");
}
