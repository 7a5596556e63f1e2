//! The suite of all drivers, over the real daemon and over nodedevd.

use nodedev_driver::contract::{Expect, check};
use nodedev_interop::Failure;
use nodedev_interop::made::ALL;
use nodedev_testkit::fixtures;
use nodedev_testkit::peer::{Libvirt, Nodedevd, Scene};
use nodedev_testkit::synthetic::Host;

use crate::open;

/// libvirt's view, and no other.
pub(crate) const DAEMON: Expect = Expect { native_view: false, entries: false, ..Expect::HOST };

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn the_remote_driver_keeps_the_contract_on_a_synthetic_host() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(150).mdev(true).write(dir.path())?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(dir.path().into()))?;
    let driver = open(daemon.uri()).map_err(|error| error.to_string())?;
    check(&driver, &DAEMON);
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn the_remote_driver_keeps_the_contract_on_hand_made_hosts() -> Result<(), Failure> {
    let libvirt = Libvirt::find()?;
    // Those whose documents can be read again: names and texts of the others are made to break readers.
    for made in ALL.iter().filter(|made| ["pci", "storage", "mainframe"].contains(&made.name)) {
        let tree = made.tree()?;
        let daemon = libvirt.start(&Scene::Tree(tree.root().into()))?;
        let driver = open(daemon.uri()).map_err(|error| error.to_string())?;
        check(&driver, &DAEMON);
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn the_remote_driver_keeps_the_contract_with_nodedevd() -> Result<(), Failure> {
    let over = |root: &std::path::Path| -> Result<(), Failure> {
        let daemon = Nodedevd::at(root)?;
        let driver = open(daemon.uri()).map_err(|error| error.to_string())?;
        check(&driver, &Expect { entries: true, ..DAEMON });
        Ok(())
    };
    let recorded = fixtures::all()?.into_iter().find(|fixture| fixture.name() == "small-vm");
    over(recorded.ok_or_else(|| "there is no recorded host small-vm".to_owned())?.unpack()?.path())?;
    for made in ALL.iter().filter(|made| ["pci", "storage", "mainframe"].contains(&made.name)) {
        over(made.tree()?.root())?;
    }
    let dir = tempfile::tempdir()?;
    Host::new(150).mdev(true).write(dir.path())?;
    over(dir.path())
}
