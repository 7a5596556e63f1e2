//! The `virt` crate, Rust's binding of libvirt, in a program of a workspace of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use nodedev_interop::Failure;
use nodedev_testkit::compare::in_words_of;

use crate::{Comparison, Pair, fixture, said};

/// Builds the program, which links `libvirt.so`.
fn program() -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../virt-client");
    // Beside this workspace's own builds: another lock file, other features.
    let target = std::env::current_exe()?;
    let target = target.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    let target = target.ok_or_else(|| "the test is in no target directory".to_owned())?.join("virt-client");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(&source)
        .output()?;
    if !built.status.success() {
        let why = String::from_utf8_lossy(&built.stderr).into_owned();
        return Err(format!("cannot build tests/virt-client: {why}").into());
    }
    Ok(target.join("debug/virt-client"))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn the_virt_crate_gets_the_same_from_both() -> Result<(), Failure> {
    let program = program()?;
    for name in ["kitchen-sink", "s390x", "small-vm"] {
        let pair = Pair::on(&fixture(name)?)?;
        let ask = |uri: &str| -> Result<String, Failure> {
            Ok(said(&Command::new(&program).arg(uri).env("LC_ALL", "C.UTF-8").output()?, uri))
        };
        let (real, ours) = (ask(pair.real.uri())?, ask(pair.ours.uri())?);
        assert!(real.starts_with("exit status: 0\n"), "the program fails on the real daemon\n{real}");
        let documents = real.matches("<device>").count();
        assert!(documents > 10, "{documents} documents");
        let mut comparison = Comparison::default();
        let ours = in_words_of(&real, &ours);
        // Line by line: the whole has megabytes.
        for (real, ours) in real.lines().zip(ours.lines()) {
            comparison.add(real.split(" -> ").next().unwrap_or_default(), real, ours);
        }
        comparison.add("lines", &real.lines().count().to_string(), &ours.lines().count().to_string());
        comparison.verdict(name)?;
    }
    Ok(())
}
