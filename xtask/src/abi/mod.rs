//! `cargo xtask check-abi`: that our `libvirt.so.0` and those beside it can stand in for libvirt's.
//!
//! Debian's libraries and headers are the measure, not a list of ours: exports with their version nodes, prototypes,
//! layouts, constants; then that Debian's bindings find all they need in it.

mod consumers;
mod declarations;
mod exports;
mod library;

use anyhow::Result;

pub(crate) use library::{Built, LIBVIRT, Library, Name, VERSION};

/// Builds the libraries and checks them.
pub(crate) fn check() -> Result<()> {
    let built = library::build(Library::Development)?;
    let exported =
        Name::all().map(|name| exports::check(name, &built.file(name))).collect::<Result<Vec<_>>>()?;
    let declared = declarations::check(&built.header)?;
    let loaded = consumers::check(&built)?;
    println!("{}\n{}\n{declared}\n{loaded}", built.dir.display(), exported.join("\n"));
    Ok(())
}

/// Builds the libraries.
pub(crate) fn make(library: Library) -> Result<Built> {
    library::build(library)
}
