//! What stands in the way of handing a device over, each with its own words; and what force skips.

use std::net::IpAddr;

use nodedev_driver::{Caller, DetachOptions, ExplainOptions, LibvirtCalls, Operations as _, Rules};
use nodedev_host::HostDriver;
use nodedev_model::{Effect, FindingKind, Outcome, Verdict};
use nodedev_sys::HostAccess;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, ONE, PINNED, TWO, UNUSED, built, detach, detached, disk, function, host,
    journal, name, over, partition, process, program, served, tree,
};

/// As libvirt's clients detach, for somebody.
fn detach_for(driver: &HostDriver, name: &str, caller: Caller) -> nodedev_driver::Result<()> {
    let options = DetachOptions { caller, rules: Rules::Libvirt, ..DetachOptions::default() };
    driver.detach_with(name, &options).map(drop)
}

#[test]
fn a_bridge_is_refused_also_by_force() {
    let kernel = host();
    for force in [false, true] {
        let error = detach(&kernel, BRIDGE, force).unwrap_err();
        assert_eq!(error.code().0, 84);
        assert!(error.message().contains("0000:00:1c.0 is a bridge"), "{error}");
    }
    let error = program(&kernel).reset(&name(BRIDGE)).unwrap_err();
    let want = "internal error: Invalid attempt to reset PCI device 0000:00:1c.0. Only PCI endpoint devices can be reset";
    assert_eq!((error.code().0, error.message()), (1, want));
    assert_eq!(kernel.writes(), []);
}

#[test]
fn a_device_that_a_guest_has_open_is_refused_with_who_it_is_also_by_force() {
    for node in ["/dev/vfio/8", "/dev/vfio/devices/vfio0"] {
        let kernel = host();
        detach(&kernel, UNUSED, false).unwrap();
        process(kernel.folder(), 4242, "qemu-system-x86", &["/dev/null", node]);
        let driver = program(&kernel);
        for error in [
            detach(&kernel, UNUSED, true).unwrap_err(),
            driver.detach(&name(UNUSED)).unwrap_err(),
            driver.reattach(&name(UNUSED)).unwrap_err(),
            driver.reset(&name(UNUSED)).unwrap_err(),
        ] {
            let want = "Requested operation is not valid: PCI device 0000:04:00.0 is in use";
            assert_eq!((error.code().0, error.message()), (55, want));
            let help = error.help().unwrap();
            assert!(help.contains("process 4242 (qemu-system-x86)") && help.contains(node), "{help}");
        }
        assert_eq!(served(&kernel, UNUSED), detached());
        assert_eq!(kernel.resets(), [""; 0]);
    }
}

#[test]
fn a_host_without_iommu_is_refused_in_libvirts_words_but_for_drivers_that_need_none() {
    let mut tree = Tree::in_memory().unwrap();
    tree.add(&function(UNUSED)).unwrap();
    let kernel = over(tree);
    kernel.driver("pci-stub", &[]).unwrap();
    let error = program(&kernel).detach(&name(UNUSED)).unwrap_err();
    let want = "argument unsupported: VFIO device assignment is currently not supported on this system";
    assert_eq!((error.code().0, error.message()), (74, want));
    assert!(error.help().unwrap().contains("intel_iommu=on"));
    program(&kernel).detach_flags(&name(UNUSED), Some("pci-stub"), 0).unwrap();
}

#[test]
fn a_device_of_a_group_that_the_host_uses_is_refused_to_people_and_only_warned_of_to_libvirts_clients() {
    let kernel = host();
    let error = detach(&kernel, ONE, false).unwrap_err();
    let want = "Requested operation is not valid: PCI device 0000:03:00.0 shares IOMMU group 7 with 0000:03:00.1 (igb), \
                which the host still uses: no guest can have it alone";
    assert_eq!((error.code().0, error.message()), (55, want));
    assert!(error.help().unwrap().contains("--group"));
    assert_eq!(kernel.writes(), []);
    assert_eq!(detach(&kernel, ONE, true).unwrap(), Outcome::Changed);
    // The other one is not in the way any more, and the first one not in its.
    assert_eq!(detach(&kernel, TWO, false).unwrap(), Outcome::Changed);

    let kernel = host();
    program(&kernel).detach(&name(ONE)).unwrap();
    program(&kernel).detach(&name(TWO)).unwrap();
    assert_eq!((served(&kernel, ONE), served(&kernel, TWO)), (detached(), detached()));
}

