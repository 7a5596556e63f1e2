//! Development tasks of nodedev: `cargo xtask --help`.

mod abi;
mod bench;
mod deps;
mod fixture;
mod fuzz;
mod install;
mod man;
mod peers;
mod test;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use nodedev_testkit::synthetic::Host;

use crate::abi::Library;

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
    /// Build libvirt.so.0 and those beside it, and print the folder that they are in, for LD_LIBRARY_PATH
    CLibrary {
        /// Optimize it, as for use
        #[arg(long)]
        release: bool,
    },
    /// Compare libvirt.so.0 and those beside it with the installed libvirt: symbols and their versions, prototypes, structures, constants;
    /// and have Debian's bindings resolve their symbols in it
    CheckAbi,
    /// Build and install the programs, the C library, units, polkit's files and manual pages
    Install(install::Options),
    /// Measure nodedev on synthetic hosts against the least that any program must ask the kernel, and nodedevd against
    /// the real daemon
    Bench(bench::Options),
    /// The part of bench that runs where a daemon does
    #[command(hide = true)]
    BenchEvents(bench::EventOptions),
    /// Give every reader of foreign bytes input that libFuzzer makes, which follows what it reaches
    Fuzz(fuzz::Options),
    /// Hand devices over in a virtual machine: by nodedev and by virsh, against libvirt, with kills in the middle
    VmTest(vm::Options),
    /// Write manual pages into target/man
    Man,
    /// Write a synthetic host into a folder that then stands for /
    Synthetic {
        /// Folder to write it into
        out: PathBuf,
        /// Number of node devices, not counting computer
        devices: usize,
        /// Picks addresses and serial numbers
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Give it mediated devices
        #[arg(long)]
        mdev: bool,
    },
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

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Arguments::parse().task {
        Task::Test { offline } => test::run(offline),
        Task::Peers => peers::install(),
        Task::CheckDeps => deps::check(nodedev_testkit::repository()),
        Task::CLibrary { release } => {
            let built = abi::make(if release { Library::Release } else { Library::Development })?;
            println!("{}", built.dir.display());
            Ok(())
        }
        Task::CheckAbi => abi::check(),
        Task::Install(options) => install::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::BenchEvents(options) => bench::run_events(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::VmTest(options) => vm::run(&options),
        Task::Man => man::run(),
        Task::Synthetic { out, devices, seed, mdev } => {
            let host = Host::new(devices).seed(seed).mdev(mdev).share_contents(true);
            print!("{}", host.write(&out)?);
            Ok(())
        }
        Task::Fixture { source, name, keep } => fixture::make(&source, &name, &keep),
        Task::FixtureGolden { name } => fixture::refresh(&name),
    }
}
