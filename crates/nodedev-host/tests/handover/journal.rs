//! The journal beside other programs, and when what it tells counts no more.

use std::fs;
use std::sync::Arc;

use nodedev_driver::{DetachOptions, LibvirtCalls, Operations as _};
use nodedev_model::{FindingKind, HandoverState};
use nodedev_sys::HostAccess;
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::Tree;

use crate::host::{
    BRIDGE, ONE, PINNED, TWO, UNUSED, detached, function, group, host, is, journal, name, over, program,
    served, tree,
};

fn entry(kernel: &FakeKernel, address: &str) -> std::path::PathBuf {
    kernel.folder().join(format!("run/nodedev/handover/{address}.json"))
}

/// A host on which giving a device back was interrupted before anything was written.
fn interrupted(address: &str) -> Arc<FakeKernel> {
    let interrupted_at = |step: usize| {
        let kernel = host();
        program(&kernel).detach(&name(address)).unwrap();
        kernel.restart();
        kernel.crash_at(step);
        let _ = program(&kernel).reattach(&name(address));
        kernel.restart();
        let is_begun = journal(&program(&kernel)) == [(address.into(), HandoverState::Reattaching)];
        is_begun.then_some(kernel)
    };
    (1..100).find_map(interrupted_at).unwrap()
}

#[test]
fn an_operation_that_somebody_else_recovered_before_its_locks_were_taken_is_left_to_them() {
    // The first lock is for the entry, the second one for all devices of its operation: between them nobody has any.
    let kernel = interrupted(PINNED);
    let other = Arc::clone(&kernel);
    kernel.before_lock(2, move || {
        let driver = program(&other);
        assert_eq!(driver.recover_handovers().unwrap().len(), 1);
        driver.reattach(&name(PINNED)).unwrap();
        driver.detach_flags(&name(PINNED), Some("vfio-pci"), 0).unwrap();
        driver.reattach(&name(PINNED)).unwrap();
    });
    let writes = kernel.writes().len();
    assert_eq!(program(&kernel).recover_handovers().unwrap(), [], "it was done by the other one");
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));
    assert_eq!(journal(&program(&kernel)), []);
    assert!(kernel.writes().len() > writes);

    // The other one may also have begun something else by then, which must not be taken for the old one.
    let kernel = interrupted(PINNED);
    let other = Arc::clone(&kernel);
    kernel.before_lock(2, move || {
        let driver = program(&other);
        driver.recover_handovers().unwrap();
        driver.reattach(&name(PINNED)).unwrap();
        driver.detach(&name(PINNED)).unwrap();
        fs::copy(entry(&other, PINNED), other.folder().join("left")).unwrap();
    });
    assert_eq!(program(&kernel).recover_handovers().unwrap(), []);
    assert_eq!(served(&kernel, PINNED), detached());
    let left = fs::read_to_string(kernel.folder().join("left")).unwrap();
    assert_eq!(fs::read_to_string(entry(&kernel, PINNED)).unwrap(), left);
}

#[test]
fn an_entry_is_void_when_somebody_else_bound_another_driver_meanwhile() {
    let kernel = host();
    kernel.driver("nvme", &[]).unwrap();
    let driver = program(&kernel);
    driver.detach(&name(PINNED)).unwrap();
    let address = format!("{PINNED}\n");
    for (file, value) in [
        (format!("devices/{PINNED}/driver_override"), "nvme\n"),
        ("drivers/vfio-pci/unbind".into(), &address),
        ("drivers_probe".into(), &address),
    ] {
        kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
    }
    assert_eq!(served(&kernel, PINNED), is(Some("nvme"), "nvme"));
    // What it is taken from now is what it is given back to, and not what it was taken from before.
    driver.detach(&name(PINNED)).unwrap();
    assert_eq!(served(&kernel, PINNED), detached());
    driver.reattach(&name(PINNED)).unwrap();
    assert_eq!(served(&kernel, PINNED), is(Some("nvme"), "nvme"));
    assert_eq!(journal(&driver), []);
}

#[test]
fn an_entry_is_void_for_every_other_device_in_the_slot() {
    for (attribute, value) in [
        ("vendor", "0x1234\n"),
        ("device", "0x9999\n"),
        // The same chip on another card.
        ("subsystem_vendor", "0x15d9\n"),
        ("subsystem_device", "0x1200\n"),
    ] {
        let kernel = host();
        kernel.driver("natural", &[PINNED]).unwrap();
        let driver = program(&kernel);
        driver.detach(&name(PINNED)).unwrap();
        kernel.unplug(PINNED).unwrap();
        let mut again = Tree::create(kernel.folder()).unwrap();
        let device = function(PINNED).link("iommu_group", "kernel/iommu_groups/9");
        again.add(&device.attr("driver_override", "(null)")).unwrap();
        let folder = kernel.folder().join(format!("sys/devices/pci0000:00/{BRIDGE}/{PINNED}"));
        fs::write(folder.join(attribute), value).unwrap();
        kernel.write(b"sys/bus/pci/drivers_probe", PINNED.as_bytes()).unwrap();
        assert_eq!(driver.handovers().unwrap().entries[0].current, None, "{attribute}");
        driver.reattach(&name(PINNED)).unwrap();
        assert_eq!(served(&kernel, PINNED), is(Some("natural"), "(null)"), "{attribute}");
        // Also where it is detached: what is given back then is what this one had.
        driver.detach(&name(PINNED)).unwrap();
        driver.reattach(&name(PINNED)).unwrap();
        assert_eq!(served(&kernel, PINNED), is(Some("natural"), "(null)"), "{attribute}");
    }
}

