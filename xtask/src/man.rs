//! `cargo xtask man`: manual pages, made from the definition of the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nodedev_testkit::repository;

/// Writes `nodedev.1` and a page for each command into `dir`, which has nothing else, and says which there are.
pub(crate) fn make(dir: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    clap_mangen::generate_to(nodedev_cli::command(), dir)?;
    let mut pages = Vec::new();
    for entry in fs::read_dir(dir)? {
        pages.push(entry?.path());
    }
    pages.sort();
    Ok(pages)
}

/// Writes the pages into `target/man`.
pub(crate) fn run() -> Result<()> {
    let dir = repository().join("target/man");
    // Pages of commands that there are no longer.
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    make(&dir)?;
    println!("pages in {}", dir.display());
    Ok(())
}
