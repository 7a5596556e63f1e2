//! Whenever `nodedevd` is told to end, and whoever it serves, it has ended before anybody notices.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use nix::mount::{MsFlags, mount};
use nodedev::{Connection, ListFlags, Next, XmlFlags};
use nodedev_interop::Failure;
use nodedev_interop::network::private;
use nodedev_rpc::{Call, ListAllDevices, Open, Str, Void};
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;
use nodedev_testkit::uevents::Sender;

/// nodedevd's default.
const MAX_CLIENT_REQUESTS: usize = 5;
const DEVICES: usize = 10_000;
const STOPS: u32 = 40;
/// How much later each daemon is told to end than the one before: the first while it looks for devices, the last when
/// each client has had much of what it wants.
const LATER: Duration = Duration::from_millis(25);
/// The aim.
const AIM: Duration = Duration::from_millis(100);
/// What the longest may take here, without optimization and with the clients on the same processors.
const AT_MOST: Duration = Duration::from_secs(1);
const LISTERS: usize = 8;
const READERS: usize = 2;
const WATCHERS: usize = 4;

/// Paths of devices that change all the time, as messages about them have them.
fn changing(host: &Path) -> Result<Vec<String>, Failure> {
    let sys = host.join("sys").canonicalize()?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(sys.join("class/scsi_generic"))?.take(300) {
        let device = entry?.path().canonicalize()?;
        let below = device.strip_prefix(&sys).map_err(|_| format!("{} is outside", device.display()))?;
        paths.push(format!("/{}", below.display()));
    }
    Ok(paths)
}

/// Shows the host in place of the machine to this thread and what it starts, with a udev that does nothing.
fn show(host: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::from(format!("cannot mount: {error}"));
    let none = None::<&str>;
    mount(Some(&host.join("sys")), "/sys", none, MsFlags::MS_BIND, none).map_err(failed)?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).map_err(failed)?;
    fs::create_dir_all("/run/udev/data")?;
    fs::write("/run/udev/control", "")?;
    mount(Some(&host.join("run/udev/data")), "/run/udev/data", none, MsFlags::MS_BIND, none).map_err(failed)
}

/// Asks for as many lists as it may have without a reply, and one more, and reads nothing.
fn never_read(socket: &Path) -> Result<UnixStream, Failure> {
    let mut stream = UnixStream::connect(socket)?;
    let mut wire = Vec::new();
    let name = Some(Str::truncated("nodedev:///system"));
    let list = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 });
    let lists = std::iter::repeat_n(list, MAX_CLIENT_REQUESTS + 1);
    for call in [Call::AuthList(Void), Call::ConnectOpen(Open { name, flags: 0 })].into_iter().chain(lists) {
        call.encode(0, &mut wire).map_err(|error| error.to_string())?;
    }
    stream.write_all(&wire)?;
    Ok(stream)
}

/// One daemon with all of its clients; returns how long it took to end, and how many events were told before.
fn stop_after(wait: Duration, paths: &[String]) -> Result<(Duration, u64), Failure> {
    let mut daemon = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
    let uri = daemon.uri().to_owned();
    let (told, has_ended) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        // A client goes on until its daemon has gone; what it is told then is for other tests.
        for _ in 0..LISTERS {
            scope.spawn(|| {
                let Ok(connection) = Connection::open(&uri) else { return };
                while connection.list(ListFlags::empty()).is_ok() {}
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                let Ok(connection) = Connection::open(&uri) else { return };
                let (list, xml) = (ListFlags::empty(), XmlFlags::empty());
                while connection.visit_xml(list, xml, &mut |_, _| ControlFlow::Continue(())).is_ok() {}
            });
        }
        for _ in 0..WATCHERS {
            scope.spawn(|| {
                // The connection stays as long as there is something to tell.
                let Ok(connection) = Connection::open(&uri) else { return };
                let Ok(mut watch) = connection.changes().and_then(|changes| changes.watch(None)) else {
                    return;
                };
                while !matches!(watch.next(None), Next::Ended(_)) {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mute = never_read(&daemon.socket())?;
        let changes = scope.spawn(|| {
            let mut sender = Sender::new()?;
            for path in paths.iter().cycle() {
                if has_ended.load(Ordering::Relaxed) {
                    break;
                }
                sender.send("change", path, "scsi_generic", "")?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, Failure>(())
        });
        thread::sleep(wait);
        let took = daemon.terminate();
        has_ended.store(true, Ordering::Relaxed);
        changes.join().map_err(|_| "the sender panicked".to_owned())??;
        drop(mute);
        let took = took?;
        assert!(!daemon.socket().exists(), "its socket stays behind after {wait:?}: {}", daemon.log());
        Ok((took, told.load(Ordering::Relaxed)))
    })
}

#[test]
#[ignore = "takes a minute, root and both processors: cargo xtask test"]
fn it_ends_at_once_whenever_it_is_told_to() -> Result<(), Failure> {
    let dir = tempfile::Builder::new().prefix("nodedev-stops-").tempdir_in("/tmp")?;
    Host::new(DEVICES).share_contents(true).write(dir.path())?;
    // Built where it can be.
    Nodedevd::program()?;
    let paths = changing(dir.path())?;
    assert!(paths.len() > 100, "{} devices", paths.len());
    let (mut took, told) = private(|| {
        show(dir.path())?;
        let (mut took, mut told) = (Vec::new(), 0);
        for number in 0..STOPS {
            let (one, events) = stop_after(LATER * number, &paths)?;
            took.push(one);
            told += events;
        }
        Ok((took, told))
    })?;
    took.sort_unstable();
    let longest = took.last().copied().unwrap_or_default();
    println!(
        "{STOPS} stops with {DEVICES} devices, {told} events told: median {:?}, longest {longest:?}, aim {AIM:?}",
        took[took.len() / 2],
    );
    assert!(told > 1_000, "the watchers are told next to nothing: {told} events");
    assert!(longest < AT_MOST, "{took:?}");
    Ok(())
}
