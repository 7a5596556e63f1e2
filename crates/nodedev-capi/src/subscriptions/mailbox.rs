//! What waits for the event loop.

use std::collections::{HashSet, VecDeque};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodedev_driver::LibvirtEvent;
use nodedev_model::DeviceName;
use nodedev_remote::End;

/// Messages that wait before those of one device are shortened: a program that does not run its loop must not fill the
/// memory.
const PLENTY: usize = 4096;

/// A message to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Device(DeviceName, LibvirtEvent),
    Ended(End),
}

/// Messages to the program, and the file descriptor that is readable while there are any.
pub(super) struct Mailbox {
    waiting: Mutex<Waiting>,
    writer: UnixStream,
    reader: UnixStream,
}

struct Waiting {
    messages: VecDeque<Message>,
    plenty: usize,
}

impl Mailbox {
    pub(super) fn new() -> std::io::Result<Self> {
        let (writer, reader) = UnixStream::pair()?;
        writer.set_nonblocking(true)?;
        reader.set_nonblocking(true)?;
        let waiting = Mutex::new(Waiting { messages: VecDeque::new(), plenty: PLENTY });
        Ok(Self { waiting, writer, reader })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    pub(super) fn put(&self, message: Message) {
        let mut waiting = self.lock();
        let was_empty = waiting.messages.is_empty();
        waiting.messages.push_back(message);
        if waiting.messages.len() >= waiting.plenty {
            waiting.shorten();
        }
        drop(waiting);
        if was_empty {
            // If it does not fit, there is something to read already.
            let _ = (&self.writer).write(&[0]);
        }
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> VecDeque<Message> {
        let mut buffer = [0; 64];
        while (&self.reader).read(&mut buffer).is_ok_and(|count| count == buffer.len()) {}
        let mut waiting = self.lock();
        waiting.plenty = PLENTY;
        std::mem::take(&mut waiting.messages)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Leaves of each device the last event of each kind, in their order: whoever follows ends with the same picture.
    fn shorten(&mut self) {
        let mut seen = HashSet::new();
        let mut kept = VecDeque::new();
        while let Some(message) = self.messages.pop_back() {
            let is_last = match &message {
                Message::Device(name, event) => seen.insert((name.clone(), *event)),
                Message::Ended(_) => true,
            };
            if is_last {
                kept.push_front(message);
            }
        }
        self.messages = kept;
        // Of many devices a lot remains: it is not looked through again before it has doubled.
        self.plenty = PLENTY.max(self.messages.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use nodedev_driver::LibvirtEvent::{self, Created, Deleted, Updated};

    use super::{Mailbox, Message, PLENTY};

    fn device(number: usize, event: LibvirtEvent) -> Message {
        Message::Device(format!("net_eth{number}").parse().expect("a name"), event)
    }

    #[test]
    fn a_program_that_sleeps_through_a_storm_finds_how_it_ended() {
        let mailbox = Mailbox::new().expect("a pair of sockets");
        for _ in 0..PLENTY {
            for number in 0..8 {
                for event in [Created, Updated, Deleted] {
                    mailbox.put(device(number, event));
                }
            }
        }
        for event in [Created, Updated] {
            mailbox.put(device(3, event));
        }
        let messages = mailbox.take();
        assert!(messages.len() < PLENTY, "{}", messages.len());
        let of = |number| {
            let of_device: Vec<_> = messages
                .iter()
                .filter_map(|message| match message {
                    Message::Device(name, event) if name.as_str() == format!("net_eth{number}") => {
                        Some(*event)
                    }
                    _ => None,
                })
                .collect();
            of_device
        };
        assert_eq!(of(7).last(), Some(&Deleted));
        assert!(of(3).ends_with(&[Deleted, Created, Updated]), "{:?}", of(3));
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn many_devices_are_all_kept_in_order() {
        let mailbox = Mailbox::new().expect("a pair of sockets");
        for number in 0..3 * PLENTY {
            mailbox.put(device(number, Created));
        }
        let want: Vec<_> = (0..3 * PLENTY).map(|number| device(number, Created)).collect();
        assert_eq!(mailbox.take(), want);
    }
}
