//! The program as systemd and people run it: start, sockets, signals, mistakes, restart.

#![allow(clippy::unwrap_used, reason = "all of this is a test, and what fails in it says where")]

mod activation;
mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Client, PATIENCE, Scene};
use nodedev_rpc::{Call, Status, Void};

#[test]
fn it_serves_its_sockets_and_ends_at_once_when_told_to() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let scene = Scene::new();
        let mut daemon = scene.start();
        let mut client = Client::connect(&scene.socket());
        assert_eq!(client.lookup(), Some(Status::Ok));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&scene.socket()), 0o700, "without a login the mode decides");
        let read_only = scene.path("run/virtnodedevd-sock-ro");
        if rustix::process::geteuid().is_root() {
            assert_eq!(mode(&read_only), 0o777);
            assert_eq!(Client::connect(&read_only).lookup(), Some(Status::Ok));
        } else {
            assert!(!read_only.exists());
        }
        let pid = fs::read_to_string(scene.path("run/nodedevd.pid")).unwrap();
        assert_eq!(pid.trim(), daemon.0.id().to_string());
        daemon.signal(signal);
        let (code, took) = daemon.wait();
        assert_eq!(code, Some(0), "{}", daemon.errors());
        // Milliseconds, but for a machine that is busy with other tests; and no waiting for the client.
        assert!(took < Duration::from_secs(1), "{took:?} with a client that is there");
        assert_eq!(client.lookup(), None);
        assert_eq!(fs::read_dir(scene.path("run")).unwrap().count(), 0, "nothing is left behind");
    }
}

#[test]
fn killed_it_leaves_nothing_that_keeps_the_next_one_from_starting() {
    let scene = Scene::new();
    for _ in 0..3 {
        let mut daemon = scene.start();
        let mut client = Client::connect(&scene.socket());
        assert_eq!(client.lookup(), Some(Status::Ok));
        daemon.0.kill().unwrap();
        daemon.wait();
        assert_eq!(client.lookup(), None);
        assert!(scene.socket().exists());
    }
    let _daemon = scene.start();
    assert_eq!(Client::connect(&scene.socket()).lookup(), Some(Status::Ok));
}

#[test]
fn a_socket_that_is_taken_is_refused_with_the_cure() {
    let scene = Scene::new();
    let daemon = scene.start();
    let (code, text) = scene.fail(scene.command());
    assert_eq!(code, 69, "{text}");
    assert!(text.contains(&format!("process {} has locked", daemon.0.id())), "{text}");
    drop(daemon);
    // By another program.
    fs::remove_file(scene.socket()).unwrap();
    let listener = UnixListener::bind(scene.socket()).unwrap();
    let (code, text) = scene.fail(scene.command());
    assert_eq!(code, 69, "{text}");
    assert!(text.contains("another program listens at") && text.contains("help: stop it first"), "{text}");
    drop(listener);
    fs::remove_file(scene.socket()).unwrap();
    fs::write(scene.socket(), "precious").unwrap();
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("is no socket")), (69, true), "{text}");
    assert_eq!(fs::read(scene.socket()).unwrap(), b"precious");
}

#[test]
fn mistakes_are_told_with_place_cure_and_exit_status() {
    let scene = Scene::new();
    scene.configure("# one\nmax_clients = \"many\"\n");
    let (code, text) = scene.fail(scene.command());
    assert_eq!(code, 78);
    let place = format!("{}:2: max_clients is a number", scene.path("conf").display());
    assert!(text.contains(&place) && text.contains("help: "), "{text}");
    scene.configure("listen_tls = 1\ncert_file = \"/nonexistent/cert\"\nauth_unix_rw = \"none\"\n");
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("/nonexistent/cert")), (78, true), "{text}");
    scene.configure("unix_sock_group = \"no-such-group\"\n");
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("no-such-group")), (78, true), "{text}");
    scene.configure("");
    let mut command = scene.command();
    command.args(["--config", "/nonexistent/conf"]);
    assert_eq!(scene.fail(command).0, 64, "two configurations");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodedevd"));
    command.args(["--config", "/nonexistent/conf", "--run-dir", "/nonexistent"]);
    let (code, text) = scene.fail(command);
    assert_eq!((code, text.contains("cannot read /nonexistent/conf")), (78, true), "{text}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodedevd"));
    command.args(["--root", "/nonexistent/host", "--config", scene.path("conf").to_str().unwrap()]);
    let (code, text) = scene.fail(command);
    assert_eq!((code, text.contains("/nonexistent/host")), (66, true), "{text}");
    fs::write(scene.path("file"), "").unwrap();
    let mut command = scene.command();
    command.args(["--pid-file", scene.path("file/pid").to_str().unwrap()]);
    let (code, text) = scene.fail(command);
    assert_eq!((code, text.contains("cannot make")), (73, true), "{text}");
    for (option, code) in [("--help", 0), ("--version", 0), ("--nonsense", 64)] {
        let output = Command::new(env!("CARGO_BIN_EXE_nodedevd")).arg(option).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{option}");
    }
}

