//! `nodedevd` under more clients than a host has: many that list in a loop, many that do nothing, one that never reads, one
//! that sends garbage, one that comes and goes. The others are served, and nothing is left behind.

mod hoard;
mod vanish;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nodedev_rpc::{Call, Device, ListAllDevices, Open, Packet, Status, Str, Void};
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const DEVICES: usize = 10_000;
const CLIENTS: usize = 1_000;
const LISTERS: usize = 200;
/// How long the load lasts.
const SOAK: Duration = Duration::from_secs(15);
/// Between two lookups of the client that is measured.
const PAUSE: Duration = Duration::from_millis(5);

/// A client that knows no more than it must.
struct Client {
    socket: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    fn open(socket: &Path) -> Result<Self, Failure> {
        let socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut client = Self { socket, buffer: Vec::new() };
        client.call(&Call::AuthList(Void))?;
        let name = Some(Str::truncated("nodedev:///system"));
        client.call(&Call::ConnectOpen(Open { name, flags: 0 }))?;
        Ok(client)
    }

    /// Sends a call and reads its answer, which must not be an error.
    fn call(&mut self, call: &Call<'_>) -> Result<&[u8], Failure> {
        let mut out = Vec::new();
        call.encode(7, &mut out)?;
        self.socket.write_all(&out)?;
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let whole = usize::try_from(u32::from_be_bytes(length))?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&length);
        self.buffer.resize(whole, 0);
        self.socket.read_exact(&mut self.buffer[4..])?;
        let packet = Packet::parse(&self.buffer)?;
        if packet.header.status != Status::Ok {
            return Err(format!("{:?} failed", call.procedure()).into());
        }
        Ok(packet.payload)
    }

    fn list(&mut self) -> Result<usize, Failure> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 });
        let payload = self.call(&call)?;
        let count = payload.first_chunk().ok_or("an empty list")?;
        Ok(usize::try_from(u32::from_be_bytes(*count))?)
    }
}

/// What of a process must not grow.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
}

fn held(pid: u32) -> Result<Held, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("no VmRSS")?;
    Ok(Held {
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
        threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        resident_kib: resident.parse()?,
    })
}

/// Threads that go on until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), Failure>>>,
}

impl Load {
    fn new() -> Self {
        Self { stop: Arc::default(), threads: Vec::new() }
    }

