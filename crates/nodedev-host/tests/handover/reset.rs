//! Devices are reset, and nobody else is.

use nodedev_driver::{LibvirtCalls, Operations as _, ResetOptions};
use nodedev_model::{Effect, Outcome};
use nodedev_sys::HostAccess;
use nodedev_testkit::tree::Device;

use crate::host::{BRIDGE, ONE, TWO, UNUSED, function, name, over, program, tree, tree_with};

fn with_reset(device: Device, methods: &str) -> Device {
    device.bytes("reset", "").attr("reset_method", methods)
}

#[test]
fn a_device_that_nobody_uses_is_reset_alone_by_the_kernel() {
    let mut tree = tree_with(&[]);
    tree.add(&with_reset(function(UNUSED), "flr pm bus")).unwrap();
    let kernel = over(tree);
    let driver = program(&kernel);
    let dry =
        driver.reset_with(&name(UNUSED), &ResetOptions { dry_run: true, ..ResetOptions::default() }).unwrap();
    assert_eq!((dry.outcome, dry.steps.len()), (Outcome::Planned, 1));
    assert_eq!(dry.findings[0].problem, "it is reset alone, by flr");
    assert_eq!(kernel.resets(), [""; 0]);
    let done = driver.reset_with(&name(UNUSED), &ResetOptions::default()).unwrap();
    assert_eq!((done.outcome, &done.steps), (Outcome::Changed, &dry.steps));
    driver.reset(&name(UNUSED)).unwrap();
    assert_eq!(kernel.resets(), [UNUSED, UNUSED]);
}

#[test]
fn a_device_that_the_host_uses_is_not_reset_and_libvirts_clients_hear_what_libvirt_says() {
    for (methods, as_libvirt) in [("flr bus", true), ("pm bus", false)] {
        let mut tree = tree_with(&[]);
        tree.add(&with_reset(function(UNUSED).driver("igb"), methods)).unwrap();
        let kernel = over(tree);
        let driver = program(&kernel);
        let error = driver.reset_with(&name(UNUSED), &ResetOptions::default()).unwrap_err();
        assert!(
            error.message().ends_with("PCI device 0000:04:00.0 is in use by driver igb of the host"),
            "{error}"
        );
        assert_eq!(driver.reset(&name(UNUSED)).is_ok(), as_libvirt, "{methods}");
        assert_eq!(kernel.resets(), [""; 0], "success without a reset is what libvirt reports here");
        driver.reset_with(&name(UNUSED), &ResetOptions { force: true, ..ResetOptions::default() }).unwrap();
        assert_eq!(kernel.resets(), [UNUSED]);
    }
}

#[test]
fn no_way_to_reset_is_an_error_but_for_libvirts_clients_of_a_device_that_vfio_has() {
    let kernel = over(tree());
    let driver = program(&kernel);
    let want = "internal error: Unable to reset PCI device 0000:04:00.0: Active 0000:03:00.0 devices on bus with \
                0000:04:00.0, not doing bus reset";
    for error in [
        driver.reset_with(&name(UNUSED), &ResetOptions::default()).unwrap_err(),
        driver.reset(&name(UNUSED)).unwrap_err(),
    ] {
        assert_eq!((error.code().0, error.message()), (1, want));
    }
    driver.detach(&name(UNUSED)).unwrap();
    assert!(driver.reset_with(&name(UNUSED), &ResetOptions::default()).is_err());
    driver.reset(&name(UNUSED)).unwrap();
    assert_eq!(kernel.resets(), [""; 0]);
}

#[test]
fn a_whole_bus_is_reset_only_when_nobody_uses_anything_on_it() {
    let mut tree = tree_with(&[ONE, TWO]);
    tree.sys_file(&format!("devices/pci0000:00/{BRIDGE}/reset_subordinate"), b"").unwrap();
    let kernel = over(tree);
    kernel.driver("pci-stub", &[]).unwrap();
    let driver = program(&kernel);
    driver.detach(&name(ONE)).unwrap();
    let error = driver.reset_with(&name(ONE), &ResetOptions::default()).unwrap_err();
    assert!(error.message().contains("Active 0000:03:00.1 devices on bus with 0000:03:00.0"), "{error}");
    driver.detach_flags(&name(TWO), Some("pci-stub"), 0).unwrap();
    let lock = kernel.try_lock(format!("run/nodedev/handover/{TWO}.lock").as_bytes()).unwrap();
    let error = driver.reset_with(&name(ONE), &ResetOptions::default()).unwrap_err();
    assert!(error.message().ends_with("another process is changing PCI device 0000:03:00.1"), "{error}");
    drop(lock);
    let done = driver.reset_with(&name(ONE), &ResetOptions::default()).unwrap();
    assert!(done.steps[0].file.ends_with("0000:00:1c.0/reset_subordinate"), "{done:?}");
    assert_eq!(done.findings[0].effect, Effect::Note);
}

#[test]
fn a_reset_that_the_kernel_refuses_or_after_which_nobody_answers_is_an_error() {
    let mut tree = tree_with(&[]);
    tree.add(&with_reset(function(UNUSED), "flr")).unwrap();
    let kernel = over(tree);
    let driver = program(&kernel);
    driver.reset(&name(UNUSED)).unwrap();
    kernel.restart();
    driver.reset(&name(UNUSED)).unwrap();
    // The write is the last step but the look after it.
    let write = kernel.steps() - 1;
    kernel.restart();
    kernel.fail_at(write, 25);
    let error = driver.reset(&name(UNUSED)).unwrap_err();
    let want = "internal error: Unable to reset PCI device 0000:04:00.0: Inappropriate ioctl for device";
    assert_eq!(error.message(), want);
    let config = kernel.folder().join(format!("sys/bus/pci/devices/{UNUSED}/config"));
    let mut space = std::fs::read(&config).unwrap();
    // Vendor and device of a virtual function.
    space[..4].fill(0xff);
    std::fs::write(&config, &space).unwrap();
    kernel.restart();
    driver.reset(&name(UNUSED)).unwrap();
    space[..64].fill(0xff);
    std::fs::write(&config, space).unwrap();
    let error = driver.reset(&name(UNUSED)).unwrap_err();
    assert!(error.message().contains("does not answer after its reset"), "{error}");
    // It is gone altogether.
    std::fs::remove_file(config).unwrap();
    let error = driver.reset(&name(UNUSED)).unwrap_err();
    assert!(error.message().contains("does not answer after its reset"), "{error}");
}
