use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering;

use nodedev_driver::Error;
use nodedev_rpc::{Decoder, Keepalive};

use crate::end::End;
use crate::failure;
use crate::shared::Shared;
use crate::transport::Said;

/// Reads until the connection ends, and tells all who wait why it did.
pub(crate) fn run(shared: &Shared, input: Box<dyn Read + Send>, said: Option<Said>) {
    let guard = Guard(shared);
    let (end, error) = read(shared, input, said);
    guard.0.fail(end, error);
}

/// Nobody waits for a reader that is not there, not even after a panic.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fail(End::Error, failure::closed());
    }
}

fn read(shared: &Shared, mut input: Box<dyn Read + Send>, said: Option<Said>) -> (End, Error) {
    let mut decoder = Decoder::default();
    let mut unanswered = 0;
    loop {
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => {
                    unanswered = 0;
                    if let Err(error) = shared.take(&packet) {
                        return (End::Error, error);
                    }
                }
                Ok(None) => break,
                Err(error) => return (End::Error, failure::violation(error)),
            }
        }
        match input.read(decoder.space()) {
            Ok(0) => return (End::EndOfFile, ended(shared, said)),
            Ok(count) => decoder.filled(count),
            Err(error) => match (error.kind(), shared.pings()) {
                (ErrorKind::Interrupted, _) => {}
                // The time came, and meanwhile nobody wants to notice silence any more.
                (ErrorKind::WouldBlock | ErrorKind::TimedOut, None) => {}
                (ErrorKind::WouldBlock | ErrorKind::TimedOut, Some(pings)) => {
                    if !shared.pinging.load(Ordering::Relaxed) {
                        continue;
                    }
                    if unanswered >= pings.count {
                        return (End::Silence, failure::silent());
                    }
                    unanswered += 1;
                    shared.keepalive(Keepalive::Ping);
                }
                (ErrorKind::ConnectionReset, _) => return (End::EndOfFile, ended(shared, said)),
                _ => return (End::Error, failure::system("Cannot recv data", &error)),
            },
        }
    }
}

/// Why there is nothing more to read.
fn ended(shared: &Shared, said: Option<Said>) -> Error {
    match said {
        Some(said) => failure::relay_ended(&said.after_the_end()),
        None => shared.write_error().unwrap_or_else(failure::end_of_file),
    }
}
