//! Programs that pass the bytes on: `ssh`, and the user's own.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nodedev_driver::Result;

use super::Socket;
use crate::failure;

/// How much of what a program says on standard error is kept: the last of it.
const KEPT: usize = 1024;
/// How long the last words of a program that has closed its output may take.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long a program may take to end by itself when its input has ended.
const GRACE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(10);

/// A program whose standard input and output are one socket, the other end of which is ours.
#[derive(Debug)]
pub(crate) struct Relay {
    child: Option<Child>,
    said: Option<Said>,
}

impl Relay {
    /// Starts a program.
    pub(crate) fn start(mut command: Command) -> Result<(Socket, Self)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |error: io::Error| {
            failure::system(format_args!("Cannot start '{program}'"), &error).with_help(
                "the program has to be installed, or named by its whole path with the parameter command",
            )
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let input = OwnedFd::from(theirs.try_clone().map_err(failed)?);
        command.stdin(Stdio::from(input)).stdout(Stdio::from(OwnedFd::from(theirs))).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        // The other end has to be the child's alone, so that its end is noticed.
        drop(command);
        let stderr = child.stderr.take();
        let mut this = Self { child: Some(child), said: None };
        this.said = stderr.map(Said::listen).transpose()?;
        Ok((Socket::Unix(ours), this))
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> Said {
        self.said.clone().unwrap_or_default()
    }

    /// Leaves the program to the process that started it.
    pub(crate) fn forget(mut self) {
        self.child = None;
    }
}

impl Drop for Relay {
    /// Its input has ended by now. A program that does not end then is killed, as one that nobody waits for would stay.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let until = Instant::now() + GRACE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                // Killing fails only for a process that has ended.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}

/// The last words of a program on standard error.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    /// Ends when the program closes its standard error.
    end: Arc<Mutex<Option<Receiver<()>>>>,
}

impl Said {
    /// Listens in a thread of its own, which ends with the program: one that nobody listens to would stop.
    fn listen(mut stderr: ChildStderr) -> Result<Self> {
        let (ended, end) = mpsc::channel::<()>();
        let this = Self { text: Arc::default(), end: Arc::new(Mutex::new(Some(end))) };
        let text = Arc::clone(&this.text);
        let run = move || {
            let _ended = ended;
            let mut buffer = [0; KEPT];
            while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                text.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let old = text.len().saturating_sub(KEPT);
                text.drain(..old);
            }
        };
        match nodedev_threads::spawn("nodedev-stderr", run) {
            Ok(_) => Ok(this),
            Err(error) => Err(failure::system("Unable to start a thread", &error)),
        }
    }

    /// What it said, once it has closed its output.
    pub(crate) fn after_the_end(&self) -> String {
        if let Some(end) = self.end.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A program of its own that it left behind may keep standard error open.
            let (Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) | Ok(())) =
                end.recv_timeout(LAST_WORDS);
        }
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}
