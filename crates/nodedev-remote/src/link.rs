//! One connection: what its threads and its callers share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nodedev_driver::{Error, ErrorDomain, EventLog, Result};
use nodedev_rpc::{Call, Header, Keepalive, MessageType, Packet, Procedure, Response, Void};

use crate::options::Options;
use crate::transport::{Channel, Relay, Socket};
use crate::{events, failure, reader, writer};

/// Bytes of answers that may wait to be taken before the connection is given up: far more than honest answers to
/// [`WINDOW_CALLS`](crate::WINDOW_CALLS) calls take, and a list of as many devices as a list may have.
pub const HELD_BYTES: usize = 256 << 20;

/// How long a connection that is dropped may take to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection to a daemon.
pub(crate) struct Link {
    shared: Arc<Shared>,
    relay: Option<Relay>,
    threads: Vec<JoinHandle<()>>,
    process: u32,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is something to write, the writer is done with it, or all is over.
    changed: Condvar,
    socket: Socket,
    /// Bytes of answers that wait to be taken.
    held: Arc<AtomicUsize>,
    /// Whether silence of the daemon is noticed.
    pub(crate) pinging: AtomicBool,
    pub(crate) events: EventLog,
}

#[derive(Default)]
struct State {
    next_serial: u32,
    pending: HashMap<u32, Pending>,
    out: Vec<u8>,
    /// Whether the writer has bytes that are not all written.
    writing: bool,
    closing: bool,
    /// Why writing failed. What the daemon said before is still read.
    write_error: Option<Error>,
    /// Why the connection is over.
    dead: Option<Error>,
}

/// A call that waits for its answer.
pub(crate) struct Pending {
    procedure: Procedure,
    /// Its place among the calls of its caller.
    index: usize,
    answers: Sender<(usize, Answer)>,
}

/// What becomes of a call.
pub(crate) enum Answer {
    Reply(Message),
    /// The connection ended first.
    Lost(Error),
}

/// The reply to a call.
pub(crate) struct Message {
    header: Header,
    payload: Vec<u8>,
    held: Arc<AtomicUsize>,
}

impl Message {
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet { header: self.header, descriptors: 0, payload: &self.payload }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        self.held.fetch_sub(self.payload.len(), Ordering::Relaxed);
    }
}

impl Link {
    /// Starts the threads.
    pub(crate) fn start(channel: Channel, options: &Options) -> Result<Self> {
        let Channel { reader, writer, socket, relay, .. } = channel;
        let pings = options.pings;
        socket
            .set_read_timeout(pings.map(|pings| pings.interval.max(Duration::from_millis(1))))
            .map_err(|error| failure::system("Unable to set the timeout of the connection", &error))?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            socket,
            held: Arc::default(),
            pinging: AtomicBool::new(false),
            events: EventLog::default(),
        });
        let said = relay.as_ref().map(Relay::said);
        let mut this = Self { shared, relay, threads: Vec::new(), process: std::process::id() };
        let (ours, theirs) = (Arc::clone(&this.shared), Arc::clone(&this.shared));
        this.spawn("nodedev-read", move || reader::run(&ours, reader, pings, said))?;
        this.spawn("nodedev-write", move || writer::run(&theirs, writer))?;
        Ok(this)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| failure::system("Unable to start a thread", &error))?;
        self.threads.push(thread);
        Ok(())
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Puts a call into the buffer of the writer; returns how many bytes it takes.
    pub(crate) fn submit(
        &self,
        call: &Call<'_>,
        index: usize,
        answers: &Sender<(usize, Answer)>,
    ) -> Result<usize> {
        if std::process::id() != self.process {
            return Err(failure::forked());
        }
        let mut state = self.shared.lock();
        if let Some(error) = &state.dead {
            return Err(error.clone());
        }
        let serial = state.free_serial();
        let before = state.out.len();
        call.encode(serial, &mut state.out)
            .map_err(|error| failure::too_long(format_args!("{}: {error}", call.procedure().name())))?;
        let pending = Pending { procedure: call.procedure(), index, answers: answers.clone() };
        state.pending.insert(serial, pending);
        let size = state.out.len() - before;
        drop(state);
        self.shared.changed.notify_all();
        Ok(size)
    }

    /// Says goodbye, if the daemon takes it.
    fn close(&self) {
        let mut state = self.shared.lock();
        if state.dead.is_none() {
            let serial = state.free_serial();
            let sent = Call::ConnectClose(Void).encode(serial, &mut state.out);
            debug_assert!(sent.is_ok(), "a call without arguments is short");
        }
        state.closing = true;
        self.shared.changed.notify_all();
        let until = Instant::now() + GOODBYE;
        while state.dead.is_none() && state.write_error.is_none() && (state.writing || !state.out.is_empty())
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.shared.wait_timeout(state, left);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // The threads are not here, and the socket is the parent's. Neither may be waited for or shut down.
            if let Some(relay) = self.relay.take() {
                relay.forget();
            }
            return;
        }
        self.shared.events.end(None);
        self.close();
        self.shared.socket.shutdown();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing to tell that the calls have not told.
            let _ = thread.join();
        }
    }
}

