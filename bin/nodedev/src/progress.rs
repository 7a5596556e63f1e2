//! A line on standard error for what takes longer than a second, if a person is there to read it.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::output::Output;

/// Time before the first sign, and between two.
const PATIENCE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(200);

/// Something long that is going on; the line disappears when it is dropped.
#[derive(Default)]
pub(crate) struct Progress {
    count: Arc<AtomicUsize>,
    watcher: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// Starts it. Nothing is shown where standard error is no terminal, or where the output itself goes to one.
    pub(crate) fn start(what: &'static str, out: &Output) -> Self {
        if out.is_terminal() || !io::stderr().is_terminal() { Self::default() } else { Self::watch(what) }
    }

    /// Starts it for work before any output, which is shown on a terminal too.
    pub(crate) fn start_quiet_phase(what: &'static str) -> Self {
        if io::stderr().is_terminal() { Self::watch(what) } else { Self::default() }
    }

    fn watch(what: &'static str) -> Self {
        let count = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = channel::<()>();
        let shown = Arc::clone(&count);
        let watcher = std::thread::Builder::new().spawn(move || {
            let mut wait = PATIENCE;
            let mut drawn = false;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
                let line = match shown.load(Ordering::Relaxed) {
                    0 => format!("\r{what} …"),
                    done => format!("\r{what}: {done} devices …"),
                };
                // Nothing depends on whether a sign of life arrives.
                let _ = io::stderr().lock().write_all(line.as_bytes());
                drawn = true;
                wait = STEP;
            }
            if drawn {
                let _ = io::stderr().lock().write_all(b"\r\x1b[K");
            }
        });
        Self { count, watcher: watcher.ok().map(|watcher| (stop, watcher)) }
    }

    /// One more device is done.
    pub(crate) fn step(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((stop, watcher)) = self.watcher.take() {
            drop(stop);
            // The watcher does not panic; if it did, the line would stay.
            let _ = watcher.join();
        }
    }
}
