//! Whether a client still lives: PINGs that it asked for.

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
    begun: Notify,
}

impl Pings {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            interval: settings.keepalive_interval,
            count: settings.keepalive_count,
            heard: Mutex::new(Instant::now()),
            begun: Notify::new(),
        }
    }

    fn last_heard(&self) -> Instant {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
