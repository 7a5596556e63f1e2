//! Mediated devices and virtual ports: made, defined, changed and removed, or what would be done.

use std::io::Write;

use anyhow::Context;
use nodedev::{ChangePlan, ChangeRequest, Connection, CreateFlags, Effect, Outcome, UpdateFlags};

use super::plan::command;
use super::{each, format};
use crate::args::{ActArgs, AutostartArgs, DocumentArgs, PlanningArgs, UpdateArgs};
use crate::exit::Exit;
use crate::output::Output;
use crate::text::printable;

/// Makes a device of a document.
pub(super) fn create(connection: &Connection, args: &DocumentArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let (xml, flags) = document(args)?;
    if args.planning.dry_run {
        return plan(connection, &ChangeRequest::Create { xml: &xml, flags }, &args.planning, out);
    }
    done(out, connection.create_xml(&xml, flags)?.as_str(), "created")
}

/// Defines a device.
pub(super) fn define(connection: &Connection, args: &DocumentArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let (xml, flags) = document(args)?;
    if args.planning.dry_run {
        return plan(connection, &ChangeRequest::Define { xml: &xml, flags }, &args.planning, out);
    }
    done(out, connection.define_xml(&xml, flags)?.as_str(), "defined")
}

/// Changes a device, its definition, or both.
pub(super) fn update(connection: &Connection, args: &UpdateArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let xml = read(&args.file)?;
    let mut flags = UpdateFlags::empty();
    flags.set(UpdateFlags::LIVE, args.live);
    flags.set(UpdateFlags::CONFIG, args.config);
    if args.planning.dry_run {
        let request = ChangeRequest::Update { name: &args.name, xml: &xml, flags };
        return plan(connection, &request, &args.planning, out);
    }
    connection.update(&args.name, &xml, flags)?;
    done(out, &args.name, "updated")
}

/// What is done with devices by their names alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Start,
    Destroy,
    Undefine,
    SetAutostart(bool),
}

impl Act {
    fn request(self, name: &str) -> ChangeRequest<'_> {
        match self {
            Self::Start => ChangeRequest::Start(name),
            Self::Destroy => ChangeRequest::Destroy(name),
            Self::Undefine => ChangeRequest::Undefine(name),
            Self::SetAutostart(autostart) => ChangeRequest::SetAutostart { name, autostart },
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Destroy => "destroyed",
            Self::Undefine => "undefined",
            Self::SetAutostart(true) => "is started with the host",
            Self::SetAutostart(false) => "is not started with the host",
        }
    }

    fn run(self, connection: &Connection, name: &str) -> nodedev::Result<()> {
        match self {
            Self::Start => connection.create(name, 0),
            Self::Destroy => connection.destroy(name),
            Self::Undefine => connection.undefine(name, 0),
            Self::SetAutostart(autostart) => connection.set_autostart(name, autostart),
        }
    }
}

/// Has devices start with the host, or not.
pub(super) fn autostart(
    connection: &Connection,
    args: &AutostartArgs,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    act(connection, Act::SetAutostart(!args.disable), &args.act, out)
}

/// Does something with each of several devices.
pub(super) fn act(
    connection: &Connection,
    what: Act,
    args: &ActArgs,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    let planning = &args.planning;
    each(
        connection,
        &args.devices.names,
        |name| {
            if planning.dry_run {
                let operations = connection.operations()?;
                return operations.plan_change(&what.request(name)).map(Some);
            }
            what.run(connection, name).map(|()| None)
        },
        |name, told| match told {
            Some(plan) => tell(&plan, planning, out),
            None => done(out, name, what.done()).map(drop),
        },
    )
}

fn read(file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    format::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn document(args: &DocumentArgs) -> anyhow::Result<(Vec<u8>, CreateFlags)> {
    let flags = if args.validate { CreateFlags::VALIDATE } else { CreateFlags::empty() };
    Ok((read(&args.file)?, flags))
}

fn done(out: &mut Output, name: &str, what: &str) -> anyhow::Result<Exit> {
    writeln!(out, "Device {} {what}", printable(name))?;
    Ok(Exit::Done)
}

fn plan(
    connection: &Connection,
    request: &ChangeRequest<'_>,
    args: &PlanningArgs,
    out: &mut Output,
) -> anyhow::Result<Exit> {
    tell(&connection.operations()?.plan_change(request)?, args, out)?;
    Ok(Exit::Done)
}

/// Writes what would be done.
fn tell(plan: &ChangePlan, args: &PlanningArgs, out: &mut Output) -> anyhow::Result<()> {
    for finding in plan.findings.iter().filter(|finding| finding.effect >= Effect::Warning) {
        log::warn!("{}", finding.problem);
    }
    if args.json {
        out.json(plan)?;
        return Ok(out.line(b"")?);
    }
    if plan.outcome == Outcome::Unchanged {
        let name = plan.device.name.as_ref().map_or(plan.device.key.as_str(), |name| name.as_str());
        return Ok(writeln!(out, "Device {} is so already", printable(name))?);
    }
    for step in &plan.steps {
        writeln!(out, "{}", command(step))?;
    }
    Ok(())
}