impl State {
    fn free_serial(&mut self) -> u32 {
        loop {
            let serial = self.next_serial;
            self.next_serial = serial.wrapping_add(1);
            if !self.pending.contains_key(&serial) {
                return serial;
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_timeout<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for something to write and puts it into `buffer`; `false` when nothing will come any more.
    pub(crate) fn next_output(&self, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        let mut state = self.lock();
        state.writing = false;
        self.changed.notify_all();
        loop {
            if state.dead.is_some() || state.write_error.is_some() {
                return false;
            }
            if !state.out.is_empty() {
                std::mem::swap(&mut state.out, buffer);
                state.writing = true;
                return true;
            }
            if state.closing {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writing failed: nothing more is sent, and the reader finds the end after what has come.
    pub(crate) fn write_failed(&self, error: Error) {
        self.lock().write_error.get_or_insert(error);
        self.socket.shutdown();
    }

    /// Why writing failed, if it did.
    pub(crate) fn write_error(&self) -> Option<Error> {
        self.lock().write_error.clone()
    }

    /// Ends the connection: nobody waits any longer.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.lock();
        let error = if state.closing { failure::closed() } else { error };
        let error = state.dead.get_or_insert(error).clone();
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        for (_, call) in pending {
            // A caller that has gone needs no answer.
            let _ = call.answers.send((call.index, Answer::Lost(error.clone())));
        }
        self.events.end(Some(error));
        self.changed.notify_all();
        self.socket.shutdown();
    }

    /// Takes a message of the daemon.
    pub(crate) fn take(&self, packet: &Packet<'_>) -> Result<()> {
        match packet.response().map_err(failure::violation)? {
            Response::Reply((_, _, serial)) => self.reply(serial, packet),
            Response::Event(event) => {
                self.events.publish(events::happened(&event));
                Ok(())
            }
            Response::Keepalive(Keepalive::Ping) => {
                self.keepalive(Keepalive::Pong);
                Ok(())
            }
            Response::Keepalive(Keepalive::Pong) => Ok(()),
            Response::Ignored => match packet.header.kind {
                // Whoever is there, is no daemon; perhaps what was said comes back.
                MessageType::Call | MessageType::CallWithDescriptors | MessageType::Unknown(_) => {
                    Err(failure::unexpected(&packet.header))
                }
                _ => Ok(()),
            },
        }
    }

    fn reply(&self, serial: u32, packet: &Packet<'_>) -> Result<()> {
        let number = packet.header.procedure;
        let Some(call) = self.lock().pending.remove(&serial) else {
            let known = Procedure::from_number(number).map_or("", Procedure::name);
            return Err(failure::violation(format_args!("call {serial} ({known} {number}) was not made")));
        };
        if number != call.procedure.number() {
            // The caller is told with all others.
            let name = call.procedure.name();
            self.lock().pending.insert(serial, call);
            return Err(failure::violation(format_args!("procedure {number} answers a call of {name}")));
        }
        let held = Arc::clone(&self.held);
        let size = packet.payload.len();
        if held.fetch_add(size, Ordering::Relaxed).saturating_add(size) > HELD_BYTES {
            let limit = HELD_BYTES >> 20;
            return Err(failure::violation(format_args!("more than {limit} MiB of answers at once")));
        }
        let message = Message { header: packet.header, payload: packet.payload.to_vec(), held };
        // A caller that has gone needs no answer.
        let _ = call.answers.send((call.index, Answer::Reply(message)));
        Ok(())
    }

    /// Sends a PING or PONG after what is to be sent already. A daemon that pings faster than it reads gets fewer answers.
    pub(crate) fn keepalive(&self, message: Keepalive) {
        let mut state = self.lock();
        if state.out.len() < crate::WINDOW_BYTES {
            message.encode(&mut state.out);
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("domain", &ErrorDomain::RPC).finish_non_exhaustive()
    }
}