#[test]
fn the_host_does_not_get_a_device_of_a_group_that_a_guest_has_another_of() {
    let kernel = host();
    let driver = program(&kernel);
    driver.detach_flags(&name(ONE), Some("vfio-pci"), 0).unwrap();
    kernel.driver("pci-stub", &[]).unwrap();
    driver.detach_flags(&name(TWO), Some("pci-stub"), 0).unwrap();
    process(kernel.folder(), 77, "qemu", &["/dev/vfio/devices/vfio0"]);
    let error = driver.reattach(&name(TWO)).unwrap_err();
    assert!(error.message().contains("a guest has another device of IOMMU group 7"), "{error}");
    assert_eq!(kernel.bound(TWO).as_deref(), Some("pci-stub"));
}

#[test]
fn disks_that_the_host_uses_are_found_through_everything_that_is_built_upon_them() {
    struct Row {
        name: &'static str,
        build: fn(&mut Tree),
        told: &'static str,
    }
    let rows = [
        Row {
            name: "a partition with the root file system",
            build: |tree| {
                tree.file(
                    MOUNTS,
                    b"22 1 8:1 / /boot rw - vfat /dev/sda1 rw\n21 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
                )
                .unwrap();
            },
            told: "the file system at / is on sda1",
        },
        Row {
            name: "LVM on RAID on two disks' partitions",
            build: |tree| {
                built(tree, "md0", 0, &["sda1", "sdb"]);
                built(tree, "dm-0", 1, &["md0"]);
                tree.file(MOUNTS, b"22 1 253:1 / /srv/a\\040b rw shared:1 - xfs /dev/mapper/vg-lv rw\n")
                    .unwrap();
            },
            told: "the file system at /srv/a b is on sda",
        },
        Row {
            name: "swap space on a logical volume",
            build: |tree| {
                built(tree, "dm-7", 7, &["sda1"]);
                tree.file(
                    "proc/swaps",
                    b"Filename\tType\tSize\tUsed\tPriority\n/dev/dm-7 partition 1 0 -2\n",
                )
                .unwrap();
            },
            told: "swap space is on sda1",
        },
        Row {
            name: "btrfs, whose number says nothing",
            build: |tree| {
                tree.file(MOUNTS, b"22 1 0:31 / /data rw - btrfs /dev/sdz rw\n").unwrap();
                let folder = "fs/btrfs/aaaa/devices/sda1";
                let disk =
                    format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/host0/target0:0:0/0:0:0:0/block/sda/sda1");
                tree.link(folder, &disk).unwrap();
            },
            told: "a mounted file system is on sda1",
        },
        Row {
            name: "a daemon that cannot see the first process",
            build: |tree| tree.file("proc/self/mountinfo", b"22 1 8:0 / /x rw - ext4 /dev/sda rw\n").unwrap(),
            told: "the file system at /x is on sda",
        },
    ];
    for Row { name: case, build, told } in rows {
        let mut tree = tree();
        disk(&mut tree, UNUSED, "sda", 0);
        partition(&mut tree, UNUSED, "sda", 1, 1);
        disk(&mut tree, PINNED, "sdb", 16);
        build(&mut tree);
        let kernel = over(tree);
        let error = detach(&kernel, UNUSED, false).unwrap_err();
        assert_eq!(error.code().0, 55, "{case}: {error}");
        assert!(error.message().contains("0000:04:00.0 is needed by the host: "), "{case}: {error}");
        assert!(error.message().contains(told), "{case}: {error}");
        assert_eq!(kernel.writes(), [], "{case}");
        // libvirt's clients are kept from it as well.
        assert_eq!(program(&kernel).detach(&name(UNUSED)).unwrap_err(), error, "{case}");
        detach(&kernel, UNUSED, true).unwrap();
    }
}

