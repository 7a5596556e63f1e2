use std::io::Write;

use nodedev::{Explanation, HandoverPlan, Handovers, Issue, NodeDevice};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use super::list::Listed;
use crate::args::{Document, SchemaArgs};
use crate::exit::Exit;
use crate::output::Output;

/// What `nodedev show --json` prints.
#[derive(JsonSchema)]
#[schemars(title = "nodedev show --json")]
#[expect(dead_code, reason = "the fields are read by the schema alone")]
struct Shown {
    /// The devices, sorted by name.
    devices: Vec<NodeDevice>,
    /// What could not be read of the host; only with `--all`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    issues: Option<Vec<Issue>>,
}

/// Prints the JSON Schema (draft 2020-12) of a command's JSON.
pub(super) fn run(args: &SchemaArgs, out: &mut Output) -> anyhow::Result<Exit> {
    // Of what is written: what a writer leaves out is not required.
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = match args.document {
        Document::Show => generator.into_root_schema_for::<Shown>(),
        Document::List => generator.into_root_schema_for::<Vec<Listed<'static>>>(),
        Document::Watch => generator.into_root_schema_for::<super::watch::Line<'static>>(),
        Document::Plan => generator.into_root_schema_for::<HandoverPlan>(),
        Document::Explain => generator.into_root_schema_for::<Explanation>(),
        Document::Handover => generator.into_root_schema_for::<Handovers>(),
        Document::Issues => generator.into_root_schema_for::<Vec<Issue>>(),
    };
    serde_json::to_writer_pretty(&mut *out, &schema)?;
    out.write_all(b"\n")?;
    Ok(Exit::Done)
}
