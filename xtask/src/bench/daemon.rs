//! `nodedevd` beside the real daemon: both look at the same synthetic host, in the same namespaces and in turn, and are asked
//! the same by the same client. What counts is the daemons' CPU time.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nodedev::{Connection, ListFlags, XmlFlags};
use nodedev_testkit::peer::{Daemon, Libvirt, Nodedevd, Scene};
use nodedev_testkit::synthetic::Host;

use super::events::Figures;
use super::{Options, Promises, median, release_build};

/// The promises: the real daemon's CPU time over ours, at least; and ours alone, at most.
const LIST_RATIO: f64 = 40.0;
const START_RATIO_10K: f64 = 20.0;
const START_RATIO_50K: f64 = 150.0;
const XML_RATIO: f64 = 4.0;
const EVENT_MICROSECONDS: f64 = 50.0;
const KIB_PER_DEVICE: f64 = 2.0;
const START_EXPONENT: f64 = 1.05;
const LATENCY_MEDIAN_MS: f64 = 1.0;
const LATENCY_P99_MS: f64 = 10.0;
const STOP_SECONDS: f64 = 0.1;

/// A question is repeated until the daemon has worked for as long, so that the clock's steps do not matter.
const ENOUGH: Duration = Duration::from_millis(300);
const MOST_REPEATS: usize = 2_000;

/// Asks a daemon something.
type Question = fn(&Asked) -> Result<()>;

/// Questions whose cost is measured.
const QUESTIONS: &[(&str, Question)] = &[
    ("list", |asked| asked.list(ListFlags::empty())),
    ("list --cap pci", |asked| asked.list(ListFlags::CAP_PCI_DEV)),
    ("list --cap mdev (none)", |asked| asked.list(ListFlags::CAP_MDEV)),
    ("list --cap vpd", |asked| asked.list(ListFlags::CAP_VPD)),
    ("lookup ×100", Asked::lookups),
    ("XML of one ×100", Asked::documents),
    ("XML of all", Asked::all_documents),
    ("tree (all parents)", Asked::tree),
];

/// A client and the devices it asks about.
struct Asked {
    connection: Connection,
    names: Vec<String>,
}

impl Asked {
    fn list(&self, flags: ListFlags) -> Result<()> {
        self.connection.list_names(flags)?;
        Ok(())
    }

    fn some(&self) -> impl Iterator<Item = &str> {
        let step = (self.names.len() / 100).max(1);
        self.names.iter().step_by(step).cycle().take(100).map(String::as_str)
    }

    fn lookups(&self) -> Result<()> {
        for name in self.some() {
            self.connection.is_active(name)?;
        }
        Ok(())
    }

    fn documents(&self) -> Result<()> {
        for name in self.some() {
            self.connection.xml(name, XmlFlags::empty())?;
        }
        Ok(())
    }

    fn all_documents(&self) -> Result<()> {
        let mut count = 0;
        self.connection.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })?;
        if count == self.names.len() { Ok(()) } else { bail!("{count} documents") }
    }

    fn tree(&self) -> Result<()> {
        let devices = self.connection.list(ListFlags::empty())?;
        if devices.len() == self.names.len() { Ok(()) } else { bail!("{} parents", devices.len()) }
    }
}

/// What one daemon took for one host.
struct Measured {
    start_wall: f64,
    start_cpu: f64,
    /// CPU seconds of each of [`QUESTIONS`].
    questions: Vec<f64>,
    kib: f64,
    events: Figures,
    stop: f64,
}

/// Measures both daemons at each size; returns which promises are missed.
pub(super) fn run(options: &Options) -> Result<Vec<String>> {
    let program = release_build("nodedevd", "nodedevd")?;
    let libvirt = Libvirt::find()?;
    println!("nodedevd beside libvirt {}'s daemon; CPU of the daemons, ms", libvirt.version());
    println!("{:>7}  {:<24} {:>12} {:>12} {:>8}", "devices", "", "libvirt", "nodedevd", "ratio");
    let mut found = Vec::new();
    for size in &options.sizes {
        let host = tempfile::Builder::new()
            .prefix("nodedev-bench-")
            .tempdir_in(&options.memory)
            .with_context(|| format!("no folder can be made in {}", options.memory.display()))?;
        Host::new(*size).share_contents(true).write(host.path())?;
        found.push((*size, measure(host.path(), *size, &libvirt, &program, options)?));
    }
    Ok(verdict(&found))
}