#[test]
fn a_disk_of_several_controllers_is_found_at_each_and_an_unused_one_at_none() {
    let mut tree = tree();
    let subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
    let controller = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/nvme/nvme0");
    tree.add(&Device::new(&controller, "class/nvme")).unwrap();
    tree.add(&Device::new(subsystem, "class/nvme-subsystem").link("nvme0", &controller)).unwrap();
    let disk = Device::new(format!("{subsystem}/nvme0n1"), "class/block").devtype("disk");
    tree.add(&disk.node(NodeKind::Block, 259, 0, "nvme0n1")).unwrap();
    tree.file(MOUNTS, b"22 1 259:0 / / rw - ext4 /dev/nvme0n1 rw\n").unwrap();
    let kernel = over(tree);
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("the file system at / is on nvme0"), "{error}");
    detach(&kernel, PINNED, false).unwrap();
}

#[test]
fn a_disk_that_a_process_has_open_is_refused_unless_forced() {
    let mut tree = tree();
    disk(&mut tree, UNUSED, "cciss!c0d0", 0);
    tree.file(MOUNTS, NO_DISK).unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 5, "dd", &["/dev/cciss/c0d0"]);
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("process 5 (dd) has /dev/cciss/c0d0 open"), "{error}");
    detach(&kernel, UNUSED, true).unwrap();
}

#[test]
fn a_process_that_has_something_open_that_is_built_upon_a_disk_has_the_disk() {
    let mut tree = tree();
    disk(&mut tree, UNUSED, "sda", 0);
    partition(&mut tree, UNUSED, "sda", 1, 1);
    disk(&mut tree, PINNED, "sdb", 16);
    built(&mut tree, "md0", 0, &["sda1"]);
    built(&mut tree, "dm-3", 3, &["md0"]);
    tree.file(MOUNTS, NO_DISK).unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 5, "qemu-system-x86", &["/dev/dm-3"]);
    let error = detach(&kernel, UNUSED, false).unwrap_err();
    assert!(error.message().contains("process 5 (qemu-system-x86) has /dev/dm-3 open"), "{error}");
    detach(&kernel, PINNED, false).unwrap();
    detach(&kernel, UNUSED, true).unwrap();
}

#[test]
fn the_interface_of_the_default_route_is_found_below_bridges_and_bonds() {
    let header = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
    let ipv4 = |interface: &str| {
        format!("{header}{interface}\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n")
    };
    let zero = "0".repeat(32);
    let ipv6 = format!(
        "{zero} 00 {zero} 00 fe80000000000000000000000000fe00 00000400 00000001 00000000 00450003 eth0\n"
    );
    for (file, content, told) in [
        ("proc/1/net/route", ipv4("eth0"), "its default route is through eth0"),
        ("proc/1/net/route", ipv4("br0"), "its default route is through br0, of which eth0 is a part"),
        ("proc/1/net/ipv6_route", ipv6, "its default route is through eth0"),
        ("proc/self/net/route", ipv4("eth0"), "its default route is through eth0"),
    ] {
        let mut tree = tree();
        let eth0 = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/net/eth0");
        tree.add(&Device::new(&eth0, "class/net")).unwrap();
        tree.add(&Device::new("devices/virtual/net/bond0", "class/net").link("lower_eth0", &eth0)).unwrap();
        tree.add(
            &Device::new("devices/virtual/net/br0", "class/net")
                .link("lower_bond0", "devices/virtual/net/bond0"),
        )
        .unwrap();
        tree.file(file, content.as_bytes()).unwrap();
        let kernel = over(tree);
        let error = detach(&kernel, UNUSED, false).unwrap_err();
        assert!(error.message().contains(told), "{error}");
        detach(&kernel, PINNED, false).unwrap();
        detach(&kernel, UNUSED, true).unwrap();
    }
}

