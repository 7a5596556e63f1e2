//! What programs with a subscriber of `tracing`, as the daemon is, hear besides results.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use nodedev_driver::Driver;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::host::{ONE, UNUSED, host, name, program};

/// Keeps each message as a line: level, target, fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn told(act: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), act);
    let lines = lines.0.lock().unwrap();
    lines.iter().filter(|line| !line.starts_with("DEBUG")).cloned().collect()
}

#[test]
fn libvirts_clients_are_warned_of_a_shared_group_and_not_of_what_is_only_noted() {
    let kernel = host();
    let lines = told(|| program(&kernel).detach(&name(ONE), None).unwrap());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("WARN nodedev_host"), "{lines:?}");
    assert!(lines[1].contains("shares IOMMU group 7") && lines[1].contains("pci_0000_03_00_0"), "{lines:?}");
    assert!(lines[0].starts_with("INFO nodedev::audit"), "{lines:?}");
    kernel.module("igb_vfio", "igb-vfio");
    let lines = told(|| program(&kernel).detach(&name(UNUSED), Some("igb-vfio")).unwrap());
    assert_eq!(lines.len(), 1, "that a module is loaded is only noted: {lines:?}");
}
