//! Whole runs of `nodedev` on synthetic hosts, against the least that any program must ask the kernel.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::repository;
use nodedev_testkit::synthetic::Host;

use super::{Options, Promises, release_build};

/// What is measured, and the level of the floor it is held against.
const RUNS: &[(&str, &[&str], &str)] = &[
    ("list", &["list"], "1"),
    ("dumpxml --all", &["dumpxml", "--all"], "2"),
    ("show --all --json", &["show", "--all", "--json"], "2"),
];
/// Most CPU time over the floor's that the project promises.
const MOST_OVER_FLOOR: f64 = 1.5;
/// Most memory per device above that of a process that does nothing, in KiB, for `list`.
const MOST_KIB: f64 = 1.0;
/// Most wall and CPU time of several threads over those of one, on two processors or more, from so many devices up.
const MOST_OVER_ONE: (f64, f64) = (0.6, 1.08);
const MANY: usize = 10_000;
/// Highest exponent from 1,000 devices up.
const MOST_EXPONENT: f64 = 1.05;

/// What a run took: microseconds and KiB.
#[derive(Clone, Copy, Default)]
struct Took {
    wall: f64,
    cpu: f64,
    memory: f64,
}

/// The median of each figure.
fn median(runs: &[Took]) -> Took {
    let of = |figure: fn(&Took) -> f64| super::median(runs.iter().map(figure).collect());
    Took { wall: of(|run| run.wall), cpu: of(|run| run.cpu), memory: of(|run| run.memory) }
}

/// The figures of one run: the floor's, and ours by one thread and by as many as it takes by itself.
struct Run {
    floor: Took,
    one: Took,
    ours: Took,
}

struct Bench {
    tools: tempfile::TempDir,
    nodedev: PathBuf,
}

/// Measures everything and prints a table; returns which promises are missed.
pub(super) fn run(options: &Options) -> Result<Vec<String>> {
    let nodedev = match &options.program {
        Some(program) => program.clone(),
        None => release_build("nodedev-cli", "nodedev")?,
    };
    let bench = Bench { tools: tempfile::tempdir()?, nodedev };
    bench.compile("floor")?;
    bench.compile("measure")?;
    let empty = bench.repeat(options.repeat, &[(bench.nodedev.clone(), vec!["--version".into()])])?[0];
    println!("a process that does nothing: {:.1} ms CPU, {:.1} MiB", empty.cpu / 1e3, empty.memory / 1024.0);
    println!(
        "{:>7}  {:<26} {:>9} {:>9} {:>9} {:>6} {:>9} {:>8}",
        "devices", "", "wall ms", "CPU ms", "floor ms", "ratio", "MiB", "KiB/dev"
    );

    if let Some(host) = &options.host {
        let count = count(&bench, host)?;
        bench.host(host, count, empty, options.repeat)?;
        return Ok(Vec::new());
    }
    let mut found: Vec<(usize, Vec<Run>)> = Vec::new();
    for size in &options.sizes {
        let host = tempfile::Builder::new()
            .prefix("nodedev-bench-")
            .tempdir_in(&options.memory)
            .with_context(|| format!("no folder can be made in {}", options.memory.display()))?;
        Host::new(*size)
            .share_contents(true)
            .write(host.path())
            .context("the host can't be made; --memory names a folder with more room")?;
        found.push((*size, bench.host(host.path(), *size, empty, options.repeat)?));
    }
    Ok(verdict(&found, empty))
}

/// How many devices nodedev lists on a host, not counting `computer`.
fn count(bench: &Bench, host: &Path) -> Result<usize> {
    let listed = Command::new(&bench.nodedev).arg("--root").arg(host).arg("list").output()?;
    Ok(listed.stdout.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1))
}

impl Bench {
    fn compile(&self, name: &str) -> Result<()> {
        let source = repository().join("benches").join(format!("{name}.c"));
        let status = Command::new("cc").arg("-O2").arg("-o").arg(self.tool(name)).arg(&source).status();
        if !status.context("cc can't be run")?.success() {
            bail!("{} can't be compiled", source.display());
        }
        Ok(())
    }

    fn tool(&self, name: &str) -> PathBuf {
        self.tools.path().join(name)
    }

    /// Runs a program once.
    fn once(&self, program: &Path, arguments: &[OsString]) -> Result<Took> {
        let report = self.tools.path().join("report");
        let status = Command::new(self.tool("measure")).arg(&report).arg(program).args(arguments).status()?;
        if !status.success() {
            bail!("{} {arguments:?} failed", program.display());
        }
        let text = fs::read_to_string(&report)?;
        let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match figures.as_slice() {
            [wall, user, system, memory] => Ok(Took { wall: *wall, cpu: user + system, memory: *memory }),
            _ => bail!("measure wrote {text:?}"),
        }
    }