#[test]
fn without_clients_it_ends_after_its_time_and_not_before() {
    let scene = Scene::new();
    let mut command = scene.command();
    command.args(["--timeout", "1"]);
    let mut daemon = scene.started(command);
    let mut client = Client::connect(&scene.socket());
    // Nothing tells that something does not happen but time: half as long again as it would wait.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(client.lookup(), Some(Status::Ok), "a client is there");
    drop(client);
    let (code, took) = daemon.wait();
    assert_eq!(code, Some(0));
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[test]
fn systemd_is_told_and_its_sockets_are_taken() {
    let scene = Scene::new();
    let notify = scene.path("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 512];
        let count = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    };
    let mut command = scene.command();
    command.env("NOTIFY_SOCKET", &notify);
    let mut daemon = scene.started(command);
    assert_eq!(told(), "READY=1\n");
    scene.configure("max_clients = \"wrong\"\n");
    daemon.signal(rustix::process::Signal::HUP);
    let reloading = told();
    assert!(reloading.contains("RELOADING=1\n") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(told(), "READY=1\n", "with the configuration that it had");
    assert_eq!(Client::connect(&scene.socket()).lookup(), Some(Status::Ok));
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(daemon.wait().0, Some(0));
    let text = daemon.errors();
    assert!(text.contains("the configuration stays as it is") && text.contains("conf:1:"), "{text}");
}

#[test]
fn a_changed_configuration_is_taken_over_by_sighup() {
    let scene = Scene::new();
    let notify = scene.path("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = scene.command();
    command.env("NOTIFY_SOCKET", &notify);
    let mut daemon = scene.started(command);
    scene.configure("auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlog_level = 2\n");
    daemon.signal(rustix::process::Signal::HUP);
    // READY, RELOADING and READY again.
    for _ in 0..3 {
        manager.recv(&mut [0; 512]).unwrap();
    }
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait();
    // Only with the new level is it said.
    let text = daemon.errors();
    assert!(text.contains("the configuration was read again"), "{text}");
}

#[test]
fn a_log_that_was_renamed_is_begun_again_by_sighup() {
    let scene = Scene::new();
    let (log, old) = (scene.path("log"), scene.path("log.1"));
    let text = format!(
        "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlog_level = 2\nlog_outputs = \"2:file:{}\"\n",
        log.display()
    );
    scene.configure(&text);
    let mut daemon = scene.start();
    fs::rename(&log, &old).unwrap();
    daemon.signal(rustix::process::Signal::HUP);
    let until = Instant::now() + PATIENCE;
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("the configuration was read again")) {
        assert!(Instant::now() < until, "{:?}", fs::read_to_string(&old));
        std::thread::sleep(Duration::from_millis(2));
    }
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait();
    assert!(fs::read_to_string(&old).unwrap().contains("ready"));
    assert!(fs::read_to_string(&log).unwrap().contains("ending"));
}

#[test]
fn a_socket_whose_program_takes_nobody_is_not_waited_for() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).unwrap();
    let hung = UnixListener::bind(scene.socket()).unwrap();
    rustix::net::listen(&hung, 0).unwrap();
    // Its queue is full.
    let _waiting = UnixStream::connect(scene.socket()).unwrap();
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("another program listens at")), (69, true), "{text}");
}

