use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use nodedev::xml::{self, Dialect, Form, ParseOptions};

use crate::args::FormatArgs;
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
    let mut mistakes: Vec<Mistake> = xml::check(&text, options())
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
    let mut device = xml::parse(&text, options()).map_err(nodedev::Error::from)?;
    device.activate_definition();
    out.document(&xml::write(&device, Form::Live))?;
    Ok(Exit::Done)
}

/// Everything that libvirt prints is kept.
fn options() -> ParseOptions<'static> {
    ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
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
