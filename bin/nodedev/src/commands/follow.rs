//! What commands that wait for events share: how the waiting ends.

use std::io;
use std::thread::JoinHandle;

use nodedev::{Error, Stopper, Watch};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use time::OffsetDateTime;

use crate::report::Advice;

/// Ends a watch when the user presses Ctrl-C or the program is told to go; until it is dropped.
pub(super) struct Interrupt {
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interrupt {
    pub(super) fn of(watch: &Watch) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let handle = signals.handle();
        let stopper: Stopper = watch.stopper();
        let thread = std::thread::spawn(move || {
            // The iterator ends when its handle is closed.
            if signals.forever().next().is_some() {
                stopper.stop();
            }
        });
        Ok(Self { signals: handle, thread: Some(thread) })
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.signals.close();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say, and a panic of it is no reason for another.
            let _ = thread.join();
        }
    }
}

/// The failure that the source of events ended.
pub(super) fn ended(reason: Option<Error>) -> anyhow::Error {
    match reason {
        Some(error) => error.into(),
        None => Advice::new("the source of the events was closed", "look at all devices again").into(),
    }
}

/// virsh's form of a time: UTC, milliseconds.
pub(super) fn timestamp(time: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}+0000",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    #[test]
    fn times_have_the_form_of_virsh() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_709_164_799_007_900_000).unwrap();
        assert_eq!(super::timestamp(time), "2024-02-28 23:59:59.007+0000");
    }
}
