//! Program NODEDEV end to end: our client against our server, in this process and as programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::{
    Change, Changes, ConnectUri, Devices, Driver, Entry, Error, ErrorCode, EventLog, Happened, LibvirtCalls,
    LibvirtChange, LibvirtEvent, Next, Operations, RemoteUri, Result, Revision, Scope, Snapshot, TestDriver,
    View, Watch,
};
use nodedev_host::HostDriver;
use nodedev_interop::Failure;
use nodedev_model::{DeviceName, DeviceState, Visibility};
use nodedev_remote::{Options, RemoteDriver};
use nodedev_server::{AllowAll, Identity, Options as Serving, Peer, Service, Settings, Workers};
use nodedev_testkit::cli::Cli;
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

const PATIENCE: Duration = Duration::from_secs(20);
const NOW: Option<Duration> = Some(Duration::ZERO);

/// The test driver's devices, and whatever the test says that happened to them.
struct Told {
    devices: TestDriver,
    log: EventLog,
}

impl Driver for Told {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        &self.devices
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Ok(&self.devices)
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(self)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Err(Error::no_native_call())
    }
}

impl Changes for Told {
    fn snapshot(&self, view: View) -> Result<Snapshot> {
        Ok(Snapshot { revision: self.log.revision(), entries: self.devices.entries(view)? })
    }

    fn revision(&self) -> Option<Revision> {
        None
    }

    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        self.log.watch(since)
    }
}

/// Serves a driver in this process until it is dropped.
struct Server {
    log: EventLog,
    runtime: Option<tokio::runtime::Runtime>,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start(history: usize, read_only: bool) -> Self {
        let log = EventLog::with_capacity(history);
        let driver = Told { devices: TestDriver::new(), log: log.clone() };
        Self::serving(driver, log, read_only, false)
    }

    /// Serves a host that does not change.
    fn recording(root: &Path) -> Self {
        let root = nodedev_sys::Root::open(root).expect("a recording");
        Self::serving(HostDriver::new(root), EventLog::with_capacity(1), false, true)
    }

