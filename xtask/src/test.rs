//! `cargo xtask test`: everything that has to hold before a change goes in.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, bail};
use nodedev_testkit::peer::Libvirt;
use nodedev_testkit::{complete, repository};

use crate::{abi, deps, fuzz, peers, vm};

/// Executions of each fuzz target, where libFuzzer cannot be built.
const FUZZ_RUNS: &str = "150000";

/// The tests that run programs over our library and over the installed one, which have the same functions in one release alone.
const C_LIBRARY: &str = "c_library";
const OTHER_RELEASE: &str =
    "the installed libvirt is another release than 11.3, which the C library is compared with";

/// How a step ended.
#[derive(Debug, Clone)]
enum Ended {
    Passed,
    Failed(String),
    /// Because this machine lacks something.
    LeftOut(&'static str),
    /// By `--offline`.
    NotAsked(&'static str),
}

/// Tests counted in the output of `cargo test`.
#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
}

struct Run {
    steps: Vec<(&'static str, Ended, f64)>,
    counts: Counts,
}

/// Runs every test; `offline` leaves out what needs a peer. What else is left out is a failure where nothing may be (`CI=true`).
pub(crate) fn run(offline: bool) -> Result<()> {
    let mut run = Run { steps: Vec::new(), counts: Counts::default() };
    if !offline {
        run.step("peers", |_| peers::install());
    }
    run.component("format", "fmt", &["fmt", "--all", "--check"])?;
    run.component(
        "lints",
        "clippy",
        &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    )?;
    run.step("invariants", |_| deps::check(repository()));
    run.step("tests", |run| run.cargo(&["test", "--workspace", "--no-fail-fast"]));
    run.step("docs", |run| {
        let strict = "build.rustdocflags=['--deny', 'warnings']";
        run.cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--config", strict])
    });
    // Each benchmark once, in the profile that is built already: that they run, not how fast.
    run.step("benches", |run| run.cargo(&["test", "--quiet", "--workspace", "--bench", "*"]));
    run.step("fuzz", |run| {
        if !offline && peers::in_path("g++") {
            return fuzz::test();
        }
        run.cargo(&["run", "--quiet", "--package", "nodedev-fuzz", "--", "--runs", FUZZ_RUNS])
    });
    if offline {
        let why = "needs the real libvirt";
        run.steps.push(("abi", Ended::NotAsked(why), 0.0));
        run.steps.push(("interop", Ended::NotAsked(why), 0.0));
        run.steps.push(("vm", Ended::NotAsked("needs QEMU, libvirt and a kernel of Debian's"), 0.0));
    } else {
        let targets = interop_targets()?;
        let mut arguments = vec!["test", "--package", "nodedev-interop", "--no-fail-fast"];
        if Libvirt::find().is_ok_and(|libvirt| !libvirt.is_reference()) {
            run.leave_out("abi", OTHER_RELEASE);
            run.leave_out(C_LIBRARY, OTHER_RELEASE);
            arguments.push("--lib");
            arguments.extend(targets.iter().flat_map(|target| ["--test", target]));
        } else {
            run.step("abi", |_| abi::check());
        }
        arguments.extend(["--", "--ignored", "--test-threads", "1", "--nocapture"]);
        run.step("interop", |run| run.cargo(&arguments));
        if vm::is_possible() {
            run.step("vm", |_| vm::run(&vm::Options::default()));
        } else {
            run.leave_out("vm", vm::WHERE);
        }
    }
    run.finish(complete::is_required())
}

impl Run {
    /// Does one step and goes on, whatever comes of it.
    fn step(&mut self, name: &'static str, action: impl FnOnce(&mut Self) -> Result<()>) {
        println!("\n== {name}");
        let start = Instant::now();
        let ended = match action(self) {
            Ok(()) => Ended::Passed,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                Ended::Failed(format!("{error:#}"))
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        self.steps.push((name, ended, seconds));
    }

    /// A step that this machine lacks something for.
    fn leave_out(&mut self, name: &'static str, why: &'static str) {
        println!("\n== {name}\n{why}");
        self.steps.push((name, Ended::LeftOut(why), 0.0));
    }

    /// A step done by a part of the Rust distribution that not every installation has.
    fn component(&mut self, name: &'static str, component: &str, arguments: &[&str]) -> Result<()> {
        let there = cargo().args([component, "--version"]).output()?.status.success();
        if there {
            self.step(name, |run| run.cargo(arguments));
            return Ok(());
        }
        println!("\n== {name}\ncargo {component} is not installed");
        self.steps.push((name, Ended::LeftOut("not installed: rustup component add rustfmt clippy"), 0.0));
        Ok(())
    }

    /// Runs cargo, shows its output and counts the tests in it.
    fn cargo(&mut self, arguments: &[&str]) -> Result<()> {
        println!("cargo {}", arguments.join(" "));
        let mut child = cargo().args(arguments).stdout(Stdio::piped()).spawn()?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).lines() {
                let line = line?;
                self.counts.add(&line);
                println!("{line}");
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("cargo {} failed: {status}", arguments[0]);
        }
        Ok(())
    }

