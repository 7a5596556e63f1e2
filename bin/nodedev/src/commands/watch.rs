//! `nodedev watch`: follows every change of the native view, resumable.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, Instant};

use nodedev::document::WatchLine as Line;
use nodedev::{Change, Connection, Entry, ErrorCode, Event, Next, Revision, Snapshot, View, Watch};
use time::OffsetDateTime;

use super::follow::{self, Interrupt};
use super::list::listed;
use crate::args::WatchArgs;
use crate::exit::Exit;
use crate::output::{ADDED, CHANGED, DIM, NAME, Output, REMOVED};
use crate::text::printable;

/// Prints each change until told to stop.
pub(super) fn run(connection: &Connection, args: &WatchArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let mut watch = connection.changes()?.watch(args.since)?;
    let mut seen = match args.since {
        Some(since) => since,
        None => picture(connection, &watch, args.json, out)?,
    };
    out.flush()?;
    let _interrupt = Interrupt::of(&watch)?;
    let until = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    loop {
        match watch.next(until.map(|until| until.saturating_duration_since(Instant::now()))) {
            // The picture has it already.
            Next::Event(event) if event.revision.number <= seen.number => continue,
            Next::Event(event) if args.json => json(connection, &event, out)?,
            Next::Event(event) => text(&event, out)?,
            Next::Missed(revision) => {
                log::warn!("changes came faster than they were read; those up to {revision} are not shown");
                seen = picture(connection, &watch, args.json, out)?;
            }
            Next::TimedOut | Next::Stopped => return Ok(Exit::Done),
            Next::Ended(reason) => return Err(follow::ended(reason)),
        }
        out.flush()?;
    }
}

/// The complete picture, printed for programs only, and its revision.
fn picture(
    connection: &Connection,
    watch: &Watch,
    as_json: bool,
    out: &mut Output,
) -> anyhow::Result<Revision> {
    let snapshot = match connection.changes()?.snapshot(View::Native) {
        // A daemon of libvirt's: what happens while its devices are listed is told again, which does no harm.
        Err(error) if error.code() == ErrorCode::NO_SUPPORT => {
            Snapshot { revision: watch.revision(), entries: connection.devices()?.entries(View::Libvirt)? }
        }
        snapshot => snapshot?,
    };
    if as_json {
        write(&Line::Init, out)?;
        for entry in &snapshot.entries {
            write(&Line::InitApply { device: listed(entry) }, out)?;
        }
        write(&Line::InitDone { revision: snapshot.revision.to_string().into() }, out)?;
    } else {
        let devices = crate::text::count(snapshot.entries.len(), "device");
        log::info!("watching {devices} from revision {}", snapshot.revision);
    }
    Ok(snapshot.revision)
}

fn write(line: &Line<'_>, out: &mut Output) -> anyhow::Result<()> {
    out.json(line)?;
    Ok(out.line(b"")?)
}

fn json(connection: &Connection, event: &Event, out: &mut Output) -> anyhow::Result<()> {
    let revision = event.revision.to_string().into();
    let (change, name) = (event.change.as_str().into(), Cow::Borrowed(&event.name));
    let is_gone = match (&event.entry, &event.change) {
        (Some(_), _) => false,
        // libvirt's daemons do not say whether a definition, or the active device, stays.
        (None, Change::Deleted | Change::Undefined) => connection.lookup(event.name.as_str()).is_err(),
        (None, _) => false,
    };
    if is_gone {
        return write(&Line::Delete { revision, change, name }, out);
    }
    let from = event.change.former_name().map(Cow::Borrowed);
    let driver = match &event.change {
        Change::DriverBound { kernel_driver } => Some(Cow::Borrowed(kernel_driver)),
        _ => None,
    };
    let device = event.entry.as_ref().map(listed);
    write(&Line::Apply { revision, change, name, from, driver, device }, out)
}

/// A line for people: when, what happened, to which device, and what else there is to say.
fn text(event: &Event, out: &mut Output) -> anyhow::Result<()> {
    let style = match event.change {
        Change::Created | Change::Defined => ADDED,
        Change::Deleted | Change::Undefined => REMOVED,
        _ => CHANGED,
    };
    let time = out.paint(DIM, follow::timestamp(OffsetDateTime::now_utc())).to_string();
    let change = out.paint(style, format_args!("{:<15}", event.change.as_str())).to_string();
    let name = out.paint(NAME, printable(event.name.as_str())).to_string();
    let more = out.paint(DIM, more(event)).to_string();
    Ok(writeln!(out, "{time}  {change} {name}{more}")?)
}

fn more(event: &Event) -> String {
    let place = |entry: &Entry| match &entry.parent {
        Some(parent) => format!("  {} below {}", printable(&entry.kind), printable(parent.as_str())),
        None => String::new(),
    };
    match (&event.change, &event.entry) {
        (Change::DriverBound { kernel_driver }, _) => {
            format!("  to {}", printable(&kernel_driver.to_string()))
        }
        (Change::Renamed { from } | Change::AddressChanged { from }, _) => {
            format!("  was {}", printable(from.as_str()))
        }
        (Change::Created | Change::Defined | Change::ParentChanged, Some(entry)) => place(entry),
        _ => String::new(),
    }
}
