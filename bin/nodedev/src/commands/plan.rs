//! How operations are told: what is written as one would write it in a shell, or as JSON.

use std::borrow::Cow;
use std::io::Write;

use nodedev::{Effect, ErrorCode, FindingKind, HandoverPlan, Outcome, PlanStep, Result, StepAction};

use crate::args::TellingArgs;
use crate::output::{DIM, Output};
use crate::text::printable;

/// What a daemon tells of an operation is that it was done.
pub(super) type Told = Option<HandoverPlan>;

/// Does an operation in its native form, or where a daemon has none and nothing beyond libvirt's was asked for, in libvirt's.
pub(super) fn native_or(
    native: Result<HandoverPlan>,
    plain: bool,
    libvirt: impl FnOnce() -> Result<()>,
) -> Result<Told> {
    match native {
        Err(error) if error.code() == ErrorCode::NO_SUPPORT && plain => libvirt().map(|()| None),
        native => native.map(Some),
    }
}

/// What became of a device, in virsh's words where it has some.
pub(super) struct Words {
    pub(super) done: &'static str,
    /// Where nothing was to be done.
    pub(super) already: &'static str,
}

/// Writes what was done, or would be.
pub(super) fn tell(
    out: &mut Output,
    args: &TellingArgs,
    name: &str,
    told: &Told,
    words: &Words,
) -> anyhow::Result<()> {
    let Some(plan) = told else { return Ok(writeln!(out, "Device {} {}", printable(name), words.done)?) };
    for finding in plan.findings.iter().filter(|finding| finding.effect >= Effect::Warning) {
        log::warn!("{}", finding.problem);
    }
    if args.json {
        serde_json::to_writer(&mut *out, plan)?;
        return Ok(out.line(b"")?);
    }
    let word = match plan.outcome {
        Outcome::Unchanged => words.already,
        Outcome::Changed => words.done,
        Outcome::Planned => {
            for step in &plan.steps {
                let comment = out.paint(DIM, comment(step)).to_string();
                writeln!(out, "{}{comment}", command(step))?;
            }
            return Ok(());
        }
    };
    let is_provided = plan.findings.iter().any(|finding| finding.kind == FindingKind::ProvidesVfioItself);
    for device in &plan.devices {
        match &device.before.kernel_driver {
            Some(driver) if is_provided && plan.outcome == Outcome::Unchanged => {
                writeln!(
                    out,
                    "Device {} stays with {}, which provides it for guests",
                    device.name,
                    printable(driver)
                )?;
            }
            _ => writeln!(out, "Device {} {word}", device.name)?,
        }
    }
    Ok(())
}

/// A step as a command for a shell.
fn command(step: &PlanStep) -> String {
    let (value, file) = (word(&step.value), word(&step.file));
    match step.action {
        StepAction::LoadModule => format!("modprobe -b -- {value}"),
        _ if value.is_empty() => format!("echo > {file}"),
        _ => format!("echo {value} > {file}"),
    }
}

/// Text as one word of a shell: the name of a driver is whatever its author liked.
fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:+".contains(c);
    let text = printable(text);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")).into() }
}

/// What was there, and what is to be.
fn comment(step: &PlanStep) -> String {
    let name = |name: &Option<String>| {
        name.as_deref().map_or("none".to_owned(), |name| printable(name).into_owned())
    };
    match step.action {
        StepAction::LoadModule | StepAction::Reset => String::new(),
        StepAction::SetOverride => format!("  # override {}, then {}", name(&step.before), name(&step.after)),
        StepAction::Probe if step.after.is_none() => "  # driver none, then the kernel's choice".to_owned(),
        StepAction::Unbind | StepAction::Probe => {
            format!("  # driver {}, then {}", name(&step.before), name(&step.after))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn names_that_mean_something_to_a_shell_are_quoted() {
        for (text, want) in [
            ("vfio-pci", "vfio-pci"),
            ("/sys/bus/pci/drivers/8139too/unbind", "/sys/bus/pci/drivers/8139too/unbind"),
            ("0000:02:00.0", "0000:02:00.0"),
            ("", ""),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(word(text), want);
        }
    }
}
