//! Bindings of libvirt for other languages, as Debian built them. Python has tests of its own.

use std::path::Path;
use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene};

use crate::{over, same};

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
