//! Programs that call every function.

use std::path::Path;

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Daemon, Libvirt, Nodedevd, PeerError, Scene};

use crate::{Library, Program, same, source};

/// Devices that the invented host has, so that a program that prints nothing is no success.
const INVENTED: &[&str] = &["== computer, parent NULL", "== scsi_host11, parent scsi_host1"];

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn lists_of_typed_parameters_are_the_same() -> Result<(), Failure> {
    let program = Program::build("typed_params")?;
    let said = same("typed_params", |library| Ok(program.over(library)?.output()?))?;
    assert!(said.lines().count() > 3000, "{said}");
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn errors_are_told_and_kept_the_same() -> Result<(), Failure> {
    let program = Program::build("errors")?;
    let said = same("errors", |library| Ok(program.over(library)?.output()?))?;
    assert!(said.contains("libvirt: Node Device Driver error : "), "{said}");
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn event_loops_are_the_same() -> Result<(), Failure> {
    let program = Program::build("event_loop")?;
    for arguments in [&[][..], &["own"]] {
        let said = same("event_loop", |library| Ok(program.over(library)?.args(arguments).output()?))?;
        assert!(
            said.contains(if arguments.is_empty() { "reader is freed" } else { "own removal" }),
            "{said}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn functions_that_are_no_longer_told_of_the_end_leave_nothing() -> Result<(), Failure> {
    let program = Program::build("close_callbacks")?;
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "small-vm");
    let root = found.ok_or_else(|| "there is no recorded host small-vm".to_owned())?.unpack()?;
    let daemon = Nodedevd::at(root.path())?;
    let said = same("close_callbacks", |library| Ok(program.over(library)?.arg(daemon.uri()).output()?))?;
    assert!(!said.contains("bytes are kept") && said.contains("2100 freed"), "{said}");
    Ok(())
}

/// Fewer lines than questions, one of them empty.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn users_are_asked_the_same() -> Result<(), Failure> {
    let program = Program::build("auth")?;
    let answers = source("answers");
    let said =
        same("auth", |library| Ok(program.over(library)?.stdin(std::fs::File::open(&answers)?).output()?))?;
    assert!(said.contains("one of 3"), "{said}");
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn node_device_functions_are_the_same_on_the_invented_host() -> Result<(), Failure> {
    let program = Program::build("node_device")?;
    for arguments in [&["test:///default"][..], &["test:///default", "loop"]] {
        let said = same("node_device", |library| Ok(program.over(library)?.args(arguments).output()?))?;
        for device in INVENTED {
            assert!(said.contains(device), "no '{device}': {said}");
        }
    }
    Ok(())
}

/// Both libraries on every recorded host as a daemon serves it. `mode` is `loop` if the program has an event loop,
/// without which nothing can be registered for.
fn same_on_every_host<D>(
    mode: &str,
    start: impl Fn(&Path) -> Result<D, PeerError>,
    uri: fn(&D) -> &str,
) -> Result<(), Failure> {
    let program = Program::build("node_device")?;
    for fixture in fixtures::all()? {
        let root = fixture.unpack()?;
        let daemon = start(root.path())?;
        let (uri, what) = (uri(&daemon), format!("node_device on {}", fixture.name()));
        let reader = format!("{uri}-ro");
        let run = |library: Library| Ok(program.over(library)?.args([uri, mode, &reader]).output()?);
        let said = same(&what, run)?;
        assert!(said.contains("== computer, parent NULL"), "{what}: {said}");
    }
    Ok(())
}

fn libvirtd(root: &Path) -> Result<Daemon, PeerError> {
    Libvirt::find()?.start(&Scene::Tree(root.to_owned()))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn node_device_functions_are_the_same_with_libvirtd() -> Result<(), Failure> {
    same_on_every_host("none", libvirtd, Daemon::uri)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn node_device_functions_and_registrations_are_the_same_with_libvirtd() -> Result<(), Failure> {
    same_on_every_host("loop", libvirtd, Daemon::uri)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn node_device_functions_are_the_same_with_nodedevd() -> Result<(), Failure> {
    same_on_every_host("none", Nodedevd::at, Nodedevd::uri)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn node_device_functions_and_registrations_are_the_same_with_nodedevd() -> Result<(), Failure> {
    same_on_every_host("loop", Nodedevd::at, Nodedevd::uri)
}