    fn add(&mut self, step: impl FnMut() -> Result<(), Failure> + Send + 'static) -> Result<(), Failure> {
        let (stop, mut step) = (Arc::clone(&self.stop), step);
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                step()?;
            }
            Ok(())
        };
        self.threads.push(std::thread::Builder::new().stack_size(256 << 10).spawn(run)?);
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a client panicked")??;
        }
        Ok(())
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        if Instant::now() > until {
            return Err(format!("in vain: waiting until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

#[test]
#[ignore = "takes a minute and both processors: cargo xtask test"]
fn a_thousand_clients_are_served_beside_those_that_misbehave() -> Result<(), Failure> {
    let host = tempfile::tempdir()?;
    Host::new(DEVICES).share_contents(true).write(host.path())?;
    let daemon = Nodedevd::at(host.path())?;
    let socket = daemon.socket();
    let devices = Client::open(&socket)?.list()?;
    assert!(devices > DEVICES, "{devices} devices");
    wait_for("the first client is gone", || Ok(held(daemon.pid())?.descriptors < 40))?;
    let before = held(daemon.pid())?;

    let mut load = Load::new();
    let lists = Arc::new(AtomicU64::new(0));
    for _ in 0..LISTERS {
        let (mut client, lists) = (Client::open(&socket)?, Arc::clone(&lists));
        load.add(move || {
            let listed = client.list()?;
            lists.fetch_add(1, Ordering::Relaxed);
            if listed == devices { Ok(()) } else { Err(format!("{listed} of {devices} devices").into()) }
        })?;
    }
    let mut idle = Vec::new();
    while idle.len() < CLIENTS - LISTERS - 3 {
        idle.push(Client::open(&socket)?);
    }
    misbehave(&socket, &mut load)?;

    let mut measured = Client::open(&socket)?;
    let mut echo = echo()?;
    let (mut took, mut floor) = (Vec::new(), Vec::new());
    let until = Instant::now() + SOAK;
    while Instant::now() < until {
        let start = Instant::now();
        measured.call(&Call::NodeDeviceLookupByName(Device { name: Str::truncated("computer") }))?;
        took.push(start.elapsed());
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        echo.write_all(&[0; 64])?;
        echo.read_exact(&mut [0; 64])?;
        floor.push(start.elapsed());
        std::thread::sleep(PAUSE);
    }
    let under_load = held(daemon.pid())?;
    load.end()?;
    for client in &mut idle {
        client.call(&Call::ConnectGetType(Void))?;
    }
    let count = lists.load(Ordering::Relaxed);
    println!("{count} lists of {devices} devices; lookups: {}", percentiles(&mut took));
    println!(
        "an echo by a thread that goes first, which is the least that a lookup can take: {}",
        percentiles(&mut floor)
    );
    println!("before {before:?}, under load {under_load:?}");
    drop((idle, measured));
    wait_for("descriptors are as before", || Ok(held(daemon.pid())?.descriptors <= before.descriptors))?;
    let after = held(daemon.pid())?;
    println!("after {after:?}");
    // Pools may have grown to their size; nothing may grow with the number of clients there were.
    assert!(after.threads <= before.threads + 32, "{before:?} {after:?}");
    assert!(under_load.resident_kib < 512 << 10, "memory under load: {under_load:?}");
    assert!(after.resident_kib < before.resident_kib + (64 << 10), "{before:?} {after:?}");
    Ok(())
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let [median, p99, most] = [50, 99, 100].map(|percent| took[(took.len() - 1) * percent / 100]);
    format!("median {median:?}, p99 {p99:?}, most {most:?} of {}", took.len())
}

/// A thread that sends back what it gets, before any other that can run: what it and the scheduler need for that is no
/// daemon's to save.
fn echo() -> Result<UnixStream, Failure> {
    let (client, mut server) = UnixStream::pair()?;
    std::thread::Builder::new().spawn(move || {
        // Without the right to it, it is an echo all the same.
        let _ = rustix::process::setpriority_process(None, -20);
        let mut bytes = [0; 64];
        while server.read_exact(&mut bytes).is_ok() && server.write_all(&bytes).is_ok() {}
    })?;
    Ok(client)
}

/// One client that asks and never reads, one that sends garbage, one that opens and vanishes.
fn misbehave(socket: &Path, load: &mut Load) -> Result<(), Failure> {
    let mut mute = Client::open(socket)?;
    mute.socket.set_nonblocking(true)?;
    let mut wire = Vec::new();
    Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 }).encode(7, &mut wire)?;
    load.add(move || {
        // However often it asks, it is the daemon's choice to stop listening to it, or to end it.
        let _ = mute.socket.write(&wire);
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    })?;
    let path = socket.to_owned();
    let mut byte = 0_u8;
    load.add(move || {
        let mut garbage = UnixStream::connect(&path)?;
        byte = byte.wrapping_mul(31).wrapping_add(17);
        let _ = garbage.write_all(&[byte; 4096]);
        std::thread::sleep(Duration::from_millis(1));
        Ok(())
    })?;
    let path = socket.to_owned();
    load.add(move || {
        drop(Client::open(&path)?);
        drop(UnixStream::connect(&path)?);
        Ok(())
    })
}

#[test]
#[ignore = "takes a while and both processors: cargo xtask test"]
fn killed_under_load_it_leaves_clients_an_error_and_starts_again_complete() -> Result<(), Failure> {
    let host = tempfile::tempdir()?;
    Host::new(2_000).share_contents(true).write(host.path())?;
    let mut daemon = Nodedevd::at(host.path())?;
    let socket = daemon.socket();
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(Client::open(&socket)?.list()?);
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = Client::open(&socket)?;
            clients.push(std::thread::spawn(move || {
                loop {
                    if let Err(error) = client.list() {
                        return error.to_string();
                    }
                }
            }));
        }
        daemon.kill_and_restart()?;
        for client in clients {
            let said = client.join().map_err(|_| "a client panicked")?;
            // The end of the stream, in the middle of a message or between two; not a wrong answer.
            let is_end = ["fill whole buffer", "reset", "Broken pipe"].iter().any(|end| said.contains(end));
            assert!(is_end, "{said}");
        }
    }
    assert!(counts.iter().all(|count| *count == counts[0] && *count > 2_000), "{counts:?}");
    Ok(())
}
