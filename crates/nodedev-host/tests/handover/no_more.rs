//! What is found is told once and of what it is about alone, and what only looks like it counts for nothing.

use std::fs;

use nodedev_driver::{DetachOptions, ExplainOptions, LibvirtCalls, Operations as _};
use nodedev_host::HostDriver;
use nodedev_model::{Effect, Finding, FindingKind, Verdict};
use nodedev_sys::{DeviceNode, NodeKind};
use nodedev_testkit::fake_kernel::{FakeKernel, errno};
use nodedev_testkit::tree::{Device, NodeKind as Node, Tree};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, ONE, PINNED, STUBBED, UNUSED, disk, explain, function, name, over, partition,
    process, program, tree, tree_with,
};

/// A virtual function.
const VIRTUAL: &str = "0000:04:10.0";
const STORAGE: FindingKind = FindingKind::HostStorage;

/// A disk of [`UNUSED`] with a partition, one of [`PINNED`] with one, and what is mounted.
fn disks(mounts: &[u8]) -> Tree {
    let mut tree = tree();
    disk(&mut tree, UNUSED, "sda", 0);
    partition(&mut tree, UNUSED, "sda", 1, 1);
    disk(&mut tree, PINNED, "sdb", 16);
    partition(&mut tree, PINNED, "sdb", 1, 17);
    tree.file(MOUNTS, mounts).unwrap();
    tree
}

/// What is found of [`UNUSED`] that keeps it from being detached.
fn found(tree: Tree, then: impl FnOnce(&FakeKernel)) -> Vec<Finding> {
    let kernel = over(tree);
    then(&kernel);
    let findings = explain(&kernel, UNUSED).findings;
    findings.into_iter().filter(|finding| finding.effect >= Effect::RefusedUnlessForced).collect()
}

fn problems(findings: &[Finding]) -> Vec<&str> {
    let what = format!("PCI device {UNUSED} ");
    findings.iter().map(|finding| finding.problem.strip_prefix(&what).unwrap_or(&finding.problem)).collect()
}

#[test]
fn a_use_of_a_disk_that_is_told_of_by_two_sources_is_told_once() {
    type Row = (&'static str, &'static [u8], fn(&mut Tree), fn(&FakeKernel), &'static [&'static str]);
    let rows: &[Row] = &[
        (
            "a mounted file system, for which the kernel has the disk for itself",
            b"22 1 8:1 / /srv rw - ext4 /dev/sda1 rw\n",
            |_| (),
            |kernel| kernel.claim("/dev/sda"),
            &[
                "is needed by the host: the file system at /srv is on sda1",
                "is needed by the host: the file system at /srv is on sda",
            ],
        ),
        (
            "a mounted file system that tells of itself, too",
            b"22 1 8:1 / /srv rw - xfs /dev/sda1 rw\n",
            |tree| tree.sys_file("fs/xfs/sda1/stats/stats", b"x\n").unwrap(),
            |_| (),
            &[
                "is needed by the host: the file system at /srv is on sda1",
                "is needed by the host: the file system at /srv is on sda",
            ],
        ),
        (
            "a process that has the disk open, which is another use than the kernel's",
            NO_DISK,
            |_| (),
            |kernel| {
                process(kernel.folder(), 1, "systemd", &["/dev/null"]);
                process(kernel.folder(), 9, "dd", &["/dev/sda"]);
                kernel.claim("/dev/sda");
            },
            &[
                "is in use: process 9 (dd) has /dev/sda open",
                "is needed by the host: the kernel, or a program, has for itself sda",
            ],
        ),
        (
            "a disk that somebody has, beside one with a partition that is somebody's",
            NO_DISK,
            |tree| tree.file("run/udev/data/b8:17", b"E:ID_FS_TYPE=drbd\n").unwrap(),
            |kernel| kernel.claim("/dev/sda"),
            &["is needed by the host: the kernel, or a program, has for itself sda"],
        ),
    ];
    for (what, mounts, build, then, want) in rows {
        let mut tree = disks(mounts);
        build(&mut tree);
        let findings = found(tree, then);
        assert_eq!(problems(&findings), *want, "{what}");
    }
}