#[test]
fn the_interface_of_the_callers_connection_is_found_below_bridges_bonds_and_vlans() {
    let mut tree = tree();
    let eth0 = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/net/eth0");
    tree.add(&Device::new(&eth0, "class/net")).unwrap();
    let mut below = ("eth0", eth0);
    for name in ["bond0", "bond0.7", "br0"] {
        let path = format!("devices/virtual/net/{name}");
        tree.add(&Device::new(&path, "class/net").link(format!("lower_{}", below.0), &below.1)).unwrap();
        below = (name, path);
    }
    tree.add(&Device::new("devices/virtual/net/lo", "class/net")).unwrap();
    // A relay that somebody runs over SSH, and a program that nobody does.
    tree.file("proc/1/comm", b"systemd\n").unwrap();
    tree.file("proc/77/environ", b"HOME=/root\0SSH_CONNECTION=192.0.2.9 40000 192.0.2.1 22\0").unwrap();
    tree.file("proc/78/environ", b"HOME=/root\0").unwrap();
    tree.file("proc/78/stat", b"78 (virsh) S 0 78 78 0").unwrap();
    let kernel = over(tree);
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    for (at, interface) in [("192.0.2.1", "br0"), ("2001:db8::1", "eth0"), ("127.0.0.1", "lo")] {
        kernel.address(address(at), interface);
    }
    let driver = program(&kernel);
    for (at, told) in [
        ("192.0.2.1", "your connection to 192.0.2.1 is through br0, of which eth0 is a part"),
        ("2001:db8::1", "your connection to 2001:db8::1 is through eth0"),
    ] {
        let caller = Caller::ConnectedAt(address(at));
        let options = DetachOptions { caller, ..DetachOptions::default() };
        let error = driver.detach_with(&name(UNUSED), &options).unwrap_err();
        assert_eq!(error.code().0, 55, "{error}");
        assert!(error.message().ends_with(&format!("{UNUSED} is needed by the host: {told}")), "{error}");
        assert_eq!(detach_for(&driver, &name(UNUSED), caller).unwrap_err(), error);
        let options = ExplainOptions { caller, ..ExplainOptions::default() };
        let explanation = driver.explain(&name(UNUSED), &options).unwrap();
        assert_eq!(explanation.findings[0].kind, FindingKind::HostNetwork);
    }
    assert_eq!(kernel.writes(), []);
    let relay = detach_for(&driver, &name(UNUSED), Caller::Process(77)).unwrap_err();
    assert!(
        relay.message().ends_with("your connection to 192.0.2.1 is through br0, of which eth0 is a part"),
        "{relay}"
    );
    // Nobody else is kept from it, nor from another device.
    detach_for(&driver, &name(UNUSED), Caller::Process(78)).unwrap();
    driver.reattach(&name(UNUSED)).unwrap();
    detach_for(&driver, &name(PINNED), Caller::ConnectedAt(address("192.0.2.1"))).unwrap();
    detach_for(&driver, &name(UNUSED), Caller::ConnectedAt(address("127.0.0.1"))).unwrap();
    driver.reattach(&name(UNUSED)).unwrap();
    let options = DetachOptions {
        caller: Caller::ConnectedAt(address("192.0.2.1")),
        force: true,
        ..DetachOptions::default()
    };
    driver.detach_with(&name(UNUSED), &options).unwrap();
}

#[test]
fn the_console_is_refused_unless_forced_and_only_while_the_host_shows_something_on_it() {
    let mut tree = tree();
    for (address, driver) in [("0000:06:00.0", Some("i915")), ("0000:07:00.0", None)] {
        let card = function(address).attr("boot_vga", 1);
        let card = driver.into_iter().fold(card, |card, driver| card.driver(driver));
        tree.add(&card).unwrap();
        tree.iommu_group(if driver.is_some() { 20 } else { 21 }, card.path()).unwrap();
    }
    let kernel = over(tree);
    let error = detach(&kernel, "0000:06:00.0", false).unwrap_err();
    assert!(error.message().contains("the console is on it"), "{error}");
    detach(&kernel, "0000:06:00.0", true).unwrap();
    detach(&kernel, "0000:07:00.0", false).unwrap();
}

