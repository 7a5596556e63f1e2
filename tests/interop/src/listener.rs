//! A client of libvirt's that prints what it hears of devices.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::network::{ip, trigger};

const PATIENCE: Duration = Duration::from_secs(20);
/// For how long nothing may come before all is said to have come.
pub const SILENCE: Duration = Duration::from_millis(700);

/// A process of the test that ends with it.
pub struct Running(
    /// The process.
    pub Child,
);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program in Python that listens with libvirt's default event loop. What it hears: `NAME EVENT`.
pub struct Listener {
    lines: Receiver<String>,
    _process: Running,
}

impl Listener {
    /// Starts it and waits until it hears events. `library`: the folder of the `libvirt.so.0` that it uses; absent: the
    /// system's. To be called in [`private`](crate::network::private).
    ///
    /// # Errors
    /// If it does not hear of any.
    pub fn start(uri: &str, library: Option<&Path>) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listen.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(uri).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(library) = library {
            command.env("LD_LIBRARY_PATH", library);
        }
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or("the client has no output".to_owned())?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let told = BufReader::new(output).lines().map_while(Result::ok);
            told.take_while(|line| sender.send(line.clone()).is_ok()).count()
        });
        let client = Self { lines, _process: Running(process) };
        ip("link add mark0 address 02:00:00:00:00:f0 type veth peer name mark1 address 02:00:00:00:00:f1")?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            trigger("mark0", "change")?;
            match client.lines.recv_timeout(SILENCE) {
                Ok(_) => {
                    ip("link del mark0")?;
                    client.rest();
                    return Ok(client);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(format!("a client of {uri} does not hear of events").into())
    }

    /// What it hears until nothing more comes.
    pub fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(SILENCE).ok()).collect()
    }
}
