use std::io::Write;

use nodedev::document::{Inventory, ListedDevice, WatchLine};
use nodedev::{ChangePlan, Explanation, HandoverPlan, Handovers, Issue};
use schemars::generate::SchemaSettings;

use crate::args::{Document, SchemaArgs};
use crate::exit::Exit;
use crate::output::Output;

/// Prints the JSON Schema (draft 2020-12) of a command's JSON.
pub(super) fn run(args: &SchemaArgs, out: &mut Output) -> anyhow::Result<Exit> {
    // Of what is written: what a writer leaves out is not required.
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = match args.document {
        Document::Show => generator.into_root_schema_for::<Inventory>(),
        Document::List => generator.into_root_schema_for::<Vec<ListedDevice<'static>>>(),
        Document::Watch => generator.into_root_schema_for::<WatchLine<'static>>(),
        Document::Plan => generator.into_root_schema_for::<HandoverPlan>(),
        Document::Change => generator.into_root_schema_for::<ChangePlan>(),
        Document::Explain => generator.into_root_schema_for::<Explanation>(),
        Document::Handover => generator.into_root_schema_for::<Handovers>(),
        Document::Issues => generator.into_root_schema_for::<Vec<Issue>>(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    out.write_all(b"\n")?;
    Ok(Exit::Done)
}