#[test]
fn devices_of_an_operation_are_locked_in_the_order_of_their_addresses() {
    let kernel = host();
    let file = |address: &str| format!("run/nodedev/handover/{address}.lock");
    let last = |kernel: &FakeKernel| kernel.locked().split_off(kernel.locked().len() - 2);
    // Named by the later one.
    program(&kernel).detach_with(&name(TWO), &group().0).unwrap();
    assert_eq!(last(&kernel), [file(ONE), file(TWO)]);
    program(&kernel).reattach_with(&name(TWO), &group().1).unwrap();
    assert_eq!(last(&kernel), [file(ONE), file(TWO)]);
    // By a recovery, too.
    let interrupted_at = |step: usize| {
        let kernel = host();
        kernel.crash_at(step);
        let _ = program(&kernel).detach_with(&name(TWO), &group().0);
        kernel.restart();
        (journal(&program(&kernel)).len() == 2).then_some(kernel)
    };
    let kernel = (1..1000).find_map(interrupted_at).unwrap();
    let before = kernel.locked().len();
    program(&kernel).recover_handovers().unwrap();
    let locked = kernel.locked().split_off(before);
    assert_eq!(locked[..3], [file(ONE), file(ONE), file(TWO)], "the entry's, then all of its operation");
}

#[test]
fn an_entry_whose_members_are_not_in_order_or_twice_there_is_damaged() {
    let kernel = host();
    let driver = program(&kernel);
    driver.detach_with(&name(ONE), &group().0).unwrap();
    let good = fs::read_to_string(entry(&kernel, ONE)).unwrap();
    for changed in [
        good.replace(&format!("\"{TWO}\""), &format!("\"{ONE}\"")),
        good.replace(&format!("\"{TWO}\""), "\"0000:02:00.0\""),
        good.replace(&format!("\"{TWO}\""), "\"x\""),
    ] {
        assert_ne!(changed, good);
        fs::write(entry(&kernel, ONE), &changed).unwrap();
        assert_eq!(driver.handovers().unwrap().issues.len(), 1, "{changed}");
        let error = driver.reattach(&name(ONE)).unwrap_err();
        assert!(error.message().contains("is damaged"), "{error}");
    }
}

#[test]
fn the_console_does_not_keep_a_card_that_vfio_has() {
    let card = "0000:06:00.0";
    let mut tree = tree();
    let device = function(card).driver("vfio-pci").attr("boot_vga", 1);
    tree.iommu_group(20, device.path()).unwrap();
    tree.add(&device).unwrap();
    let kernel = over(tree);
    kernel.driver("pci-stub", &[]).unwrap();
    let options = DetachOptions { kernel_driver: Some("pci-stub".into()), ..DetachOptions::default() };
    let plan = program(&kernel).detach_with(&name(card), &options).unwrap();
    assert!(!plan.findings.iter().any(|finding| finding.kind == FindingKind::HostConsole), "{plan:?}");
    assert_eq!(kernel.bound(card).as_deref(), Some("pci-stub"));
    assert_eq!(journal(&program(&kernel)).len(), 1);
    program(&kernel).detach(&name(UNUSED)).unwrap();
}

/// An entry as it was written before entries had a kind.
fn of_version_1(kernel: &FakeKernel, state: &str) {
    let content = include_str!("journal-1.json").replace("STATE", state);
    fs::create_dir_all(entry(kernel, PINNED).parent().unwrap()).unwrap();
    fs::write(entry(kernel, PINNED), content).unwrap();
}

#[test]
fn an_entry_of_the_first_version_gives_back_what_it_knows_and_is_recovered_from() {
    let kernel = host();
    program(&kernel).detach(&name(PINNED)).unwrap();
    of_version_1(&kernel, "detached");
    assert_eq!(journal(&program(&kernel)), [(PINNED.into(), HandoverState::Detached)]);
    program(&kernel).reattach(&name(PINNED)).unwrap();
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));

    // Nothing had been written to the device yet.
    of_version_1(&kernel, "detaching");
    let issues = program(&kernel).recover_handovers().unwrap();
    assert!(issues[0].problem.contains("undone"), "{issues:?}");
    assert_eq!((served(&kernel, PINNED), journal(&program(&kernel))), (is(Some("uio"), "uio"), Vec::new()));

    // All had been written.
    program(&kernel).detach(&name(PINNED)).unwrap();
    of_version_1(&kernel, "detaching");
    let issues = program(&kernel).recover_handovers().unwrap();
    assert!(issues[0].problem.contains("finished"), "{issues:?}");
    let written = fs::read_to_string(entry(&kernel, PINNED)).unwrap();
    assert!(written.contains("\"version\": 2") && written.contains("\"kind\": \"binding\""), "{written}");
    program(&kernel).reattach(&name(PINNED)).unwrap();
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));
}
