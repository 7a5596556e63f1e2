//! `nodedev event`: waits for events of the libvirt view, and prints them as `virsh nodedev-event` does.

use std::io::Write;
use std::time::{Duration, Instant};

use nodedev::{Connection, LibvirtEvent, Next, Watch};
use time::OffsetDateTime;

use super::follow::{self, Interrupt};
use crate::args::{EventArgs, EventKind};
use crate::exit::Exit;
use crate::output::Output;
use crate::session;
use crate::text::printable;

/// Prints what happens until an event came (or, with `--loop`, until told to stop), and how many events there were.
pub(super) fn run(connection: &Connection, args: &EventArgs, out: &mut Output) -> anyhow::Result<Exit> {
    if args.list {
        out.line(b"lifecycle")?;
        out.line(b"update")?;
        return Ok(Exit::Done);
    }
    let watch = connection.changes()?.watch(None)?;
    let device = match &args.device {
        Some(argument) => {
            let name = session::resolve(connection, argument)?;
            let found = connection.lookup(&name);
            Some(found.map_err(|error| session::explain(connection, &name, error))?)
        }
        None => None,
    };
    let interrupt = Interrupt::of(&watch)?;
    let wanted = |name: &str, event: LibvirtEvent| {
        (event == LibvirtEvent::Updated) == (args.event == Some(EventKind::Update))
            && device.as_ref().is_none_or(|device| device.as_str() == name)
    };
    let received = wait(watch, args, &wanted, out)?;
    drop(interrupt);
    writeln!(out, "events received: {received}")?;
    Ok(if received > 0 { Exit::Done } else { Exit::Failed })
}

/// Prints wanted events until there is reason to stop; returns how many.
fn wait(
    mut watch: Watch,
    args: &EventArgs,
    wanted: &dyn Fn(&str, LibvirtEvent) -> bool,
    out: &mut Output,
) -> anyhow::Result<u64> {
    let until = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let mut received = 0;
    loop {
        match watch.next(until.map(|until| until.saturating_duration_since(Instant::now()))) {
            Next::Event(event) => {
                for (name, event) in
                    event.libvirt_events().filter(|(name, event)| wanted(name.as_str(), *event))
                {
                    received += 1;
                    if args.timestamp {
                        write!(out, "{}: ", follow::timestamp(OffsetDateTime::now_utc()))?;
                    }
                    line(name.as_str(), event, out)?;
                    out.flush()?;
                    if !args.r#loop {
                        return Ok(received);
                    }
                }
            }
            Next::Missed(_) => log::warn!("events came faster than they were read; some are not shown"),
            Next::TimedOut => {
                out.line(b"event loop timed out")?;
                return Ok(received);
            }
            Next::Stopped => {
                out.line(b"event loop interrupted")?;
                return Ok(received);
            }
            Next::Ended(reason) => return Err(follow::ended(reason)),
        }
    }
}

fn line(name: &str, event: LibvirtEvent, out: &mut Output) -> std::io::Result<()> {
    let name = printable(name);
    let happened = match event {
        LibvirtEvent::Created => "Created",
        LibvirtEvent::Deleted => "Deleted",
        LibvirtEvent::Defined => "Defined",
        LibvirtEvent::Undefined => "Undefined",
        LibvirtEvent::Updated => return writeln!(out, "event 'update' for node device {name}"),
    };
    writeln!(out, "event 'lifecycle' for node device {name}: {happened}")
}
