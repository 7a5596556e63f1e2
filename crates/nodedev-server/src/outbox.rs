//! What waits to be sent to one client, and how much of it may wait.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ledger::{Account, Charge, Held, Kind};

/// Messages are joined up to this size, so that many small ones are one system call.
const JOIN: usize = 16 * 1024;
/// Bytes of events that may wait for a client even where others have all the room that there is.
const LITTLE: usize = JOIN;

/// What a queued piece costs beside its bytes.
const PIECE: usize = 64;

/// The first bytes of some that many may share.
#[derive(Debug, Clone)]
pub(crate) struct Prefix {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) length: usize,
}

impl From<Arc<[u8]>> for Prefix {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self { length: bytes.len(), bytes }
    }
}

/// A message, whose middle may be shared by many.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    pub(crate) head: Vec<u8>,
    pub(crate) body: Option<Prefix>,
    pub(crate) tail: Vec<u8>,
}

impl From<Vec<u8>> for Frame {
    fn from(head: Vec<u8>) -> Self {
        Self { head, ..Self::default() }
    }
}

/// Bytes that are written in one go.
#[derive(Debug)]
pub(crate) struct Chunk {
    bytes: Bytes,
    count: Count,
}

/// What a chunk holds, or what waits altogether.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Replies; altogether: calls that were taken and whose replies are not written.
    replies: usize,
    events: usize,
    event_bytes: usize,
}

#[derive(Debug)]
enum Bytes {
    /// With what they count as.
    Own(Vec<u8>, Charge),
    Shared {
        held: Held,
        length: usize,
    },
}

impl Chunk {
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Own(bytes, _) => bytes,
            Bytes::Shared { held, length } => held.bytes().get(..*length).unwrap_or_default(),
        }
    }
}

/// Bounds for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Calls that may be taken whose replies are not written yet.
    pub(crate) calls: usize,
    /// Events that may wait.
    pub(crate) events: usize,
    /// Their bytes.
    pub(crate) event_bytes: usize,
}

/// Why nothing more is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The client said so; what waits is still sent.
    Finished,
    /// The client does not read, and too many events wait for it.
    TooSlow,
    /// The call that it waits for failed in a way that leaves no answer.
    Broken,
    /// It has gone.
    Gone,
}

/// The queue of one client. Any thread puts messages into it; one task writes them.
#[derive(Debug)]
pub(crate) struct Outbox {
    bounds: Bounds,
    account: Arc<Account>,
    state: Mutex<State>,
    /// Something can be written, or the end has come.
    filled: Notify,
    /// A reply was written.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    waiting: Count,
    /// Calls that were answered and whose replies are not written.
    answered: usize,
    closed: Option<Closed>,
}

