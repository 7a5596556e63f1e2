//! What a change costs a daemon and how soon its clients know: sends udev's messages of devices of the synthetic host, in
//! the network namespace where the daemon listens, and follows the daemon as a client.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nodedev::{Connection, LibvirtEvent, ListFlags, Next, Watch, XmlFlags};
use nodedev_testkit::uevents::Sender;

use super::daemon::{cpu_seconds, resident_kib};
use super::median;

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where the daemon is
    #[arg(long)]
    uri: String,
    /// Its process
    #[arg(long)]
    pid: u32,
    /// The host it looks at
    #[arg(long)]
    host: PathBuf,
}

/// Events whose way is timed, and the time between two.
const TIMED: usize = 400;
const PAUSE: Duration = Duration::from_millis(5);
/// What all devices that messages are about are.
const SUBSYSTEM: &str = "scsi_generic";
/// Devices that go and come back at once.
const GONE: usize = 300;
/// Events that come while the daemon is stopped.
const STORM: usize = 400_000;
/// How long an event may take. The real daemon needs tens of milliseconds for a removal among many.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing has to come for a storm to be over, and how long that may take.
const QUIET: Duration = Duration::from_secs(3);
const STORM_PATIENCE: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Figures {
    /// CPU of the daemon for the removal of a device, microseconds.
    pub(super) remove_us: f64,
    /// The same for a device that comes.
    pub(super) add_us: f64,
    /// From the message to the client, milliseconds.
    pub(super) latency_median_ms: f64,
    /// 99 of 100 were as fast.
    pub(super) latency_p99_ms: f64,
    /// Memory of the daemon after a storm, MiB.
    pub(super) storm_mib: f64,
    /// Whether an event after the storm was told and the list was complete.
    pub(super) storm_survived: bool,
}

impl Figures {
    fn fields(&self) -> [(&'static str, f64); 6] {
        [
            ("remove_us", self.remove_us),
            ("add_us", self.add_us),
            ("latency_median_ms", self.latency_median_ms),
            ("latency_p99_ms", self.latency_p99_ms),
            ("storm_mib", self.storm_mib),
            ("storm_survived", f64::from(u8::from(self.storm_survived))),
        ]
    }

    fn write(&self) -> String {
        self.fields().map(|(name, value)| format!("{name} {value}\n")).concat()
    }

    pub(super) fn read(text: &str) -> Result<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).with_context(|| format!("no {name} in {text:?}"))
        };
        Ok(Self {
            remove_us: value("remove_us")?,
            add_us: value("add_us")?,
            latency_median_ms: value("latency_median_ms")?,
            latency_p99_ms: value("latency_p99_ms")?,
            storm_mib: value("storm_mib")?,
            storm_survived: value("storm_survived")? != 0.0,
        })
    }
}

/// A device that messages are about.
struct Subject {
    name: String,
    /// `/devices/…`
    devpath: String,
    /// What the kernel states of it, `KEY=VALUE` each, ended by a NUL: libvirt takes it from the message.
    properties: String,
}

impl Subject {
    fn send(&self, sender: &mut Sender, action: &str) -> Result<()> {
        Ok(sender.send(action, &self.devpath, SUBSYSTEM, &self.properties)?)
    }
}

