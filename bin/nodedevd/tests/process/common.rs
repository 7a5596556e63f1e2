//! A directory with a host, the daemon on it, and a client that knows no more than it must.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nodedev_rpc::{
    Call, Decoder, Device, ErrorObject, Open, Procedure, Reader, Reply, Status, Str, Void, Wire as _,
};
use nodedev_testkit::synthetic::Host;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory for sockets, with a host to serve. Paths of sockets have at most 107 bytes, so not in $TMPDIR.
pub(crate) struct Scene {
    dir: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("nodedevd-").tempdir_in("/tmp").unwrap();
        Host::new(20).write(&dir.path().join("host")).unwrap();
        let scene = Self { dir };
        scene.configure("auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n");
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("conf"), text).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nodedevd"));
        command
            .args(["--config", self.path("conf").to_str().unwrap()])
            .args(["--run-dir", self.path("run").to_str().unwrap()])
            .args(["--root", self.path("host").to_str().unwrap()])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/virtnodedevd-sock")
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&self) -> Daemon {
        self.started(self.command())
    }

    pub(crate) fn started(&self, mut command: Command) -> Daemon {
        let mut daemon = Daemon(command.spawn().unwrap());
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = daemon.0.try_wait().unwrap() {
                panic!("{status}: {}", daemon.errors());
            }
            assert!(Instant::now() < until, "nobody listens");
            std::thread::sleep(Duration::from_millis(2));
        }
        daemon
    }

    /// Runs the daemon, which must fail.
    pub(crate) fn fail(&self, mut command: Command) -> (i32, String) {
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code().unwrap_or(-1), String::from_utf8(stderr).unwrap())
    }
}

pub(crate) struct Daemon(pub(crate) Child);

impl Daemon {
    pub(crate) fn errors(&mut self) -> String {
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; returns its status and how long it took.
    pub(crate) fn wait(&mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return (status.code(), start.elapsed());
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One client with its connection open.
pub(crate) struct Client(UnixStream, Decoder);

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Self(stream, Decoder::default());
        assert_eq!(client.call(&Call::AuthList(Void)), Some(Status::Ok));
        // What is served depends on who runs the daemon.
        let scope = if rustix::process::geteuid().is_root() { "system" } else { "session" };
        let uri = format!("nodedev:///{scope}");
        let open = Open { name: Some(Str::new(&uri).unwrap()), flags: 0 };
        assert_eq!(client.call(&Call::ConnectOpen(open)), Some(Status::Ok));
        client
    }

    /// How a call went; nothing if the daemon has gone.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Option<Status> {
        self.ask(call).map(|(status, _)| status)
    }

    /// How a call went, and the message if that was not well; nothing if the daemon has gone.
    pub(crate) fn ask(&mut self, call: &Call<'_>) -> Option<(Status, String)> {
        let mut out = Vec::new();
        call.encode(0, &mut out).unwrap();
        self.0.write_all(&out).ok()?;
        loop {
            if let Some(packet) = self.1.next_packet().unwrap() {
                let (status, payload) = (packet.header.status, packet.payload);
                let mut said = String::new();
                if status == Status::Ok {
                    let procedure = Procedure::from_number(packet.header.procedure).unwrap();
                    Reply::decode(procedure, payload).unwrap();
                } else {
                    let error = ErrorObject::decode(&mut Reader::new(payload)).unwrap();
                    said = error.message.unwrap().to_string();
                }
                return Some((status, said));
            }
            let count = self.0.read(self.1.space()).ok()?;
            if count == 0 {
                return None;
            }
            self.1.filled(count);
        }
    }

    /// The names of a list.
    pub(crate) fn names(&mut self, call: &Call<'_>) -> Vec<String> {
        let mut out = Vec::new();
        call.encode(0, &mut out).unwrap();
        self.0.write_all(&out).unwrap();
        loop {
            if let Some(packet) = self.1.next_packet().unwrap() {
                match Reply::decode(call.procedure(), packet.payload).unwrap() {
                    Reply::ConnectListAllNodeDevices(list) => {
                        return list.devices.iter().map(ToString::to_string).collect();
                    }
                    other => panic!("{other:?}"),
                }
            }
            let count = self.0.read(self.1.space()).unwrap();
            self.1.filled(count);
        }
    }

    pub(crate) fn lookup(&mut self) -> Option<Status> {
        self.call(&Call::NodeDeviceLookupByName(Device { name: Str::new("computer").unwrap() }))
    }
}
