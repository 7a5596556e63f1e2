//! One user without any right, with as many connections as there may be, who asks for all there is and reads nothing: the
//! daemon's memory is bounded, and root is served.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodedev_rpc::{
    Call, Device, DeviceFlags, EventRegistration, ListAllDevices, NativeCall, NodeDeviceEventId, Open,
    SnapshotQuestion, Str, WatchQuestion,
};
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use super::{Client, DEVICES, Failure, wait_for};

/// A user who may do nothing.
const NOBODY: u32 = 65_534;
/// Tells the program to be that user's: the socket to fill.
const SOCKET: &str = "NODEDEV_TEST_HOARD_AT";
/// What the daemon may take.
const LIMIT_KIB: u64 = 256 << 10;
/// What may be left of that when the user has gone.
const RETURNED_KIB: u64 = 32 << 10;
/// More than there may be.
const CONNECTIONS: usize = 2_600;

/// The user's side. Whatever fails is the daemon's good right.
#[test]
#[ignore = "started by the test below"]
fn hoard() {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return };
    let mut held = Vec::new();
    for flood in [registrations, watches, messages] {
        flood(&socket, &mut held);
    }
    println!("{} connections", held.len());
    // Until it is killed.
    std::thread::sleep(Duration::from_secs(600));
}

fn connect(socket: &Path) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let open = Open { name: Some(Str::truncated("nodedev:///system")), flags: 0 };
    send(&mut stream, &Call::ConnectOpen(open))?;
    stream.set_nonblocking(true).ok()?;
    Some(stream)
}

fn send(stream: &mut UnixStream, call: &Call<'_>) -> Option<()> {
    let mut out = Vec::new();
    call.encode(1, &mut out).ok()?;
    stream.write_all(&out).ok()
}

fn native(stream: &mut UnixStream, call: &NativeCall<'_>) -> Option<()> {
    let mut out = Vec::new();
    call.encode(1, &mut out).ok()?;
    stream.write_all(&out).ok()
}

/// Names as long as they may be, and the answers are read so that there can be more.
fn registrations(socket: &Path, held: &mut Vec<UnixStream>) {
    for client in 0..3 {
        let Ok(mut reading) = Client::open(socket) else { return };
        for number in 0..40_000 {
            let name = format!("{client}{number:08}{}", "x".repeat(1000));
            let device = Some(Str::truncated(&name));
            let wanted = EventRegistration { event: NodeDeviceEventId::Lifecycle, device };
            if reading.call(&Call::ConnectNodeDeviceEventRegisterAny(wanted)).is_err() {
                break;
            }
        }
        held.push(reading.socket);
    }
}

fn watches(socket: &Path, held: &mut Vec<UnixStream>) {
    for _ in 0..20 {
        let Some(mut stream) = connect(socket) else { return };
        while native(&mut stream, &NativeCall::Watch(WatchQuestion { since: None })).is_some() {}
        held.push(stream);
    }
}

/// On each connection another kind of question without end, and half of one that is never whole.
fn messages(socket: &Path, held: &mut Vec<UnixStream>) {
    let long = "x".repeat(60_000);
    let long = Str::truncated(&long);
    let uri = format!("other:///{}", "x".repeat(60_000));
    while held.len() < CONNECTIONS {
        let Some(mut stream) = connect(socket) else { return };
        let kind = held.len() % 6;
        let most = i32::try_from(held.len()).unwrap_or(i32::MAX);
        for _ in 0..6 {
            let sent = match kind {
                0 => send(&mut stream, &Call::NodeDeviceLookupByName(Device { name: long })),
                1 => send(&mut stream, &Call::NodeListDevices(list_of(most))),
                2 => native(&mut stream, &NativeCall::Snapshot(SnapshotQuestion { native: true })),
                3 => {
                    send(&mut stream, &Call::ConnectOpen(Open { name: Some(Str::truncated(&uri)), flags: 0 }))
                }
                4 => send(
                    &mut stream,
                    &Call::NodeDeviceGetXmlDesc(DeviceFlags { name: Str::truncated("computer"), flags: 0 }),
                ),
                _ => send(
                    &mut stream,
                    &Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 1 << 10 }),
                ),
            };
            if sent.is_none() {
                break;
            }
        }
        let _half = stream.write(&[&65_000_u32.to_be_bytes()[..], &[0; 64_000]].concat());
        held.push(stream);
    }
}