/// Measures and prints the figures.
pub(crate) fn run(options: &Options) -> Result<()> {
    let connection = Connection::open(&options.uri)?;
    let mut watch = connection.changes()?.watch(None)?;
    let complete = connection.list_names(ListFlags::empty())?;
    let subjects = subjects(&connection, &options.host)?;
    let mut sender = Sender::new()?;
    let mut figures = Figures::default();
    let changed = subjects.first().context("the host has no device to send messages of")?;

    let mut latencies = Vec::new();
    for _ in 0..TIMED {
        let begin = Instant::now();
        changed.send(&mut sender, "change")?;
        until(&mut watch, LibvirtEvent::Updated, &[changed])?;
        latencies.push(begin.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(PAUSE);
    }
    latencies.sort_by(f64::total_cmp);
    figures.latency_p99_ms = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    figures.latency_median_ms = median(latencies);

    let some: Vec<&Subject> = subjects.iter().take(GONE).collect();
    for (action, event, figure) in [
        ("remove", LibvirtEvent::Deleted, &mut figures.remove_us),
        ("add", LibvirtEvent::Created, &mut figures.add_us),
    ] {
        let begin = cpu_seconds(options.pid)?;
        for subject in &some {
            subject.send(&mut sender, action)?;
        }
        until(&mut watch, event, &some)?;
        *figure = (cpu_seconds(options.pid)? - begin) * 1e6 / some.len() as f64;
    }
    (figures.storm_mib, figures.storm_survived) = storm(options.pid, &mut sender, &mut watch, changed)?;
    // A new connection: the real daemon has given up the old one by now, if it pinged it.
    let after = Connection::open(&options.uri)?.list_names(ListFlags::empty())?;
    figures.storm_survived = figures.storm_survived && after == complete;
    print!("{}", figures.write());
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// SCSI generic devices: there are many, and nothing hangs below them.
fn subjects(connection: &Connection, host: &Path) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for name in connection.list_names(ListFlags::CAP_SCSI_GENERIC)?.iter().take(GONE) {
        let xml = String::from_utf8_lossy(&connection.xml(name.as_str(), XmlFlags::empty())?).into_owned();
        let path = xml.split("<path>/sys").nth(1).and_then(|rest| rest.split("</path>").next());
        if let Some(path) = path {
            let properties = read(&host.join(format!("sys{path}/uevent")))?.replace('\n', "\0");
            subjects.push(Subject { name: name.to_string(), devpath: path.to_owned(), properties });
        }
    }
    Ok(subjects)
}

/// Waits until the client was told of an event of each device.
fn until(watch: &mut Watch, wanted: LibvirtEvent, devices: &[&Subject]) -> Result<()> {
    let mut missing: HashSet<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    while !missing.is_empty() {
        match watch.next(Some(PATIENCE)) {
            Next::Event(event) => {
                for (name, event) in event.libvirt_events() {
                    if event == wanted {
                        missing.remove(name.as_str());
                    }
                }
            }
            Next::TimedOut => {
                bail!("no event of {} devices, {:?} among them", missing.len(), missing.iter().next())
            }
            other => bail!("the watch ended: {other:?}"),
        }
    }
    Ok(())
}

/// Stops the daemon, sends more than fits into any buffer, and lets it go on. Memory afterwards, MiB, and whether it tells of
/// one more event.
fn storm(pid: u32, sender: &mut Sender, watch: &mut Watch, changed: &Subject) -> Result<(f64, bool)> {
    let signal = |signal| {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(pid)?), signal).context("kill")
    };
    signal(nix::sys::signal::Signal::SIGSTOP)?;
    for _ in 0..STORM {
        changed.send(sender, "change")?;
    }
    signal(nix::sys::signal::Signal::SIGCONT)?;
    let begin = Instant::now();
    while begin.elapsed() < STORM_PATIENCE {
        if !matches!(watch.next(Some(QUIET)), Next::Event(_) | Next::Missed(_)) {
            break;
        }
    }
    let mib = resident_kib(pid)? / 1024.0;
    changed.send(sender, "change")?;
    let told = loop {
        match watch.next(Some(QUIET)) {
            Next::Event(event) if event.name.as_str() == changed.name => break true,
            Next::Event(_) | Next::Missed(_) => {}
            _ => break false,
        }
    };
    Ok((mib, told))
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn figures_are_read_as_they_are_written() {
        let figures = Figures { remove_us: 1.5, storm_survived: true, ..Figures::default() };
        assert_eq!(Figures::read(&figures.write()).unwrap(), figures);
        assert!(Figures::read("remove_us 1").is_err());
    }
}
