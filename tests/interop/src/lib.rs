//! nodedev and the real libvirt side by side, on the same hosts.
//!
//! The tests that need the real libvirt are ignored by a plain `cargo test`; `cargo xtask test` installs it and runs
//! them. Those that hold nodedev against golden files always run.

pub mod listener;
pub mod made;
pub mod network;
pub mod replay;
pub mod udev;

use nodedev_testkit::answers::Answers;
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::complete::leave_out;
use nodedev_testkit::peer::{Libvirt, PeerError, Scene};
use std::path::Path;
use std::{fmt, io};

/// What went wrong. A test prints it as it is: differences have many lines.
pub struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        let why = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        Self(format!("{error}{why}"))
    }
}

/// Does a check for each of several hosts and collects what failed.
///
/// # Errors
/// With all failures.
pub fn each<T>(
    items: &[T],
    name: fn(&T) -> &str,
    mut check: impl FnMut(&T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |item: &T| check(item).err().map(|failure| format!("{}: {failure}", name(item)));
    let failures: Vec<String> = items.iter().filter_map(failed).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}

/// Whether the installed libvirt is the release whose output nodedev promises to match to the byte. A test that compares with
/// that output says else what is not compared.
///
/// # Errors
/// If libvirt is not installed, and where nothing may be left out (`CI=true`) also if it is another release.
pub fn is_reference() -> Result<bool, Failure> {
    let libvirt = Libvirt::find()?;
    if !libvirt.is_reference() {
        leave_out(format!("not compared: this libvirt is {}, and not 11.3", libvirt.version()))
            .map_err(|error| error.to_string())?;
    }
    Ok(libvirt.is_reference())
}

/// What the real libvirt says about a tree.
///
/// # Errors
/// If it is not installed or fails.
pub fn libvirt_on(tree: &Path) -> Result<Answers, PeerError> {
    Libvirt::find()?.start(&Scene::Tree(tree.to_owned()))?.answers()
}

/// Holds nodedev against the real libvirt on the same tree.
///
/// # Errors
/// If one of them fails, or with every difference if they say different things.
pub fn side_by_side(what: &str, tree: &Path) -> Result<(), Failure> {
    let expected = libvirt_on(tree)?;
    let found = Cli::at(tree)?.answers()?;
    verdict(what, &expected, &found, Tolerance::Recording)
}

/// Compares two sets of answers.
///
/// # Errors
/// With every difference.
pub fn verdict(what: &str, expected: &Answers, found: &Answers, tolerance: Tolerance) -> Result<(), Failure> {
    let report = expected.differences(found, tolerance);
    if report.is_empty() {
        println!(
            "{what}: {} devices, {} definitions identical",
            expected.xml.len(),
            expected.inactive_xml.len()
        );
        return Ok(());
    }
    Err(format!("{what}: of {} devices (- libvirt, + nodedev)\n{report}", expected.xml.len()).into())
}
