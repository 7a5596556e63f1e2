//! `cargo xtask vm-test`: hands devices over for real, in virtual machines with an emulated IOMMU.
//!
//! A guest is Debian's kernel with an initramfs made here: busybox, this workspace's programs, libvirt's, and `tests/vm`, whose
//! tables say what is done. Nothing of the machine that it runs on is touched.

mod client;
mod cpio;
mod modules;
mod packages;
mod qemu;
mod qmp;
mod report;
mod root;
mod samples;
mod systemd;

use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;
use nodedev_testkit::repository;

use qemu::Guest;
use report::{PARTS, Part, Report};

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often nodedev and nodedevd are killed in the middle of an operation, half of it each
    #[arg(long, default_value_t = KILLS)]
    kills: u32,
    /// Print everything that the guest prints
    #[arg(long)]
    console: bool,
    /// What to do, in place of all
    #[arg(value_name = "PART", value_parser = PossibleValuesParser::new(PARTS.into_iter().flatten().map(|part| part.name)))]
    parts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { kills: KILLS, console: false, parts: Vec::new() }
    }
}

impl Options {
    /// The parts that are asked for, by guest.
    fn divided(&self) -> [Vec<&'static Part>; PARTS.len()] {
        let is_asked_for =
            |part: &&Part| self.parts.is_empty() || self.parts.iter().any(|name| name == part.name);
        PARTS.map(|parts| parts.iter().filter(is_asked_for).collect())
    }
}

/// Where it can be run.
pub(crate) const WHERE: &str = "needs Debian on x86-64: its kernel is started in the guest";

/// Enough to find what fails often, in a minute.
const KILLS: u32 = 20;
/// What an emulated guest needs on a slow machine: for everything but the kills, and for each kill.
const PATIENCE: Duration = Duration::from_secs(900);
const PATIENCE_FOR_KILL: Duration = Duration::from_secs(12);

/// Whether this machine is one that it can be run on; Ubuntu has no such kernel.
pub(crate) fn is_possible() -> bool {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    cfg!(target_arch = "x86_64") && system.lines().any(|line| line == "ID=debian")
}

/// Makes the guests, runs them, and says how their checks ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !is_possible() {
        bail!("vm-test {WHERE}");
    }
    let kernel = packages::ensure()?;
    let work = tempfile::Builder::new().prefix("nodedev-vm.").tempdir()?;
    println!("making the guests: Linux {}", kernel.release);
    let root = work.path().join("root");
    root::make(&kernel, &root)?;
    let initrd = work.path().join("initrd");
    cpio::write(&root, &initrd).context("cannot write the initramfs")?;

    let mut report = Report::new();
    let mut guests = Vec::new();
    for (number, parts) in options.divided().iter().enumerate().filter(|(_, parts)| !parts.is_empty()) {
        let names = report.expect(parts, &repository().join("tests/vm"))?;
        let folder = work.path().join(number.to_string());
        fs::create_dir(&folder)?;
        guests.push(Guest {
            kernel: &kernel.image,
            initrd: &initrd,
            folder,
            variables: [("nodedev_kills", options.kills.to_string()), ("nodedev_parts", names)],
            patience: PATIENCE + PATIENCE_FOR_KILL * options.kills,
        });
    }
    let start = Instant::now();
    let ended = at_once(&guests, |line| {
        if report.take(line) || options.console {
            println!("{line}");
        }
    });
    println!("the guests ran for {:.0} s", start.elapsed().as_secs_f64());
    let failures = report.finish();
    ended.into_iter().collect::<Result<()>>()?;
    if failures > 0 {
        bail!("{failures} checks failed; --console shows what the guests print besides");
    }
    Ok(())
}

/// Runs guests until all have ended, and gives each line of their consoles to `take`.
fn at_once(guests: &[Guest<'_>], mut take: impl FnMut(&str)) -> Vec<Result<()>> {
    let (send, lines) = mpsc::channel();
    thread::scope(|scope| {
        let mut running = Vec::new();
        for guest in guests {
            let send = send.clone();
            // There is somebody who takes the lines as long as there are any.
            running.push(scope.spawn(move || guest.run(|line| drop(send.send(line.to_owned())))));
        }
        drop(send);
        for line in lines {
            take(&line);
        }
        let ended = running
            .into_iter()
            .map(|guest| guest.join().unwrap_or_else(|_| bail!("a guest's thread panicked")));
        ended.collect()
    })
}
