//! Signals are the program's, whatever threads the library has.

use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::peer::Nodedevd;

use crate::{Library, Program, said, same};

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_program_gets_all_signals_that_it_waits_for() -> Result<(), Failure> {
    let program = Program::build("signals")?;
    let nodedevd = Nodedevd::launched(Command::new(Nodedevd::program()?))?;
    for uri in ["test:///default", nodedevd.uri()] {
        let said = same(uri, |library| Ok(program.over(library)?.arg(uri).output()?))?;
        assert_eq!(said, "exit status: 0\n50 of 50\nstderr:\n", "{uri}");
    }
    // In process, which libvirt is not.
    let said = said(&program.over(Library::Ours)?.arg("nodedev:///system").output()?);
    assert_eq!(said, "exit status: 0\n50 of 50\nstderr:\n");
    Ok(())
}
