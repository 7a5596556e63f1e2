//! Random input for every parser of nodedev that reads what others wrote.
//!
//! ```text
//! cargo run -p nodedev-fuzz -- [--runs N] [--seed N] [TARGET…]
//! cargo run -p nodedev-fuzz -- --reproduce FILE TARGET
//! ```
//!
//! Each target gets mutations of real input: documents and records of the recorded hosts, and what the testkit makes.
//! It must neither panic nor take longer than its input is worth. This program needs nothing but Rust. It does not follow
//! what an input reaches, as `cargo xtask fuzz` does; instead mutations know each format's words and lengths. A seed gives
//! the same inputs again, and an input that fails is kept in `fuzz/failures`. It then becomes a table test of the parser.

mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use mutate::Mutator;
use nodedev_fuzz::{MAX_LENGTH, TARGETS, Target, find};

/// An input may take that long: far beyond what a linear parser needs for [`MAX_LENGTH`] in a build without
/// optimization on a busy machine, far below what a quadratic one takes.
const PATIENCE: Duration = Duration::from_secs(5);

struct Options {
    runs: u64,
    seed: u64,
    reproduce: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let mut failures = 0;
    for target in &options.targets {
        match run(target, &options) {
            Ok(0) => {}
            Ok(count) => failures += count,
            Err(error) => {
                eprintln!("{}: {error}", target.name);
                failures += 1;
            }
        }
    }
    let verdict = if failures == 0 { "ok" } else { "FAILED" };
    println!("fuzz result: {verdict}. {} targets, {failures} failures", options.targets.len());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Options, String> {
    let mut options = Options { runs: 100_000, seed: 1, reproduce: None, targets: Vec::new() };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match argument.as_str() {
            "--runs" => options.runs = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--reproduce" => options.reproduce = Some(value()?.into()),
            name => options.targets.push(find(name)?),
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}

/// Runs one target; returns how many inputs failed.
fn run(target: &Target, options: &Options) -> io::Result<usize> {
    if let Some(file) = &options.reproduce {
        let input = fs::read(file)?;
        (target.parse)(&input);
        return Ok(0);
    }
    let seeds = (target.seeds)()?;
    let mut mutator = Mutator::new(options.seed, &seeds, target.words);
    let start = Instant::now();
    let mut failures = 0;
    let mut slowest = Duration::ZERO;
    let runs = (options.runs / target.cost).max(1);
    // Every seed as it is, then mutations.
    for number in 0..runs {
        let input = match usize::try_from(number).ok().and_then(|number| seeds.get(number)) {
            Some(seed) => seed.clone(),
            None => mutator.input(MAX_LENGTH),
        };
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.parse)(&input)));
        let took = began.elapsed();
        slowest = slowest.max(took);
        if outcome.is_err() || took > PATIENCE {
            failures += 1;
            let file = keep(target, number, options.seed, &input)?;
            let what = if outcome.is_err() { "panicked".to_owned() } else { format!("took {took:?}") };
            eprintln!(
                "{}: {what} on input {number} of seed {}: {}",
                target.name,
                options.seed,
                file.display()
            );
            if failures >= 5 {
                break;
            }
        }
    }
    println!(
        "{:<14} {runs} inputs from {} seeds (seed {}), slowest {:.1} ms, {:.1} s",
        target.name,
        seeds.len(),
        options.seed,
        slowest.as_secs_f64() * 1e3,
        start.elapsed().as_secs_f64()
    );
    Ok(failures)
}

fn keep(target: &Target, number: u64, seed: u64, input: &[u8]) -> io::Result<PathBuf> {
    let dir = nodedev_testkit::repository().join("fuzz/failures");
    fs::create_dir_all(&dir)?;
    let file = dir.join(format!("{}-{seed}-{number}", target.name));
    fs::write(&file, input)?;
    Ok(file)
}