    /// Runs programs in turn, so that what else the machine does hits all of them, and takes the medians.
    fn repeat(&self, times: usize, programs: &[(PathBuf, Vec<OsString>)]) -> Result<Vec<Took>> {
        let mut runs = vec![Vec::new(); programs.len()];
        // The first round only warms caches.
        for round in 0..=times {
            for ((program, arguments), runs) in programs.iter().zip(&mut runs) {
                let took = self.once(program, arguments)?;
                if round > 0 {
                    runs.push(took);
                }
            }
        }
        Ok(runs.iter().map(|runs| median(runs)).collect())
    }

    /// Measures one host and prints its lines; returns the figures of each run.
    fn host(&self, host: &Path, size: usize, empty: Took, repeat: usize) -> Result<Vec<Run>> {
        // Small hosts take so little that more runs are needed, and cost nothing.
        let repeat = if size < 5_000 { repeat * 3 } else { repeat };
        let mut found = Vec::new();
        for (name, arguments, level) in RUNS {
            let mut ours: Vec<OsString> = vec!["--root".into(), host.into()];
            ours.extend(arguments.iter().map(OsString::from));
            let mut alone = ours.clone();
            alone.extend(["--jobs".into(), "1".into()]);
            let floor = (self.tool("floor"), vec![OsString::from(level), host.into()]);
            let programs = [floor, (self.nodedev.clone(), alone), (self.nodedev.clone(), ours)];
            let took = self.repeat(repeat, &programs)?;
            let [floor, one, ours] = took.as_slice() else { bail!("{} figures", took.len()) };
            let run = Run { floor: *floor, one: *one, ours: *ours };
            for (name, took) in [(format!("{name} --jobs 1"), run.one), ((*name).to_owned(), run.ours)] {
                println!(
                    "{size:>7}  {name:<26} {:>9.2} {:>9.2} {:>9.2} {:>6.2} {:>9.1} {:>8.2}",
                    took.wall / 1e3,
                    took.cpu / 1e3,
                    run.floor.cpu / 1e3,
                    took.cpu / run.floor.cpu,
                    took.memory / 1024.0,
                    per_device(took, empty, size),
                );
            }
            found.push(run);
        }
        Ok(found)
    }
}

fn per_device(took: Took, empty: Took, size: usize) -> f64 {
    (took.memory - empty.memory) / size.max(1) as f64
}

/// Holds the figures against what the project promises.
fn verdict(found: &[(usize, Vec<Run>)], empty: Took) -> Vec<String> {
    let mut promises = Promises::default();
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let large: Vec<_> = found.iter().filter(|(size, _)| *size >= 1_000).collect();
    for (at, (name, ..)) in RUNS.iter().enumerate() {
        for (size, runs) in &large {
            let Run { floor, one, ours } = &runs[at];
            let what = format!("{name} of {size}: CPU over the floor's");
            promises.at_most(what, ours.cpu / floor.cpu, MOST_OVER_FLOOR);
            if *size >= MANY && processors > 1 {
                let (wall, cpu) = MOST_OVER_ONE;
                promises.at_most(
                    format!("{name} of {size}: wall over --jobs 1's"),
                    ours.wall / one.wall,
                    wall,
                );
                promises.at_most(format!("{name} of {size}: CPU over --jobs 1's"), ours.cpu / one.cpu, cpu);
            }
        }
        if let [(small, first), .., (big, last)] = large.as_slice() {
            let exponent = (last[at].ours.cpu / first[at].ours.cpu).ln() / (*big as f64 / *small as f64).ln();
            promises.at_most(format!("{name}: exponent from {small} to {big}"), exponent, MOST_EXPONENT);
        }
    }
    if let Some((size, runs)) = large.last() {
        promises.at_most(
            format!("list of {size}: KiB a device"),
            per_device(runs[0].ours, empty, *size),
            MOST_KIB,
        );
    }
    promises.missed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_each_figure_is_taken() {
        let run = |wall: f64, cpu: f64| Took { wall, cpu, memory: 1.0 };
        let middle = median(&[run(1.0, 30.0), run(9.0, 10.0), run(2.0, 20.0)]);
        assert_eq!((middle.wall, middle.cpu, middle.memory), (2.0, 20.0, 1.0));
    }
}
