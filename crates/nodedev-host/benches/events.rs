//! What one event costs, from the source to the history, on hosts of 1,000 and of 50,000 devices on disk.
//!
//! Events come in batches that are small enough to be taken one by one.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/live/feed.rs"]
mod feed;

use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nodedev_driver::{Devices as _, LibvirtCalls, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_sys::{Root, paths};
use nodedev_testkit::synthetic::Host;

use feed::Feed;

const BATCH: usize = 200;

/// Path below `sys` and subsystem of devices with nothing below them, spread over the host.
fn leaves(driver: &HostDriver) -> Vec<(String, String)> {
    let entries = driver.entries(View::Libvirt).unwrap();
    let nets: Vec<_> = entries.iter().filter(|entry| entry.kind == "net").collect();
    let step = (nets.len() / BATCH).max(1);
    nets.iter()
        .step_by(step)
        .take(BATCH)
        .map(|entry| {
            let device = driver.device(entry.name.as_str()).unwrap();
            let path = device.syspath.unwrap().to_string();
            let below = path.trim_start_matches('/').strip_prefix(paths::SYS).unwrap();
            (below.trim_start_matches('/').to_owned(), "net".to_owned())
        })
        .collect()
}

fn events(criterion: &mut Criterion) {
    // Tests run this once, and need no big host for it.
    let sizes: &[usize] =
        if std::env::args().any(|word| word == "--bench") { &[1000, 50_000] } else { &[1000] };
    let mut group = criterion.benchmark_group("events");
    group.sample_size(10);
    for &devices in sizes {
        let folder = tempfile::tempdir_in(memory()).unwrap();
        let root = folder.path().join("host");
        Host::new(devices).share_contents(true).write(&root).unwrap();
        let feed = Feed::default();
        let driver = HostDriver::following(Root::open(&root).unwrap(), feed.clone()).unwrap();
        let leaves = leaves(&driver);
        let tell = |action: &str| {
            feed.hold();
            leaves.iter().for_each(|(path, subsystem)| feed.uevent(action, path, subsystem, &[]));
        };
        let run = || {
            feed.release();
            feed.settle();
        };
        group.throughput(Throughput::Elements(leaves.len() as u64));
        for (action, before) in [("change", "add"), ("remove", "add"), ("add", "remove")] {
            group.bench_function(BenchmarkId::new(action, devices), |bencher| {
                let prepare = || {
                    tell(before);
                    run();
                    tell(action);
                };
                bencher.iter_batched(prepare, |()| run(), BatchSize::PerIteration);
            });
        }
        tell("add");
        run();
        group.throughput(Throughput::Elements(1));
        let name = driver.entries(View::Libvirt).unwrap()[devices / 2].name.to_string();
        group.bench_function(BenchmarkId::new("lookup", devices), |bencher| {
            bencher.iter(|| driver.lookup(&name).unwrap());
        });
        group.bench_function(BenchmarkId::new("xml", devices), |bencher| {
            bencher.iter(|| driver.xml(&name, XmlFlags::empty()).unwrap());
        });
        group.bench_function(BenchmarkId::new("list", devices), |bencher| {
            bencher.iter(|| driver.list(nodedev_driver::ListFlags::empty()).unwrap());
        });
    }
    group.finish();
}

/// Where files are in memory, if there is such a place.
fn memory() -> &'static Path {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { shared } else { Path::new("/tmp") }
}

criterion_group!(benches, events);
criterion_main!(benches);