    fn serving(driver: impl Driver + 'static, log: EventLog, read_only: bool, is_recording: bool) -> Self {
        let dir = tempfile::Builder::new().prefix("native-").tempdir_in("/tmp").expect("a folder");
        let socket = dir.path().join("sock");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = Serving { scope: Scope::System, user: 0, is_recording, workers: Workers::default() };
        let service = Service::new(Arc::new(driver), Arc::new(AllowAll), options);
        let context = runtime.enter();
        let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
        drop(context);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                let peer = Peer { identity: Identity::default(), read_only, login: None };
                tokio::spawn(async move {
                    nodedev_server::serve(&service, stream, peer, &Settings::default(), || ()).await
                });
            }
        });
        Self { log, runtime: Some(runtime), socket, _dir: dir }
    }

    fn open(&self) -> RemoteDriver {
        open(&format!("nodedev:///system?socket={}", self.socket.display()))
    }

    fn change(&self, name: &str) {
        self.happen(name, Change::Updated, LibvirtChange::One(LibvirtEvent::Updated), None);
    }

    fn happen(&self, name: &str, change: Change, libvirt: LibvirtChange, entry: Option<Entry>) {
        self.log.publish([Happened { name: to_name(name), change, libvirt, entry }]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn open(uri: &str) -> RemoteDriver {
    let uri: RemoteUri = match uri.parse() {
        Ok(ConnectUri::Remote(uri)) => *uri,
        other => panic!("{uri}: {other:?}"),
    };
    RemoteDriver::open(&uri, &Options::default()).expect("a connection")
}

fn to_name(name: &str) -> DeviceName {
    name.parse().expect("a name")
}

fn next(watch: &mut Watch) -> Arc<nodedev_driver::Event> {
    match watch.next(Some(PATIENCE)) {
        Next::Event(event) => event,
        other => panic!("{other:?} in place of a change"),
    }
}

#[test]
fn changes_while_a_client_was_away_are_told_to_the_next_one() {
    let server = Server::start(1_000, true);
    let first = server.open();
    let snapshot = first.snapshot(View::Native).expect("a snapshot");
    assert_eq!(snapshot.revision, server.log.revision());
    assert_eq!(Ok(&snapshot.entries), TestDriver::new().entries(View::Native).as_ref());
    let mut watch = first.watch(Some(snapshot.revision)).expect("a watch");
    server.change("net_a");
    assert_eq!(next(&mut watch).name.as_str(), "net_a");
    let seen = watch.revision();
    drop(first);
    assert_eq!(watch.next(Some(PATIENCE)), Next::Ended(None), "the driver was dropped");

    let entry = Entry {
        name: to_name("net_c"),
        parent: Some(to_name("computer")),
        kind: "bridge".into(),
        visibility: Visibility::Native,
        state: DeviceState { active: false, persistent: true, autostart: true },
    };
    let kernel_driver = "vfio-pci".into();
    for (change, libvirt, entry) in [
        (Change::Created, LibvirtChange::One(LibvirtEvent::Created), Some(entry.clone())),
        (Change::Renamed { from: to_name("net_b") }, LibvirtChange::Replaced, Some(entry)),
        (Change::DriverBound { kernel_driver }, LibvirtChange::Unseen, None),
        (Change::Defined, LibvirtChange::One(LibvirtEvent::Defined), None),
        (Change::Undefined, LibvirtChange::One(LibvirtEvent::Undefined), None),
        (Change::Deleted, LibvirtChange::One(LibvirtEvent::Deleted), None),
    ] {
        server.happen("net_c", change, libvirt, entry);
    }
    let second = server.open();
    let mut resumed = second.watch(Some(seen)).expect("the daemon's own revision");
    let mut own = server.log.watch(Some(seen)).expect("the source");
    for _ in 0..6 {
        assert_eq!(next(&mut resumed), next(&mut own), "complete, and under its own revision");
    }
    assert_eq!(resumed.next(NOW), Next::TimedOut);
    let mut whole = second.watch(Some(snapshot.revision)).expect("another start on one connection");
    assert_eq!(next(&mut whole).name.as_str(), "net_a");
    server.change("net_d");
    assert_eq!(next(&mut resumed).name.as_str(), "net_d");
    assert_eq!(whole.revision().number, snapshot.revision.number + 1);
    for _ in 0..7 {
        next(&mut whole);
    }
    assert_eq!(whole.revision(), resumed.revision());
}

#[test]
fn a_recording_tells_its_native_view_at_one_revision() {
    let dir = tempfile::tempdir().expect("a folder");
    Host::new(50).write(dir.path()).expect("a host");
    let here = HostDriver::new(nodedev_sys::Root::open(dir.path()).expect("a recording"));
    let mut revisions = Vec::new();
    for _ in 0..2 {
        let server = Server::recording(dir.path());
        let driver = server.open();
        for view in [View::Native, View::Libvirt] {
            let snapshot = driver.snapshot(view).expect("a snapshot");
            assert_eq!(Ok(&snapshot.entries), here.entries(view).as_ref(), "{view:?}");
            assert!(snapshot.entries.len() > 50, "{view:?}");
            revisions.push(snapshot.revision);
        }
        let error = driver.watch(None).map(drop).expect_err("nothing will ever happen");
        assert_eq!(error.code(), Error::no_events().code());
    }
    assert!(revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
}

#[test]
fn a_history_that_is_gone_is_said_with_advice() {
    let server = Server::start(3, false);
    let driver = server.open();
    let start = driver.watch(None).expect("a watch").revision();
    assert_eq!(start, server.log.revision());
    (0..4).for_each(|_| server.change("net_a"));
    let gone = driver.watch(Some(start)).expect_err("too old");
    assert_eq!(gone, Error::history_gone(&start.to_string()));
    let restarted = Server::start(3, false);
    let other = restarted.open().watch(Some(start)).expect_err("a new history");
    assert_eq!((other.code(), other.help()), (ErrorCode::OPERATION_INVALID, gone.help()));
}

#[test]
fn a_history_that_ran_over_is_missed_and_goes_on() {
    let server = Server::start(4, false);
    let driver = server.open();
    let mut watch = driver.watch(None).expect("a watch");
    for round in 0.. {
        assert!(round < 1_000, "a history of 4 is never too short");
        (0..2_000).for_each(|_| server.change("net_a"));
        let mut missed = false;
        while watch.revision() != server.log.revision() {
            match watch.next(Some(PATIENCE)) {
                Next::Event(_) => {}
                Next::Missed(_) => missed = true,
                other => panic!("{other:?}"),
            }
        }
        if missed {
            break;
        }
    }
    server.change("net_last");
    assert_eq!(next(&mut watch).name.as_str(), "net_last");
}

#[test]
fn watches_that_nobody_has_any_more_are_ended() {
    let server = Server::start(1_000, false);
    let driver = server.open();
    // Far more than a client may have at once.
    for _ in 0..1_000 {
        driver.watch(None).expect("room for another");
    }
    let mut kept = Vec::new();
    let refused = loop {
        match driver.watch(None) {
            Ok(watch) => kept.push(watch),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.message(), "internal error: a client can't have more than 256 watches");
    assert_eq!(kept.len(), 256);
    server.change("net_a");
    assert!(kept.iter_mut().all(|watch| next(watch).name.as_str() == "net_a"));
    kept.truncate(1);
    server.change("net_b");
    assert_eq!(next(&mut kept[0]).name.as_str(), "net_b");
    driver.watch(None).expect("room again");
}

/// What a command printed, which must have gone well.
fn printed(cli: &Path, uri: &str, arguments: &[&str]) -> std::result::Result<String, Failure> {
    let output = Command::new(cli).args(["--connect", uri]).args(arguments).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[ignore = "runs nodedevd on this machine: cargo xtask test"]
fn the_command_line_resumes_what_another_run_of_it_saw() -> std::result::Result<(), Failure> {
    let daemon = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
    let cli = Cli::live()?;
    let (cli, uri) = (cli.program(), daemon.uri());
    let told = printed(cli, uri, &["watch", "--json", "--timeout", "1"])?;
    let lines: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.first().map(|line| &line["type"]), Some(&"init".into()), "{told}");
    let done = lines.iter().find(|line| line["type"] == "init-done").expect("the end of the picture");
    let devices = lines.iter().filter(|line| line["type"] == "init-apply").count();
    let listed = printed(cli, uri, &["list", "--extended", "--all"])?;
    assert!(devices > 1 && listed.lines().count() == devices, "{devices} devices and {listed}");
    let revision = done["revision"].as_str().expect("a revision");
    let resumed = printed(cli, uri, &["watch", "--json", "--timeout", "1", "--since", revision])?;
    assert!(!resumed.contains("init"), "nothing is looked at again: {resumed}");
    let other = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
    let gone = Command::new(cli).args(["--connect", other.uri(), "watch", "--since", revision]).output()?;
    let complaint = String::from_utf8_lossy(&gone.stderr);
    assert!(!gone.status.success() && complaint.contains("are not known"), "{complaint}");
    Ok(())
}
