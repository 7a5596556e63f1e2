//! Guests that have something below a device.

use std::fs;

use nodedev_driver::{DetachOptions, ExplainOptions, LibvirtCalls, Operations as _};
use nodedev_model::Effect;
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{BRIDGE, ONE, PINNED, TWO, UNUSED, name, over, process, program, tree};

use super::{ALWAYS, Row, Situation, add, below, holds, node, opened};

fn guests() -> Vec<Situation> {
    fn mediated(tree: &mut Tree) {
        let uuid = "c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01";
        add(tree, Device::new(below(uuid), "bus/mdev"));
        tree.iommu_group(12, &below(uuid)).unwrap();
    }
    fn interface(tree: &mut Tree, upper: &str) {
        add(tree, Device::new(below("net/eno2"), "class/net"));
        let device = Device::new(format!("devices/virtual/net/{upper}"), "class/net");
        add(tree, device.link("lower_eno2", below("net/eno2")));
    }
    let rows: &[Row] = &[
        (
            "a mediated device whose group a guest has",
            mediated,
            |kernel| opened(kernel, 5001, "qemu-kvm", "/dev/vfio/12"),
            "has the device c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01, which a guest uses: process 5001 (qemu-kvm) has /dev/vfio/12 open",
        ),
        (
            "a mediated device whose own node a guest has",
            |tree| {
                mediated(tree);
                let path = "c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01/vfio-dev/vfio3";
                node(tree, path, "class/vfio-dev", 3, "vfio/devices/vfio3");
            },
            |kernel| opened(kernel, 5001, "cloud-hyperviso", "/dev/vfio/devices/vfio3"),
            "process 5001 (cloud-hyperviso) has /dev/vfio/devices/vfio3 open",
        ),
        (
            "a vDPA device",
            |tree| node(tree, "vdpa0/vhost-vdpa-0", "class/vhost-vdpa", 0, "vhost-vdpa-0"),
            |kernel| opened(kernel, 5002, "qemu-kvm", "/dev/vhost-vdpa-0"),
            "process 5002 (qemu-kvm) has /dev/vhost-vdpa-0 open",
        ),
        (
            "a macvtap",
            |tree| {
                interface(tree, "macvtap0");
                let tap = Device::new("devices/virtual/net/macvtap0/macvtap/tap7", "class/macvtap");
                add(tree, tap.node(NodeKind::Char, 236, 1, "tap7"));
            },
            |kernel| opened(kernel, 5003, "qemu-kvm", "/dev/tap7"),
            "process 5003 (qemu-kvm) has /dev/tap7 open",
        ),
        (
            "a USB device that a virtual machine has",
            |tree| node(tree, "usb1/1-5", "bus/usb", 4, "bus/usb/001/005"),
            |kernel| opened(kernel, 5004, "qemu-kvm", "/dev/bus/usb/001/005"),
            "process 5004 (qemu-kvm) has /dev/bus/usb/001/005 open",
        ),
        (
            "a USB device that a virtual machine of whatever name has",
            |tree| node(tree, "usb1/1-5", "bus/usb", 4, "bus/usb/001/005"),
            |kernel| process(kernel.folder(), 8, "my-vmm", &["anon_inode:kvm-vm", "/dev/bus/usb/001/005"]),
            "process 8 (my-vmm) has /dev/bus/usb/001/005 open",
        ),
        (
            "registers that a program drives itself",
            |tree| node(tree, "uio/uio0", "class/uio", 0, "uio0"),
            |kernel| opened(kernel, 6, "dpdk-testpmd", "/dev/uio0"),
            "process 6 (dpdk-testpmd) has /dev/uio0 open",
        ),
    ];
    let row = |&(what, build, then, told)| Situation { what, build, then, told, effect: ALWAYS };
    rows.iter().map(row).collect()
}

#[test]
fn what_guests_have_below_a_device_refuses_it_also_if_forced() {
    guests().iter().for_each(holds);
    for Situation { what, build, then, told, .. } in guests() {
        let mut tree = tree();
        build(&mut tree);
        let kernel = over(tree);
        then(&kernel);
        let error = program(&kernel).reset(&name(UNUSED)).unwrap_err();
        let help = error.help().unwrap_or_default();
        assert!(error.message().contains(told) || help.contains(told), "{what}: {error} {help}");
        assert_eq!(kernel.resets(), [""; 0], "{what}");
    }
}

/// What the kernel says of an open file.
pub(crate) fn info(kernel: &FakeKernel, pid: u32, file: u32, told: &str) {
    let folder = kernel.folder().join(format!("proc/{pid}/fdinfo"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file.to_string()), told).unwrap();
}

const DESCRIPTOR: &str = "anon_inode:[vfio-device]";