#[test]
fn what_others_have_put_in_its_way_is_not_written_to_and_does_not_stop_it() {
    let scene = Scene::new();
    fs::create_dir(scene.path("run")).unwrap();
    fs::write(scene.path("victim"), "precious").unwrap();
    let pid = scene.path("run/nodedevd.pid");
    std::os::unix::fs::symlink(scene.path("victim"), &pid).unwrap();
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("it is a symbolic link")), (73, true), "{text}");
    fs::remove_file(&pid).unwrap();
    fs::hard_link(scene.path("victim"), &pid).unwrap();
    let (code, text) = scene.fail(scene.command());
    assert_eq!((code, text.contains("no other name")), (73, true), "{text}");
    assert_eq!(fs::read_to_string(scene.path("victim")).unwrap(), "precious");
    fs::remove_file(&pid).unwrap();
    // Whoever may open the file may lock it.
    fs::write(&pid, "1\n").unwrap();
    fs::set_permissions(&pid, fs::Permissions::from_mode(0o644)).unwrap();
    let strangers = fs::File::open(&pid).unwrap();
    rustix::fs::flock(&strangers, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let _daemon = scene.start();
    assert_eq!(Client::connect(&scene.socket()).lookup(), Some(Status::Ok));
    assert_eq!(fs::metadata(&pid).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_folder_that_somebody_else_may_change_is_refused() {
    let scene = Scene::new();
    let open = scene.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let at = |dir: &Path| {
        let mut command = scene.command();
        let words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        command = Command::new(command.get_program());
        let run = scene.path("run");
        command.args(words.iter().map(|word| if run == Path::new(word) { dir.as_os_str() } else { word }));
        scene.fail(command)
    };
    for dir in [open.clone(), open.join("run")] {
        let (code, text) = at(&dir);
        assert_eq!((code, text.contains("is no safe place")), (77, true), "{text}");
    }
    assert!(!open.join("run").exists());
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&open, Some(65_534), None).unwrap();
        let (code, text) = at(&open);
        assert_eq!((code, text.contains("is user 65534's")), (77, true), "{text}");
    }
}

#[test]
fn fewer_clients_are_served_where_fewer_files_may_be_open() {
    let scene = Scene::new();
    let limited = |files: u32| {
        let daemon = scene.command();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {files}; exec \"$@\""), "sh"]);
        command.arg(daemon.get_program()).args(daemon.get_args());
        command.stderr(std::process::Stdio::piped());
        command
    };
    let (code, text) = scene.fail(limited(24));
    assert_eq!((code, text.contains("which leaves none for clients")), (71, true), "{text}");
    let mut daemon = scene.started(limited(128));
    // Half of what is left of 128: 24 clients; the others wait, and those are answered who are served.
    let mut clients: Vec<_> = (0..24).map(|_| Client::connect(&scene.socket())).collect();
    let _waiting: Vec<_> = (0..50).map(|_| UnixStream::connect(scene.socket()).unwrap()).collect();
    for client in &mut clients {
        assert_eq!(client.lookup(), Some(Status::Ok));
    }
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait();
    let text = daemon.errors();
    assert!(
        text.contains("fewer clients than max_clients") && !text.contains("Too many open files"),
        "{text}"
    );
}

#[test]
fn settings_that_do_nothing_are_warned_of() {
    let scene = Scene::new();
    scene.configure("auth_unix_rw = \"none\"\naudit_level = 1\n");
    let mut daemon = scene.start();
    daemon.signal(rustix::process::Signal::TERM);
    daemon.wait();
    let text = daemon.errors();
    assert!(text.contains("audit_level") && text.contains("this setting does nothing"), "{text}");
}

#[test]
fn no_more_clients_are_served_than_allowed_until_one_goes() {
    let scene = Scene::new();
    scene.configure("auth_unix_rw = \"none\"\nmax_clients = 2\nmax_anonymous_clients = 2\n");
    let _daemon = scene.start();
    let first = Client::connect(&scene.socket());
    let _second = Client::connect(&scene.socket());
    let mut waiting = UnixStream::connect(scene.socket()).unwrap();
    let mut call = Vec::new();
    Call::AuthList(Void).encode(0, &mut call).unwrap();
    waiting.write_all(&call).unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(waiting.read(&mut [0; 64]).is_err(), "it was served");
    drop(first);
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(waiting.read(&mut [0; 64]).unwrap() > 0);
}
