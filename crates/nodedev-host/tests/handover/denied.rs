//! What may not be read, and what is gone when it is read: one source that says nothing does not keep others from telling.

use std::sync::Arc;

use nodedev_driver::{ExplainOptions, Operations as _};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, UNUSED, disk, explain, name, over, partition, process, program, tree,
};

/// Invalid argument: the mounts of a process that nobody has waited for.
const EINVAL: i32 = 22;
/// No such process.
const ESRCH: i32 = 3;

fn disks() -> Tree {
    let mut tree = tree();
    disk(&mut tree, UNUSED, "sda", 0);
    partition(&mut tree, UNUSED, "sda", 1, 1);
    tree
}

/// What is told of [`UNUSED`] when one step fails.
fn told(kernel: &Arc<FakeKernel>, step: usize, errno: i32) -> Vec<String> {
    kernel.restart();
    kernel.fail_at(step, errno);
    let options = ExplainOptions::default();
    let told = program(kernel).explain(&name(UNUSED), &options).map(|told| told.findings).unwrap_or_default();
    told.into_iter().map(|finding| finding.problem).collect()
}

fn has(told: &[String], text: &str) -> bool {
    told.iter().any(|problem| problem.contains(text))
}

/// The steps that read what a problem is told of if it cannot be read at all.
fn steps_of(kernel: &Arc<FakeKernel>, problem: &str) -> Vec<usize> {
    kernel.restart();
    explain(kernel, UNUSED);
    let steps = kernel.steps();
    (1..=steps).filter(|step| has(&told(kernel, *step, errno::EIO), problem)).collect()
}

#[test]
fn mounts_of_a_process_that_has_ended_or_may_not_be_seen_are_no_problem_and_others_are() {
    let mut tree = disks();
    tree.file(MOUNTS, NO_DISK).unwrap();
    tree.file("proc/4242/mountinfo", b"22 1 8:1 / /pod rw - xfs /dev/sda1 rw\n").unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 1, "systemd", &["/dev/null"]);
    process(kernel.folder(), 4242, "postgres", &["/pod/data"]);
    let problem = "the mounts of process 4242: ";
    let step = steps_of(&kernel, problem)[0];
    for (errno, is_told) in [
        (errno::EIO, true),
        (errno::EBUSY, true),
        (EINVAL, false),
        (ESRCH, false),
        (errno::ENOENT, false),
        (errno::EACCES, false),
    ] {
        let told = told(&kernel, step, errno);
        assert_eq!(has(&told, problem), is_told, "{errno}: {told:?}");
    }
}

#[test]
fn the_mounts_of_who_asks_are_the_hosts_where_those_of_the_first_process_may_not_be_seen() {
    let mut tree = disks();
    tree.file(MOUNTS, NO_DISK).unwrap();
    tree.file("proc/self/mountinfo", b"22 1 8:1 / /own rw - xfs /dev/sda1 rw\n").unwrap();
    let kernel = over(tree);
    let step = steps_of(&kernel, "/proc/1/mountinfo")[0];
    for (errno, is_own) in [(errno::EACCES, true), (errno::ENODEV, true), (errno::EIO, false)] {
        let told = told(&kernel, step, errno);
        assert_eq!(has(&told, "the file system at /own is on sda1"), is_own, "{errno}: {told:?}");
        assert_eq!(has(&told, "/proc/1/mountinfo"), !is_own, "{errno}: {told:?}");
    }
}

#[test]
fn a_folder_of_file_systems_that_only_root_may_list_is_passed_over() {
    let mut tree = disks();
    tree.file(MOUNTS, NO_DISK).unwrap();
    tree.sys_file("fs/aaa/x/y", b"1\n").unwrap();
    tree.sys_file("fs/xfs/sda1/stats/stats", b"1\n").unwrap();
    let kernel = over(tree);
    let step = steps_of(&kernel, "/sys/fs/aaa")[0];
    let found = "a mounted file system (xfs) is on sda1";
    let told_of = |errno| {
        let told = told(&kernel, step, errno);
        (has(&told, found), has(&told, "/sys/fs/aaa"))
    };
    assert_eq!(told_of(errno::EACCES), (true, false));
    assert!(told_of(errno::EIO).1);
}

#[test]
fn a_machine_that_may_not_be_asked_for_is_not_known_and_other_errors_are_told() {
    let mut tree = tree();
    let controller = Device::new("devices/virtual/nvme-fabrics/ctl/nvme1", "class/nvme");
    tree.add(&controller.attr("transport", "tcp").attr("address", "traddr=10.0.0.1")).unwrap();
    let disk = Device::new("devices/virtual/block/nbd0", "class/block");
    tree.add(&disk.node(NodeKind::Block, 43, 0, "nbd0").attr("pid", "900")).unwrap();
    process(tree.root(), 900, "nbd-client", &["socket:[77]"]);
    tree.file("proc/900/net/tcp", b"head\n").unwrap();
    tree.file(MOUNTS, NO_DISK).unwrap();
    let nic = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/net/eth0");
    tree.add(&Device::new(nic, "class/net")).unwrap();
    tree.file("proc/1/net/route", b"Iface\neth0\t0000007F\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n")
        .unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 1, "systemd", &["/dev/null"]);
    for (path, what) in [("/nvme1/address", "the NVMe controller nvme1"), ("/proc/900/fd", "the disk nbd0")] {
        // The walk of processes looks at the second one, too, before.
        let steps: Vec<usize> = steps_of(&kernel, path);
        let unknown = format!("{what} may be through eth0: no other way there is known");
        let step = steps.iter().find(|step| has(&told(&kernel, **step, errno::EACCES), &unknown));
        let step = *step.unwrap_or_else(|| panic!("{path}: {steps:?}"));
        let told = told(&kernel, step, errno::EIO);
        assert!(has(&told, path) && !has(&told, &unknown), "{path}: {told:?}");
    }
}