type Both = (Option<Measured>, Measured);

fn measure(host: &Path, size: usize, libvirt: &Libvirt, program: &Path, options: &Options) -> Result<Both> {
    let begin = Instant::now();
    let real = libvirt.launch(&Scene::Tree(host.to_owned()))?;
    let events = |uri: &str, pid| in_there(&real, host, uri, pid);
    let theirs =
        if options.alone { None } else { Some(questions(real.uri(), real.process()?, begin, 0.0, &events)?) };
    // Ours runs where the real one does: it sees the same /sys, and the events that are sent there.
    let begin = Instant::now();
    let mut ours = Nodedevd::launched(real.inside(program)?)?;
    let mut measured = questions(ours.uri(), ours.pid(), begin, idle_kib(program)?, &events)?;
    measured.stop = ours.terminate()?.as_secs_f64();
    let theirs = theirs.map(|theirs| Measured { stop: stop(real), ..theirs });
    show(size, theirs.as_ref(), &measured);
    Ok((theirs, measured))
}

/// Memory of the daemon with next to no devices, KiB.
fn idle_kib(program: &Path) -> Result<f64> {
    let host = tempfile::tempdir()?;
    std::fs::create_dir_all(host.path().join("sys/devices"))?;
    let daemon = Nodedevd::program_at(program, host.path())?;
    Connection::open(daemon.uri())?.list_names(ListFlags::empty())?;
    resident_kib(daemon.pid())
}

/// Runs the part that sends events in the network namespace of the daemons.
fn in_there(real: &Daemon, host: &Path, uri: &str, pid: u32) -> Result<Figures> {
    let output = real
        .in_network(&std::env::current_exe()?)?
        .args(["bench-events", "--uri", uri, "--pid", &pid.to_string()])
        .arg("--host")
        .arg(host)
        .output()?;
    if !output.status.success() {
        bail!("events: {}", String::from_utf8_lossy(&output.stderr));
    }
    Figures::read(&String::from_utf8(output.stdout)?)
}

fn stop(real: Daemon) -> f64 {
    let begin = Instant::now();
    drop(real);
    begin.elapsed().as_secs_f64()
}

fn questions(
    uri: &str,
    pid: u32,
    begin: Instant,
    idle_kib: f64,
    events: &dyn Fn(&str, u32) -> Result<Figures>,
) -> Result<Measured> {
    let connection = Connection::open(uri)?;
    let names = connection.list_names(ListFlags::empty())?;
    let (start_wall, start_cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds(pid)?);
    let kib = (resident_kib(pid)? - idle_kib) / names.len() as f64;
    let asked = Asked { connection, names: names.iter().map(ToString::to_string).collect() };
    let mut costs = Vec::new();
    for (_, question) in QUESTIONS {
        costs.push(cost(pid, || question(&asked))?);
    }
    drop(asked);
    let events = events(uri, pid)?;
    Ok(Measured { start_wall, start_cpu, questions: costs, kib, events, stop: 0.0 })
}

/// CPU seconds of the daemon for one question: the median of several shares of [`ENOUGH`].
fn cost(pid: u32, question: impl Fn() -> Result<()>) -> Result<f64> {
    question()?;
    let mut shares = Vec::new();
    for _ in 0..3 {
        let (begin, mut repeats) = (cpu_seconds(pid)?, 0);
        loop {
            question()?;
            repeats += 1;
            let spent = cpu_seconds(pid)? - begin;
            if spent >= ENOUGH.as_secs_f64() / 3.0 || repeats == MOST_REPEATS {
                shares.push(spent / repeats as f64);
                break;
            }
        }
    }
    Ok(median(shares))
}

/// What a process has spent, in nanoseconds of its threads that live, or in the kernel's steps of all that ever did.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut alive = 0.0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = text.split(' ').next().and_then(|word| word.parse::<f64>().ok());
        alive += nanoseconds.unwrap_or_default() / 1e9;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<f64> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse().ok())
        .collect();
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    Ok(f64::max(alive, fields.iter().sum::<f64>() / ticks))
}

