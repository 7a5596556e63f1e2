//! Clients that open a connection and are gone, at every point of it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nodedev_rpc::{Call, DeviceFlags, EventRegistration, ListAllDevices, NodeDeviceEventId, Str, Void};
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use crate::{Client, Failure, Held, held, wait_for};

const DEVICES: usize = 1_000;
/// As many as take some seconds; `NODEDEV_CONNECTIONS` names another number.
const CONNECTIONS: usize = 5_000;
/// So that pools and arenas have their size before anything is counted.
const WARM_UP: usize = 2_000;
const THREADS: usize = 4;
/// More memory than before, KiB, for stacks of threads that were not needed yet, and beyond that bytes a connection.
const GROWTH_KIB: u64 = 1_024;
const GROWTH_EACH: u64 = 100;

fn encoded(call: &Call<'_>) -> Result<Vec<u8>, Failure> {
    let mut wire = Vec::new();
    call.encode(1, &mut wire)?;
    Ok(wire)
}

/// Opens a connection and goes, in one of several ways.
fn vanish(socket: &Path, way: usize) -> Result<(), Failure> {
    let list = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 });
    let xml = Call::NodeDeviceGetXmlDesc(DeviceFlags { name: Str::truncated("computer"), flags: 0 });
    let event = NodeDeviceEventId::Lifecycle;
    let register = Call::ConnectNodeDeviceEventRegisterAny(EventRegistration { event, device: None });
    // Bytes before anything is opened, and bytes after it; the answers are never read.
    let (is_open, bytes) = match way % 9 {
        0 => (false, Vec::new()),
        1 => (false, vec![0, 0]),
        2 => (false, vec![0, 0x40, 0, 0, 0x20]),
        3 => (false, encoded(&Call::AuthList(Void))?),
        4 => (true, Vec::new()),
        5 => (true, encoded(&xml)?.split_off(9)),
        6 => (true, encoded(&list)?),
        7 => (true, [encoded(&register)?, encoded(&xml)?].concat()),
        _ => (true, [encoded(&list)?.repeat(20), encoded(&xml)?].concat()),
    };
    let mut stream = if is_open { Client::open(socket)?.socket } else { UnixStream::connect(socket)? };
    // The daemon may have refused what it got of it.
    let _ = stream.write_all(&bytes);
    Ok(())
}

fn vanish_all(socket: &Path, count: usize) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| {
                scope.spawn(move || (first..count).step_by(THREADS).try_for_each(|way| vanish(socket, way)))
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
    })
}

/// What the daemon has when the last of those that went is forgotten.
fn settled(daemon: &Nodedevd, descriptors: usize) -> Result<Held, Failure> {
    wait_for("descriptors are as before", || Ok(held(daemon.pid())?.descriptors <= descriptors))?;
    held(daemon.pid())
}

/// How many descriptors the daemon has once clients that have gone are forgotten: as many in each of twenty looks.
fn at_rest(daemon: &Nodedevd) -> Result<usize, Failure> {
    let (mut last, mut looks) = (0, 0);
    wait_for("the daemon is at rest", || {
        let now = held(daemon.pid())?.descriptors;
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        Ok(looks >= 20)
    })?;
    Ok(last)
}

#[test]
#[ignore = "takes a while and both processors: cargo xtask test"]
fn thousands_of_clients_that_vanish_leave_nothing_behind() -> Result<(), Failure> {
    let connections = match std::env::var("NODEDEV_CONNECTIONS") {
        Ok(number) => number.parse()?,
        Err(_) => CONNECTIONS,
    };
    let host = tempfile::tempdir()?;
    Host::new(DEVICES).share_contents(true).write(host.path())?;
    let daemon = Nodedevd::at(host.path())?;
    let socket = daemon.socket();
    let devices = Client::open(&socket)?.list()?;
    let descriptors = at_rest(&daemon)?;
    vanish_all(&socket, WARM_UP)?;
    let before = settled(&daemon, descriptors)?;
    vanish_all(&socket, connections)?;
    let after = settled(&daemon, before.descriptors)?;
    println!("{connections} connections: before {before:?}, after {after:?}");
    assert_eq!(after.descriptors, before.descriptors);
    // Pools may have grown to their size.
    assert!(after.threads <= before.threads + 32, "{before:?} {after:?}");
    let growth = GROWTH_KIB + ((connections as u64 * GROWTH_EACH) >> 10);
    assert!(after.resident_kib <= before.resident_kib + growth, "{before:?} {after:?}");
    // And it still serves.
    assert_eq!(Client::open(&socket)?.list()?, devices);
    Ok(())
}
