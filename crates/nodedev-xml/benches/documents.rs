//! What one document costs: a PCI function with everything, and a network interface.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::fs;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nodedev_xml::{Form, ParseOptions, parse, write, write_into};

/// Documents of the real libvirt.
const DOCUMENTS: [(&str, &str); 2] = [
    ("pci", "fixtures/hosts/kitchen-sink/golden/pci_0000_03_00_0.xml"),
    ("net", "fixtures/hosts/kitchen-sink/golden/net_enp3s0_52_54_00_aa_00_00.xml"),
];

fn documents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("document");
    for (kind, path) in DOCUMENTS {
        let text = fs::read(nodedev_testkit::repository().join(path)).unwrap();
        let device = parse(&text, ParseOptions::default()).unwrap();
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(BenchmarkId::new("write", kind), |bencher| {
            let mut out = Vec::with_capacity(text.len());
            bencher.iter(|| {
                out.clear();
                write_into(&mut out, black_box(&device), Form::Live);
            });
        });
        group.bench_function(BenchmarkId::new("parse", kind), |bencher| {
            bencher.iter(|| parse(black_box(&text), ParseOptions::default()));
        });
        group.bench_function(BenchmarkId::new("format", kind), |bencher| {
            bencher.iter(|| write(&parse(black_box(&text), ParseOptions::default()).unwrap(), Form::Live));
        });
    }
    group.finish();
}

criterion_group!(benches, documents);
criterion_main!(benches);