pub(super) fn resident_kib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().next().context("no VmRSS")?.parse()?)
}

fn show(size: usize, theirs: Option<&Measured>, ours: &Measured) {
    let line = |what: &str, of: &dyn Fn(&Measured) -> f64| {
        let (theirs, ours) = (theirs.map(of), of(ours));
        let number = |value: f64| format!("{value:.3}");
        println!(
            "{size:>7}  {what:<24} {:>12} {:>12} {:>8}",
            theirs.map_or_else(|| "-".into(), number),
            number(ours),
            theirs.map_or_else(|| "-".into(), |theirs| format!("{:.1}", theirs / ours)),
        );
    };
    line("start to complete list", &|measured| measured.start_cpu * 1e3);
    line("  wall clock", &|measured| measured.start_wall * 1e3);
    for (at, (name, _)) in QUESTIONS.iter().enumerate() {
        line(name, &|measured| measured.questions.get(at).copied().unwrap_or_default() * 1e3);
    }
    line("KiB a device", &|measured| measured.kib);
    line("remove event", &|measured| measured.events.remove_us / 1e3);
    line("add event", &|measured| measured.events.add_us / 1e3);
    line("event to client, median", &|measured| measured.events.latency_median_ms);
    line("event to client, p99", &|measured| measured.events.latency_p99_ms);
    line("storm: MiB at most", &|measured| measured.events.storm_mib);
    line("storm: event after it", &|measured| f64::from(u8::from(measured.events.storm_survived)));
    line("stop, s", &|measured| measured.stop);
}

fn verdict(found: &[(usize, Both)]) -> Vec<String> {
    let mut promises = Promises::default();
    let ratio = |theirs: Option<&Measured>, ours: &Measured, of: &dyn Fn(&Measured) -> f64| {
        theirs.map(|theirs| of(theirs) / of(ours))
    };
    for (size, (theirs, ours)) in found {
        let theirs = theirs.as_ref();
        for (at, (name, _)) in QUESTIONS.iter().enumerate() {
            let least = match *name {
                name if name.starts_with("list") && *size == 10_000 => LIST_RATIO,
                "XML of all" if *size >= 1_000 => XML_RATIO,
                _ => continue,
            };
            if let Some(ratio) = ratio(theirs, ours, &|measured| measured.questions[at]) {
                promises.at_least(format!("{name} of {size}: libvirt's CPU over ours"), ratio, least);
            }
        }
        let least = match size {
            10_000 => Some(START_RATIO_10K),
            50_000 => Some(START_RATIO_50K),
            _ => None,
        };
        if let (Some(least), Some(ratio)) = (least, ratio(theirs, ours, &|measured| measured.start_cpu)) {
            promises.at_least(format!("start with {size}: libvirt's CPU over ours"), ratio, least);
        }
        let events = &ours.events;
        promises.at_most(format!("remove of {size}: CPU µs"), events.remove_us, EVENT_MICROSECONDS);
        promises.at_most(format!("add of {size}: CPU µs"), events.add_us, EVENT_MICROSECONDS);
        promises.at_most(
            format!("{size}: event to client, median ms"),
            events.latency_median_ms,
            LATENCY_MEDIAN_MS,
        );
        promises.at_most(format!("{size}: event to client, p99 ms"), events.latency_p99_ms, LATENCY_P99_MS);
        promises.at_most(format!("{size}: stop, s"), ours.stop, STOP_SECONDS);
        let survived = f64::from(u8::from(events.storm_survived));
        promises.at_least(format!("{size}: complete after a storm"), survived, 1.0);
        if *size >= 10_000 {
            promises.at_most(format!("{size}: KiB a device"), ours.kib, KIB_PER_DEVICE);
        }
    }
    let large: Vec<_> = found.iter().filter(|(size, _)| *size >= 1_000).collect();
    if let [(small, (_, first)), .., (big, (_, last))] = large.as_slice() {
        let exponent = (last.start_cpu / first.start_cpu).ln() / (*big as f64 / *small as f64).ln();
        promises.at_most(format!("start: exponent from {small} to {big}"), exponent, START_EXPONENT);
    }
    promises.missed
}
