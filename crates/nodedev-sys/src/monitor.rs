//! All news of this machine's devices in one place: uevents, hardware addresses, definitions of mediated devices.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::folders::{FolderWatch, absolute};
use crate::link::{Heard, LinkAddress, LinkSocket};
use crate::uevent::{self, Message, Teller, UeventSocket};
use crate::{Root, paths};

/// Most pieces of news that are fetched at once; more stay with the kernel, so that memory is bounded.
const BATCH: usize = 1 << 14;
/// What libudev asks for; the kernel counts twice as much.
const BUFFER: usize = 128 << 20;

/// What has happened since the last look.
#[derive(Debug, Default)]
pub struct News {
    /// What the kernel or udev told of devices, in order.
    pub uevents: Vec<Message>,
    /// Addresses of interfaces of which something changed, in order.
    pub addresses: Vec<LinkAddress>,
    /// Something was lost: only a look at all devices tells what is there.
    pub lost: bool,
    /// Definitions of mediated devices may have changed.
    pub definitions: bool,
}

impl News {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.uevents.is_empty() && self.addresses.is_empty() && !self.lost && !self.definitions
    }

    /// Forgets what is in here, and keeps the room for more.
    pub fn clear(&mut self) {
        self.uevents.clear();
        self.addresses.clear();
        self.lost = false;
        self.definitions = false;
    }
}

/// Ends the waiting for news, from any thread.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// A waker that does this.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// Ends the present wait, or the next one if there is none.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Follows this machine.
#[derive(Debug)]
pub struct Monitor {
    uevents: UeventSocket,
    /// Absent where the kernel has no network.
    links: Option<LinkSocket>,
    /// Absent where too much else is watched already.
    definitions: Option<FolderWatch>,
    wake: Arc<OwnedFd>,
}

impl Monitor {
    /// Begins to listen: what happens from now on will be told. udev tells where it runs, the
    /// kernel elsewhere and until it does.
    ///
    /// # Errors
    /// What the operating system says where nobody tells of devices.
    pub fn open(root: &Root) -> io::Result<Self> {
        let teller = match root.exists(paths::UDEV_CONTROL.as_bytes()) {
            true => Teller::Udev,
            false => Teller::Whoever,
        };
        Self::with_buffer(teller, BUFFER)
    }

    /// The same with a given teller, and with room for `buffer` bytes in the kernel.
    ///
    /// # Errors
    /// As [`Monitor::open`].
    pub fn with_buffer(teller: Teller, buffer: usize) -> io::Result<Self> {
        let uevents = UeventSocket::open(teller, buffer)?;
        tracing::debug!(?teller, "following devices");
        let or_warn = |what: &str, error: io::Error| tracing::warn!(%error, "cannot follow {what}");
        let links =
            LinkSocket::open(buffer).map_err(|error| or_warn("addresses of network interfaces", error)).ok();
        let definitions = FolderWatch::new(&absolute(paths::MDEVCTL.as_bytes()))
            .map_err(|error| or_warn("definitions of mediated devices", error))
            .ok();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Self { uevents, links, definitions, wake })
    }

    /// What ends a wait.
    pub fn waker(&self) -> Waker {
        let wake = Arc::clone(&self.wake);
        Waker::new(move || {
            // It can only fail when it is full, and then the wait ends anyway.
            let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
        })
    }

    /// Waits for news, no longer than `timeout`, and adds them to `news`.
    ///
    /// # Errors
    /// What the operating system says; nothing more can be expected of the monitor then.
    pub fn receive(&mut self, timeout: Option<Duration>, news: &mut News) -> io::Result<()> {
        self.wait(timeout)?;
        while news.uevents.len() < BATCH {
            match self.uevents.receive()? {
                uevent::News::Uevent(message) => news.uevents.push(message),
                uevent::News::Lost => news.lost = true,
                uevent::News::Empty => break,
            }
        }
        if let Some(links) = &mut self.links {
            while news.addresses.len() < BATCH {
                match links.receive(&mut news.addresses)? {
                    Heard::Message => {}
                    Heard::Lost => news.lost = true,
                    Heard::Nothing => break,
                }
            }
        }
        if let Some(definitions) = &mut self.definitions {
            match definitions.changed() {
                Ok(changed) => news.definitions |= changed,
                Err(error) => {
                    tracing::warn!(%error, "definitions of mediated devices are not followed any more");
                    self.definitions = None;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut polled =
            vec![PollFd::new(&self.wake, PollFlags::IN), PollFd::new(&self.uevents, PollFlags::IN)];
        polled.extend(self.links.iter().map(|links| PollFd::from_borrowed_fd(links.as_fd(), PollFlags::IN)));
        polled.extend(
            self.definitions.iter().map(|folder| PollFd::from_borrowed_fd(folder.as_fd(), PollFlags::IN)),
        );
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let mut count = [0; 8];
        match rustix::io::read(&self.wake, &mut count) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_wait_without_end_is_ended_from_another_thread() {
        let mut monitor = Monitor::with_buffer(Teller::Udev, 4096).unwrap();
        let waker = monitor.waker();
        let waiting = thread::spawn(move || monitor.receive(None, &mut News::default()));
        waker.wake();
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_wait_ends_in_time() {
        let mut monitor = Monitor::with_buffer(Teller::Udev, 4096).unwrap();
        let start = Instant::now();
        monitor.receive(Some(Duration::from_millis(1)), &mut News::default()).unwrap();
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
