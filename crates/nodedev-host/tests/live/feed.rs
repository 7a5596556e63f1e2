//! A source of news that a test writes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nodedev_host::live::Source;
use nodedev_sys::link::LinkAddress;
use nodedev_sys::uevent::Message;
use nodedev_sys::{News, Waker};

/// No more than that at once, as with the kernel.
const BATCH: usize = 1 << 14;

#[derive(Debug)]
pub(crate) enum Piece {
    Uevent(Message),
    Address(LinkAddress),
    Definitions,
    Lost,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Piece>,
    /// Nothing is handed out.
    held: bool,
    woken: bool,
    /// The follower has done all that it was given, and waits.
    idle: bool,
}

/// News for a follower.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed(Arc<(Mutex<State>, Condvar)>);

impl Feed {
    pub(crate) fn push(&self, piece: Piece) {
        let mut state = self.0.0.lock().unwrap();
        state.queue.push_back(piece);
        state.idle = false;
        self.0.1.notify_all();
    }

    /// A uevent of the kernel.
    pub(crate) fn uevent(&self, action: &str, path: &str, subsystem: &str, more: &[(&str, &str)]) {
        let mut text = format!("{action}@/{path}\0ACTION={action}\0DEVPATH=/{path}\0SUBSYSTEM={subsystem}\0");
        for (key, value) in more {
            text.push_str(&format!("{key}={value}\0"));
        }
        self.push(Piece::Uevent(Message::from_kernel(text.as_bytes()).expect("a uevent of a device")));
    }

    /// Hands nothing out for the present, as if the follower were busy.
    pub(crate) fn hold(&self) {
        self.0.0.lock().unwrap().held = true;
    }

    pub(crate) fn release(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.held = false;
        self.0.1.notify_all();
    }

    /// Waits until the follower has done all that it was given.
    pub(crate) fn settle(&self) {
        let state = self.0.0.lock().unwrap();
        let busy = |state: &mut State| !(state.idle && state.queue.is_empty());
        let (_state, waited) = self.0.1.wait_timeout_while(state, Duration::from_secs(60), busy).unwrap();
        assert!(!waited.timed_out(), "the follower does not come to rest");
    }

    /// The same, unless nothing is handed out.
    pub(crate) fn settle_if_free(&self) {
        let held = self.0.0.lock().unwrap().held;
        if !held {
            self.settle();
        }
    }

    /// What is queued and not handed out is lost, but the first few pieces.
    pub(crate) fn overflow(&self, keep: usize) {
        let mut state = self.0.0.lock().unwrap();
        // The kernel says so before it hands out what it kept.
        state.queue.truncate(keep);
        state.queue.push_front(Piece::Lost);
        state.idle = false;
        self.0.1.notify_all();
    }
}

impl Source for Feed {
    fn receive(&mut self, timeout: Option<Duration>, news: &mut News) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        let nothing = |state: &mut State| (state.held || state.queue.is_empty()) && !state.woken;
        if nothing(&mut state) && timeout.is_none() {
            state.idle = true;
            self.0.1.notify_all();
        }
        state = match timeout {
            None => self.0.1.wait_while(state, nothing).unwrap(),
            Some(timeout) => self.0.1.wait_timeout_while(state, timeout, nothing).unwrap().0,
        };
        state.woken = false;
        if state.held {
            return Ok(());
        }
        let count = state.queue.len().min(BATCH);
        for piece in state.queue.drain(..count) {
            match piece {
                Piece::Uevent(message) => news.uevents.push(message),
                Piece::Address(address) => news.addresses.push(address),
                Piece::Definitions => news.definitions = true,
                Piece::Lost => news.lost = true,
            }
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let shared = self.0.clone();
        Waker::new(move || {
            shared.0.lock().unwrap().woken = true;
            shared.1.notify_all();
        })
    }
}
