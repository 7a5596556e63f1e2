//! What the threads and the callers of a connection share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nodedev_driver::{Error, EventLog, Result};
use nodedev_rpc::{
    Call, Callback, Header, Keepalive, MessageType, NativeCall, NativeEvent, NativeProcedure, Packet,
    Procedure, Response, TooLong, Void, program,
};

use crate::end::{End, Ending};
use crate::native::Watches;
use crate::options::Pings;
use crate::transport::Socket;
use crate::{events, failure};

/// Bytes of answers that may wait to be taken before the connection is given up: far more than honest answers to
/// [`WINDOW_CALLS`](crate::WINDOW_CALLS) calls take, and a list of as many devices as a list may have.
pub const HELD_BYTES: usize = 64 << 20;

pub(crate) struct Shared {
    state: Mutex<State>,
    /// There is something to write, the writer is done with it, or all is over.
    changed: Condvar,
    socket: Socket,
    /// Bytes of answers that wait to be taken.
    held: Arc<AtomicUsize>,
    /// Whether silence of the daemon is noticed.
    pub(crate) pinging: AtomicBool,
    pings: Mutex<Option<Pings>>,
    pub(crate) ending: Ending,
    pub(crate) events: EventLog,
    pub(crate) watches: Watches,
}

/// What is called: each program has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Libvirt(Procedure),
    Native(NativeProcedure),
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Libvirt(procedure) => procedure.name(),
            Self::Native(procedure) => procedure.name(),
        }
    }

    /// Whether a message with this header can be the reply.
    fn is_answered_by(self, header: &Header) -> bool {
        let (program, number) = match self {
            Self::Libvirt(procedure) => (program::REMOTE, procedure.number()),
            Self::Native(procedure) => (program::NODEDEV, procedure.number()),
        };
        (header.program, header.procedure) == (program, number)
    }
}

/// A call of either program.
pub(crate) trait Question {
    fn asked(&self) -> Asked;
    fn encode(&self, serial: u32, out: &mut Vec<u8>) -> std::result::Result<(), TooLong>;
}

impl Question for Call<'_> {
    fn asked(&self) -> Asked {
        Asked::Libvirt(self.procedure())
    }

    fn encode(&self, serial: u32, out: &mut Vec<u8>) -> std::result::Result<(), TooLong> {
        Call::encode(self, serial, out)
    }
}