#[test]
fn a_node_is_a_disks_if_its_numbers_are_those_of_a_block_device() {
    for (kind, is_needed) in [(NodeKind::Block, true), (NodeKind::Char, false)] {
        let tree = disks(b"22 1 0:40 / /srv rw - bcachefs /dev/disk/by-id/x:/dev/disk/by-id/y rw\n");
        let findings =
            found(tree, |kernel| kernel.node_at("dev/disk/by-id/y", DeviceNode { kind, major: 8, minor: 1 }));
        assert_eq!(findings.iter().any(|finding| finding.kind == STORAGE), is_needed, "{findings:?}");
    }
}

#[test]
fn a_console_is_found_by_its_numbers_alone() {
    let mut tree = tree();
    let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/tty/ttyS4");
    tree.add(&Device::new(path, "class/tty").node(Node::Char, 4, 68, "ttyS4")).unwrap();
    tree.file("proc/consoles", b"uart0 -W- (E   p a)    4:68\nnet0 -W- (E   p a)\n").unwrap();
    let findings = found(tree, |_| ());
    assert_eq!(problems(&findings), ["is needed by the host: its console uart0 is on it"]);
}

#[test]
fn a_node_of_a_card_that_is_not_there_is_nobodys_where_the_driver_tells_all_numbers() {
    let cards = ["0000:07:00.0", "0000:08:00.0"];
    for (second, open, refused) in [
        // Both are told, and neither is it.
        (Some(1), "/dev/nvidia7", [false, false]),
        // One is told, and is it; the other has another then.
        (None, "/dev/nvidia0", [true, false]),
        // One is told, and is not it.
        (None, "/dev/nvidia7", [true, true]),
    ] {
        let mut tree = tree();
        for (group, (address, minor)) in (20..).zip(cards.into_iter().zip([Some(0), second])) {
            let card = function(address).driver("nvidia");
            tree.iommu_group(group, card.path()).unwrap();
            tree.add(&card).unwrap();
            if let Some(minor) = minor {
                let file = format!("proc/driver/nvidia/gpus/{address}/information");
                tree.file(&file, format!("Device Minor: \t {minor}\n").as_bytes()).unwrap();
            }
        }
        let kernel = over(tree);
        process(kernel.folder(), 1, "systemd", &["/dev/null"]);
        process(kernel.folder(), 5, "Xorg", &[open]);
        for (address, refused) in cards.into_iter().zip(refused) {
            let verdict = explain(&kernel, address).verdict;
            assert_eq!(verdict == Verdict::Forced, refused, "{open} {address}: {verdict:?}");
        }
    }
}

#[test]
fn nothing_is_taken_from_the_host_where_guests_get_a_device_from_its_driver() {
    let mut tree = tree_with(&[]);
    let device = function(UNUSED).driver("nvidia").dir("vfio-dev/vfio3").dir("nvidia");
    tree.iommu_group(8, device.path()).unwrap();
    let watchdog = Device::new(format!("{}/watchdog/watchdog0", device.path()), "class/watchdog");
    tree.add(&device).unwrap();
    tree.add(&watchdog).unwrap();
    let kernel = over(tree);
    let told = |driver: Option<&str>| {
        let options =
            ExplainOptions { kernel_driver: driver.map(str::to_owned), ..ExplainOptions::default() };
        let told = program(&kernel).explain(&name(UNUSED), &options).unwrap();
        let is_vital = told.findings.iter().any(|finding| finding.kind == FindingKind::VitalPart);
        (told.verdict, is_vital)
    };
    assert_eq!(told(None), (Verdict::Possible, false));
    assert_eq!(told(Some("nvidia")), (Verdict::Possible, false));
    assert_eq!(told(Some("vfio-pci")), (Verdict::Forced, true));
}

#[test]
fn a_kernel_without_overrides_cannot_hand_devices_over() {
    let kernel = over(tree());
    fs::remove_file(
        kernel.folder().join(format!("sys/devices/pci0000:00/{BRIDGE}/{UNUSED}/driver_override")),
    )
    .unwrap();
    let options = DetachOptions { force: true, ..DetachOptions::default() };
    let error = program(&kernel).detach_with(&name(UNUSED), &options).unwrap_err();
    assert!(error.message().ends_with(&format!("the kernel has no driver_override for PCI device {UNUSED}")));
    assert!(error.help().is_some_and(|help| help.contains("Linux 3.16")), "{error:?}");
    program(&kernel).detach(&name(PINNED)).unwrap();
}

