use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use nodedev::xml::{self, Dialect, Form, Mode, ParseOptions, WwnGenerator};
use nodedev::{Capability, NodeDevice, Text};

use crate::args::{FormatArgs, Purpose};
use crate::exit::Exit;
use crate::output::Output;
use crate::report::{Advice, Mistake};

/// Longest document that is read: more than any parser here takes, so that the parser says what is too long.
const LIMIT: u64 = 16 << 20;

/// Prints a document as libvirt would, or every mistake in it.
pub(super) fn run(args: &FormatArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let name =
        if args.file == Path::new("-") { "<stdin>".to_owned() } else { args.file.display().to_string() };
    let text = read(&args.file).with_context(|| format!("cannot read {name}"))?;
    let mut mistakes: Vec<Mistake> = xml::check(&text, options(args.purpose, &mut || FILLED_IN))
        .into_iter()
        .map(|error| Mistake { line: error.line, column: error.column, message: error.summary().to_owned() })
        .collect();
    // A text that is not well-formed has no structure for a schema to judge; its mistakes are known by now.
    if args.validate
        && let Ok(violations) = xml::validate(&text)
    {
        mistakes.extend(violations.into_iter().map(|violation| Mistake {
            line: violation.line,
            column: violation.column,
            message: format!("schema: {}", violation.message),
        }));
        mistakes.sort();
        mistakes.dedup();
    }
    if !mistakes.is_empty() {
        crate::report::mistakes(&name, &text, &mistakes);
        return Ok(Exit::Failed);
    }
    let mut device =
        xml::parse(&text, options(args.purpose, &mut || FILLED_IN)).map_err(nodedev::Error::from)?;
    if let Some(purpose) = args.purpose {
        check_purpose(&device, purpose)?;
        forget_names(&mut device);
    }
    device.activate_definition();
    out.document(&xml::write(&device, Form::Live))?;
    Ok(Exit::Done)
}

/// The random part of World Wide Names that stand for those which a call makes up; they are not printed.
const FILLED_IN: u64 = 0;

/// Everything that libvirt prints is kept. What a call fills in may be missing.
fn options(purpose: Option<Purpose>, names: &mut dyn FnMut() -> u64) -> ParseOptions<'_> {
    let dialect = Dialect::Lossless;
    match purpose {
        None => ParseOptions { dialect, ..ParseOptions::default() },
        Some(_) => ParseOptions {
            dialect,
            mode: Mode::Create,
            wwn_generator: Some(WwnGenerator::new(WwnGenerator::OUI_QEMU, names)),
        },
    }
}

/// Refuses a device that the call does not make.
fn check_purpose(device: &NodeDevice, purpose: Purpose) -> anyhow::Result<()> {
    let is_made = device.capabilities.iter().any(|capability| match (purpose, capability) {
        (_, Capability::Mdev(_)) => true,
        (Purpose::Create, Capability::ScsiHost(host)) => host.fc_host.is_some(),
        _ => false,
    });
    if is_made {
        return Ok(());
    }
    let (call, what) = match purpose {
        Purpose::Create => ("creates", "mediated devices and virtual Fibre Channel ports"),
        Purpose::Define => ("defines", "mediated devices"),
    };
    let help = "leave out --for to format the document of any device";
    Err(Advice::new(format!("libvirt {call} nothing but {what}"), help).into())
}

/// Takes out the World Wide Names that were filled in.
fn forget_names(device: &mut NodeDevice) {
    let filled = Text::from(format!("5{:06x}{FILLED_IN:09x}", WwnGenerator::OUI_QEMU));
    for capability in &mut device.capabilities {
        if let Capability::ScsiHost(host) = capability
            && let Some(port) = &mut host.fc_host
        {
            for name in [&mut port.wwnn, &mut port.wwpn] {
                if name.as_ref() == Some(&filled) {
                    *name = None;
                }
            }
        }
    }
}

/// Reads a document from a file, or from standard input (`-`).
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path)?) };
    source.take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        let help = "a document describes one device; whole hosts are not formatted at once";
        return Err(Advice::new(format!("longer than {} MiB", LIMIT >> 20), help).into());
    }
    Ok(text)
}
