//! Whether a client still lives: PINGs that it asked for.
//!
//! Its answers are messages like others. As long as none of them is looked at, for want of room that others have or since its
//! calls are still worked on, a client that reads what it gets is not taken for mute.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nodedev_rpc::Keepalive;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::outbox::Outbox;
use crate::serve::{End, Settings};

/// Whether the client still lives.
pub(crate) struct Pings {
    interval: Option<Duration>,
    count: u32,
    heard: Mutex<Instant>,
    /// No message of the client is looked at.
    is_held: AtomicBool,
    begun: Notify,
}

/// No message of the client is looked at as long as this lives.
pub(crate) struct Hold<'a>(&'a Pings);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.heard();
        self.0.is_held.store(false, Ordering::SeqCst);
    }
}

impl Pings {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            interval: settings.keepalive_interval,
            count: settings.keepalive_count,
            heard: Mutex::new(Instant::now()),
            is_held: AtomicBool::new(false),
            begun: Notify::new(),
        }
    }

    fn last_heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Says that no message is looked at until this goes. One task alone may hold it.
    pub(crate) fn hold(&self) -> Hold<'_> {
        self.is_held.store(true, Ordering::SeqCst);
        Hold(self)
    }

    pub(crate) fn begin(&self) {
        self.begun.notify_one();
    }

    /// Sends PINGs once the client wants them, and ends when it leaves them unanswered.
    pub(crate) async fn run(&self, outbox: &Outbox) -> End {
        self.begun.notified().await;
        let Some(interval) = self.interval else { return std::future::pending().await };
        let mut sent = 0;
        let mut heard = self.last_heard();
        loop {
            tokio::time::sleep_until(heard + interval * (sent + 1)).await;
            if outbox.is_read() && (self.is_held.load(Ordering::SeqCst) || outbox.is_full()) {
                self.heard();
            }
            let now = self.last_heard();
            if now > heard {
                (heard, sent) = (now, 0);
            } else if sent >= self.count {
                return End::Mute;
            } else {
                let mut ping = Vec::new();
                Keepalive::Ping.encode(&mut ping);
                outbox.message(ping);
                sent += 1;
            }
        }
    }
}
