//! nodedev and the real libvirt side by side, on the same hosts.
//!
//! The tests that need the real libvirt are ignored by a plain `cargo test`; `cargo xtask test` installs it and runs
//! them. Those that hold nodedev against golden files always run.

pub mod made;

use nodedev_testkit::answers::Answers;
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::peer::{Libvirt, PeerError, Scene};
use std::path::Path;

/// What went wrong; a test only prints it.
pub type Failure = Box<dyn std::error::Error>;

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
