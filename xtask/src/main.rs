//! Development tasks of nodedev: `cargo xtask --help`.

mod deps;
mod fixture;
mod peers;
mod test;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of nodedev")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the programs that tests talk to, and run every test, lint and check
    Test {
        /// Install nothing, and leave out what needs another program; says what that is
        #[arg(long)]
        offline: bool,
    },
    /// Install, with apt, the programs that tests talk to
    Peers,
    /// Check the invariants of ARCHITECTURE.md: who may depend on whom, name paths, hold unsafe code or state
    CheckDeps,
    /// Make a small recorded host of some devices of an unpacked recording, with golden files from the real libvirt
    Fixture {
        /// Folder that stands for / of the large host
        source: PathBuf,
        /// Name of the new folder below fixtures/hosts
        name: String,
        /// Devices to keep, by name; the devices above them stay too
        #[arg(required = true)]
        keep: Vec<String>,
    },
    /// Ask the real libvirt again about a recorded host and rewrite its golden files
    FixtureGolden {
        /// Folder below fixtures/hosts
        name: String,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test { offline } => test::run(offline),
        Task::Peers => peers::install(),
        Task::CheckDeps => deps::check(nodedev_testkit::repository()),
        Task::Fixture { source, name, keep } => fixture::make(&source, &name, &keep),
        Task::FixtureGolden { name } => fixture::refresh(&name),
    }
}
