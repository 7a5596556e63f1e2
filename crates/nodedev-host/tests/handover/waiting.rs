//! A kernel that does not come back from a write: who it waits for is told, and nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nodedev_driver::{
    DetachOptions, ExplainOptions, LibvirtCalls, Operations as _, ReattachOptions, ResetOptions,
};
use nodedev_model::{FindingKind, Handover, HandoverState, Verdict};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind};

use crate::host::{
    BRIDGE, PINNED, TWO, UNUSED, detached, end, is, journal, name, over, process, program, served, tree,
};

/// A host whose card has a node, that a program can have open.
fn host() -> Arc<FakeKernel> {
    let mut tree = tree();
    let card = format!("devices/pci0000:00/{BRIDGE}/{PINNED}/drm/card1");
    tree.add(&Device::new(card, "class/drm").node(NodeKind::Char, 226, 1, "dri/card1")).unwrap();
    let other = format!("devices/pci0000:00/{BRIDGE}/{TWO}/drm/card2");
    tree.add(&Device::new(other, "class/drm").node(NodeKind::Char, 226, 2, "dri/card2")).unwrap();
    over(tree)
}

fn entry(kernel: &Arc<FakeKernel>) -> Option<Handover> {
    program(kernel).handovers().unwrap().entries.into_iter().next()
}

/// Waits until something is told of the entry.
fn told(kernel: &Arc<FakeKernel>) -> Handover {
    let begun = Instant::now();
    loop {
        match entry(kernel) {
            Some(entry) if entry.problem.is_some() => return entry,
            _ => assert!(begun.elapsed() < Duration::from_secs(20), "nothing is told"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

const WHO: &str = "the kernel waits: process 77 (Xorg) has /dev/dri/card1 open";

#[test]
fn a_person_is_told_whom_the_kernel_waits_for_and_the_operation_ends_when_that_process_does() {
    let kernel = host();
    process(kernel.folder(), 6, "sway", &["/dev/dri/card2"]);
    process(kernel.folder(), 77, "Xorg", &["/dev/dri/card1"]);
    kernel.hang("uio/unbind");
    let options = DetachOptions { force: true, ..DetachOptions::default() };
    std::thread::scope(|scope| {
        let detaching = scope.spawn(|| program(&kernel).detach_with(&name(PINNED), &options).map(drop));
        let entry = told(&kernel);
        assert_eq!((entry.state, entry.busy), (HandoverState::Detaching, Some(true)));
        assert_eq!(entry.problem.as_deref(), Some(WHO));
        assert_eq!(entry.current.unwrap().kernel_driver.as_deref(), Some("uio"));
        let explained = program(&kernel).explain(&name(PINNED), &ExplainOptions::default()).unwrap();
        assert_eq!(explained.verdict, Verdict::Impossible);
        assert_eq!(explained.findings[0].kind, FindingKind::UnderWay);
        let problem = &explained.findings[0].problem;
        assert_eq!(*problem, format!("PCI device {PINNED} is being detached: {WHO}"));
        // Others are not kept waiting by it.
        program(&kernel).detach(&name(UNUSED)).unwrap();
        end(kernel.folder(), 77);
        kernel.release();
        detaching.join().unwrap().unwrap();
    });
    assert_eq!(served(&kernel, PINNED), detached());
    assert_eq!(entry(&kernel).unwrap().problem, None);
}

#[test]
fn a_client_is_told_after_a_while_and_the_device_stays_locked_until_the_kernel_comes_back() {
    for released_to_recovery in [true, false] {
        let kernel = host();
        kernel.hang("uio/unbind");
        let error = program(&kernel).detach(&name(PINNED)).unwrap_err();
        assert_eq!(error.code().0, 68, "{error}");
        assert!(error.message().contains("the change of PCI device 0000:05:00.0 is not done"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("handover list")), "{error:?}");
        // Who has it open can change.
        process(kernel.folder(), 77, "Xorg", &["/dev/dri/card1"]);
        let shown = entry(&kernel).unwrap();
        assert_eq!((shown.state, shown.busy), (HandoverState::Detaching, Some(true)));
        assert_eq!(shown.problem.as_deref(), Some(WHO));
        // The program that began it is gone, and nobody else gets the device.
        let again = program(&kernel).detach(&name(PINNED)).unwrap_err();
        assert_eq!(again.code().0, 68, "{again}");
        assert!(again.message().contains(WHO), "{again}");
        assert_eq!(program(&kernel).recover_handovers().unwrap(), []);
        end(kernel.folder(), 77);
        kernel.release();
        if released_to_recovery {
            assert_eq!(program(&kernel).recover_handovers().unwrap().len(), 1);
            assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"), "it was undone");
            assert_eq!(journal(&program(&kernel)), []);
        }
        program(&kernel).detach(&name(PINNED)).unwrap();
        assert_eq!(served(&kernel, PINNED), detached());
        program(&kernel).reattach(&name(PINNED)).unwrap();
        assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));
    }
}

#[test]
fn nothing_more_is_written_while_the_kernel_does_not_come_back_be_it_by_a_recovery() {
    let kernel = host();
    program(&kernel).detach(&name(PINNED)).unwrap();
    // The driver that it is given back to looks at it, and does not come to an end.
    kernel.hang("drivers_probe");
    let error = program(&kernel).reattach(&name(PINNED)).unwrap_err();
    assert_eq!(error.code().0, 68, "{error}");
    assert!(error.message().contains("a driver is looking at it"), "{error}");
    let writes = kernel.writes();
    for _ in 0..2 {
        assert_eq!(program(&kernel).recover_handovers().unwrap(), []);
        let error = program(&kernel).detach(&name(PINNED)).unwrap_err();
        assert_eq!(error.code().0, 68, "{error}");
    }
    for dry in [
        program(&kernel)
            .detach_with(&name(PINNED), &DetachOptions { dry_run: true, ..DetachOptions::default() }),
        program(&kernel)
            .reattach_with(&name(PINNED), &ReattachOptions { dry_run: true, ..ReattachOptions::default() }),
    ] {
        assert_eq!(dry.unwrap_err().code().0, 68);
    }
    assert_eq!(kernel.writes(), writes);
    kernel.release();
    assert_eq!(program(&kernel).recover_handovers().unwrap().len(), 1);
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));

    // Nor by the recovery itself, when it is that which the kernel does not come back from.
    let kernel = interrupted_while_giving_back();
    kernel.hang("drivers_probe");
    assert_eq!(program(&kernel).recover_handovers().unwrap(), []);
    assert!(entry(&kernel).unwrap().problem.is_some(), "the entry says what is waited for");
    let writes = kernel.writes();
    assert_eq!(program(&kernel).recover_handovers().unwrap(), []);
    assert_eq!(kernel.writes(), writes);
    kernel.release();
    program(&kernel).recover_handovers().unwrap();
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));
}

