//! One connection, as its callers see it.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use nodedev_driver::Result;

use crate::options::Options;
use crate::shared::{Answer, Question, Shared};
use crate::transport::{Channel, Relay};
use crate::{failure, reader, writer};

/// How long a connection that is dropped may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection to a daemon.
pub(crate) struct Link {
    shared: Arc<Shared>,
    relay: Option<Relay>,
    threads: Vec<JoinHandle<()>>,
    process: u32,
}

impl Link {
    /// Starts the threads.
    pub(crate) fn start(channel: Channel, options: &Options) -> Result<Self> {
        let Channel { reader, writer, socket, relay, .. } = channel;
        let shared = Arc::new(Shared::new(socket));
        shared
            .set_pings(options.pings)
            .map_err(|error| failure::system("Unable to set the timeout of the connection", &error))?;
        let said = relay.as_ref().map(Relay::said);
        let mut this = Self { shared, relay, threads: Vec::new(), process: std::process::id() };
        let (ours, theirs) = (Arc::clone(&this.shared), Arc::clone(&this.shared));
        this.spawn("nodedev-read", move || reader::run(&ours, reader, said))?;
        this.spawn("nodedev-write", move || writer::run(&theirs, writer))?;
        Ok(this)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = nodedev_threads::spawn(name, run);
        let thread = thread.map_err(|error| failure::system("Unable to start a thread", &error))?;
        self.threads.push(thread);
        Ok(())
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether this process is a child of the one that connected.
    pub(crate) fn is_inherited(&self) -> bool {
        std::process::id() != self.process
    }

    /// Puts a call into the buffer of the writer; returns how many bytes it takes.
    pub(crate) fn submit(
        &self,
        call: &impl Question,
        index: usize,
        answers: &Sender<(usize, Answer)>,
    ) -> Result<usize> {
        if self.is_inherited() {
            return Err(failure::forked());
        }
        self.shared.submit(call, index, answers)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.is_inherited() {
            // The threads are not here, and the socket is the parent's. Neither may be waited for or shut down; nor may threads
            // be detached, as those of this process may have got their numbers.
            std::mem::forget(std::mem::take(&mut self.threads));
            if let Some(relay) = self.relay.take() {
                relay.forget();
            }
            return;
        }
        self.shared.close(GOODBYE);
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing to tell that the calls have not told.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
