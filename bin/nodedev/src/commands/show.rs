use std::ops::ControlFlow;

use nodedev::document::InventoryWriter;
use nodedev::{Connection, Issue, NodeDevice, Text};

use super::each;
use crate::args::ShowArgs;
use crate::describe::describe;
use crate::exit::Exit;
use crate::output::{JsonParts, Output};
use crate::progress::Progress;

/// Shows all that is known of devices, for people or as JSON: their native view, or what a daemon tells.
pub(super) fn run(connection: &Connection, args: &ShowArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let progress = Progress::start("describing", out);
    let mut writer = Writer::new(connection, args, out)?;
    if !args.devices.all {
        let exit = each(
            connection,
            &args.devices.names,
            |name| connection.devices()?.device(name),
            |_, device| writer.device(&device),
        )?;
        writer.end(None)?;
        return Ok(exit);
    }
    let mut failure = None;
    let issues = connection.devices()?.visit(connection.fullest_view(), &mut |device| {
        progress.step();
        match writer.device(device) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    drop(progress);
    writer.end(Some(&issues))?;
    for issue in &issues {
        log::debug!("{issue}");
    }
    if !issues.is_empty() && !args.json {
        let count = crate::text::count(issues.len(), "value");
        log::warn!("{count} of the host could not be read; `nodedev list --issues` shows them");
    }
    Ok(Exit::Done)
}

/// Writes devices one by one, so that none needs to be kept.
enum Writer<'a> {
    Json(InventoryWriter<JsonParts<'a>>),
    Text { out: &'a mut Output, is_first: bool },
}

impl<'a> Writer<'a> {
    fn new(connection: &Connection, args: &ShowArgs, out: &'a mut Output) -> anyhow::Result<Self> {
        if !args.json {
            return Ok(Self::Text { out, is_first: true });
        }
        // Of single devices nobody asks at which moment they were so.
        let (host, revision) = match args.devices.all {
            true => (host(connection), revision(connection)),
            false => (None, None),
        };
        let writer = InventoryWriter::new(out.json_parts(), host.as_ref(), revision.as_deref())?;
        Ok(Self::Json(writer))
    }

    fn device(&mut self, device: &NodeDevice) -> anyhow::Result<()> {
        match self {
            Self::Json(writer) => Ok(writer.device(device)?),
            Self::Text { out, is_first } => {
                if !std::mem::take(is_first) {
                    out.line(b"")?;
                }
                describe(device, out)
            }
        }
    }

    /// Ends a document.
    fn end(self, issues: Option<&[Issue]>) -> anyhow::Result<()> {
        match self {
            Self::Json(writer) => Ok(writer.finish(issues)?),
            Self::Text { .. } => Ok(()),
        }
    }
}

/// Name of the host, if it is known.
fn host(connection: &Connection) -> Option<Text> {
    connection.host_name().ok()
}

/// The moment at which the devices are as they are shown, where it is known.
fn revision(connection: &Connection) -> Option<String> {
    Some(connection.changes().ok()?.revision()?.to_string())
}