#[test]
fn who_has_a_device_by_a_descriptor_alone_has_it_where_the_kernel_says_of_which_device_that_is() {
    let kernel = over(tree());
    program(&kernel).detach(&name(UNUSED)).unwrap();
    process(kernel.folder(), 1, "systemd", &[]);
    process(kernel.folder(), 9, "helper", &["/dev/null", DESCRIPTOR]);
    info(
        &kernel,
        9,
        1,
        &format!("pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/{BRIDGE}/{UNUSED}\n"),
    );
    let driver = program(&kernel);
    for error in [driver.reattach(&name(UNUSED)).unwrap_err(), driver.reset(&name(UNUSED)).unwrap_err()] {
        assert_eq!(error.code().0, 55, "{error}");
        let help = error.help().unwrap();
        assert!(
            help.contains(&format!("process 9 (helper) has VFIO's descriptor of {UNUSED} open")),
            "{help}"
        );
    }
    // It is known of which, and so of no other.
    driver.detach(&name(PINNED)).unwrap();
    driver.reattach(&name(PINNED)).unwrap();

    // The other members of its group no driver of the host can have.
    let kernel = over(tree());
    for member in [ONE, TWO] {
        program(&kernel).detach(&name(member)).unwrap();
    }
    process(kernel.folder(), 9, "helper", &[DESCRIPTOR]);
    info(&kernel, 9, 0, &format!("vfio-device-syspath: /sys/devices/pci0000:00/{BRIDGE}/{ONE}\n"));
    let error = program(&kernel).reattach(&name(TWO)).unwrap_err();
    assert!(error.message().contains("a guest has another device of IOMMU group 7"), "{error}");

    let uuid = "c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01";
    let mut tree = tree();
    add(&mut tree, Device::new(below(uuid), "bus/mdev"));
    tree.iommu_group(12, &below(uuid)).unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 9, "helper", &[DESCRIPTOR]);
    info(&kernel, 9, 0, &format!("vfio-device-syspath: /sys/{}\n", below(uuid)));
    let error = program(&kernel).detach(&name(UNUSED)).unwrap_err();
    assert!(
        error.message().contains(&format!("process 9 (helper) has VFIO's descriptor of {uuid} open")),
        "{error}"
    );
}

#[test]
fn a_descriptor_of_vfio_of_which_nothing_is_said_may_be_of_what_is_enabled_and_nobody_else_has() {
    // Whether the function is enabled, what the process has open besides, and whether it may be that one's.
    for (enabled, open, refused) in [
        (Some("1"), &[DESCRIPTOR][..], true),
        (None, &[DESCRIPTOR], true),
        // VFIO enables what somebody has.
        (Some("0"), &[DESCRIPTOR], false),
        // That of the group's device, and of one that is no device of a group here.
        (Some("1"), &[DESCRIPTOR, "/dev/vfio/9"], false),
        (Some("1"), &[DESCRIPTOR, "/dev/vfio/noiommu-9"], false),
        (Some("1"), &[DESCRIPTOR, DESCRIPTOR, "/dev/vfio/noiommu-9"], true),
        (Some("1"), &[DESCRIPTOR, DESCRIPTOR, "/dev/vfio/9"], true),
        (Some("1"), &[DESCRIPTOR, "/dev/vfio/99"], true),
        (Some("1"), &["anon_inode:[eventfd]"], false),
    ] {
        let kernel = over(tree());
        for function in [UNUSED, PINNED] {
            program(&kernel).detach(&name(function)).unwrap();
        }
        if let Some(enabled) = enabled {
            let file = kernel.folder().join(format!("sys/bus/pci/devices/{UNUSED}/enable"));
            fs::write(file, format!("{enabled}\n")).unwrap();
        }
        process(kernel.folder(), 1, "systemd", &[]);
        process(kernel.folder(), 9, "helper", open);
        let (what, driver) = (format!("{enabled:?} {open:?}"), program(&kernel));
        // What the host has no guest has by VFIO.
        driver.detach(&name(ONE)).unwrap();
        let explained = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        let told = "process 9 (helper) has a device by a descriptor of VFIO alone";
        let is_told = explained
            .findings
            .iter()
            .any(|finding| finding.problem.contains(told) && finding.effect == Effect::RefusedUnlessForced);
        assert_eq!(is_told, refused, "{what}: {:?}", explained.findings);
        assert_eq!(
            driver.reset(&name(UNUSED)).is_err_and(|error| error.message().contains(told)),
            refused,
            "{what}"
        );
        assert_eq!(driver.reattach(&name(UNUSED)).is_err(), refused, "{what}");
    }
    // A device that is made of one of the host's.
    let mut tree = tree();
    add(&mut tree, Device::new(below("c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01"), "bus/mdev"));
    let kernel = over(tree);
    process(kernel.folder(), 9, "helper", &[DESCRIPTOR]);
    let error = program(&kernel).detach(&name(UNUSED)).unwrap_err();
    assert!(error.message().contains("whether that is a mediated device of it"), "{error}");
    let forced = DetachOptions { force: true, ..DetachOptions::default() };
    program(&kernel).detach_with(&name(UNUSED), &forced).unwrap();
}

#[test]
fn a_group_without_iommu_that_a_program_has_refuses_its_device_always() {
    let kernel = over(tree());
    program(&kernel).detach(&name(UNUSED)).unwrap();
    opened(&kernel, 4, "dpdk-l3fwd", "/dev/vfio/noiommu-8");
    let driver = program(&kernel);
    for error in [
        driver.reattach(&name(UNUSED)).unwrap_err(),
        driver.reset(&name(UNUSED)).unwrap_err(),
        driver.detach(&name(UNUSED)).unwrap_err(),
    ] {
        assert_eq!(error.code().0, 55, "{error}");
        let help = error.help().unwrap();
        assert!(help.contains("process 4 (dpdk-l3fwd) has /dev/vfio/noiommu-8 open"), "{help}");
    }
}

#[test]
fn who_has_a_group_has_what_any_driver_serves_of_it_also_on_kernels_without_nodes_of_devices() {
    let mut tree = tree();
    let device = crate::host::function("0000:06:00.0").driver("mlx5_vfio_pci");
    tree.iommu_group(20, device.path()).unwrap();
    add(&mut tree, device);
    let kernel = over(tree);
    opened(&kernel, 7, "qemu-kvm", "/dev/vfio/20");
    for driver in [None, Some("vfio-pci")] {
        let error = program(&kernel).detach_flags(&name("0000:06:00.0"), driver, 0).unwrap_err();
        assert!(error.message().ends_with("PCI device 0000:06:00.0 is in use"), "{error}");
    }
    assert!(program(&kernel).reset(&name("0000:06:00.0")).is_err());
}
