//! What a program says besides results: what those hear who subscribe to `tracing`, as the daemon does.

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// What was said so far in this process, for tests that ask for it: who said it, and `LEVEL target field=value …`.
///
/// All threads are heard: a subscriber for one thread alone misses messages that another test says first at the same time.
#[derive(Debug)]
pub struct Messages(Mutex<Vec<(ThreadId, String)>>);

static HEARD: Messages = Messages(Mutex::new(Vec::new()));

/// Begins to listen, if nobody has, to messages of level INFO and above.
pub fn listen() -> &'static Messages {
    static BEGUN: Once = Once::new();
    // Somebody else listens already: then nothing is heard here, and the test that wants to says so.
    BEGUN.call_once(|| drop(tracing::subscriber::set_global_default(Ears)));
    &HEARD
}

impl Messages {
    fn lock(&self) -> MutexGuard<'_, Vec<(ThreadId, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines that contain `part`, said by any thread.
    pub fn with(&self, part: &str) -> Vec<String> {
        let lines = self.lock();
        lines.iter().map(|(_, line)| line).filter(|line| line.contains(part)).cloned().collect()
    }

    /// Lines that this thread says while `act` runs.
    pub fn during(&self, act: impl FnOnce()) -> Vec<String> {
        let before = self.lock().len();
        act();
        let lines = self.lock();
        let own = lines.iter().skip(before).filter(|(thread, _)| *thread == thread::current().id());
        own.map(|(_, line)| line.clone()).collect()
    }
}

struct Ears;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!(" {field}={value:?}"));
    }
}

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
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
        HEARD.lock().push((thread::current().id(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