impl Question for NativeCall<'_> {
    fn asked(&self) -> Asked {
        Asked::Native(self.procedure())
    }

    fn encode(&self, serial: u32, out: &mut Vec<u8>) -> std::result::Result<(), TooLong> {
        NativeCall::encode(self, serial, out)
    }
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
struct Pending {
    asked: Asked,
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
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            pings: Mutex::default(),
            ending: Ending::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            socket,
            held: Arc::default(),
            pinging: AtomicBool::new(false),
            events: EventLog::default(),
            watches: Watches::default(),
        }
    }

    /// Puts a call into the buffer of the writer; returns how many bytes it takes.
    pub(crate) fn submit(
        &self,
        call: &impl Question,
        index: usize,
        answers: &Sender<(usize, Answer)>,
    ) -> Result<usize> {
        let mut state = self.lock();
        if let Some(error) = &state.dead {
            return Err(error.clone());
        }
        let serial = state.free_serial();
        let before = state.out.len();
        call.encode(serial, &mut state.out)
            .map_err(|error| failure::too_long(format_args!("{}: {error}", call.asked().name())))?;
        let pending = Pending { asked: call.asked(), index, answers: answers.clone() };
        state.pending.insert(serial, pending);
        let size = state.out.len() - before;
        drop(state);
        self.changed.notify_all();
        Ok(size)
    }

    /// Says goodbye, if the daemon takes it in time, and ends the connection.
    pub(crate) fn close(&self, patience: Duration) {
        self.events.end(None);
        self.watches.end(None);
        let mut state = self.lock();
        if state.dead.is_none() {
            let serial = state.free_serial();
            let sent = Call::ConnectClose(Void).encode(serial, &mut state.out);
            debug_assert!(sent.is_ok(), "a call without arguments is short");
        }
        state.closing = true;
        self.changed.notify_all();
        let until = Instant::now() + patience;
        while state.dead.is_none() && state.write_error.is_none() && (state.writing || !state.out.is_empty())
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.wait_timeout(state, left);
        }
        drop(state);
        self.socket.shutdown();
    }

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

    /// Sets when silence is noticed; it counts from the next message on.
    pub(crate) fn set_pings(&self, pings: Option<Pings>) -> std::io::Result<()> {
        *self.pings.lock().unwrap_or_else(PoisonError::into_inner) = pings;
        self.socket.set_read_timeout(pings.map(|pings| pings.interval.max(Duration::from_millis(1))))
    }

    /// When silence is noticed.
    pub(crate) fn pings(&self) -> Option<Pings> {
        *self.pings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls can be made.
    pub(crate) fn is_alive(&self) -> bool {
        let state = self.lock();
        state.dead.is_none() && state.write_error.is_none()
    }

    /// Ends the connection: nobody waits any longer.
    pub(crate) fn fail(&self, end: End, error: Error) {
        let mut state = self.lock();
        let (end, error) = if state.closing { (End::Closed, failure::closed()) } else { (end, error) };
        let error = state.dead.get_or_insert(error).clone();
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        for (_, call) in pending {
            // A caller that has gone needs no answer.
            let _ = call.answers.send((call.index, Answer::Lost(error.clone())));
        }
        self.watches.end(Some(&error));
        self.events.end(Some(error));
        self.changed.notify_all();
        self.socket.shutdown();
        self.ending.has_come(end);
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
            Response::NativeEvent(event) => self.changed(&event),
            Response::Ignored => match packet.header.kind {
                // Of a program that this version does not know.
                MessageType::Message | MessageType::Stream | MessageType::StreamHole => Ok(()),
                // Whoever is there, is no daemon; perhaps what was said comes back. Or it is a reply to what was not
                // asked, and who asked would wait for ever.
                _ => Err(failure::unexpected(&packet.header)),
            },
        }
    }

    fn reply(&self, serial: u32, packet: &Packet<'_>) -> Result<()> {
        let number = packet.header.procedure;
        let Some(call) = self.lock().pending.remove(&serial) else {
            let known = Procedure::from_number(number).map_or("", Procedure::name);
            return Err(failure::violation(format_args!("call {serial} ({known} {number}) was not made")));
        };
        if !call.asked.is_answered_by(&packet.header) {
            // The caller is told with all others.
            let name = call.asked.name();
            self.lock().pending.insert(serial, call);
            return Err(failure::violation(format_args!("procedure {number} answers a call of {name}")));
        }
        if call.asked == Asked::Native(NativeProcedure::Watch)
            && let Err(error) = self.watches.begin(packet)
        {
            self.lock().pending.insert(serial, call);
            return Err(error);
        }
        let held = Arc::clone(&self.held);
        let size = packet.payload.len();
        if held.fetch_add(size, Ordering::Relaxed).saturating_add(size) > HELD_BYTES {
            let limit = HELD_BYTES >> 20;
            self.lock().pending.insert(serial, call);
            return Err(failure::violation(format_args!("more than {limit} MiB of answers at once")));
        }
        let message = Message { header: packet.header, payload: packet.payload.to_vec(), held };
        // A caller that has gone needs no answer.
        let _ = call.answers.send((call.index, Answer::Reply(message)));
        Ok(())
    }

    /// Takes a change that the daemon tells by program NODEDEV.
    fn changed(&self, event: &NativeEvent<'_>) -> Result<()> {
        if let Some(callback) = self.watches.take(event)? {
            // Nobody waits for the answer.
            let (unheard, _) = std::sync::mpsc::channel();
            self.submit(&NativeCall::Unwatch(Callback { callback }), 0, &unheard)?;
        }
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
