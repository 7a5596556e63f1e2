use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context;
use nodedev::xml::xpath;
use nodedev::{Connection, ListFlags, XmlFlags};

use super::each;
use crate::args::DumpxmlArgs;
use crate::exit::{Exit, Tally};
use crate::output::Output;
use crate::progress::Progress;
use crate::report::{self, Advice};

/// Prints descriptions, writes them to files, or prints parts of them.
pub(super) fn run(connection: &Connection, args: &DumpxmlArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let flags = if args.inactive { XmlFlags::INACTIVE } else { XmlFlags::empty() };
    if let Some(folder) = &args.output_dir {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    if !args.devices.all {
        return each(
            connection,
            &args.devices.names,
            |name| connection.xml(name, flags),
            |name, xml| deliver(args, name, &xml, out),
        );
    }
    let list = if args.inactive { ListFlags::PERSISTENT } else { ListFlags::empty() };
    let progress = Progress::start("describing", out);
    let mut tally = Tally::default();
    let mut failure = None;
    connection.visit_xml(list, flags, &mut |name, xml| {
        match xml {
            Ok(xml) => match deliver(args, name.as_str(), xml, out) {
                Ok(()) => tally.done += 1,
                Err(error) if is_of_one(&error) => {
                    report::error(&error);
                    tally.failed += 1;
                }
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            },
            Err(error) => {
                report::error(&anyhow::Error::from(error).context(format!("cannot describe {name}")));
                tally.failed += 1;
            }
        }
        progress.step();
        ControlFlow::Continue(())
    })?;
    match failure {
        Some(error) => Err(error),
        None => Ok(tally.exit()),
    }
}

/// Puts one description where it belongs.
fn deliver(args: &DumpxmlArgs, name: &str, xml: &[u8], out: &mut Output) -> anyhow::Result<()> {
    let selected;
    let text = match &args.xpath {
        Some(expression) => {
            selected = select(xml, expression, args.wrap)?;
            &selected
        }
        None => xml,
    };
    match &args.output_dir {
        Some(folder) => write_file(folder, name, args.inactive, text),
        None => Ok(out.document(text)?),
    }
}

/// A device whose name makes no file name; the others can still be written.
#[derive(Debug)]
struct BadFileName(String);

impl std::fmt::Display for BadFileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "device '{}' makes no file name; print it without --output-dir", self.0)
    }
}

impl std::error::Error for BadFileName {}

/// Whether a failure is that of one device, and the next can succeed.
fn is_of_one(error: &anyhow::Error) -> bool {
    error.is::<BadFileName>()
}

/// Writes `NAME.xml`, or `NAME.inactive.xml` so that both forms of a device have room in one folder. Names of a host
/// consist of letters, digits and `_`; those of a test file can be anything.
fn write_file(folder: &Path, name: &str, inactive: bool, text: &[u8]) -> anyhow::Result<()> {
    let extension = if inactive { ".inactive.xml" } else { ".xml" };
    // NAME_MAX of Linux, less the extension.
    if name.contains(|c: char| c == '/' || c.is_control()) || name.len() > 255 - extension.len() {
        return Err(BadFileName(name.to_owned()).into());
    }
    let path = folder.join(format!("{name}{extension}"));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The parts of a document that an XPath expression selects.
fn select(xml: &[u8], expression: &str, wrap: bool) -> anyhow::Result<Vec<u8>> {
    xpath::select(xml, expression, wrap).map_err(|error| {
        let help = "an expression selects nodes of <device>, for instance //capability/@type";
        Advice::new(error.to_string(), help).into()
    })
}
