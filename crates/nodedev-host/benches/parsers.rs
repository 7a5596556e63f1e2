//! What the foreign formats of PCI functions cost: product data, configuration space, the database of vendors.

#![allow(missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nodedev_host::pci_ids::Database;
use nodedev_host::{pci_config, vpd};
use nodedev_testkit::pci_bytes::{self, Config, Express};

/// A database of the size of the current one: 2,300 vendors with ten devices each.
fn database() -> Vec<u8> {
    let mut text = String::from("# made up\n");
    for vendor in 0..2300 {
        text += &format!("{vendor:04x}  Vendor number {vendor} of this database\n");
        for device in 0..10 {
            text += &format!(
                "\t{device:04x}  A device with a name of usual length\n\t\t1af4 1100  Its subsystem\n"
            );
        }
    }
    text.into_bytes()
}

fn parsers(criterion: &mut Criterion) {
    let fields = [("PN", "MCX623106AN-CDAT"), ("EC", "A7"), ("SN", "MT2110X00001"), ("V0", "PCIeGen4 x16")];
    let product =
        pci_bytes::vpd("ConnectX-6 Dx EN adapter card", &fields, &[("YA", "tag"), ("Y0", "system")]);
    criterion.bench_function("vpd", |bencher| bencher.iter(|| vpd::parse(black_box(&product))));

    let express = Express { port_type: 0, port: 7, max_speed: 4, max_width: 16, speed: 3, width: 8 };
    let config =
        Config { vendor: 0x15b3, device: 0x101d, class: 0x02_0000, header_type: 0, express: Some(express) };
    let space = config.to_bytes();
    criterion.bench_function("pci_config", |bencher| {
        bencher.iter(|| pci_config::parse(black_box(&space[..pci_config::LENGTH]), 4096));
    });

    let text = database();
    let mut group = criterion.benchmark_group("pci_ids");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.sample_size(20);
    group.bench_function("index", |bencher| {
        bencher.iter_with_setup(|| text.clone(), |text| Database::new(black_box(text)));
    });
    group.finish();
    let database = Database::new(text);
    criterion.bench_function("pci_ids/look up", |bencher| {
        bencher.iter(|| database.names(black_box(0x0400), black_box(7)).1.map(<[u8]>::len));
    });
}

criterion_group!(benches, parsers);
criterion_main!(benches);
