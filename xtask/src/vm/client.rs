//! The guest's client of our C library: `tests/vm/handover.c`, linked with it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use nodedev_testkit::repository;

use super::root::output;
use crate::abi::{self, LIBVIRT, Library};

/// Its name.
const PROGRAM: &str = "handover";
/// Folder of our libraries: none that programs of libvirt's, which need libvirt's own, are looked for libraries in.
const FOLDER: &str = "usr/lib/nodedev";
/// One of libvirt's headers, which the client is compiled with.
pub(super) const HEADER: &str = "/usr/include/libvirt/libvirt.h";

/// Puts the client and the library into the guest's file system.
pub(super) fn make(root: &Path) -> Result<()> {
    let built = abi::make(Library::Development)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(root.join("usr/bin").join(PROGRAM));
    compiler.arg(repository().join("tests/vm/handover.c"));
    compiler.arg(format!("-Wl,-rpath,/{FOLDER}")).arg(built.file(LIBVIRT));
    output(&mut compiler)?;
    let library = root.join(FOLDER).join(LIBVIRT.soname());
    std::fs::create_dir_all(root.join(FOLDER))?;
    output(Command::new("strip").arg("-o").arg(library).arg(built.file(LIBVIRT))).map(|_| ())
}