#[test]
fn a_physical_function_whose_virtual_one_a_guest_has_is_refused() {
    let mut tree = tree();
    let vf = function("0000:06:10.0").driver("vfio-pci");
    tree.add(&vf).unwrap();
    tree.iommu_group(30, vf.path()).unwrap();
    let pf = function("0000:06:00.0").driver("igb").link("virtfn0", vf.path());
    tree.add(&pf).unwrap();
    tree.iommu_group(31, pf.path()).unwrap();
    let kernel = over(tree);
    let plan = program(&kernel)
        .detach_with(&name("0000:06:00.0"), &DetachOptions { dry_run: true, ..DetachOptions::default() })
        .unwrap();
    assert_eq!(
        (plan.findings[0].kind, plan.findings[0].effect),
        (FindingKind::VirtualFunctions, Effect::Warning)
    );
    process(kernel.folder(), 9, "qemu", &["/dev/vfio/30"]);
    let error = detach(&kernel, "0000:06:00.0", true).unwrap_err();
    assert!(error.message().contains("has the virtual function 0000:06:10.0, which is in use"), "{error}");
}

#[test]
fn what_the_host_needs_of_a_virtual_function_it_needs_of_the_physical_one() {
    let (pf, vf) = ("0000:06:00.0", "0000:06:10.0");
    let route = "Iface\n\neth5\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
    for (file, content, told) in [
        ("proc/1/net/route", route, "is needed by the host: its default route is through eth5"),
        (
            MOUNTS,
            "22 1 8:0 / /x rw - ext4 /dev/sda rw\n",
            "is needed by the host: the file system at /x is on sda",
        ),
        ("proc/5/comm", "dd\n", "is in use: process 5 (dd) has /dev/sda open"),
    ] {
        let mut tree = tree();
        let function_of_it = function(vf).driver("igbvf");
        tree.add(&function_of_it).unwrap();
        tree.add(&Device::new(format!("{}/net/eth5", function_of_it.path()), "class/net")).unwrap();
        disk(&mut tree, vf, "sda", 0);
        let device = function(pf).driver("igb").link("virtfn0", function_of_it.path());
        tree.add(&device).unwrap();
        tree.iommu_group(30, device.path()).unwrap();
        tree.file(file, content.as_bytes()).unwrap();
        let kernel = over(tree);
        if file.contains('5') {
            process(kernel.folder(), 5, "dd", &["/dev/sda"]);
        }
        let error = detach(&kernel, pf, false).unwrap_err();
        assert_eq!(error.code().0, 55, "{error}");
        let want = format!("PCI device {pf} has the virtual function {vf}, which {told}");
        assert!(error.message().ends_with(&want), "{error}");
        assert_eq!(program(&kernel).detach(&name(pf)).unwrap_err(), error);
        assert_eq!(kernel.writes(), []);
        detach(&kernel, pf, true).unwrap();
    }
}

#[test]
fn a_device_that_the_host_has_begun_to_use_is_not_given_to_another_driver() {
    let mut tree = tree();
    disk(&mut tree, UNUSED, "sda", 0);
    tree.file(MOUNTS, NO_DISK).unwrap();
    let kernel = over(tree);
    let driver = program(&kernel);
    driver.detach(&name(UNUSED)).unwrap();
    // An administrator gives it to a driver that it did not have before, and mounts what is on it.
    kernel.driver("nvme", &[]).unwrap();
    let address = format!("{UNUSED}\n");
    for (file, value) in [
        (format!("devices/{UNUSED}/driver_override"), "nvme\n"),
        ("drivers/vfio-pci/unbind".into(), &address),
        ("drivers_probe".into(), &address),
    ] {
        kernel.write(format!("sys/bus/pci/{file}").as_bytes(), value.as_bytes()).unwrap();
    }
    std::fs::write(kernel.folder().join(MOUNTS), "22 1 8:0 / /data rw - xfs /dev/sda rw\n").unwrap();
    let error = driver.reattach(&name(UNUSED)).unwrap_err();
    assert_eq!(error.code().0, 55);
    assert!(
        error.message().ends_with("is needed by the host: the file system at /data is on sda"),
        "{error}"
    );
    assert!(error.help().is_some_and(|help| help.contains("handover forget") && !help.contains("force")));
    assert_eq!(kernel.bound(UNUSED).as_deref(), Some("nvme"));
    std::fs::write(kernel.folder().join(MOUNTS), "").unwrap();
    driver.reattach(&name(UNUSED)).unwrap();
    assert_eq!(kernel.bound(UNUSED), None);
}

