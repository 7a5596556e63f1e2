//! What programs with a subscriber of `tracing`, as the daemon is, hear besides results.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, ThreadId};

use nodedev_driver::Driver;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::host::{ONE, UNUSED, host, name, program};

/// Keeps each message of a thread that listens as a line: level, target, fields.
///
/// It is the subscriber of the whole process: one for a thread alone misses the events whose first use is by a test on another
/// thread at the same time.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<HashMap<ThreadId, Vec<String>>>>);

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
        let mut threads = self.0.lock().unwrap();
        let Some(lines) = threads.get_mut(&thread::current().id()) else { return };
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.target()));
        event.record(&mut line);
        lines.push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn told(act: impl FnOnce()) -> Vec<String> {
    static LINES: LazyLock<Lines> = LazyLock::new(|| {
        let lines = Lines::default();
        tracing::subscriber::set_global_default(lines.clone()).unwrap();
        lines
    });
    let thread = thread::current().id();
    LINES.0.lock().unwrap().insert(thread, Vec::new());
    act();
    let lines = LINES.0.lock().unwrap().remove(&thread).unwrap();
    lines.into_iter().filter(|line| !line.starts_with("DEBUG")).collect()
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
