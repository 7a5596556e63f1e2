use std::io::Write;

use nodedev::{CapabilityType, Connection, Effect, ExplainOptions, Explanation, Verdict};

use super::each_at_once;
use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::output::{ADDED, CHANGED, DIM, NAME, Output, REMOVED};
use crate::text::printable;

/// Says whether guests can have devices, with all reasons. The status is 1 if one cannot be handed over just so.
pub(super) fn run(connection: &Connection, args: &ExplainArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let mut all_possible = true;
    let options = ExplainOptions { kernel_driver: args.driver.clone(), caller: nodedev::caller() };
    let all = if args.devices.all { pci_functions(connection)? } else { Vec::new() };
    let names = if args.devices.all { &all } else { &args.devices.names };
    let operations = connection.operations()?;
    let exit = each_at_once(
        connection,
        names,
        |names, tell| operations.explain_each(names, &options, tell),
        |asked, explanation| {
            all_possible &= explanation.verdict == Verdict::Possible;
            if args.json {
                out.json(&explanation)?;
                return Ok(out.line(b"")?);
            }
            if asked != explanation.name.as_str() {
                writeln!(out, "{} stands on {}", printable(asked), explanation.name)?;
            }
            tell(out, &explanation)
        },
    )?;
    Ok(if exit == Exit::Done && !all_possible { Exit::Failed } else { exit })
}

/// Names of all devices that can be asked about.
fn pci_functions(connection: &Connection) -> anyhow::Result<Vec<String>> {
    let names = connection.names(Some(CapabilityType::Pci.as_str()), None, 0)?;
    Ok(names.into_iter().map(|name| name.as_str().to_owned()).collect())
}

fn tell(out: &mut Output, explanation: &Explanation) -> anyhow::Result<()> {
    let (style, answer) = match explanation.verdict {
        Verdict::Possible => (ADDED, "a guest can have it"),
        Verdict::Forced => (CHANGED, "a guest can have it only by force"),
        Verdict::Impossible => (REMOVED, "no guest can have it as things are"),
    };
    let name = out.paint(NAME, printable(explanation.name.as_str())).to_string();
    let answer = out.paint(style, answer).to_string();
    writeln!(out, "{name}: {answer}")?;
    let driver = |name: &Option<String>| {
        name.as_deref().map_or("none".to_owned(), |name| printable(name).into_owned())
    };
    let binding = &explanation.binding;
    let for_guest = driver(&explanation.guest_driver);
    writeln!(out, "  driver: {}, for a guest {for_guest}", driver(&binding.kernel_driver))?;
    if let Some(group) = &explanation.iommu_group {
        let members: Vec<String> = group.devices.iter().map(ToString::to_string).collect();
        writeln!(out, "  IOMMU group {}: {}", group.number, members.join(" "))?;
    }
    for finding in &explanation.findings {
        let (style, word) = match finding.effect {
            Effect::Refused => (REMOVED, "refused"),
            Effect::RefusedUnlessForced => (CHANGED, "refused unless forced"),
            Effect::Warning => (CHANGED, "warning"),
            Effect::Note => (DIM, "note"),
        };
        let word = out.paint(style, word).to_string();
        writeln!(out, "  {word}: {}", printable(&finding.problem))?;
        if let Some(remedy) = &finding.remedy {
            let remedy = out.paint(DIM, printable(remedy)).to_string();
            writeln!(out, "    {remedy}")?;
        }
    }
    Ok(())
}