    /// Says how the steps ended. With `complete`, none may be left out but by who started the run.
    fn finish(self, complete: bool) -> Result<()> {
        println!("\n== summary");
        let mut failed = 0;
        for (name, ended, seconds) in &self.steps {
            match ended {
                Ended::Passed => println!("ok       {name:<12} {seconds:6.1} s"),
                Ended::LeftOut(why) if complete => {
                    failed += 1;
                    println!("FAILED   {name:<12} left out, which CI=true forbids: {why}");
                }
                Ended::LeftOut(why) | Ended::NotAsked(why) => println!("left out {name:<12} {why}"),
                Ended::Failed(why) => {
                    failed += 1;
                    println!("FAILED   {name:<12} {why}");
                }
            }
        }
        let Counts { passed, failed: failed_tests } = self.counts;
        let verdict = if failed == 0 { "ok" } else { "FAILED" };
        println!(
            "test result: {verdict}. {passed} passed; {failed_tests} failed; {failed} of {} steps failed",
            self.steps.len()
        );
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.steps.len());
        }
        Ok(())
    }
}

impl Counts {
    /// Adds what a line such as `test result: ok. 12 passed; 0 failed; …` says.
    fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else { return };
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.windows(2) {
            let number = pair[0].parse().unwrap_or(0);
            match pair[1].trim_end_matches(';') {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                _ => {}
            }
        }
    }
}

/// The targets of the interoperability tests, but for those of the C library.
fn interop_targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(repository().join("tests/interop/tests"))? {
        let path = entry?.path();
        let is_target =
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        targets.extend(name.filter(|name| is_target && name != C_LIBRARY));
    }
    targets.sort();
    Ok(targets)
}

fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(Path::new(&program));
    command.current_dir(repository());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_fails_where_everything_is_required() {
        for (ended, passes, passes_in_ci) in [
            (Ended::Passed, true, true),
            (Ended::NotAsked("--offline"), true, true),
            (Ended::LeftOut(vm::WHERE), true, false),
            (Ended::Failed("a test".into()), false, false),
        ] {
            for (complete, passes) in [(false, passes), (true, passes_in_ci)] {
                let steps = vec![("lints", Ended::Passed, 0.0), ("vm", ended.clone(), 0.0)];
                let run = Run { steps, counts: Counts::default() };
                assert_eq!(run.finish(complete).is_ok(), passes, "{ended:?}, all required: {complete}");
            }
        }
    }

    #[test]
    fn the_other_tests_against_libvirt_are_found() {
        let targets = interop_targets().unwrap();
        assert!(!targets.contains(&C_LIBRARY.to_owned()));
        for target in ["live", "daemon", "wire", "soak"] {
            assert!(targets.contains(&target.to_owned()), "{targets:?}");
        }
    }

    #[test]
    fn tests_are_counted() {
        let mut counts = Counts::default();
        for line in [
            "test result: ok. 20 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 6.66s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test tree::tests::x ... ok",
        ] {
            counts.add(line);
        }
        assert_eq!((counts.passed, counts.failed), (21, 2));
    }
}
