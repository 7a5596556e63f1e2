//! What a synthetic host of 1,000 devices costs: its index, the descriptions of all devices, their XML and JSON.
//!
//! From a folder system calls dominate; from memory what is left is our own work.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nodedev_driver::{Devices as _, LibvirtCalls, ListFlags, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_sys::Root;
use nodedev_testkit::synthetic::Host;

const DEVICES: usize = 1000;

fn open(path: &Path) -> HostDriver {
    HostDriver::new(Root::open(path).unwrap())
}

fn host(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("host");
    Host::new(DEVICES).mdev(true).share_contents(true).write(&root).unwrap();
    let archive = folder.path().join("host.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&archive).unwrap());
    builder.follow_symlinks(false);
    builder.append_dir_all(".", &root).unwrap();
    builder.into_inner().unwrap();

    let mut group = criterion.benchmark_group("host");
    group.sample_size(10);
    group.throughput(Throughput::Elements(DEVICES as u64));
    for (form, path) in [("folder", &root), ("memory", &archive)] {
        group.bench_function(BenchmarkId::new("scan", form), |bencher| {
            let open_root = || Root::open(path).unwrap();
            bencher.iter_batched(open_root, HostDriver::new, BatchSize::PerIteration);
        });
        let driver = open(path);
        group.bench_function(BenchmarkId::new("describe", form), |bencher| {
            bencher.iter(|| {
                driver.visit(View::Native, &mut |device| {
                    black_box(device);
                    ControlFlow::Continue(())
                })
            });
        });
        group.bench_function(BenchmarkId::new("xml", form), |bencher| {
            bencher.iter(|| {
                driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |_, text| {
                    black_box(text).map(|_| ()).unwrap();
                    ControlFlow::Continue(())
                })
            });
        });
    }
    let driver = open(&archive);
    let mut devices = Vec::new();
    driver
        .visit(View::Native, &mut |device| {
            devices.push(device.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    group.bench_function("json", |bencher| bencher.iter(|| serde_json::to_vec(black_box(&devices)).unwrap()));
    group.bench_function("list", |bencher| bencher.iter(|| driver.list(ListFlags::empty())));
    group.finish();
}

criterion_group!(benches, host);
criterion_main!(benches);
