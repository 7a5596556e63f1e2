//! The same changes, told by udev to the real libvirt and to us: libvirt's clients hear the same of both.

use std::process::{Command, Stdio};
use std::{fs, thread};

use nodedev_driver::{Changes as _, LibvirtEvent, Next, Watch};
use nodedev_host::HostDriver;
use nodedev_interop::Failure;
use nodedev_interop::listener::{Listener, Running, SILENCE};
use nodedev_interop::network::{ip, private, trigger};
use nodedev_interop::udev;
use nodedev_sys::Root;
use nodedev_testkit::peer::{Libvirt, Scene};

/// Steps that concern two devices. udev has a process for each, and what the two send at the same time reaches one listener
/// in this order and another in that. The order of the events of one device is compared all the same.
const OF_TWO: [&str; 2] = ["two come", "both go"];
/// The kernel says nothing of an interface that comes up, and libvirt has no bridges.
const SILENT: [&str; 2] = ["it comes up", "a bridge comes and goes"];

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
        let _udev = udev::start()?;
        let daemon = Libvirt::find()?.start(&Scene::Live)?;
        let client = Listener::start(daemon.uri(), None)?;
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
            // Whoever hears nothing of the others is deaf.
            assert_eq!(libvirt.is_empty(), SILENT.contains(&what), "{what}: {libvirt:?}");
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
