//! The commands, a module each.

mod caps;
mod change;
pub(crate) mod completions;
mod detach;
mod diff;
mod dumpxml;
mod event;
mod explain;
mod follow;
mod format;
mod handover;
mod info;
mod list;
mod parent;
mod plan;
mod reattach;
mod record;
mod reset;
mod schema;
mod show;
mod tree;
mod watch;

use std::ops::ControlFlow;

use nodedev::Connection;

use crate::args::{Cli, Command};
use crate::exit::{Exit, Tally};
use crate::output::Output;
use crate::{report, session};
use change::Act;

/// Runs the command that was asked for.
pub(crate) fn run(cli: &Cli, out: &mut Output) -> anyhow::Result<Exit> {
    let open = || session::open(&cli.global);
    let change = || session::open_to_change(&cli.global);
    match &cli.command {
        Command::List(args) => list::run(&open()?, args, out),
        Command::Dumpxml(args) => dumpxml::run(&open()?, args, out),
        Command::Info(args) => info::run(&open()?, args, out),
        Command::Show(args) => show::run(&open()?, args, out),
        Command::Parent(args) => parent::run(&open()?, args, out),
        Command::Caps(args) => caps::run(&open()?, args, out),
        Command::Event(args) => event::run(&open()?, args, out),
        Command::Watch(args) => watch::run(&open()?, args, out),
        Command::Detach(args) => detach::run(&change()?, args, out),
        Command::Reattach(args) => reattach::run(&change()?, args, out),
        Command::Reset(args) => reset::run(&change()?, args, out),
        Command::Explain(args) => explain::run(&change()?, args, out),
        Command::Create(args) => change::create(&change()?, args, out),
        Command::Define(args) => change::define(&change()?, args, out),
        Command::Start(args) => change::act(&change()?, Act::Start, args, out),
        Command::Update(args) => change::update(&change()?, args, out),
        Command::Destroy(args) => change::act(&change()?, Act::Destroy, args, out),
        Command::Undefine(args) => change::act(&change()?, Act::Undefine, args, out),
        Command::Autostart(args) => change::autostart(&change()?, args, out),
        Command::Handover(command) => handover::run(&change()?, command, out),
        Command::Record(args) => record::run(&cli.global, args),
        Command::Diff(args) => diff::run(&cli.global, args, out),
        Command::Format(args) => format::run(args, out),
        Command::Schema(args) => schema::run(args, out),
        Command::Completions(args) => completions::run(args, out),
    }
}

/// Looks at each of several devices and writes what was seen. A device that cannot be looked at is reported, and the
/// others are done; output that cannot be written ends everything.
fn each<T>(
    connection: &Connection,
    names: &[String],
    look: impl Fn(&str) -> nodedev::Result<T>,
    mut write: impl FnMut(&str, T) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    for argument in names {
        let seen = session::resolve(connection, argument).and_then(|name| match look(&name) {
            Ok(seen) => Ok((name, seen)),
            Err(error) => Err(session::explain(connection, &name, error).into()),
        });
        match seen {
            Ok((name, seen)) => {
                write(&name, seen)?;
                tally.done += 1;
            }
            Err(error) => {
                report::error(&error);
                tally.failed += 1;
            }
        }
    }
    Ok(tally.exit())
}

/// How one device is told, once it was looked at.
type Tell<'t, T> = &'t mut dyn FnMut(&str, nodedev::Result<T>) -> ControlFlow<()>;

/// As [`each`], where one call looks at all devices.
fn each_at_once<T>(
    connection: &Connection,
    names: &[String],
    look: impl FnOnce(&[&str], Tell<'_, T>),
    mut write: impl FnMut(&str, T) -> anyhow::Result<()>,
) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    let mut known = Vec::with_capacity(names.len());
    for argument in names {
        match session::resolve(connection, argument) {
            Ok(name) => known.push(name),
            Err(error) => {
                report::error(&error);
                tally.failed += 1;
            }
        }
    }
    let known: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    let mut failure = None;
    look(&known, &mut |name, seen| match seen {
        Ok(seen) => match write(name, seen) {
            Ok(()) => {
                tally.done += 1;
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        },
        Err(error) => {
            report::error(&session::explain(connection, name, error).into());
            tally.failed += 1;
            ControlFlow::Continue(())
        }
    });
    failure.map_or_else(|| Ok(tally.exit()), Err)
}
