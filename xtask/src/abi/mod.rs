//! `cargo xtask check-abi`: that our `libvirt.so.0` can stand in for libvirt's.
//!
//! Debian's library and headers are the measure, not a list of ours: exports with their version nodes, prototypes,
//! layouts, constants; then that Debian's bindings find all they need in it.

mod consumers;
mod declarations;
mod exports;
mod library;

use anyhow::Result;

pub(crate) use library::{Built, FILE, LINK_NAME, Library, SONAME, VERSION, target};

/// Builds the library and checks it.
pub(crate) fn check() -> Result<()> {
    let built = library::build(Library::Development)?;
    let exported = exports::check(&built.file)?;
    let declared = declarations::check(&built.header)?;
    let loaded = consumers::check(&built)?;
    println!("{}\n{exported}\n{declared}\n{loaded}", built.file.display());
    Ok(())
}

/// Builds the library and prints the folder that it is in.
pub(crate) fn make(library: Library) -> Result<Built> {
    library::build(library)
}
