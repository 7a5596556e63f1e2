//! How long the devices of a host that is far away take: `cargo bench -p nodedev-remote`.
//!
//! 10,000 devices, 50 ms each way: a daemon of this program's own, which like libvirt's answers one call after the other.
//! With `NODEDEV_BENCH_SOCKET=PATH` the daemon behind that socket. Without `--bench`, as tests run it: once, small.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nodedev_driver::{ConnectUri, LibvirtCalls as _, ListFlags, XmlFlags};
use nodedev_remote::{Options, RemoteDriver};
use nodedev_rpc::{
    AllDevices, Array, AuthType, AuthTypes, Call, Decoder, Number, OptionalText, Procedure, Reply, Str, Text,
    Void,
};

type Failure = Box<dyn std::error::Error>;

/// A document as they are on average.
const DOCUMENT: &str =
    "<device>\n  <name>pci_0000_00_00_0</name>\n  <path>/sys/devices/pci0000:00/0000:00:00.0</path>\n";
const DOCUMENT_SIZE: usize = 1500;

fn main() -> Result<(), Failure> {
    let whole = std::env::args().any(|argument| argument == "--bench");
    let (devices, delay) = if whole { (10_000, 50) } else { (300, 2) };
    let dir = tempfile::tempdir()?;
    let near = match std::env::var_os("NODEDEV_BENCH_SOCKET") {
        Some(path) => PathBuf::from(path),
        None => {
            let path = dir.path().join("daemon");
            let listener = UnixListener::bind(&path)?;
            thread::spawn(move || listener.incoming().flatten().for_each(|client| serve(client, devices)));
            path
        }
    };
    let far = dir.path().join("proxy");
    let listener = UnixListener::bind(&far)?;
    let target = near.clone();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(daemon) = UnixStream::connect(&target) {
                forward(&client, &daemon, Duration::from_millis(delay));
                forward(&daemon, &client, Duration::from_millis(delay));
            }
        }
    });
    measure("here", &near)?;
    measure(&format!("{delay} ms each way"), &far)
}

fn measure(what: &str, socket: &Path) -> Result<(), Failure> {
    let ConnectUri::Remote(uri) = format!("nodedev:///system?socket={}", socket.display()).parse()? else {
        return Err("a daemon's URI".into());
    };
    let (driver, open) = timed(|| RemoteDriver::open(&uri, &Options::default()))?;
    let (names, list) = timed(|| driver.list_names(ListFlags::empty()))?;
    let (tree, parents) = timed(|| driver.list(ListFlags::empty()))?;
    let mut bytes = 0;
    let ((), documents) = timed(|| {
        driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |_, xml| {
            bytes += xml.map_or(0, <[u8]>::len);
            ControlFlow::Continue(())
        })
    })?;
    assert_eq!(tree.len(), names.len());
    println!(
        "{what}, {} devices: open {open:.0?}, names {list:.1?}, tree {parents:.2?}, all documents ({} KiB) {documents:.2?}",
        names.len(),
        bytes >> 10
    );
    Ok(())
}

fn timed<T, E>(run: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), E> {
    let start = Instant::now();
    Ok((run()?, start.elapsed()))
}

/// Passes bytes on, each after `delay`.
fn forward(from: &UnixStream, to: &UnixStream, delay: Duration) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let (line, end) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if line.send((Instant::now() + delay, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}

fn text(text: &str) -> Str<'_> {
    Str::new(text).unwrap_or_default()
}

/// A daemon with `count` devices.
fn serve(mut client: UnixStream, count: usize) {
    let names: Vec<String> =
        (0..count).map(|number| format!("pci_0000_{:02x}_{number:05}_0", number % 256)).collect();
    let document = format!("{DOCUMENT:<DOCUMENT_SIZE$}");
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    loop {
        out.clear();
        while let Ok(Some(packet)) = decoder.next_packet() {
            let serial = packet.header.serial;
            let Some(procedure) = Procedure::from_number(packet.header.procedure) else { continue };
            let Ok(call) = Call::decode(procedure, packet.payload) else { return };
            let reply = match call {
                Call::AuthList(_) => {
                    Reply::AuthList(AuthTypes { types: Array::new(vec![AuthType::None]).unwrap_or_default() })
                }
                Call::ConnectSupportsFeature(_) => Reply::ConnectSupportsFeature(Number { number: 1 }),
                Call::ConnectOpen(_) => Reply::ConnectOpen(Void),
                Call::ConnectListAllNodeDevices(_) => {
                    let devices =
                        Array::new(names.iter().map(|name| text(name)).collect()).unwrap_or_default();
                    Reply::ConnectListAllNodeDevices(AllDevices { devices, count: 0 })
                }
                Call::NodeDeviceGetParent(_) => {
                    Reply::NodeDeviceGetParent(OptionalText { text: Some(text("computer")) })
                }
                Call::NodeDeviceGetXmlDesc(_) => Reply::NodeDeviceGetXmlDesc(Text { text: text(&document) }),
                _ => return,
            };
            if reply.encode(serial, &mut out).is_err() || client.write_all(&out).is_err() {
                return;
            }
            out.clear();
        }
        match client.read(decoder.space()) {
            Ok(count @ 1..) => decoder.filled(count),
            _ => return,
        }
    }
}
