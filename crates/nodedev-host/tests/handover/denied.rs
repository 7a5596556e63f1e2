//! What may not be read, and what is gone when it is read: one source that says nothing does not keep others from telling.

use std::sync::Arc;

use nodedev_driver::{Driver, ExplainOptions};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::Tree;

use crate::host::{MOUNTS, NO_DISK, UNUSED, disk, explain, name, over, partition, process, program, tree};

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

/// The step that reads what a problem is told of if it cannot be read at all.
fn step_of(kernel: &Arc<FakeKernel>, problem: &str) -> usize {
    kernel.restart();
    explain(kernel, UNUSED);
    let steps = kernel.steps();
    (1..=steps)
        .find(|step| has(&told(kernel, *step, errno::EIO), problem))
        .unwrap_or_else(|| panic!("{problem}"))
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
    let step = step_of(&kernel, problem);
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
    let step = step_of(&kernel, "/proc/1/mountinfo");
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
    let step = step_of(&kernel, "/sys/fs/aaa");
    let found = "a mounted file system (xfs) is on sda1";
    let told_of = |errno| {
        let told = told(&kernel, step, errno);
        (has(&told, found), has(&told, "/sys/fs/aaa"))
    };
    assert_eq!(told_of(errno::EACCES), (true, false));
    assert!(told_of(errno::EIO).1);
}