impl Outbox {
    pub(crate) fn new(bounds: Bounds, account: Arc<Account>) -> Self {
        Self { bounds, account, state: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    /// For whom what waits is counted.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that was taken: its reply will follow.
    pub(crate) fn taken(&self) {
        self.lock().waiting.replies += 1;
    }

    /// Waits until another call may be taken. One task alone may wait.
    pub(crate) async fn room(&self) {
        self.calls_below(self.bounds.calls.max(1)).await;
    }

    /// Whether the client has read all replies and events that there are for it.
    pub(crate) fn is_read(&self) -> bool {
        let state = self.lock();
        state.answered == 0 && state.waiting.events == 0
    }

    /// Whether as many calls were taken as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().waiting.replies >= self.bounds.calls.max(1)
    }

    /// Waits until no more than this one call is without its reply. One task alone may wait.
    pub(crate) async fn others_answered(&self) {
        self.calls_below(2).await;
    }

    async fn calls_below(&self, limit: usize) {
        while self.lock().waiting.replies >= limit {
            self.emptied.notified().await;
        }
    }

    /// Adds the reply to a call that was taken.
    pub(crate) fn reply(&self, frame: Frame) {
        let charge = |bytes: &[u8]| self.account.charge(Kind::Output, bytes.len() + PIECE);
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.answered += 1;
        let Frame { head, body, tail } = frame;
        match body {
            None => state.append(&[&head], Count { replies: 1, ..Count::default() }, charge(&head)),
            Some(Prefix { bytes, length }) => {
                state.append(&[&head], Count::default(), charge(&head));
                let bytes = Bytes::Shared { held: self.account.hold(&bytes), length };
                state.chunks.push_back(Chunk { bytes, count: Count::default() });
                state.append(&[&tail], Count { replies: 1, ..Count::default() }, charge(&tail));
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Adds a message that answers nothing.
    pub(crate) fn message(&self, bytes: Vec<u8>) {
        let mut state = self.lock();
        if state.closed.is_none() {
            let charge = self.account.charge(Kind::Output, bytes.len() + PIECE);
            state.append(&[&bytes], Count::default(), charge);
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Adds an event; says whether the client can get any more.
    pub(crate) fn event(&self, parts: [&[u8]; 3]) -> bool {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut state = self.lock();
        if state.closed.is_some() {
            return false;
        }
        let waiting = state.waiting.event_bytes + length;
        let fits = state.waiting.events < self.bounds.events && waiting <= self.bounds.event_bytes;
        // Where others have all the room, a client that reads loses nothing: little waits for it.
        let charge = match waiting <= LITTLE {
            true => Some(self.account.charge(Kind::Output, length + PIECE)),
            false => self.account.try_charge(Kind::Output, length + PIECE),
        };
        let charge = charge.filter(|_| fits);
        let may_come = charge.is_some();
        match charge {
            None => state.close(Closed::TooSlow),
            Some(charge) => {
                let count = Count { replies: 0, events: 1, event_bytes: length };
                state.waiting.events += 1;
                state.waiting.event_bytes = waiting;
                state.append(&parts, count, charge);
            }
        }
        drop(state);
        self.filled.notify_one();
        may_come
    }

    /// Ends the queue. Only after [`Closed::Finished`] is what waits still written.
    pub(crate) fn close(&self, reason: Closed) {
        self.lock().close(reason);
        self.filled.notify_one();
    }

    /// How many events may wait.
    pub(crate) fn events_max(&self) -> usize {
        self.bounds.events
    }

    /// How many events may wait, and how many bytes of them.
    pub(crate) fn event_bounds(&self) -> (usize, usize) {
        (self.bounds.events, self.bounds.event_bytes)
    }

    /// Why nothing more is sent, if so.
    pub(crate) fn closed(&self) -> Option<Closed> {
        self.lock().closed
    }

    /// What is to be written next, or why there is no more. One task alone may wait.
    pub(crate) async fn next(&self) -> Result<Chunk, Closed> {
        loop {
            {
                let mut state = self.lock();
                match (state.chunks.pop_front(), state.closed) {
                    (Some(chunk), None | Some(Closed::Finished)) => return Ok(chunk),
                    (_, Some(reason)) => return Err(reason),
                    (None, None) => {}
                }
            }
            self.filled.notified().await;
        }
    }

    /// Waits until what waits is not to be written any more. For the task that writes alone.
    pub(crate) async fn cut_off(&self) {
        while self.closed().is_none_or(|reason| reason == Closed::Finished) {
            self.filled.notified().await;
        }
    }

    /// Counts what was written.
    pub(crate) fn written(&self, chunk: &Chunk) {
        let mut state = self.lock();
        let Count { replies, events, event_bytes } = chunk.count;
        state.waiting.replies = state.waiting.replies.saturating_sub(replies);
        state.answered = state.answered.saturating_sub(replies);
        state.waiting.events = state.waiting.events.saturating_sub(events);
        state.waiting.event_bytes = state.waiting.event_bytes.saturating_sub(event_bytes);
        drop(state);
        if replies > 0 {
            self.emptied.notify_one();
        }
    }
}

impl State {
    fn append(&mut self, parts: &[&[u8]], count: Count, charge: Charge) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        match self.chunks.back_mut() {
            Some(Chunk { bytes: Bytes::Own(last, counted), count: before })
                if last.len() + length <= JOIN =>
            {
                parts.iter().for_each(|part| last.extend_from_slice(part));
                counted.join(charge);
                before.replies += count.replies;
                before.events += count.events;
                before.event_bytes += count.event_bytes;
            }
            _ => self.chunks.push_back(Chunk { bytes: Bytes::Own(parts.concat(), charge), count }),
        }
    }

    fn close(&mut self, reason: Closed) {
        if self.closed.is_none() {
            self.closed = Some(reason);
            if reason != Closed::Finished {
                drop(mem::take(&mut self.chunks));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::User;
    use crate::ledger::Ledger;

    #[test]
    fn events_reach_a_client_that_reads_whatever_others_have() {
        let ledger = Ledger::new();
        // Others have all that there is for strangers, and more.
        let _full: Vec<_> =
            (0..3).map(|user| ledger.account(User::Id(user)).charge(Kind::Output, 32 << 20)).collect();
        let bounds = Bounds { calls: 1, events: 1000, event_bytes: 1 << 20 };
        let outbox = Outbox::new(bounds, ledger.account(User::Id(7)));
        let event = [0; 100];
        for _ in 0..LITTLE / event.len() {
            assert!(outbox.event([&event, &[], &[]]));
        }
        // One that does not read gets no more than that.
        assert!(!outbox.event([&event, &[], &[]]));
        assert_eq!(outbox.closed(), Some(Closed::TooSlow));
    }
}