/// A host on which giving a device back was interrupted when no driver had it.
fn interrupted_while_giving_back() -> Arc<FakeKernel> {
    (1..200)
        .find_map(|step| {
            let kernel = host();
            program(&kernel).detach(&name(PINNED)).unwrap();
            kernel.restart();
            kernel.crash_at(step);
            let _ = program(&kernel).reattach(&name(PINNED));
            kernel.restart();
            (kernel.bound(PINNED).is_none()).then_some(kernel)
        })
        .unwrap()
}

#[test]
fn giving_back_and_resetting_wait_in_the_same_way() {
    let kernel = host();
    program(&kernel).detach(&name(PINNED)).unwrap();
    kernel.hang("vfio-pci/unbind");
    let error = program(&kernel).reattach(&name(PINNED)).unwrap_err();
    assert_eq!(error.code().0, 68, "{error}");
    assert_eq!(entry(&kernel).unwrap().state, HandoverState::Reattaching);
    let explained = program(&kernel).explain(&name(PINNED), &ExplainOptions::default()).unwrap();
    assert!(explained.findings[0].problem.contains("is being given back to the host"), "{explained:?}");
    kernel.release();
    assert_eq!(program(&kernel).recover_handovers().unwrap().len(), 1);
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"), "it was finished");

    let mut tree = tree();
    let card = crate::host::function("0000:06:00.0").attr("reset_method", "flr").attr("reset", "");
    tree.add(&card).unwrap();
    let kernel = over(tree);
    kernel.hang("0000:06:00.0/reset");
    let error = program(&kernel).reset(&name("0000:06:00.0")).unwrap_err();
    assert_eq!(error.code().0, 68, "{error}");
    kernel.release();
    program(&kernel).reset(&name("0000:06:00.0")).unwrap();
    assert_eq!(kernel.resets().len(), 2);
}

#[test]
fn a_reset_of_a_detached_device_waits_too_and_leaves_its_entry_as_it_was() {
    let mut tree = tree();
    let card = crate::host::function("0000:06:00.0").attr("reset_method", "flr").attr("reset", "");
    tree.iommu_group(20, card.path()).unwrap();
    tree.add(&card).unwrap();
    let kernel = over(tree);
    let card = name("0000:06:00.0");
    program(&kernel).detach(&card).unwrap();
    let before = entry(&kernel).unwrap();
    kernel.hang("0000:06:00.0/reset");
    assert_eq!(program(&kernel).reset(&card).unwrap_err().code().0, 68);
    let shown = entry(&kernel).unwrap();
    assert_eq!((shown.state, shown.busy), (HandoverState::Detached, Some(true)));
    assert!(shown.problem.is_some_and(|problem| problem.starts_with("the kernel waits")));
    let explained = program(&kernel).explain(&card, &ExplainOptions::default()).unwrap();
    assert_eq!(explained.findings[0].kind, FindingKind::UnderWay);
    assert!(explained.findings[0].problem.contains("is being reset"), "{explained:?}");
    assert_eq!(program(&kernel).reattach(&card).unwrap_err().code().0, 68);
    kernel.release();
    assert_eq!(entry(&kernel).unwrap(), before);
    // Whoever comes next takes the note away that nobody has any use for.
    let written =
        || std::fs::read_to_string(kernel.folder().join("run/nodedev/handover/0000:06:00.0.json")).unwrap();
    assert!(written().contains("the kernel waits"));
    program(&kernel).reset(&card).unwrap();
    assert!(!written().contains("the kernel waits"));
    // A person waits on, and nothing is left of it.
    kernel.hang("0000:06:00.0/reset");
    let options = ResetOptions::default();
    std::thread::scope(|scope| {
        let resetting = scope.spawn(|| program(&kernel).reset_with(&card, &options).map(drop));
        assert_eq!(told(&kernel).state, HandoverState::Detached);
        kernel.release();
        resetting.join().unwrap().unwrap();
    });
    assert_eq!(entry(&kernel).unwrap(), before);
    program(&kernel).reattach(&card).unwrap();
}
