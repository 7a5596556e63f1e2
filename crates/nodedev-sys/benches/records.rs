//! What udev's records and the kernel's properties cost: most devices of a host need one or both.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nodedev_sys::udev::{Record, Uevent, record_name};

const UEVENT: &[u8] = b"MAJOR=8\nMINOR=16\nDEVNAME=sdb\nDEVTYPE=disk\nDISKSEQ=4\n";

/// The record of a SCSI disk: a dozen links, forty properties.
fn disk() -> Vec<u8> {
    let mut record = b"S:disk/by-path/pci-0000:00:04.0-scsi-0:0:1:0\nL:0\nI:1234567\n".to_vec();
    for number in 0..12 {
        record.extend(format!("S:disk/by-id/scsi-35000c500a00000{number:02}\n").bytes());
    }
    for number in 0..38 {
        record.extend(format!("E:ID_PROPERTY_{number}=a value of it\n").bytes());
    }
    record.extend(b"E:ID_BUS=scsi\nE:ID_SERIAL=35000c500a0000001\nG:systemd\nQ:systemd\nV:1\n");
    record
}

fn records(criterion: &mut Criterion) {
    let content = disk();
    let record = Record::new(&content);
    criterion.bench_function("record property", |bencher| {
        bencher.iter(|| black_box(record).get(black_box(b"ID_SERIAL")));
    });
    criterion.bench_function("record links", |bencher| bencher.iter(|| black_box(record).links()));
    criterion.bench_function("record name", |bencher| {
        bencher.iter(|| record_name(Uevent::new(black_box(UEVENT)), b"block", b"sdb"));
    });
    criterion.bench_function("uevent property", |bencher| {
        bencher.iter(|| Uevent::new(black_box(UEVENT)).get(black_box(b"DEVTYPE")));
    });
}

criterion_group!(benches, records);
criterion_main!(benches);
