//! Hand-made hosts: nodedev against the golden files, and these against the real libvirt.

use nodedev_interop::made::{ALL, Made};
use nodedev_interop::{Failure, is_reference, libvirt_on, verdict};
use nodedev_testkit::answers::Answers;
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::golden;

fn each(check: impl FnMut(&Made) -> Result<(), Failure>) -> Result<(), Failure> {
    nodedev_interop::each(ALL, |made| made.name, check)
}

#[test]
fn hand_made_hosts_are_described_as_libvirt_does() -> Result<(), Failure> {
    each(|made| {
        let tree = made.tree()?;
        let expected = Answers::read(&made.golden())?;
        verdict(made.name, &expected, &Cli::at(tree.root())?.answers()?, Tolerance::Recording)
    })
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn golden_files_of_hand_made_hosts_are_what_libvirt_says() -> Result<(), Failure> {
    if !is_reference()? {
        return Ok(());
    }
    each(|made| {
        let tree = made.tree()?;
        let found = libvirt_on(tree.root())?;
        if golden::updating() {
            return Ok(found.write(&made.golden())?);
        }
        verdict(made.name, &Answers::read(&made.golden())?, &found, Tolerance::Recording)
    })
}
