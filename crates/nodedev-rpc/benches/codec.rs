//! The list of 10,000 devices, which is the longest message there is in practice, and small messages.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nodedev_rpc::{
    AllDevices, Array, Call, Decoder, Device, Event, LifecycleEvent, LifecycleKind, Packet, Procedure, Reply,
    Str, calls,
};

fn codec(bench: &mut Criterion) {
    let names: Vec<String> =
        (0..10_000_u32).map(|n| format!("net_eth{n}_02_fc_00_00_{:02x}_{:02x}", n >> 8, n & 255)).collect();
    let text = |name: &'static str| Str::new(name).expect("short");
    let list = || {
        let devices = names.iter().map(|name| Str::new(name).expect("short")).collect();
        Reply::ConnectListAllNodeDevices(AllDevices {
            devices: Array::new(devices).expect("few"),
            count: 10_000,
        })
    };
    let mut wire = Vec::new();
    list().encode(6, &mut wire).expect("short");
    let mut out = Vec::with_capacity(wire.len());

    bench.bench_function("list of 10,000: make and write", |bench| {
        bench.iter(|| {
            out.clear();
            list().encode(black_box(6), &mut out).expect("short");
        });
    });
    bench.bench_function("list of 10,000: read", |bench| {
        bench.iter(|| {
            let packet = Packet::parse(black_box(&wire)).expect("whole");
            packet
                .reply::<calls::ConnectListAllNodeDevices>()
                .expect("well-formed")
                .expect("no error")
                .devices
                .len()
        });
    });
    bench.bench_function("list of 10,000: collect from reads of 64 KiB", |bench| {
        bench.iter(|| {
            let mut decoder = Decoder::default();
            let mut rest = black_box(wire.as_slice());
            while !rest.is_empty() {
                rest = &rest[decoder.feed(&rest[..rest.len().min(65_536)])..];
            }
            decoder.next_packet().expect("well-formed").map(|packet| packet.payload.len())
        });
    });
    bench.bench_function("lookup: write and read a call", |bench| {
        bench.iter(|| {
            out.clear();
            let device = Device { name: text(black_box("pci_0000_00_02_0")) };
            Call::NodeDeviceLookupByName(device).encode(1, &mut out).expect("short");
            let packet = Packet::parse(&out).expect("whole");
            Call::decode(Procedure::NodeDeviceLookupByName, packet.payload).is_ok()
        });
    });
    bench.bench_function("event: write", |bench| {
        bench.iter(|| {
            out.clear();
            let device = text(black_box("pci_0000_00_02_0"));
            let event = LifecycleEvent { callback: 1, device, kind: LifecycleKind::Created, detail: 0 };
            Event::Lifecycle(event).encode(&mut out).expect("short");
        });
    });
}

criterion_group!(benches, codec);
criterion_main!(benches);
