//! libvirt's Python binding, and virt-manager's library on top of it.

use std::path::Path;
use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::peer::Nodedevd;

use crate::{Comparison, Pair, fixture, script_on_both, sorted};

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon/clients").join(name)
}

/// Debian's Python, for which its libvirt binding is built.
const PYTHON: &str = "/usr/bin/python3";

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn python_gets_the_same_from_both() -> Result<(), Failure> {
    for name in ["kitchen-sink", "s390x", "small-vm"] {
        let pair = Pair::on(&fixture(name)?)?;
        let (real, ours) = script_on_both(&pair, PYTHON, &script("everything.py"))?;
        assert!(real.starts_with("exit status: 0\n"), "the script fails on the real daemon\n{real}");
        let mut comparison = Comparison::default();
        comparison.add("everything.py", &real, &ours);
        comparison.verdict(name)?;
    }
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn perl_gets_the_same_from_both() -> Result<(), Failure> {
    let pair = Pair::on(&fixture("kitchen-sink")?)?;
    let mut comparison = Comparison::default();
    let (real, ours) = script_on_both(&pair, "perl", &script("everything.pl"))?;
    assert!(real.starts_with("exit status: 0\n"), "the script fails on the real daemon\n{real}");
    comparison.add("everything.pl", &real, &ours);
    let example = Path::new("/usr/share/doc/libsys-virt-perl/examples/node-devlist.pl");
    let (real, ours) = script_on_both(&pair, "perl", example)?;
    assert!(real.starts_with("exit status: 0\n"), "the example fails on the real daemon\n{real}");
    comparison.add("node-devlist.pl", &sorted(&real), &sorted(&ours));
    comparison.verdict("Perl")
}

/// virt-manager's library can't open the real daemon's nodedev:///system; it opens ours and finds its devices.
#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn virt_managers_library_opens_the_connection_and_lists_devices() -> Result<(), Failure> {
    let pair = Pair::on(&fixture("kitchen-sink")?)?;
    let (_, ours) = script_on_both(&pair, PYTHON, &script("virtinst.py"))?;
    let names = pair.real.answers()?.names("list-all");
    let names: String = names.iter().map(|name| format!("{name}\n")).collect();
    // The recording does not tell an architecture.
    assert_eq!(ours, format!("exit status: 0\narchitecture None\n{names}stderr:\n"));

    let live = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
    let output = Command::new(PYTHON).arg(script("virtinst.py")).arg(live.uri()).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let architecture = Command::new("uname").arg("-m").output()?.stdout;
    let head = format!("architecture {}", String::from_utf8_lossy(&architecture));
    assert!(said.starts_with(&head) && said.contains("\ncomputer\n"), "{said}");
    Ok(())
}
