//! `cargo xtask bench`: the command line against the least that any program must ask the kernel, and the daemon against the
//! real one.

mod cli;
mod daemon;
mod events;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use nodedev_testkit::{repository, target};

pub(crate) use events::Options as EventOptions;
pub(crate) use events::run as run_events;

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Numbers of devices
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000, 50_000])]
    sizes: Vec<usize>,
    /// Measurements of each; the median counts
    #[arg(long, default_value_t = 7)]
    repeat: usize,
    /// Folder for the hosts, in memory: a file system on a disk measures the disk
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
    /// The nodedev to measure, in place of a release build of this one
    #[arg(long)]
    program: Option<PathBuf>,
    /// A host that is there already, in place of synthetic ones
    #[arg(long, conflicts_with = "sizes")]
    host: Option<PathBuf>,
    /// Measure only the daemon, or only the command line
    #[arg(long)]
    only: Option<Part>,
    /// Leave the real daemon out: it takes minutes at 50,000 devices
    #[arg(long)]
    alone: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The command line `nodedev`
    Cli,
    /// The daemon `nodedevd`, beside the real one (needs root)
    Daemon,
}

/// Measures everything and prints tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |part| options.only.is_none_or(|only| only == part);
    let mut missed = Vec::new();
    if wanted(Part::Cli) {
        missed.extend(cli::run(options)?);
    }
    if wanted(Part::Daemon) && options.host.is_none() {
        println!();
        missed.extend(daemon::run(options)?);
    }
    if missed.is_empty() {
        Ok(())
    } else {
        bail!("{} of the promises are missed: {}", missed.len(), missed.join("; "))
    }
}

/// Holds figures against what the project promises, and prints each verdict.
#[derive(Default)]
struct Promises {
    missed: Vec<String>,
}

impl Promises {
    fn at_most(&mut self, what: String, value: f64, most: f64) {
        self.verdict(what, value, value <= most, &format!("at most {most:.2}"));
    }

    fn at_least(&mut self, what: String, value: f64, least: f64) {
        self.verdict(what, value, value >= least, &format!("at least {least:.2}"));
    }

    fn verdict(&mut self, what: String, value: f64, kept: bool, promise: &str) {
        println!("{} {what}: {value:.2}, {promise}", if kept { "ok    " } else { "MISSED" });
        if !kept {
            self.missed.push(what);
        }
    }
}

fn release_build(package: &str, program: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--quiet", "--package", package, "--bin", program];
    if !Command::new(cargo).args(build).current_dir(repository()).status()?.success() {
        bail!("{program} can't be built");
    }
    Ok(target().join("release").join(program))
}

/// The middle one of several values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
