//! What the host, its guests and its processes have of a device or of what is below it: each situation is refused, with a text
//! that names who and what, and a device beside it is not.

pub(crate) mod guests;
mod nodes;
mod storage;
mod usbip;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use nodedev_driver::{DetachOptions, ExplainOptions, LibvirtCalls, Operations as _};
use nodedev_model::{Effect, Verdict};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, ONE, PINNED, TWO, UNUSED, disk, name, over, partition, process, program, tree,
    tree_with,
};

/// A host on which something uses what is below [`UNUSED`], and nobody what is below [`PINNED`].
struct Situation {
    what: &'static str,
    build: fn(&mut Tree),
    /// What happens on it then.
    then: fn(&FakeKernel),
    /// In the message.
    told: &'static str,
    effect: Effect,
}

type Row = (&'static str, fn(&mut Tree), fn(&FakeKernel), &'static str);

const ALWAYS: Effect = Effect::Refused;
const UNLESS_FORCED: Effect = Effect::RefusedUnlessForced;

fn below(path: &str) -> String {
    format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/{path}")
}

fn add(tree: &mut Tree, device: Device) {
    tree.add(&device).unwrap();
}

fn write(tree: &mut Tree, path: &str, content: &str) {
    tree.file(path, content.as_bytes()).unwrap();
}

/// A disk of either device, and mounts that are on neither.
fn disks(tree: &mut Tree) {
    disk(tree, UNUSED, "sda", 0);
    partition(tree, UNUSED, "sda", 1, 1);
    disk(tree, PINNED, "sdb", 16);
    if !tree.root().join(MOUNTS).exists() {
        tree.file(MOUNTS, NO_DISK).unwrap();
    }
}

fn node(tree: &mut Tree, path: &str, class: &str, number: u32, name: &str) {
    add(tree, Device::new(below(path), class).node(NodeKind::Char, 240, number, name));
}

/// A process that has a node open that belongs to something below the device.
fn opened(kernel: &FakeKernel, pid: u32, program: &str, node: &str) {
    process(kernel.folder(), pid, program, &["/dev/null", node]);
}

fn nothing(_: &FakeKernel) {}

#[test]
fn a_card_whose_interface_is_in_another_network_namespace_is_refused_unless_forced() {
    for (other, refused) in [("net:[2]", true), ("net:[1]", false)] {
        let mut tree = tree();
        let device = crate::host::function("0000:06:00.0").driver("igb");
        tree.iommu_group(20, device.path()).unwrap();
        // Its clock stays here.
        let clock = Device::new(format!("{}/ptp/ptp0", device.path()), "class/ptp");
        add(&mut tree, device);
        add(&mut tree, clock.node(NodeKind::Char, 240, 9, "ptp0"));
        let kernel = over(tree);
        for (pid, namespace) in [(1, "net:[1]"), (77, other)] {
            process(kernel.folder(), pid, "sh", &["/dev/null"]);
            let folder = kernel.folder().join(format!("proc/{pid}/ns"));
            fs::create_dir_all(&folder).unwrap();
            symlink(namespace, folder.join("net")).unwrap();
        }
        let detached = program(&kernel).detach_with(&name("0000:06:00.0"), &DetachOptions::default());
        assert_eq!(detached.is_err(), refused, "{detached:?}");
        if let Err(error) = detached {
            assert!(error.message().contains("other network namespaces (process 77)"), "{error}");
        }
    }
}

