use std::io::Write;
use std::ops::ControlFlow;

use nodedev::{Connection, Issue, NodeDevice};

use super::each;
use crate::args::ShowArgs;
use crate::describe::describe;
use crate::exit::Exit;
use crate::output::Output;
use crate::progress::Progress;

/// Shows all that is known of devices, for people or as JSON: their native view, or what a daemon tells.
pub(super) fn run(connection: &Connection, args: &ShowArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let progress = Progress::start("describing", out);
    let mut writer = Writer { out, json: args.json, written: 0 };
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
struct Writer<'a> {
    out: &'a mut Output,
    json: bool,
    written: usize,
}

impl Writer<'_> {
    fn device(&mut self, device: &NodeDevice) -> anyhow::Result<()> {
        let first = self.written == 0;
        self.written += 1;
        if self.json {
            self.out.write_all(if first { b"{\"devices\":[\n" } else { b",\n" })?;
            self.out.json(device)?;
        } else {
            if !first {
                self.out.line(b"")?;
            }
            describe(device, self.out)?;
        }
        Ok(())
    }

    /// Closes the JSON.
    fn end(self, issues: Option<&[Issue]>) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        self.out.write_all(if self.written == 0 { b"{\"devices\":[" } else { b"\n" })?;
        self.out.write_all(b"]")?;
        for (index, issue) in issues.into_iter().flatten().enumerate() {
            self.out.write_all(if index == 0 { b",\"issues\":[\n" } else { b",\n" })?;
            self.out.json(issue)?;
        }
        self.out.write_all(match issues {
            None => b"}\n",
            Some([]) => b",\"issues\":[]}\n",
            Some(_) => b"\n]}\n",
        })?;
        Ok(())
    }
}
