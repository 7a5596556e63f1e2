//! Threads that write large replies.
//!
//! Whoever copies lists into sockets without end uses up his share of the processors, and is made to wait by the system. That
//! must not be a thread that small calls need: those who serve clients use little time, and so are always soon on.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The threads, which are started with the first large reply.
pub(crate) struct Bulk {
    threads: usize,
    start: fn(),
    runtime: OnceLock<Option<Runtime>>,
}

impl Bulk {
    pub(crate) fn new(threads: usize, start: fn()) -> Self {
        Self { threads: threads.max(1), start, runtime: OnceLock::new() }
    }

    /// Runs a task there; where no threads can be started, with the tasks of the caller. Nothing comes of a task that
    /// panics. Dropped before the task is done, it ends the task.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let start = || {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(self.threads).thread_name("bulk").on_thread_start(self.start);
            let built = builder.build();
            built.inspect_err(|error| tracing::warn!(%error, "no threads for large replies")).ok()
        };
        let task = match self.runtime.get_or_init(start) {
            Some(runtime) => runtime.spawn(task),
            None => Handle::current().spawn(task),
        };
        let mut task = Awaited(task);
        (&mut task.0).await.ok()
    }
}

/// A task that somebody waits for: it ends with whoever does, and so does what it holds.
struct Awaited<T>(JoinHandle<T>);

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        // What is dropped by a task must not wait for tasks.
        if let Some(Some(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