fn list_of(most: i32) -> nodedev_rpc::ListDevices<'static> {
    nodedev_rpc::ListDevices { capability: None, max_names: most, flags: 0 }
}

/// That user's program, which is ended with this.
struct Hoarder(Child);

impl Hoarder {
    fn start(folder: &Path, socket: &Path) -> Result<Self, Failure> {
        // Where the user may read it.
        let program = folder.join("hoard");
        std::fs::copy(std::env::current_exe()?, &program)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(program);
        command
            .args(["hoard::hoard", "--exact", "--ignored", "--nocapture"])
            .env(SOCKET, socket)
            .current_dir("/");
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn()?))
    }
}

impl Drop for Hoarder {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory of a process, by a line of its status.
fn kib(pid: u32, line: &str) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().next());
    Ok(value.ok_or("no such line")?.parse()?)
}

fn descriptors_of(pid: u32) -> Result<usize, Failure> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Asks as root until the daemon's descriptors stay as many as they are; says how many, and how long the slowest answer took.
fn besieged(daemon: &Nodedevd) -> Result<(usize, Duration), Failure> {
    let lookup = Call::NodeDeviceLookupByName(Device { name: Str::truncated("computer") });
    let (mut slowest, mut last, mut same) = (Duration::ZERO, 0, 0);
    let until = Instant::now() + Duration::from_secs(60);
    while same < 10 && Instant::now() < until {
        let begin = Instant::now();
        Client::open(&daemon.socket())?.call(&lookup)?;
        slowest = slowest.max(begin.elapsed());
        std::thread::sleep(Duration::from_millis(100));
        let now = descriptors_of(daemon.pid())?;
        // The one that has just gone may still be counted.
        same = if now.abs_diff(last) <= 4 && now > 100 { same + 1 } else { 0 };
        last = now;
    }
    Ok((last, slowest))
}

#[test]
#[ignore = "takes a while and both processors: cargo xtask test"]
fn one_user_who_only_looks_cannot_fill_the_memory() -> Result<(), Failure> {
    assert!(rustix::process::geteuid().is_root(), "only root can act as another user");
    // Each connection has a descriptor here as well.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all)?;
    let host = tempfile::tempdir()?;
    Host::new(DEVICES).share_contents(true).write(host.path())?;
    let daemon = Nodedevd::at(host.path())?;
    let (pid, read_only) = (daemon.pid(), PathBuf::from(format!("{}-ro", daemon.socket().display())));
    Client::open(&daemon.socket())?.list()?;
    let before = kib(pid, "VmRSS:")?;
    println!("{before} KiB before");
    let work = tempfile::tempdir()?;
    // Twice: what the first time leaves behind must not come on top of the second.
    for _ in 0..2 {
        let hoarder = Hoarder::start(work.path(), &read_only)?;
        let (descriptors, slowest) = besieged(&daemon)?;
        let most = kib(pid, "VmHWM:")?;
        println!("{descriptors} descriptors; root was served within {slowest:?}; at most {most} KiB");
        assert!(descriptors > 1_000, "{descriptors} descriptors: the user did not get far");
        assert!(most < LIMIT_KIB, "{most} KiB");
        // Generous: a connection, its opening and a lookup on a machine that is as busy as it gets.
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        drop(hoarder);
        wait_for("descriptors are given back", || Ok(descriptors_of(pid)? < 40))?;
        wait_for("memory is given back", || Ok(kib(pid, "VmRSS:")? < before + RETURNED_KIB))?;
        println!("{} KiB after", kib(pid, "VmRSS:")?);
    }
    Client::open(&read_only)?.list()?;
    Ok(())
}
