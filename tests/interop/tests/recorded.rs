//! Recorded hosts: nodedev against what the real libvirt said about them, and that against what it says now.

use nodedev_interop::{Failure, is_reference, libvirt_on, verdict};
use nodedev_testkit::answers::Answers;
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::Tolerance;
use nodedev_testkit::fixtures::{self, Fixture};

fn each(check: impl FnMut(&Fixture) -> Result<(), Failure>) -> Result<(), Failure> {
    nodedev_interop::each(&fixtures::all()?, Fixture::name, check)
}

#[test]
fn unpacked_hosts_are_described_as_libvirt_does() -> Result<(), Failure> {
    each(|fixture| {
        let root = fixture.unpack()?;
        let found = Cli::at(root.path())?.answers()?;
        verdict(fixture.name(), &Answers::read(fixture.dir())?, &found, Tolerance::Recording)
    })
}

#[test]
fn packed_hosts_are_described_as_libvirt_does() -> Result<(), Failure> {
    each(|fixture| {
        let found = Cli::at(&fixture.archive())?.answers()?;
        verdict(fixture.name(), &Answers::read(fixture.dir())?, &found, Tolerance::Recording)
    })
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn golden_files_of_recorded_hosts_are_what_libvirt_says() -> Result<(), Failure> {
    if !is_reference()? {
        return Ok(());
    }
    each(|fixture| {
        let root = fixture.unpack()?;
        let found = libvirt_on(root.path())?;
        verdict(fixture.name(), &Answers::read(fixture.dir())?, &found, Tolerance::Recording)
    })
}
