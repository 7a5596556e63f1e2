//! The functions that only fail: they have to fail as libvirt's do where a driver lacks them.

use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene};
use nodedev_testkit::repository;

use crate::{Library, over, source};

/// Debian's Python.
const PYTHON: &str = "/usr/bin/python3";

/// libvirt's libraries, the least number of calls that fail the same over ours, and how many may be refused by ours only.
const LIBRARIES: &[(&str, usize, usize)] =
    &[("libvirt", 610, 30), ("libvirt-qemu", 11, 1), ("libvirt-lxc", 2, 3)];

/// What each call of a library's functions came to, by function and object.
fn calls(library: Library, name: &str, uri: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut command = Command::new(PYTHON);
    let table = repository().join(format!("crates/nodedev-capi/symbols/{name}.toml"));
    command.arg(source("stubs.py")).arg(format!("{name}.so.0")).arg(table).arg(uri);
    let output = over(library, command)?.output()?;
    if !output.status.success() {
        return Err(format!("stubs.py: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let split = |line: &str| {
        let (call, result) = line.split_once(" (").or_else(|| line.split_once(" None")).unwrap_or((line, ""));
        (call.to_owned(), result.to_owned())
    };
    Ok(lines.lines().map(split).collect())
}

/// What libvirt does by itself where a stub fails, and why.
const BY_ITSELF: &[(&str, &str)] = &[
    ("virStreamNew", "makes an object that only others of its functions would find useless"),
    ("virDomainCreateXMLWithFiles", "finds first that no files can be sent to the daemon"),
    ("virDomainLxcEnterNamespace", "asks no driver, and does not look at the domain"),
    ("virDomainLxcEnterSecurityLabel", "asks no driver, and complains of the model"),
];

/// libvirt looks at the arguments before it finds that the driver lacks a function; a stub does not look. Where it
/// complains of none, both have to say the same.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn functions_that_are_not_here_fail_as_where_a_driver_lacks_them() -> Result<(), Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "small-vm");
    let root = found.ok_or_else(|| "there is no recorded host small-vm".to_owned())?.unpack()?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
    for (name, least, most) in LIBRARIES {
        let (real, ours) =
            (calls(Library::Real, name, daemon.uri())?, calls(Library::Ours, name, daemon.uri())?);
        assert_eq!(real.len(), ours.len());
        let (mut same, mut checked) = (0, 0);
        let mut wrong = String::new();
        for ((call, real), (_, ours)) in real.iter().zip(&ours) {
            let function = call.split(' ').next().unwrap_or_default();
            let by_itself = BY_ITSELF.iter().any(|(name, _)| *name == function);
            let is_connection = call.ends_with("connection");
            if real == ours {
                same += 1;
            // It crashes on an argument or the object, or complains of an argument (code 8).
            } else if real.is_empty() || by_itself || is_connection && real.contains("[8, ") {
                checked += 1;
                let codes: &[&str] =
                    if is_connection || by_itself { &["[3, ", "[29, ", "[7, "] } else { &["[7, "] };
                assert!(codes.iter().any(|code| ours.contains(code)), "{call}: {ours}");
            } else {
                wrong += &format!("\n{call}\n  libvirt: {real}\n  ours:    {ours}");
            }
        }
        println!("{name}: {same} calls fail as libvirt's; {checked} where libvirt does something else first");
        assert!(wrong.is_empty(), "{wrong}");
        assert!(same >= *least && checked <= *most, "{name}: {same} {checked}");
    }
    Ok(())
}

/// Our daemon knows some of them, such as GET_CAPABILITIES; the stubs never ask.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn functions_that_are_not_here_say_the_same_whatever_the_daemon() -> Result<(), Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "small-vm");
    let root = found.ok_or_else(|| "there is no recorded host small-vm".to_owned())?.unpack()?;
    let daemon = Nodedevd::at(root.path())?;
    for (name, ..) in LIBRARIES {
        let remote = calls(Library::Ours, name, daemon.uri())?;
        assert_eq!(remote, calls(Library::Ours, name, "test:///default")?);
        assert!(remote.iter().all(|(_, result)| !result.is_empty()), "a call crashed: {remote:?}");
    }
    Ok(())
}
