//! libvirt's Python binding, as Debian built it, over both libraries and from both daemons.

use std::path::Path;
use std::process::Command;

use nodedev_interop::Failure;
use nodedev_interop::listener::Listener;
use nodedev_interop::network::{ip, private};
use nodedev_interop::udev;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene};

use crate::{Library, our_folder, over, said, same, source};

/// Debian's Python, for which its libvirt binding is built.
const PYTHON: &str = "/usr/bin/python3";

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn python_gets_the_same_over_both_libraries_from_both_daemons() -> Result<(), Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/clients/everything.py");
    for fixture in fixtures::all()? {
        let root = fixture.unpack()?;
        let real = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
        let ours = Nodedevd::at(root.path())?;
        for (daemon, uri) in [("libvirtd", real.uri()), ("nodedevd", ours.uri())] {
            let said = same(&format!("everything.py on {daemon} and {}", fixture.name()), |library| {
                let mut python = Command::new(PYTHON);
                python.arg(&script).arg(uri);
                Ok(over(library, python)?.output()?)
            })?;
            assert!(said.contains("computer"), "{said}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn events_come_through_every_loop_that_python_programs_run() -> Result<(), Failure> {
    for which in ["default", "thread", "asyncio"] {
        let said = same(&format!("loops.py {which}"), |library| {
            let mut python = Command::new(PYTHON);
            python.arg(source("loops.py")).arg(which);
            Ok(over(library, python)?.output()?)
        })?;
        assert!(
            said.contains("scsi_host12 0 0 opaque test:///default scsi_host1\nscsi_host12 1 0"),
            "{said}"
        );
    }
    Ok(())
}

/// What comes and goes is heard over both libraries from both daemons, and over ours without any daemon.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn devices_that_come_and_go_are_heard_of_by_all() -> Result<(), Failure> {
    let ours = our_folder()?;
    private(|| {
        let _udev = udev::start()?;
        let libvirtd = Libvirt::find()?.start(&Scene::Live)?;
        let nodedevd = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
        let mut listeners = Vec::new();
        for (what, uri, library) in [
            ("libvirt's from libvirtd", libvirtd.uri(), None),
            ("libvirt's from nodedevd", nodedevd.uri(), None),
            ("ours from libvirtd", libvirtd.uri(), Some(ours.as_path())),
            ("ours from nodedevd", nodedevd.uri(), Some(ours.as_path())),
            ("ours alone", "nodedev:///system", Some(ours.as_path())),
        ] {
            listeners.push((what, Listener::start(uri, library)?));
        }
        // Each has also heard of what was done to see that the later ones listen.
        listeners.iter().for_each(|(_, listener)| drop(listener.rest()));
        // udev tells nothing of what is gone before it has looked at it.
        let mut heard = vec![Vec::new(); listeners.len()];
        for step in [
            "link add va address 02:00:00:00:00:01 type veth peer name vb address 02:00:00:00:00:02",
            "link del va",
        ] {
            ip(step)?;
            for ((_, listener), heard) in listeners.iter().zip(&mut heard) {
                heard.extend(listener.rest());
            }
        }
        let mut want = Vec::new();
        for name in ["net_va_02_00_00_00_00_01", "net_vb_02_00_00_00_00_02"] {
            want.extend(["Created", "Deleted"].map(|event| format!("{name} {event}")));
        }
        for ((what, _), mut heard) in listeners.iter().zip(heard) {
            // What changes besides depends on how fast udev is; the two devices have a process of udev's each.
            heard.retain(|line| !line.ends_with(" Updated"));
            heard.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
            assert_eq!(heard, want, "{what}");
        }
        Ok(())
    })
}

/// The child neither gets what only its parent's threads keep up to date, nor takes from the parent what is the parent's.
#[test]
#[ignore = "makes network interfaces: cargo xtask test"]
fn a_child_opens_a_connection_of_its_own() -> Result<(), Failure> {
    our_folder()?;
    private(|| {
        let _udev = udev::start()?;
        let nodedevd = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
        for uri in ["nodedev:///system", nodedevd.uri()] {
            let mut python = Command::new(PYTHON);
            python.arg(source("fork.py")).arg(uri);
            let said = said(&over(Library::Ours, python)?.output()?);
            let want = "exit status: 0\nTrue\ndead or of use True\ninherited 0\nown 0\nchild 0\nalive 1\nparent 0\n\
                        stderr:\n";
            assert_eq!(said, want, "{uri}");
            ip("link del forked")?;
        }
        Ok(())
    })
}
