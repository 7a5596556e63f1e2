//! `cargo xtask fuzz`: foreign input for every target of `nodedev-fuzz`, made by libFuzzer, which follows what it reaches.
//!
//! The compiler that the project asks for anyway marks each edge and each comparison (LLVM's SanitizerCoverage); only
//! libFuzzer itself, which `fuzz/coverage` compiles, takes a C++ compiler.

mod corpus;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{available_parallelism, scope};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nodedev_fuzz::{MAX_LENGTH, TARGETS, Target, find};
use nodedev_testkit::{repository, target};

use corpus::Corpus;
use report::Report;

/// What the compiler is told besides: marks for libFuzzer, and one unit of code for each package, as the marks of
/// functions that are in several are not counted right.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg",
    "fuzzing",
];
/// An input that takes longer is a failure, in seconds.
const TIMEOUT: &str = "10";
/// An input that has more memory allocated is a failure, in MiB.
const MEMORY: &str = "2048";
/// How long all targets together take in `cargo xtask test`, on one processor: with the build that is less than eight
/// minutes on two.
const TEST: Duration = Duration::from_secs(8 * 60);
/// And one of them at most.
const TEST_TARGET: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long each target is run
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Keep in fuzz/corpora what reaches more than the seeds do
    #[arg(long)]
    keep: bool,
    /// Targets; all if none is named
    targets: Vec<String>,
}

/// Runs what is asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Ok(time) = Duration::try_from_secs_f64(options.minutes * 60.0) else {
        bail!("--minutes {} is no time", options.minutes);
    };
    let named: std::result::Result<Vec<_>, String> = options.targets.iter().map(|name| find(name)).collect();
    let named = named.map_err(anyhow::Error::msg)?;
    let all = || TARGETS.iter().collect();
    run_all(&if named.is_empty() { all() } else { named }, time, options.keep)
}

/// Runs all targets as long as a test may take.
pub(crate) fn test() -> Result<()> {
    run_all(&TARGETS.iter().collect::<Vec<_>>(), (TEST / TARGETS.len() as u32).min(TEST_TARGET), false)
}

fn run_all(targets: &[&Target], time: Duration, keep: bool) -> Result<()> {
    let program = build()?;
    let seconds = time.as_secs().max(1);
    println!("{} targets, {seconds} s each", targets.len());
    println!("{}", Report::HEAD);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
            let failure = match fuzz(&program, target, seconds, keep) {
                Ok(report) => {
                    println!("{report}");
                    report.failure
                }
                Err(error) => Some(format!("{}: {error:#}", target.name)),
            };
            if let (Some(failure), Ok(mut failures)) = (failure, failures.lock()) {
                failures.push(failure);
            }
        }
    };
    scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{} of {} targets failed:\n{}", failures.len(), targets.len(), failures.join("\n"))
}

/// Builds the program that runs any of the targets.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let host = host()?;
    let folder = target().join("fuzz");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--target", &host, "--target-dir"])
        .arg(&folder)
        .current_dir(repository().join("fuzz/coverage"))
        // Unlike the variable without, it also takes precedence over what the environment says.
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .status()
        .context("cargo can't be run")?;
    if !status.success() {
        bail!("the targets can't be built for libFuzzer, which takes a C++ compiler (g++): {status}");
    }
    Ok(folder.join(host).join("release/nodedev-fuzz-coverage"))
}

/// The compiler's name for this kind of machine. Where it is named, what runs at build time is left without marks.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("rustc can't be run")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.context("rustc -vV names no host")
}

/// Runs one target.
fn fuzz(program: &Path, target: &Target, seconds: u64, keep: bool) -> Result<Report> {
    let corpus = Corpus::lay(target)?;
    let failures = repository().join("fuzz/failures");
    fs::create_dir_all(&failures)?;
    let output = command(program, target)
        .arg(corpus.work())
        .arg(format!("-dict={}", corpus.words().display()))
        .arg(format!("-artifact_prefix={}/{}-", failures.display(), target.name))
        .args([&format!("-max_total_time={seconds}"), &format!("-max_len={MAX_LENGTH}")])
        .args([&format!("-timeout={TIMEOUT}"), &format!("-rss_limit_mb={MEMORY}")])
        .arg("-print_final_stats=1")
        .output()
        .with_context(|| format!("{} can't be run", program.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    fs::write(corpus.log(), &*log)?;
    let mut report = Report::of(target.name, &log);
    report.corpus = corpus.len()?;
    if !output.status.success() {
        report.failure = Some(failure(target, &log, &corpus.log()));
    } else if keep {
        let merge = |into: &Path, from: &[&Path]| {
            let output = command(program, target).arg("-set_cover_merge=1").arg(into).args(from).output()?;
            if output.status.success() {
                return Ok(());
            }
            bail!("what was found can't be merged:\n{}", String::from_utf8_lossy(&output.stderr))
        };
        corpus.keep(merge)?;
    }
    Ok(report)
}

fn command(program: &Path, target: &Target) -> Command {
    let mut command = Command::new(program);
    command.env("NODEDEV_FUZZ_TARGET", target.name);
    command
}

/// What happened, and what to do.
fn failure(target: &Target, log: &str, file: &Path) -> String {
    let name = target.name;
    let what = log
        .lines()
        .find(|line| line.contains("panicked at") || line.starts_with("==") && line.contains("ERROR"))
        .unwrap_or("libFuzzer ended early");
    let Some(input) = log.lines().find_map(|line| line.split_once("Test unit written to ")) else {
        return format!("{name}: {what}; see {}", file.display());
    };
    format!(
        "{name}: {what}\n  again: cargo run -p nodedev-fuzz -- --reproduce {} {name}\n  then mend the parser, and make \
         the input a table test of it; {}",
        input.1,
        file.display()
    )
}
