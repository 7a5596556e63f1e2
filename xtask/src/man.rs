//! `cargo xtask man`: manual pages, made from the definition of the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use nodedev_testkit::repository;

/// Writes `nodedev.1` and a page for each command into `target/man`, and says which there are.
pub(crate) fn make() -> Result<Vec<PathBuf>> {
    let dir = repository().join("target/man");
    fs::create_dir_all(&dir)?;
    clap_mangen::generate_to(nodedev_cli::command(), &dir)?;
    println!("pages in {}", dir.display());
    let mut pages = Vec::new();
    for entry in fs::read_dir(&dir)? {
        pages.push(entry?.path());
    }
    pages.sort();
    Ok(pages)
}