#[test]
fn a_physical_function_is_not_given_back_while_a_guest_has_a_virtual_one() {
    let mut tree = tree();
    let vf = function("0000:06:10.0").driver("vfio-pci");
    tree.add(&vf).unwrap();
    tree.iommu_group(30, vf.path()).unwrap();
    let pf = function("0000:06:00.0").driver("vfio-pci").link("virtfn0", vf.path());
    tree.add(&pf).unwrap();
    tree.iommu_group(31, pf.path()).unwrap();
    let kernel = over(tree);
    process(kernel.folder(), 9, "qemu", &["/dev/vfio/30"]);
    let error = program(&kernel).reattach(&name("0000:06:00.0")).unwrap_err();
    assert!(error.message().contains("has the virtual function 0000:06:10.0, which is in use"), "{error}");
    assert_eq!(kernel.bound("0000:06:00.0").as_deref(), Some("vfio-pci"));
}

#[test]
fn an_explanation_says_what_detaching_would_say_and_more() {
    let mut tree = tree();
    tree.file("sys/kernel/security/lockdown", b"none [integrity] confidentiality\n").unwrap();
    tree.file("lib/modules/6.12.0/modules.dep", b"kernel/drivers/vfio/pci/vfio-pci.ko.xz: x\n").unwrap();
    let kernel = over(tree);
    let driver = program(&kernel);
    let explanation = driver.explain(&name(ONE), &ExplainOptions::default()).unwrap();
    assert_eq!(explanation.verdict, Verdict::Forced);
    assert_eq!(explanation.guest_driver.as_deref(), Some("vfio-pci"));
    assert_eq!(explanation.iommu_group.unwrap().number, 7);
    let kinds: Vec<_> = explanation.findings.iter().map(|finding| (finding.kind, finding.effect)).collect();
    assert_eq!(
        kinds,
        [
            (FindingKind::GroupShared, Effect::RefusedUnlessForced),
            (FindingKind::Reset, Effect::Warning),
            (FindingKind::AcsMissing, Effect::Note),
            (FindingKind::Lockdown, Effect::Note),
        ]
    );
    let bridge = driver.explain(&name(BRIDGE), &ExplainOptions::default()).unwrap();
    assert_eq!(bridge.verdict, Verdict::Impossible);
    let absent = {
        let kernel_driver = Some("nosuch-vfio".into());
        driver.explain(&name(UNUSED), &ExplainOptions { kernel_driver, ..ExplainOptions::default() }).unwrap()
    };
    assert_eq!(absent.verdict, Verdict::Impossible);
    assert!(absent.findings.iter().any(|it| it.problem == "the kernel 6.12.0 has no module nosuch_vfio"));
    let free = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
    assert_eq!(free.verdict, Verdict::Possible);
    assert_eq!(kernel.writes(), []);
    assert_eq!(driver.explain("computer", &ExplainOptions::default()).unwrap_err().code().0, 8);
    driver.detach(&name(UNUSED)).unwrap();
    let again = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
    assert!(again.findings.iter().any(|finding| finding.kind == FindingKind::Detached));
    assert_eq!(journal(&driver).len(), 1);
}

#[test]
fn what_cannot_be_found_out_does_not_keep_an_explanation_from_saying_the_rest() {
    let kernel = host();
    kernel.restart();
    let faultless = program(&kernel).explain(&name(ONE), &ExplainOptions::default()).unwrap();
    let steps = kernel.steps();
    let mut explained = 0;
    for step in 1..=steps {
        kernel.restart();
        kernel.fail_at(step, nodedev_testkit::fake_kernel::errno::EIO);
        if let Ok(explanation) = program(&kernel).explain(&name(ONE), &ExplainOptions::default()) {
            explained += 1;
            let has = |kind| explanation.findings.iter().any(|finding| finding.kind == kind);
            assert!(
                explanation == faultless || has(FindingKind::Unknown) || has(FindingKind::UnknownDriver),
                "step {step}: {explanation:?}"
            );
        }
    }
    assert!(explained * 10 > steps * 8, "{explained} of {steps}");
}
