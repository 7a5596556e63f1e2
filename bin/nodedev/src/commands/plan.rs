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
        out.json(plan)?;
        return Ok(out.line(b"")?);
    }
    let word = match plan.outcome {
        Outcome::Unchanged => words.already,
        Outcome::Changed => words.done,
        Outcome::Planned => {
            for step in &plan.steps {
                let remark = out.paint(DIM, remark(step)).to_string();
                writeln!(out, "{}{remark}", command(step))?;
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
                    printable(device.name.as_str()),
                    printable(driver)
                )?;
            }
            _ => writeln!(out, "Device {} {word}", printable(device.name.as_str()))?,
        }
    }
    Ok(())
}

/// A step as a command for a shell: sh, bash, zsh or fish.
pub(super) fn command(step: &PlanStep) -> String {
    let (value, file) = (word(&step.value), word(&step.file));
    match step.action {
        StepAction::LoadModule => format!("modprobe -b -- {value}"),
        StepAction::RemoveFile => format!("rm -f -- {file}"),
        StepAction::RunProgram => {
            let arguments: Vec<_> = step.value.split(' ').map(argument).collect();
            let run = format!("{file} {}", arguments.join(" "));
            match &step.input {
                Some(input) => format!("printf '%s\\n' {} | {run}", word(input)),
                None => run,
            }
        }
        _ if step.value.is_empty() => format!("echo > {file}"),
        // What echo makes of these is the shell's own matter.
        _ if step.value.starts_with('-') || value.contains('\\') => {
            format!("printf '%s\\n' {value} > {file}")
        }
        _ => format!("echo {value} > {file}"),
    }
}

/// An argument of a program: the name of an option stands as it is.
fn argument(text: &str) -> Cow<'_, str> {
    match text.split_once('=') {
        Some((option, value))
            if option.starts_with("--") && option.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()) =>
        {
            format!("{option}={}", word(value)).into()
        }
        _ => word(text),
    }
}

/// Text as one word of a shell: the name of a driver is whatever its author liked. A backslash and a single quote stand outside of
/// quotes, where all shells read them alike.
fn word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:+".contains(c);
    let text = printable(text);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    let mut word = String::with_capacity(text.len() + 2);
    for part in text.split_inclusive(['\\', '\'']) {
        let bare = part.trim_end_matches(['\\', '\'']);
        if !bare.is_empty() {
            word.extend(["'", bare, "'"]);
        }
        if let Some(special) = part[bare.len()..].chars().next() {
            word.extend(['\\', special]);
        }
    }
    if word.is_empty() { "''".into() } else { word.into() }
}

/// What was there, and what is to be: a command that does nothing, as interactive zsh takes what stands behind `#` for arguments.
fn remark(step: &PlanStep) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    let text = match step.action {
        StepAction::LoadModule
        | StepAction::Reset
        | StepAction::RunProgram
        | StepAction::RemoveFile
        | StepAction::CreateVport
        | StepAction::DeleteVport => return String::new(),
        StepAction::SetOverride => format!("override {}, then {}", name(&step.before), name(&step.after)),
        StepAction::Probe if step.after.is_none() => "driver none, then the choice of the kernel".to_owned(),
        StepAction::Unbind | StepAction::Probe => {
            format!("driver {}, then {}", name(&step.before), name(&step.after))
        }
    };
    format!(" && : {}", word(&text))
}

#[cfg(test)]
mod tests {
    use nodedev::{PlanStep, StepAction};

    use super::{command, remark, word};

    #[test]
    fn names_that_mean_something_to_a_shell_are_quoted() {
        for (text, want) in [
            ("vfio-pci", "vfio-pci"),
            ("/sys/bus/pci/drivers/8139too/unbind", "/sys/bus/pci/drivers/8139too/unbind"),
            ("0000:02:00.0", "0000:02:00.0"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", "'it'\\''s'"),
            ("a\\", "'a'\\\\"),
            ("\\'", "\\\\\\'"),
            ("a\nb", "'a'\\\\'x0ab'"),
            ("#x", "'#x'"),
        ] {
            assert_eq!(word(text), want);
        }
    }

    #[test]
    fn no_shell_runs_anything_but_the_commands() {
        for hostile in [
            "x; touch owned",
            "x$(touch owned)`touch owned`",
            "x'; touch owned; '",
            "x\\'; touch owned; '",
            "x\\",
            "x\n touch owned",
            "x # y",
            "x & touch owned & y | touch owned > owned < y",
            "!! !x {a,b} * ? ~ =x ^x %1 [x] \"$HOME\"",
            "-n",
        ] {
            let step = PlanStep {
                device: None,
                action: StepAction::SetOverride,
                file: "target".to_owned(),
                value: hostile.to_owned(),
                input: None,
                before: Some(hostile.to_owned()),
                after: Some(hostile.to_owned()),
            };
            let run = PlanStep {
                action: StepAction::RunProgram,
                file: "dd".to_owned(),
                value: "of=target status=none".to_owned(),
                input: Some(hostile.to_owned()),
                ..step.clone()
            };
            for line in [&step, &run].map(|step| format!("{}{}\n", command(step), remark(step))) {
                is_only_written(&line, hostile);
            }
        }
    }

    /// Whatever shell gets a line writes the text to the file, and does nothing else.
    fn is_only_written(line: &str, hostile: &str) {
        for shell in [
            &["sh"][..],
            &["bash", "--norc"],
            &["bash", "--norc", "-i"],
            &["zsh", "-f"],
            &["zsh", "-f", "-i"],
            &["fish", "--no-config"],
            &["fish", "--no-config", "-i"],
            &["dash"],
        ] {
            let Some(files) = pasted(shell, line) else { continue };
            assert_eq!(
                files,
                [("target".to_owned(), format!("{}\n", nodedev::printable(hostile)))],
                "{shell:?}: {line}"
            );
        }
    }

    /// The files that a shell has made of what it read, with their contents. `None` if there is no such shell.
    fn pasted(shell: &[&str], line: &str) -> Option<Vec<(String, String)>> {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .current_dir(folder.path())
            .env("HOME", "/nonexistent")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .ok()?;
        child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        child.wait().unwrap();
        let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
        Some(files.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap_or_default())).collect())
    }
}
