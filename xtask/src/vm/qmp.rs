//! QEMU's control socket, by which devices come and go (QEMU's docs/interop/qmp-spec).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// For an answer. QEMU gives it when it has begun, not when the guest has noticed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_ANSWER: u64 = 1 << 20;

/// A connection that may give commands.
pub(super) struct Control(BufReader<UnixStream>);

impl Control {
    /// Connects to a machine that runs.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("QEMU has no control socket")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut control = Self(BufReader::new(stream));
        // It introduces itself, and takes nothing but this before.
        control.message()?;
        control.execute(r#"{"execute":"qmp_capabilities"}"#)?;
        Ok(control)
    }

    /// Has it carry out a command, which is a JSON object on one line.
    pub(super) fn execute(&mut self, command: &str) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Some(error) = self.ask(command)? else { return Ok(()) };
            // The guest knows that a device is gone before QEMU has let go of it.
            let told = error["desc"].as_str().unwrap_or_default();
            let is_too_early =
                told.starts_with("Duplicate device ID") || told.contains("already occupied by");
            if !is_too_early || begun.elapsed() >= PATIENCE {
                bail!("QEMU refuses {command}: {error}");
            }
            thread::sleep(PAUSE);
        }
    }

    /// Gives the error that a command is answered with, if it is.
    fn ask(&mut self, command: &str) -> Result<Option<Value>> {
        let stream = self.0.get_mut();
        stream.write_all(command.as_bytes())?;
        stream.write_all(b"\n")?;
        loop {
            let mut message = self.message()?;
            if let Some(error) = message.get_mut("error") {
                return Ok(Some(error.take()));
            }
            // Others are events.
            if message.get("return").is_some() {
                return Ok(None);
            }
        }
    }

    fn message(&mut self) -> Result<Value> {
        let mut line = String::new();
        (&mut self.0).take(LONGEST_ANSWER).read_line(&mut line).context("QEMU does not answer")?;
        serde_json::from_str(&line).with_context(|| format!("QEMU answers '{line}'"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_command_is_answered_after_events_or_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("qmp");
        let listener = UnixListener::bind(&socket)?;
        let machine = thread::spawn(move || -> Result<()> {
            let (stream, _) = listener.accept()?;
            let mut stream = BufReader::new(stream);
            stream.get_mut().write_all(b"{\"QMP\":{}}\n")?;
            for answer in [
                "{\"return\":{}}\n",
                "{\"error\":{\"desc\":\"Duplicate device ID 'nic'\"}}\n",
                "{\"event\":\"X\"}\n{\"return\":{}}\n",
                "{\"error\":{\"desc\":\"no\"}}\n",
            ] {
                stream.read_line(&mut String::new())?;
                stream.get_mut().write_all(answer.as_bytes())?;
            }
            Ok(())
        });
        let mut control = Control::connect(&socket)?;
        control.execute(r#"{"execute":"device_add"}"#)?;
        let refused = control.execute(r#"{"execute":"device_del"}"#).map_err(|error| error.to_string());
        assert_eq!(refused, Err(r#"QEMU refuses {"execute":"device_del"}: {"desc":"no"}"#.to_owned()));
        assert!(machine.join().is_ok_and(|ended| ended.is_ok()));
        Ok(())
    }
}
