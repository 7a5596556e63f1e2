//! The same changes, told by udev to the real libvirt and to us: libvirt's clients hear the same of both.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::mount::{MsFlags, mount};
use nodedev_driver::{Driver, LibvirtEvent, Next, Watch};
use nodedev_host::HostDriver;
use nodedev_interop::Failure;
use nodedev_interop::network::{ip, private, trigger};
use nodedev_sys::Root;
use nodedev_testkit::peer::{Daemon, Libvirt, Scene};

const PATIENCE: Duration = Duration::from_secs(20);
/// For how long nothing may come before all is said to have come.
const SILENCE: Duration = Duration::from_millis(700);
const PLACES: [&str; 2] = ["/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd"];

/// A process of the test that ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// udev, with a `/run` of its own.
fn start_udev() -> Result<Running, Failure> {
    let program = PLACES.into_iter().find(|place| Path::new(place).exists());
    let program = program.ok_or("udev is not installed: run `cargo xtask test`".to_owned())?;
    mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .map_err(|error| format!("cannot mount /run: {error}"))?;
    fs::create_dir("/run/udev")?;
    let udev = Running(Command::new(program).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let until = Instant::now() + PATIENCE;
    while !Path::new("/run/udev/control").exists() {
        if Instant::now() > until {
            return Err("udev does not come up".to_owned().into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(udev)
}

/// What a client of libvirt's hears: `NAME EVENT`.
struct Client {
    lines: Receiver<String>,
    _process: Running,
}

impl Client {
    /// Starts it and waits until it hears events.
    fn start(daemon: &Daemon) -> Result<Self, Failure> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/listen.py");
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(daemon.uri())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the client has no output".to_owned())?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            let told = BufReader::new(output).lines().map_while(Result::ok);
            told.take_while(|line| sender.send(line.clone()).is_ok()).count()
        });
        let client = Self { lines, _process: Running(process) };
        ip("link add mark0 address 02:00:00:00:00:f0 type veth peer name mark1 address 02:00:00:00:00:f1")?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            trigger("mark0", "change")?;
            match client.lines.recv_timeout(SILENCE) {
                Ok(_) => {
                    ip("link del mark0")?;
                    client.rest();
                    return Ok(client);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(format!("the client does not hear of events\n{}", daemon.log()).into())
    }

    fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(SILENCE).ok()).collect()
    }
}

/// Steps that concern two devices. udev has a process for each, and what the two send at the same time reaches one listener
/// in this order and another in that. The order of the events of one device is compared all the same.
const OF_TWO: [&str; 2] = ["two come", "both go"];

/// The device that an event is about.
fn device(event: &str) -> &str {
    event.split(' ').next().unwrap_or(event)
}

fn ours(watch: &mut Watch) -> Result<Vec<String>, Failure> {
    let mut told = Vec::new();
    loop {
        match watch.next(Some(SILENCE)) {
            Next::Event(event) => told.extend(event.libvirt_events().map(|(name, event)| {
                let word = match event {
                    LibvirtEvent::Created => "Created",
                    LibvirtEvent::Deleted => "Deleted",
                    LibvirtEvent::Defined => "Defined",
                    LibvirtEvent::Undefined => "Undefined",
                    LibvirtEvent::Updated => "Updated",
                };
                format!("{name} {word}")
            })),
            Next::TimedOut => return Ok(told),
            other => return Err(format!("{other:?}").into()),
        }
    }
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn clients_hear_of_the_same_changes_from_libvirt_and_from_us() -> Result<(), Failure> {
    private(|| {
        let _udev = start_udev()?;
        let daemon = Libvirt::find()?.start(&Scene::Live)?;
        let client = Client::start(&daemon)?;
        let driver = HostDriver::watching(Root::live().map_err(|error| error.to_string())?)?;
        let mut watch = driver.watch(None).map_err(|error| error.to_string())?;
        let mut other =
            Running(Command::new("unshare").args(["--net", "cat"]).stdin(Stdio::piped()).spawn()?);
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net"));
        let (own, pid) = (namespace("thread-self")?, other.0.id().to_string());
        while namespace(&pid)? == own {
            thread::yield_now();
        }
        let thread = fs::read_link("/proc/thread-self")?;
        let thread = thread.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let back = || -> Result<(), Failure> {
            let command = ["--net", "--target", &pid, "ip", "link", "set", "vx", "netns", &thread];
            if Command::new("nsenter").args(command).status()?.success() {
                return Ok(());
            }
            Err("the interface does not come back".to_owned().into())
        };
        type Step<'a> = (&'a str, &'a dyn Fn() -> Result<(), Failure>);
        let steps: [Step<'_>; 8] = [
            ("two come", &|| {
                ip("link add va address 02:00:00:00:00:01 type veth peer name vb address 02:00:00:00:00:02")
            }),
            ("one is triggered", &|| Ok(trigger("va", "change")?)),
            ("one is renamed", &|| ip("link set va name vx")),
            ("it comes up", &|| ip("link set vx up")),
            ("it goes to another network", &|| ip(&format!("link set vx netns {pid}"))),
            ("it comes back", &back),
            ("a bridge comes and goes", &|| ip("link add br7 type bridge\nlink del br7")),
            ("both go", &|| ip("link del vx")),
        ];
        let mut differences = Vec::new();
        for (what, step) in steps {
            step()?;
            let (mut libvirt, mut we) = (client.rest(), ours(&mut watch)?);
            println!("{what}: {libvirt:?}");
            if OF_TWO.contains(&what) {
                libvirt.sort_by(|a, b| device(a).cmp(device(b)));
                we.sort_by(|a, b| device(a).cmp(device(b)));
            }
            if libvirt != we {
                differences.push(format!("{what}: libvirt {libvirt:?}, we {we:?}"));
            }
        }
        drop(other.0.stdin.take());
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n").into()) }
    })
}