#[test]
fn many_devices_are_explained_and_planned_by_one_look_at_processes_mounts_and_routes() {
    let mut tree = tree();
    disks(&mut tree);
    let kernel = over(tree);
    for pid in 1..200 {
        opened(&kernel, pid, "bash", if pid == 150 { "/dev/sda" } else { "/dev/null" });
    }
    let names = [ONE, TWO, UNUSED, PINNED, BRIDGE].map(name);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let driver = program(&kernel);
    let mut alone = Vec::new();
    kernel.restart();
    for name in &names {
        alone.push(driver.explain(name, &ExplainOptions::default()).unwrap());
    }
    let one_by_one = kernel.steps();
    kernel.restart();
    let mut together = Vec::new();
    driver.explain_each(&names, &ExplainOptions::default(), &mut |_, told| {
        together.push(told.unwrap());
        ControlFlow::Continue(())
    });
    assert_eq!(together, alone);
    assert!(kernel.steps() * 4 < one_by_one, "{} and {one_by_one}", kernel.steps());

    let options = DetachOptions { dry_run: true, force: true, ..DetachOptions::default() };
    kernel.restart();
    let alone: Vec<_> = names.iter().map(|name| driver.detach_with(name, &options)).collect();
    let one_by_one = kernel.steps();
    kernel.restart();
    let mut together = Vec::new();
    driver.detach_each(&names, &options, &mut |_, told| {
        together.push(told);
        ControlFlow::Continue(())
    });
    assert_eq!(together, alone);
    assert!(kernel.steps() * 3 < one_by_one, "{} and {one_by_one}", kernel.steps());
    assert_eq!(kernel.writes(), []);
    // Whoever has seen enough says so.
    let mut seen = 0;
    driver.explain_each(&names, &ExplainOptions::default(), &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!(seen, 1);
}

/// A host with so many functions in one group, which drivers of the host have.
fn large_group(count: u32) -> Arc<FakeKernel> {
    let mut tree = tree_with(&[]);
    for number in 0..count {
        let device = crate::host::function(&format!("0000:{:02x}:00.0", 0x10 + number));
        let device = if number % 2 == 0 {
            device.driver("igb")
        } else {
            device.driver("mlx5_vfio_pci").dir("vfio-dev")
        };
        tree.iommu_group(30, device.path()).unwrap();
        add(&mut tree, device);
    }
    over(tree)
}

#[test]
fn a_group_of_many_is_looked_at_once_for_all_of_its_members() {
    let steps_for = |count: u32| {
        let kernel = large_group(count);
        let names: Vec<_> =
            (0..count).map(|number| name(&format!("0000:{:02x}:00.0", 0x10 + number))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let driver = program(&kernel);
        kernel.restart();
        let mut told = Vec::new();
        driver.explain_each(&names, &ExplainOptions::default(), &mut |_, explanation| {
            told.extend(
                explanation
                    .unwrap()
                    .findings
                    .into_iter()
                    .filter(|finding| finding.problem.contains("shares IOMMU group")),
            );
            ControlFlow::Continue(())
        });
        assert!(
            told.iter().any(|finding| finding.problem.contains(&format!(" and {} more", count / 2 - 9))),
            "{told:?}"
        );
        kernel.steps()
    };
    let (few, many) = (steps_for(40), steps_for(160));
    assert!(many < few * 5, "{few} steps for 40 functions, {many} for 160");
}

/// Refused without force, by whoever asks; allowed with force or not as it should be; explained; and the other device is free.
fn holds(situation: &Situation) {
    let Situation { what, build, then, told, effect } = situation;
    let mut tree = tree();
    build(&mut tree);
    let kernel = over(tree);
    then(&kernel);
    let driver = program(&kernel);
    let error = driver.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert_eq!(error.code().0, 55, "{what}: {error}");
    let help = error.help().unwrap_or_default();
    assert!(!help.is_empty(), "{what}: {error}");
    // libvirt's clients are kept from it as well.
    assert_eq!(driver.detach(&name(UNUSED)).unwrap_err(), error, "{what}");
    assert_eq!(kernel.writes(), [], "{what}");
    let explanation = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
    let finding = explanation.findings.iter().find(|finding| finding.problem.contains(told));
    let finding = finding.unwrap_or_else(|| panic!("{what}: {:?}", explanation.findings));
    assert_eq!(finding.effect, *effect, "{what}");
    let verdict = if *effect == ALWAYS { Verdict::Impossible } else { Verdict::Forced };
    assert_eq!(explanation.verdict, verdict, "{what}");
    // What is not known concerns all disks; what is known does not.
    if !finding.problem.contains("not known") {
        driver.detach(&name(PINNED)).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let forced = DetachOptions { force: true, ..DetachOptions::default() };
    let forced = driver.detach_with(&name(UNUSED), &forced);
    assert_eq!(forced.is_err(), *effect == ALWAYS, "{what}: {forced:?}");
}
