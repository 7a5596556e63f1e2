use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering;

use nodedev_driver::Error;
use nodedev_rpc::{Decoder, Keepalive};

use crate::failure;
use crate::options::Pings;
use crate::shared::Shared;
use crate::transport::Said;

/// Reads until the connection ends, and tells all who wait why it did.
pub(crate) fn run(shared: &Shared, input: Box<dyn Read + Send>, pings: Option<Pings>, said: Option<Said>) {
    let guard = Guard(shared);
    let error = read(shared, input, pings, said);
    guard.0.fail(error);
}

/// Nobody waits for a reader that is not there, not even after a panic.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fail(failure::closed());
    }
}

fn read(shared: &Shared, mut input: Box<dyn Read + Send>, pings: Option<Pings>, said: Option<Said>) -> Error {
    let mut decoder = Decoder::default();
    let mut unanswered = 0;
    loop {
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => {
                    unanswered = 0;
                    if let Err(error) = shared.take(&packet) {
                        return error;
                    }
                }
                Ok(None) => break,
                Err(error) => return failure::violation(error),
            }
        }
        match input.read(decoder.space()) {
            Ok(0) => return ended(shared, said),
            Ok(count) => decoder.filled(count),
            Err(error) => match (error.kind(), pings) {
                (ErrorKind::Interrupted, _) => {}
                (ErrorKind::WouldBlock | ErrorKind::TimedOut, Some(pings)) => {
                    if !shared.pinging.load(Ordering::Relaxed) {
                        continue;
                    }
                    if unanswered == pings.count {
                        return failure::silent();
                    }
                    unanswered += 1;
                    shared.keepalive(Keepalive::Ping);
                }
                (ErrorKind::ConnectionReset, _) => return ended(shared, said),
                _ => return failure::system("Cannot recv data", &error),
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
