//! The command line with a daemon says what it says of the same host without one.

use std::process::{Command, Output};

use nodedev::{Capability, Inventory, NodeDevice, Visibility, document};
use nodedev_interop::made::ALL;
use nodedev_interop::{Failure, each, verdict};
use nodedev_testkit::cli::Cli;
use nodedev_testkit::compare::{Tolerance, normalized};
use nodedev_testkit::peer::{Daemon, Libvirt, Scene};
use nodedev_testkit::synthetic::Host;

/// Both programs on one host.
struct Both<'a> {
    here: Cli,
    there: Cli,
    daemon: &'a Daemon,
}

impl<'a> Both<'a> {
    fn new(tree: &std::path::Path, daemon: &'a Daemon) -> Result<Self, Failure> {
        Ok(Self { here: Cli::at(tree)?, there: Cli::live()?, daemon })
    }

    fn launcher(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new(program);
        command.args(["--connect", self.daemon.uri()]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(Output, Output), Failure> {
        let here = self.here.run(arguments)?;
        let there = self.there.run_as(&mut self.launcher(self.there.program()), arguments)?;
        Ok((here, there))
    }

    /// Status, output and complaints are the same.
    fn same(&self, arguments: &[&str]) -> Result<(), Failure> {
        let (here, there) = self.run(arguments)?;
        let told = |output: &Output| {
            let text = normalized(&output.stdout, Tolerance::Recording);
            let [out, err] = [&text, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
            (output.status.code(), out, err)
        };
        let (here, there) = (told(&here), told(&there));
        if here == there {
            return Ok(());
        }
        Err(format!("nodedev {}\n- here  {here:?}\n+ there {there:?}", arguments.join(" ")).into())
    }

    /// The devices that both tell as JSON, as far as documents have room for them: those of libvirt's view.
    fn devices(&self, arguments: &[&str]) -> Result<[Vec<NodeDevice>; 2], Failure> {
        let (here, there) = self.run(arguments)?;
        let read = |output: Output| -> Result<Vec<NodeDevice>, Failure> {
            let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
            let inventory: Inventory =
                document::read(&output.stdout).map_err(|error| format!("{error}: {complaint}"))?;
            let mut devices: Vec<NodeDevice> =
                inventory.into_iter().filter(|device| device.visibility == Visibility::Libvirt).collect();
            for capability in devices.iter_mut().flat_map(|device| &mut device.capabilities) {
                // They are asked of the kernel that runs, and in no recording.
                if let Capability::Net(net) = capability {
                    net.features = Default::default();
                }
            }
            Ok(devices)
        };
        let reduced = |device: &NodeDevice| {
            nodedev::reduce_to_documents(device).map_err(|error| format!("{}: {error}", device.name))
        };
        let here = read(here)?.iter().map(reduced).collect::<Result<_, _>>()?;
        Ok([here, read(there)?])
    }
}

fn alike(what: &str, tree: &std::path::Path) -> Result<(), Failure> {
    let daemon = Libvirt::find()?.start(&Scene::Tree(tree.into()))?;
    let both = Both::new(tree, &daemon)?;
    let there = both.there.answers_as(|program| Ok(both.launcher(program)))?;
    verdict(
        &format!("{what}, beside the daemon's own client"),
        &daemon.answers()?,
        &there,
        Tolerance::Order,
    )?;
    verdict(&format!("{what}, beside no daemon"), &both.here.answers()?, &there, Tolerance::Recording)?;

    let names = there.names("list-all");
    let some: Vec<&str> = names.iter().step_by(names.len() / 20 + 1).map(String::as_str).collect();
    for command in [
        &["list", "--json"][..],
        &["list", "--json", "--all"],
        &["list", "--json", "--cap", "pci,net,mdev"],
        &["list", "--tree", "--all"],
        &["list", "--json", "--inactive"],
        &["dumpxml", "--all", "--xpath", "//capability/@type"],
        &["caps"],
        &[&["parent"][..], &some].concat(),
        &[&["info"][..], &some].concat(),
        &[&["caps"][..], &some].concat(),
        &[&["dumpxml"][..], &some].concat(),
        &["info", "no_such_device"],
        &["dumpxml", "no_such_device"],
        &["parent", "computer", "no_such_device"],
        &["dumpxml", "2000000012341234,1000000012341234"],
        &["dumpxml", "--inactive", "computer"],
    ] {
        both.same(command)?;
    }

    let [here, there] = both.devices(&["show", "--all", "--json"])?;
    assert_eq!((here.len(), there.len()), (names.len(), names.len()), "{what}: show --json");
    let differing: Vec<String> = here
        .iter()
        .zip(&there)
        .filter(|(here, there)| here != there)
        .map(|(here, there)| format!("- {here:?}\n+ {there:?}"))
        .collect();
    if !differing.is_empty() {
        return Err(format!("{what}: show --json\n{}", differing.join("\n")).into());
    }
    let [here, there] = both.devices(&["show", "--json", "computer"])?;
    assert_eq!(here, there);
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_synthetic_host_is_the_same_with_and_without_a_daemon() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(300).mdev(true).write(dir.path())?;
    alike("synthetic host", dir.path())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn hand_made_hosts_are_the_same_with_and_without_a_daemon() -> Result<(), Failure> {
    each(ALL, |made| made.name, |made| alike(made.name, made.tree()?.root()))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn what_a_daemon_cannot_tell_is_refused_with_a_reason() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    Host::new(20).write(dir.path())?;
    let daemon = Libvirt::find()?.start(&Scene::Tree(dir.path().into()))?;
    let both = Both::new(dir.path(), &daemon)?;
    for arguments in [&["list", "--extended"][..], &["list", "--issues"]] {
        let (_, there) = both.run(arguments)?;
        let complaint = String::from_utf8_lossy(&there.stderr).into_owned();
        assert_eq!((there.status.code(), there.stdout.as_slice()), (Some(1), &b""[..]), "{complaint}");
        assert!(complaint.contains("native view") && complaint.contains("help: "), "{complaint}");
    }
    let tree = dir.path().display().to_string();
    let (_, same) = both.run(&["diff", &tree])?;
    assert_eq!((same.status.code(), String::from_utf8_lossy(&same.stdout).as_ref()), (Some(0), ""));
    let other = tempfile::tempdir()?;
    Host::new(21).write(other.path())?;
    let (_, differs) = both.run(&["diff", &other.path().display().to_string()])?;
    assert_eq!(differs.status.code(), Some(1));
    assert!(differs.stdout.starts_with(b"- ") || differs.stdout.windows(3).any(|text| text == b"\n- "));
    Ok(())
}
