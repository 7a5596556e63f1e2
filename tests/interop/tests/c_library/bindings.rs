//! Bindings of libvirt for other languages and loops, as Debian built them. Python has tests of its own.

use std::path::Path;
use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene};

use crate::{over, same, source};

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn perl_gets_the_same_over_both_libraries_from_both_daemons() -> Result<(), Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "kitchen-sink");
    let root = found.ok_or_else(|| "there is no recorded host kitchen-sink".to_owned())?.unpack()?;
    let real = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
    let ours = Nodedevd::at(root.path())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/clients/everything.pl");
    for (daemon, uri) in [("libvirtd", real.uri()), ("nodedevd", ours.uri())] {
        let said = same(&format!("everything.pl on {daemon}"), |library| {
            let mut perl = Command::new("perl");
            perl.arg(&script).arg(uri);
            Ok(over(library, perl)?.output()?)
        })?;
        assert!(said.contains("computer"), "{said}");
    }
    Ok(())
}

/// python3-libvirt brings the calls, libvirt-glib the loop.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn events_come_through_the_loop_of_libvirt_glib() -> Result<(), Failure> {
    let said = same("glib.py", |library| {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(source("glib.py"));
        Ok(over(library, python)?.output()?)
    })?;
    assert!(said.contains("scsi_host12 0 0 opaque\nscsi_host12 1 0 opaque\n"), "{said}");
    Ok(())
}