#[test]
fn a_module_that_will_be_loaded_is_told_of() {
    let kernel = FakeKernel::over(tree()).unwrap();
    kernel.module("vfio-pci", "vfio-pci");
    let kernel = std::sync::Arc::new(kernel);
    let notes = |kernel: &std::sync::Arc<FakeKernel>| {
        let findings = explain(kernel, UNUSED).findings;
        findings.iter().filter(|finding| finding.kind == FindingKind::ModuleNotLoaded).count()
    };
    assert_eq!(notes(&kernel), 1);
    kernel.driver("vfio-pci", &[]).unwrap();
    assert_eq!(notes(&kernel), 0);
}

#[test]
fn memory_that_no_driver_serves_and_what_is_no_memory_is_nobodys() {
    let at =
        |path: &str| Device::new(format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/ndbus0/{path}"), "bus/nd");
    for (device, want) in [
        (at("region0/namespace0.0").driver("nd_pmem"), true),
        (at("region0/namespace0.0"), false),
        (at("region0").driver("nd_region"), false),
    ] {
        let mut tree = tree();
        tree.add(&device).unwrap();
        assert_eq!(found(tree, |_| ()).len(), usize::from(want), "{}", device.path());
    }
}

#[test]
fn a_card_without_an_interface_is_asked_after_only_where_it_could_have_one_in_another_network() {
    type Below = fn(&str) -> Option<Device>;
    let rows: &[(&str, &str, &str, Below, bool)] = &[
        ("a network card", "0x020000", "igb", |_| None, true),
        ("a card of another class", "0x010802", "nvme", |_| None, false),
        ("one that is kept for a guest", "0x020000", "pciback", |_| None, false),
        (
            "one with an interface here",
            "0x020000",
            "igb",
            |at| Some(Device::new(format!("{at}/net/eth0"), "class/net")),
            false,
        ),
        ("InfiniBand without a node", "0x020700", "mlx5_core", |_| None, true),
        (
            "InfiniBand with a node",
            "0x020700",
            "mlx5_core",
            |at| {
                Some(Device::new(format!("{at}/infiniband_verbs/uverbs0"), "class/infiniband_verbs").node(
                    Node::Char,
                    231,
                    192,
                    "infiniband/uverbs0",
                ))
            },
            false,
        ),
        (
            "a network card with a node, which is no interface",
            "0x020000",
            "igb",
            |at| Some(Device::new(format!("{at}/ptp/ptp0"), "class/ptp").node(Node::Char, 240, 9, "ptp0")),
            true,
        ),
    ];
    for (what, class, driver, below, asked) in rows {
        let mut tree = tree_with(&[]);
        let card = function(UNUSED).driver(*driver);
        let path = card.path().to_owned();
        tree.iommu_group(8, &path).unwrap();
        tree.add(&card).unwrap();
        if let Some(device) = below(&path) {
            tree.add(&device).unwrap();
        }
        let findings = found(tree, |kernel| {
            fs::write(kernel.folder().join("sys").join(&path).join("class"), format!("{class}\n")).unwrap();
            for (pid, namespace) in [(1, "net:[1]"), (77, "net:[2]")] {
                process(kernel.folder(), pid, "sh", &["/dev/null"]);
                let folder = kernel.folder().join(format!("proc/{pid}/ns"));
                fs::create_dir_all(&folder).unwrap();
                std::os::unix::fs::symlink(namespace, folder.join("net")).unwrap();
            }
        });
        let is_asked =
            findings.iter().any(|finding| finding.problem.contains("other network namespaces (process 77)"));
        assert_eq!(is_asked, *asked, "{what}: {findings:?}");
    }
}

#[test]
fn what_a_target_passes_on_is_the_device_that_is_called_so() {
    let mut tree = tree();
    let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/nvme/nvme0");
    tree.add(&Device::new(path, "class/nvme").node(Node::Char, 240, 0, "nvme0")).unwrap();
    tree.file("sys/kernel/config/nvmet/subsystems/s2/passthru/device_path", b"/dev/nvme0\n").unwrap();
    let kernel = over(tree);
    let told = |address: &str| explain(&kernel, address).findings.remove(0).problem;
    let want = format!("PCI device {UNUSED} is needed by the host: the NVMe target s2 passes /dev/nvme0 on");
    assert_eq!(told(UNUSED), want);
    assert_eq!(explain(&kernel, PINNED).verdict, Verdict::Possible);
}

#[test]
fn the_physical_function_of_a_virtual_one_is_not_one_of_its_own() {
    let mut tree = disks(b"22 1 8:17 / /srv rw - ext4 /dev/sdb1 rw\n");
    let at = format!("devices/pci0000:00/{BRIDGE}");
    tree.link(&format!("{at}/{UNUSED}/physfn"), &format!("{at}/{PINNED}")).unwrap();
    let findings = found(tree, |_| ());
    assert_eq!(problems(&findings), [""; 0]);
}

#[test]
fn processes_that_may_not_be_looked_at_are_counted() {
    let mut tree = tree();
    let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/drm/card1");
    tree.add(&Device::new(path, "class/drm").node(Node::Char, 226, 1, "dri/card1")).unwrap();
    let kernel = over(tree);
    for pid in [1, 8, 9] {
        process(kernel.folder(), pid, "bash", &["/dev/null"]);
    }
    let count = |failing: &[usize]| {
        kernel.restart();
        for step in failing {
            kernel.fail_at(*step, errno::EACCES);
        }
        let options = ExplainOptions::default();
        let told =
            program(&kernel).explain(&name(UNUSED), &options).map(|told| told.findings).unwrap_or_default();
        let mut problems = told.into_iter().map(|finding| finding.problem);
        let count = problems.find(|problem| problem.contains("could not be looked at"))?;
        let count =
            count.strip_prefix(&format!("it is not known whether PCI device {UNUSED} is in use: "))?;
        Some(count.split(" could").next()?.to_owned())
    };
    assert_eq!(count(&[]), None);
    let steps = kernel.steps();
    let one: Vec<usize> =
        (1..=steps).filter(|step| count(&[*step]).as_deref() == Some("1 process")).collect();
    assert!(one.len() >= 3, "{one:?} of {steps}");
    assert!((one[0] + 1..=steps).any(|step| count(&[one[0], step]).as_deref() == Some("2 processes")));
}

/// An interface of [`UNUSED`], and a tap upon an interface that is there or not.
fn tap(is_there: bool) -> Vec<Finding> {
    let mut tree = tree();
    let path = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/net/eno2");
    let upper = "devices/virtual/net/macvtap0";
    tree.add(&Device::new(&path, "class/net")).unwrap();
    if is_there {
        tree.add(&Device::new(upper, "class/net").link("lower_eno2", &path)).unwrap();
    }
    let tap = Device::new(format!("{upper}/macvtap/tap7"), "class/macvtap");
    tree.add(&tap.node(Node::Char, 236, 1, "tap7")).unwrap();
    found(tree, |kernel| {
        process(kernel.folder(), 1, "systemd", &["/dev/null"]);
        process(kernel.folder(), 5003, "qemu-kvm", &["/dev/tap7"]);
    })
}

#[test]
fn a_tap_of_a_guest_is_told_of_where_its_interface_is_and_not_known_where_that_is_not_here() {
    let open = "process 5003 (qemu-kvm) has /dev/tap7 open";
    assert_eq!(problems(&tap(true)), [format!("is in use: {open}")]);
    let what = format!("it is not known whether PCI device {UNUSED} is in use");
    assert_eq!(problems(&tap(false)), [format!("{what}: {open}, and its interface is not here")]);
}

#[test]
fn a_function_whose_own_node_for_vfio_is_open_is_told_of_once() {
    let mut tree = tree_with(&[]);
    let device = function(UNUSED).driver("vfio-pci");
    tree.iommu_group(8, device.path()).unwrap();
    let node = Device::new(format!("{}/vfio-dev/vfio3", device.path()), "class/vfio-dev");
    tree.add(&device).unwrap();
    tree.add(&node.node(Node::Char, 510, 3, "vfio/devices/vfio3")).unwrap();
    let findings = found(tree, |kernel| process(kernel.folder(), 42, "qemu", &["/dev/vfio/devices/vfio3"]));
    let in_use = findings.iter().filter(|finding| finding.kind == FindingKind::InUse);
    assert_eq!(in_use.count(), 1, "{findings:?}");
}

#[test]
fn who_has_a_group_does_not_have_what_a_driver_of_the_host_only_keeps_or_that_does_no_dma() {
    let kernel = over(tree_with(&[UNUSED, STUBBED]));
    let is_used = |kernel: &std::sync::Arc<FakeKernel>, address: &str| {
        explain(kernel, address).findings.iter().any(|finding| finding.kind == FindingKind::InUse)
    };
    program(&kernel).detach(&name(UNUSED)).unwrap();
    process(kernel.folder(), 42, "qemu", &["/dev/vfio/1", "/dev/vfio/7", "/dev/vfio/8"]);
    for (address, want) in [(UNUSED, true), (STUBBED, false), (BRIDGE, false)] {
        assert_eq!(is_used(&kernel, address), want, "{address}");
    }
}

/// A physical function with a virtual one, and what is found of the physical one.
fn physical(build: impl FnOnce(&mut Tree, &str), then: impl FnOnce(&FakeKernel)) -> Vec<Finding> {
    let mut tree = tree_with(&[]);
    let vf = function(VIRTUAL).driver("igbvf");
    let pf = function(UNUSED).driver("igb").link("virtfn0", vf.path());
    tree.iommu_group(8, pf.path()).unwrap();
    tree.add(&vf).unwrap();
    tree.add(&pf).unwrap();
    build(&mut tree, vf.path());
    found(tree, then)
}

#[test]
fn what_is_found_of_a_virtual_function_is_told_of_the_physical_one_with_its_name() {
    let guest = physical(
        |tree, vf| {
            let node = Device::new(format!("{vf}/vdpa0/vhost-vdpa-0"), "class/vhost-vdpa");
            tree.add(&node.node(Node::Char, 240, 0, "vhost-vdpa-0")).unwrap();
        },
        |kernel| process(kernel.folder(), 5002, "qemu-kvm", &["/dev/vhost-vdpa-0"]),
    );
    let open = "process 5002 (qemu-kvm) has /dev/vhost-vdpa-0 open";
    assert_eq!(problems(&guest)[0], format!("has the virtual function {VIRTUAL}, which is in use: {open}"));

    let unknown = physical(
        |tree, _| disk(tree, VIRTUAL, "sda", 0),
        |kernel| process(kernel.folder(), 1, "systemd", &["/dev/null"]),
    );
    let what = format!("it is not known whether PCI device {VIRTUAL} is in use: ");
    assert!(problems(&unknown)[0].starts_with(&what), "{unknown:?}");
}

#[test]
fn a_member_of_a_group_that_nothing_drives_is_detached_with_it_unless_the_host_lives_by_it() {
    let other = "0000:03:00.3";
    for (class, is_taken) in [("0x020000", true), ("0x0c0500", false)] {
        let mut tree = tree_with(&[ONE]);
        let device = function(other);
        tree.iommu_group(7, device.path()).unwrap();
        tree.add(&device).unwrap();
        let kernel = over(tree);
        let path = kernel.folder().join("sys").join(device.path());
        fs::write(path.join("class"), format!("{class}\n")).unwrap();
        let plan = program(&kernel).detach_with(&name(ONE), &crate::host::group().0).unwrap();
        let is_there = plan.steps.iter().any(|step| step.device.is_some_and(|it| it.to_string() == other));
        assert_eq!(is_there, is_taken, "{class}: {:?}", plan.steps);
        assert_eq!(kernel.bound(other).is_some(), is_taken, "{class}");
    }
}

#[test]
fn a_disk_that_cannot_be_asked_for_says_why() {
    let findings = found(disks(NO_DISK), |kernel| kernel.remove_node("/dev/sda"));
    let what = format!("it is not known whether PCI device {UNUSED} is in use: sda of the host: ");
    assert_eq!(problems(&findings), [format!("{what}cannot open /dev/sda: No such file or directory")]);
}

#[test]
fn a_recording_says_that_it_need_not_tell_all_and_a_host_does_not() {
    let kernel = over(tree());
    let recording = HostDriver::new(nodedev_sys::Root::open(kernel.folder()).unwrap());
    for (driver, want) in [(recording, true), (program(&kernel), false)] {
        let told = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        let is_told = told.findings.iter().any(|finding| {
            (finding.kind, finding.effect) == (FindingKind::Unknown, Effect::Note)
                && finding.problem.starts_with("a recording need not tell")
        });
        assert_eq!(is_told, want, "{:?}", told.findings);
    }
}
