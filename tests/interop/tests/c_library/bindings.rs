//! Bindings of libvirt for other languages and loops, as Debian built them. Python has tests of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use nodedev_interop::Failure;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene, unshare};
use nodedev_testkit::{fixtures, target};

use crate::{Library, our_folder, over, same, source};

/// Runs a script, with the daemon's URI as its only argument, over both libraries against both daemons.
fn same_from_both_daemons(interpreter: &[&str], script: &Path) -> Result<(), Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "kitchen-sink");
    let root = found.ok_or_else(|| "there is no recorded host kitchen-sink".to_owned())?.unpack()?;
    let real = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
    let ours = Nodedevd::at(root.path())?;
    for (daemon, uri) in [("libvirtd", real.uri()), ("nodedevd", ours.uri())] {
        let said = same(&format!("{} on {daemon}", script.display()), |library| {
            let mut command = Command::new("env");
            command.args(interpreter).arg(script).arg(uri);
            Ok(over(library, command)?.output()?)
        })?;
        assert!(said.contains("computer") && said.contains("pci_0000_"), "{said}");
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn perl_gets_the_same_over_both_libraries_from_both_daemons() -> Result<(), Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/clients/everything.pl");
    same_from_both_daemons(&["perl"], &script)
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn ruby_gets_the_same_over_both_libraries_from_both_daemons() -> Result<(), Failure> {
    same_from_both_daemons(&["ruby"], &source("everything.rb"))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn php_gets_the_same_over_both_libraries_from_both_daemons() -> Result<(), Failure> {
    let folder = target().join("peers/libvirt-php").to_string_lossy().into_owned();
    let command = r#"exec php -d "extension=$(find "$0" -name libvirt-php.so)" "$@""#;
    same_from_both_daemons(&["sh", "-c", command, &folder], &source("everything.php"))
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

/// libvirt-dbus, on a bus and with files of its own.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn libvirt_dbus_says_the_same_on_both_libraries() -> Result<(), Failure> {
    let said = same("dbus.sh", |library| {
        let work = tempfile::tempdir()?;
        let mut command = unshare()?;
        command.arg("sh").arg(source("dbus.sh")).arg(target().join("peers/libvirt-dbus")).arg(work.path());
        if library == Library::Ours {
            command.arg(our_folder()?);
        }
        Ok(command.env("LC_ALL", "C").stdin(Stdio::null()).output()?)
    })?;
    for expected in ["/org/libvirt/Test/nodedev/scsi_5fhost11", "no node device with matching name 'nosuch'"]
    {
        assert!(said.contains(expected), "no {expected}: {said}");
    }
    // Created, then deleted.
    for event in [
        "NodeDeviceEvent /org/libvirt/Test/nodedev/scsi_5fhost12 0 0",
        "NodeDeviceEvent /org/libvirt/Test/nodedev/scsi_5fhost12 1 0",
    ] {
        assert!(said.contains(event), "no {event}: {said}");
    }
    Ok(())
}
