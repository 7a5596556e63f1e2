//! `cargo xtask man`: manual pages, made from the definition of the command line.

use std::fs;

use anyhow::Result;
use nodedev_testkit::repository;

/// Writes `nodedev.1` and a page for each command into `target/man`.
pub(crate) fn make() -> Result<()> {
    let dir = repository().join("target/man");
    fs::create_dir_all(&dir)?;
    clap_mangen::generate_to(nodedev_cli::command(), &dir)?;
    println!("{} pages in {}", fs::read_dir(&dir)?.count(), dir.display());
    Ok(())
}
