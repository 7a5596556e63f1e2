//! The C programs under valgrind and with gcc's sanitizers: nothing is read or written that is not the program's, nothing
//! is lost.

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::Nodedevd;

use std::process::{Command, Output};

use crate::{Library, Program, over, said};

/// valgrind's exit status for an error or for memory that was lost. What it calls possibly lost is not: the library's
/// tables are pointed to in their middle.
const FOUND: &str = "99";

/// What gcc puts into a program to find the same by other means, and memory that is lost with it.
const SANITIZERS: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn check(name: &str, arguments: &[&str]) -> Result<(), Failure> {
    let program = Program::build(name)?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--leak-check=full"]);
    valgrind.args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]);
    valgrind.arg(format!("--error-exitcode={FOUND}")).arg(&program.file).args(arguments);
    is_clean(&format!("{name} {arguments:?} under valgrind"), &over(Library::Ours, valgrind)?.output()?)?;
    let sanitized = Program::build_with(name, SANITIZERS)?;
    is_clean(
        &format!("{name} {arguments:?} with sanitizers"),
        &sanitized.over(Library::Ours)?.args(arguments).output()?,
    )
}

fn is_clean(what: &str, output: &Output) -> Result<(), Failure> {
    if output.status.success() {
        return Ok(());
    }
    let said = said(output);
    let (_, complaints) = said.rsplit_once("stderr:\n").unwrap_or_default();
    Err(format!("{what}, {}:\n{complaints}", output.status).into())
}

#[test]
#[ignore = "needs valgrind: cargo xtask test"]
fn handles_that_are_none_are_errors_and_touch_no_memory() -> Result<(), Failure> {
    check("handles", &[])
}

/// What the thread that ended held is lost, so nobody looks for lost memory.
#[test]
#[ignore = "needs the real libvirt to link with: cargo xtask test"]
fn a_callback_that_ends_its_thread_does_not_block_the_others() -> Result<(), Failure> {
    let output = Program::build("exits")?.over(Library::Ours)?.output()?;
    is_clean("exits", &output)?;
    let said = said(&output);
    let events = said.find("first: scsi_host12 0").zip(said.find("second: scsi_host12 1"));
    assert!(events.is_some() && said.contains("first is freed"), "{said}");
    Ok(())
}

#[test]
#[ignore = "needs valgrind: cargo xtask test"]
fn the_other_modules_are_clean_and_lose_nothing() -> Result<(), Failure> {
    check("typed_params", &[])?;
    check("event_loop", &[])?;
    check("event_loop", &["own"])?;
    check("auth", &[])?;
    check("errors", &[])
}

#[test]
#[ignore = "needs valgrind: cargo xtask test"]
fn node_devices_of_this_process_are_clean_and_lose_nothing() -> Result<(), Failure> {
    check("node_device", &["test:///default"])?;
    check("node_device", &["test:///default", "loop"])
}

#[test]
#[ignore = "needs valgrind: cargo xtask test"]
fn node_devices_of_a_daemon_are_clean_and_lose_nothing() -> Result<(), Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "kitchen-sink");
    let root = found.ok_or_else(|| "there is no recorded host kitchen-sink".to_owned())?.unpack()?;
    let daemon = Nodedevd::at(root.path())?;
    let reader = format!("{}-ro", daemon.uri());
    check("node_device", &[daemon.uri(), "loop", &reader])
}
