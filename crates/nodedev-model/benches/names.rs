//! What making the name of a device costs: each device of a host needs one at every scan.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nodedev_model::{DeviceName, PciAddress};

/// Subsystem, name in sysfs, and what is added.
type Parts = (&'static [u8], &'static [u8], Option<&'static [u8]>);

const PARTS: [(&str, Parts); 3] = [
    ("pci", (b"pci", b"0000:02:10.7", None)),
    ("net", (b"net", b"enp2s0f1np1", Some(b"52:54:00:aa:bb:cc"))),
    ("storage", (b"block", b"sda", Some(b"QEMU_QEMU_HARDDISK_27842-0000:00:09.0-4-0:0"))),
];

fn names(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("name");
    for (kind, (subsystem, sysname, suffix)) in PARTS {
        group.bench_function(BenchmarkId::new("build", kind), |bencher| {
            bencher
                .iter(|| DeviceName::from_parts(black_box(subsystem), black_box(sysname), black_box(suffix)));
        });
    }
    group.bench_function("parse PCI address", |bencher| {
        bencher.iter(|| PciAddress::from_bytes(black_box(b"0000:02:10.7")));
    });
    group.finish();
}

criterion_group!(benches, names);
criterion_main!(benches);
