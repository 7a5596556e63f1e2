use std::io::Write;

use nodedev::{Connection, DriverBinding, Handover, HandoverState};

use crate::args::HandoverCommand;
use crate::exit::{Exit, Tally};
use crate::output::{CHANGED, NAME, Output};
use crate::report;
use crate::text::printable;

/// Shows the journal of devices that were taken from the host, or forgets entries of it.
pub(super) fn run(
    connection: &Connection,
    command: &HandoverCommand,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    match command {
        HandoverCommand::List { json } => list(connection, *json, out),
        HandoverCommand::Forget { names } => forget(connection, names, out),
    }
}

fn list(connection: &Connection, json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    let handovers = connection.operations()?.handovers()?;
    if json {
        out.json(&handovers)?;
        out.line(b"")?;
        return Ok(Exit::Done);
    }
    for entry in &handovers.entries {
        tell(out, entry)?;
    }
    for issue in &handovers.issues {
        log::warn!("{issue}; `nodedev handover forget` removes the entry");
    }
    Ok(Exit::Done)
}

/// One line for each device, and a second one where something is wrong.
fn tell(out: &mut Output, entry: &Handover) -> anyhow::Result<()> {
    let state = match (entry.state, entry.busy) {
        (HandoverState::Detached, _) => "detached",
        (HandoverState::Detaching, Some(true)) => "detaching",
        (HandoverState::Detaching, Some(false)) => "interrupted while detaching",
        (HandoverState::Detaching, None) => "detaching, or interrupted at it",
        (HandoverState::Reattaching, Some(true)) => "re-attaching",
        (HandoverState::Reattaching, Some(false)) => "interrupted while re-attaching",
        (HandoverState::Reattaching, None) => "re-attaching, or interrupted at it",
    };
    let name = out.paint(NAME, printable(entry.name.as_str())).to_string();
    let current = served(entry.current.as_ref(), "not there");
    writeln!(
        out,
        "{name}  {state}: {current}, gets back {}",
        served(entry.original.as_ref(), "what the kernel chooses")
    )?;
    if let Some(problem) = &entry.problem {
        let problem = out.paint(CHANGED, printable(problem)).to_string();
        writeln!(out, "  {problem}")?;
    }
    Ok(())
}

fn served(binding: Option<&DriverBinding>, absent: &str) -> String {
    let Some(binding) = binding else { return absent.to_owned() };
    let driver = binding.kernel_driver.as_deref().unwrap_or("no driver");
    match &binding.driver_override {
        Some(only) if Some(only) != binding.kernel_driver.as_ref() => {
            format!("{} (override {})", printable(driver), printable(only))
        }
        Some(_) => format!("{} (by override)", printable(driver)),
        None => printable(driver).into_owned(),
    }
}

fn forget(connection: &Connection, names: &[String], out: &mut Output) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    for name in names {
        match connection.operations()?.forget_handover(name) {
            Ok(was) => {
                let what = if was { "forgotten" } else { "had no entry" };
                writeln!(out, "Device {} {what}", printable(name))?;
                tally.done += 1;
            }
            Err(error) => {
                report::error(&error.into());
                tally.failed += 1;
            }
        }
    }
    Ok(tally.exit())
}
