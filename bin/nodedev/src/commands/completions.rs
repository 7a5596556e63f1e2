//! Completion of command lines, names of devices and capabilities included: the script that a shell loads asks this
//! program, with the variable [`VARIABLE`] set.

use std::ffi::OsString;

use anyhow::Context;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use nodedev::{CapabilityType, Connection, View};

use crate::args::CompletionsArgs;
use crate::exit::Exit;
use crate::output::Output;
use crate::text::printable;

/// Set by the scripts when they ask.
const VARIABLE: &str = "NODEDEV_COMPLETE";

/// Prints the completion script of a shell.
pub(super) fn run(args: &CompletionsArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        Shell::PowerShell => "powershell".to_owned(),
        other => other.to_string(),
    };
    let shells = Shells::builtins();
    let script = shells.completer(&shell).with_context(|| format!("no completion script for {shell}"))?;
    script.write_registration(VARIABLE, "nodedev", "nodedev", "nodedev", out)?;
    Ok(Exit::Done)
}

/// Answers a shell that asks for completions; false if none asks.
pub(crate) fn answer() -> clap::error::Result<bool> {
    CompleteEnv::with_factory(crate::command)
        .var(VARIABLE)
        .try_complete(std::env::args_os().collect::<Vec<OsString>>(), None)
}

/// The names of this machine's devices. None, where it cannot be read: a shell has no place for errors.
pub(crate) fn device_names() -> Vec<CompletionCandidate> {
    let Ok(connection) = Connection::open("nodedev:///system") else { return Vec::new() };
    let entries = connection.devices().and_then(|devices| devices.entries(View::Native)).unwrap_or_default();
    // What is no name of libvirt's could be a command to the shell.
    let is_plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    entries
        .into_iter()
        .filter(|entry| is_plain(entry.name.as_str()))
        .map(|entry| {
            CompletionCandidate::new(entry.name.as_str())
                .help(Some(printable(&entry.kind).into_owned().into()))
        })
        .collect()
}

/// The capability types.
pub(crate) fn capability_names() -> Vec<CompletionCandidate> {
    CapabilityType::ALL.iter().map(|kind| CompletionCandidate::new(kind.as_str())).collect()
}
