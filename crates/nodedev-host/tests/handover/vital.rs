//! What the host lives by besides disks and its network: consoles, parts of the chipset, memory; and what machine it is.

use std::sync::Arc;

use nodedev_driver::{DetachOptions, LibvirtCalls, Operations as _, ResetOptions};
use nodedev_model::{Effect, FindingKind, Outcome, Verdict};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{
    BRIDGE, PINNED, UNUSED, detach, explain, function, is_needed, name, over, process, program, served, tree,
    tree_with,
};

type Build = fn(&mut Tree);

const CONSOLE: FindingKind = FindingKind::HostConsole;
const VITAL: FindingKind = FindingKind::VitalPart;
const MEMORY: FindingKind = FindingKind::HostMemory;

/// A device below the function that must be refused.
fn below(path: &str, subsystem: &str) -> Device {
    Device::new(format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/{path}"), subsystem)
}

#[test]
fn consoles_watchdogs_and_memory_of_the_host_are_refused_unless_forced() {
    let rows: &[(&str, Build, FindingKind, &str)] = &[
        (
            "a serial console, by its numbers",
            |tree| {
                tree.add(&below("tty/ttyS4", "class/tty").node(NodeKind::Char, 4, 68, "ttyS4")).unwrap();
                tree.file("proc/consoles", b"tty0                 -WU (EC  p  )    4:1\nttyS4                -W- (E   p a)    4:68\n").unwrap();
            },
            CONSOLE,
            "its console ttyS4 is on it",
        ),
        (
            "a serial console, by its name",
            |tree| {
                tree.add(&below("tty/ttyS4", "class/tty")).unwrap();
                tree.sys_file("class/tty/console/active", b"tty0 ttyS4\n").unwrap();
            },
            CONSOLE,
            "its console ttyS4 is on it",
        ),
        (
            "a console of virtio",
            |tree| {
                tree.add(&below("virtio2", "bus/virtio").driver("virtio_console")).unwrap();
                tree.file("proc/consoles", b"hvc0                 -W- (EC p  )  229:0\n").unwrap();
            },
            CONSOLE,
            "its console hvc0 is on it",
        ),
        (
            "the framebuffer, without the firmware's word for it",
            |tree| tree.add(&below("graphics/fb0", "class/graphics")).unwrap(),
            CONSOLE,
            "the framebuffer fb0 of its console is on it",
        ),
        (
            "a screen that is on",
            |tree| {
                let connector = below("drm/card1/card1-HDMI-A-1", "class/drm");
                tree.add(&connector.attr("status", "connected").attr("enabled", "enabled")).unwrap();
            },
            CONSOLE,
            "it shows something at card1-HDMI-A-1",
        ),
        (
            "a watchdog that runs",
            |tree| tree.add(&below("watchdog/watchdog0", "class/watchdog").attr("state", "active")).unwrap(),
            VITAL,
            "the watchdog watchdog0 is on it, and can be running",
        ),
        (
            "a watchdog of which nothing says whether it runs",
            |tree| tree.add(&below("watchdog/watchdog0", "class/watchdog")).unwrap(),
            VITAL,
            "the watchdog watchdog0 is on it, and can be running",
        ),
        (
            "a TPM",
            |tree| tree.add(&below("tpm/tpm0", "class/tpm")).unwrap(),
            VITAL,
            "its trusted platform module (tpm0)",
        ),
        (
            "the way to the management controller",
            |tree| tree.add(&below("ipmi/ipmi0", "class/ipmi")).unwrap(),
            VITAL,
            "the way to its board's management controller (ipmi0) is on it",
        ),
        (
            "memory of CXL in a region",
            |tree| {
                let memory = below("mem0", "bus/cxl");
                tree.add(&memory).unwrap();
                let root = "devices/platform/ACPI0017:00/root0";
                tree.add(
                    &Device::new(format!("{root}/decoder0.0/region0"), "bus/cxl")
                        .attr("target0", "decoder5.0"),
                )
                .unwrap();
                let endpoint = format!("{root}/port1/endpoint5");
                tree.add(&Device::new(&endpoint, "bus/cxl").link("uport", memory.path())).unwrap();
                tree.add(&Device::new(format!("{endpoint}/decoder5.0"), "bus/cxl")).unwrap();
            },
            MEMORY,
            "its memory mem0 is in region0, and a part of the host's",
        ),
        (
            "memory of CXL of which nothing says what it is for",
            |tree| tree.add(&below("mem0", "bus/cxl")).unwrap(),
            MEMORY,
            "its memory mem0 can be a part of the host's",
        ),
        (
            "memory that is a part of the system's",
            |tree| {
                tree.add(&below("virtio5/ndbus0/region0/dax0.1/dax0.0", "bus/dax").driver("kmem")).unwrap()
            },
            MEMORY,
            "dax0.0 is online as a part of the system's memory",
        ),
        (
            "a namespace of non-volatile memory",
            |tree| {
                tree.add(&below("virtio5/ndbus0/region0/namespace0.0", "bus/nd").driver("nd_pmem")).unwrap();
            },
            MEMORY,
            "the non-volatile memory namespace0.0 is in use",
        ),
        (
            "memory that other devices reach",
            |tree| {
                let at = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/p2pmem");
                tree.sys_file(&format!("{at}/size"), b"1048576\n").unwrap();
                tree.sys_file(&format!("{at}/available"), b"1044480\n").unwrap();
            },
            MEMORY,
            "other devices use its memory (p2pmem)",
        ),
    ];
    for (situation, build, kind, told) in rows {
        let mut tree = tree();
        build(&mut tree);
        let kernel = over(tree);
        is_needed(&kernel, situation, *kind, told);
    }
}

#[test]
fn what_the_host_does_not_use_of_all_that_keeps_nothing() {
    let rows: &[(&str, Build)] = &[
        ("a serial port that is no console", |tree| {
            tree.add(&below("tty/ttyS4", "class/tty").node(NodeKind::Char, 4, 68, "ttyS4")).unwrap();
            tree.file("proc/consoles", b"tty0 -WU (EC  p  ) 4:1\n").unwrap();
        }),
        ("a console on the board, whose port is called nearly as the function is", |tree| {
            let port = Device::new("devices/pnp0/00:04/00:04:0/00:04:0.0/tty/ttyS0", "class/tty");
            tree.add(&port.node(NodeKind::Char, 4, 64, "ttyS0")).unwrap();
            tree.file("proc/consoles", b"ttyS0 -W- (EC p a) 4:64\n").unwrap();
        }),
        ("another framebuffer, and a connector without a screen", |tree| {
            tree.add(&below("graphics/fb1", "class/graphics")).unwrap();
            tree.add(&below("drm/card1/card1-DP-1", "class/drm").attr("enabled", "disabled")).unwrap();
        }),
        ("a watchdog that does not run", |tree| {
            tree.add(&below("watchdog/watchdog0", "class/watchdog").attr("state", "inactive")).unwrap();
        }),
        ("memory for other devices that none uses", |tree| {
            let at = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/p2pmem");
            tree.sys_file(&format!("{at}/size"), b"4096\n").unwrap();
            tree.sys_file(&format!("{at}/available"), b"4096\n").unwrap();
        }),
        ("memory of a program", |tree| {
            tree.add(&below("virtio5/ndbus0/region0/dax0.1/dax0.0", "bus/dax").driver("device_dax")).unwrap();
        }),
    ];
    for (situation, build) in rows {
        let mut tree = tree();
        build(&mut tree);
        let kernel = over(tree);
        detach(&kernel, UNUSED, false).unwrap_or_else(|error| panic!("{situation}: {error}"));
    }
}

/// The list of what can be typed at: a power button, and a keyboard at each place.
fn input(keyboards: &[&str]) -> Vec<u8> {
    let mut list = "I: Bus=0019\nN: Name=\"Power Button\"\nS: Sysfs=/devices/LNXSYSTM:00/input/input0\nH: Handlers=kbd event0\n\n".to_owned();
    for path in keyboards {
        list += &format!(
            "I: Bus=0003\nN: Name=\"Keyboard\"\nS: Sysfs={path}\nH: Handlers=sysrq kbd leds event3\n\n"
        );
    }
    list.into_bytes()
}

#[test]
fn the_only_keyboard_is_noted_and_one_of_several_not() {
    let usb = format!("/devices/pci0000:00/{BRIDGE}/{UNUSED}/usb1/1-1/1-1:1.0/input/input5");
    for (keyboards, noted) in [
        (&[usb.as_str()][..], true),
        (&[&usb, &usb], true),
        (&[&usb, "/devices/platform/i8042/serio0/input/input2"], false),
        (&[], false),
    ] {
        let mut tree = tree();
        tree.file("proc/bus/input/devices", &input(keyboards)).unwrap();
        let kernel = over(tree);
        let told = explain(&kernel, UNUSED);
        let found = told.findings.iter().find(|finding| finding.kind == VITAL);
        assert_eq!(found.map(|found| found.effect), noted.then_some(Effect::Note), "{keyboards:?}");
        assert_eq!(told.verdict, Verdict::Possible);
        detach(&kernel, UNUSED, false).unwrap();
    }
}

#[test]
fn functions_of_the_chipset_are_refused_by_their_class_with_the_reason() {
    for (class, why) in [
        ("0x060000", Some("a host bridge")),
        ("0x060100", Some("a bridge to ISA or LPC")),
        ("0x060200", Some("a bridge to EISA")),
        ("0x050000", Some("a memory controller")),
        ("0x058000", Some("a memory controller")),
        ("0x080000", Some("an interrupt controller")),
        ("0x080200", Some("a timer")),
        ("0x080600", Some("an IOMMU")),
        ("0x088000", Some("a part of the chipset")),
        ("0x0C0500", Some("a controller of SMBus")),
        ("0x0c0701", Some("management controller")),
        ("0x0c8000", Some("the firmware can be behind it")),
        ("0x110100", Some("a counter or controller")),
        ("0x118000", Some("a counter or controller")),
        // Those are anybody's.
        ("0x080500", None),
        ("0x0c0330", None),
        ("0x020000", None),
        ("0x030000", None),
        ("0x0", None),
        ("garbage", None),
    ] {
        let tree = tree();
        let at = tree.root().join(format!("sys/bus/pci/devices/{UNUSED}"));
        std::fs::write(at.join("class"), format!("{class}\n")).unwrap();
        std::fs::write(at.join("reset"), "").unwrap();
        let kernel = over(tree);
        let Some(why) = why else {
            detach(&kernel, UNUSED, false).unwrap_or_else(|error| panic!("{class}: {error}"));
            continue;
        };
        let found = explain(&kernel, UNUSED).findings.remove(0);
        assert_eq!((found.kind, found.effect), (VITAL, Effect::RefusedUnlessForced), "{class}: {found:?}");
        for error in [
            detach(&kernel, UNUSED, false).unwrap_err(),
            program(&kernel).reset_with(&name(UNUSED), &ResetOptions::default()).unwrap_err(),
        ] {
            assert!(
                error.message().contains("is a vital part of the host") && error.message().contains(why),
                "{error}"
            );
            assert!(!error.help().unwrap().contains("--group"), "{error:?}");
        }
        detach(&kernel, UNUSED, true).unwrap();
    }
}

#[test]
fn a_card_of_a_class_that_the_chipset_has_too_is_anybodys() {
    // An endpoint of PCI Express, which the chipset's are not; and one that can be reset alone.
    let express = |space: &mut Vec<u8>, kind: u8| {
        space[0x06] = 0x10;
        space[0x34] = 0x40;
        space[0x40] = 0x10;
        space[0x42] = 2 | kind << 4;
    };
    for (kind, methods, refused) in
        [(Some(0), "pm bus", false), (None, "flr", false), (Some(9), "pm", true), (None, "", true)]
    {
        let tree = tree();
        let at = tree.root().join(format!("sys/bus/pci/devices/{UNUSED}"));
        let mut space = vec![0; 256];
        if let Some(kind) = kind {
            express(&mut space, kind);
        }
        std::fs::write(at.join("config"), space).unwrap();
        std::fs::write(at.join("class"), "0x058000\n").unwrap();
        std::fs::write(at.join("reset_method"), methods).unwrap();
        let kernel = over(tree);
        assert_eq!(detach(&kernel, UNUSED, false).is_err(), refused, "{kind:?} {methods}");
    }
}

/// A host with one IOMMU group, number 40, of functions by address, class and driver.
fn with_group(members: &[(&str, &str, Option<&str>)]) -> Arc<FakeKernel> {
    let mut tree = tree_with(&[]);
    for &(address, class, driver) in members {
        let device = driver.into_iter().fold(function(address), |device, driver| device.driver(driver));
        tree.add(&device).unwrap();
        let file = tree.root().join(format!("sys/bus/pci/devices/{address}/class"));
        std::fs::write(file, format!("{class}\n")).unwrap();
        tree.iommu_group(40, device.path()).unwrap();
    }
    over(tree)
}

#[test]
fn a_group_with_parts_of_the_chipset_is_told_of_and_nobody_is_led_to_detach_it() {
    let kernel = with_group(&[
        ("0000:06:00.0", "0x060100", Some("lpc_ich")),
        ("0000:06:00.3", "0x040300", Some("snd_hda_intel")),
        ("0000:06:00.4", "0x0c0500", Some("i801_smbus")),
        ("0000:06:00.5", "0x0c8000", None),
    ]);
    let error = detach(&kernel, "0000:06:00.3", false).unwrap_err();
    let help = error.help().unwrap();
    assert!(error.message().contains("shares IOMMU group 40"), "{error}");
    assert!(help.contains("0000:06:00.0 (a bridge to ISA or LPC)"), "{help}");
    assert!(help.contains("0000:06:00.4 (a controller of SMBus)"), "{help}");
    assert!(help.starts_with("--group would take vital parts of the host as well"), "{help}");
    let options = DetachOptions { group: true, ..DetachOptions::default() };
    let error = program(&kernel).detach_with(&name("0000:06:00.3"), &options).unwrap_err();
    assert!(error.message().contains("0000:06:00.0 is a vital part of the host"), "{error}");
    assert!(
        error.message().contains("so are of the devices to be detached 0000:06:00.4 (a controller of SMBus)"),
        "{error}"
    );
    assert_eq!(kernel.writes(), []);
}

#[test]
fn a_part_of_the_chipset_that_no_driver_has_is_in_no_groups_way() {
    let kernel = with_group(&[
        ("0000:06:00.0", "0x060000", None),
        ("0000:06:00.1", "0x030000", Some("amdgpu")),
        ("0000:06:00.2", "0x040300", Some("snd_hda_intel")),
    ]);
    let error = detach(&kernel, "0000:06:00.1", false).unwrap_err();
    assert!(error.help().unwrap().contains("--group"), "{error:?}");
    let options = DetachOptions { group: true, ..DetachOptions::default() };
    let plan = program(&kernel).detach_with(&name("0000:06:00.1"), &options).unwrap();
    assert_eq!((plan.outcome, plan.devices.len()), (Outcome::Changed, 2));
    assert_eq!(served(&kernel, "0000:06:00.0").0, None);
}

#[test]
fn a_program_that_drives_the_device_itself_keeps_it_whatever_is_wanted() {
    for (driver, node, folder) in
        [("uio_pci_generic", "/dev/uio0", "uio/uio0"), ("vfio-pci", "/dev/vfio/noiommu-8", "vfio-dev/vfio0")]
    {
        let mut tree = tree_with(&[PINNED]);
        let device =
            function(UNUSED).driver(driver).dir(folder).attr("reset", "").attr("reset_method", "flr");
        tree.add(&device).unwrap();
        tree.iommu_group(8, device.path()).unwrap();
        let kernel = over(tree);
        process(kernel.folder(), 4243, "dpdk-testpmd", &[node]);
        let host = program(&kernel);
        for error in [
            detach(&kernel, UNUSED, true).unwrap_err(),
            host.reset_with(&name(UNUSED), &ResetOptions { force: true, ..ResetOptions::default() })
                .unwrap_err(),
        ] {
            assert!(error.message().ends_with("PCI device 0000:04:00.0 is in use"), "{error}");
            let help = error.help().unwrap();
            assert!(help.contains("process 4243 (dpdk-testpmd)") && help.contains(node), "{help}");
        }
        assert_eq!(kernel.writes(), []);
    }
    // A virtual function, whose physical one it would lose.
    let (pf, vf) = ("0000:06:00.0", "0000:06:10.0");
    let mut host = tree_with(&[]);
    let program_s = function(vf).driver("igb_uio").dir("uio/uio3");
    host.add(&program_s).unwrap();
    let device = function(pf).driver("igb").link("virtfn0", program_s.path());
    host.add(&device).unwrap();
    host.iommu_group(30, device.path()).unwrap();
    let kernel = over(host);
    process(kernel.folder(), 4243, "dpdk-testpmd", &["/dev/uio3"]);
    let error = detach(&kernel, pf, true).unwrap_err();
    assert!(error.message().contains("has the virtual function 0000:06:10.0, which is in use"), "{error}");
    // Given to such a program by us, and taken back.
    let mut tree = tree();
    let at = format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/uio/uio0");
    tree.add(&Device::new(at, "class/uio")).unwrap();
    let kernel = over(tree);
    kernel.driver("uio_pci_generic", &[]).unwrap();
    let host = program(&kernel);
    host.detach_flags(&name(UNUSED), Some("uio_pci_generic"), 0).unwrap();
    process(kernel.folder(), 4243, "dpdk-testpmd", &["/dev/uio0"]);
    let error = host.reattach(&name(UNUSED)).unwrap_err();
    assert!(error.help().unwrap().contains("process 4243 (dpdk-testpmd)"), "{error:?}");
    assert_eq!(kernel.bound(UNUSED).as_deref(), Some("uio_pci_generic"));
}

#[test]
fn vfios_mode_without_an_iommu_is_told_of_and_no_guest_can_have_what_it_has() {
    let mut tree = tree_with(&[]);
    let device = function(UNUSED).driver("vfio-pci").dir("vfio-dev/vfio0");
    tree.add(&device).unwrap();
    tree.iommu_group(8, device.path()).unwrap();
    tree.sys_file("kernel/iommu_groups/8/name", b"vfio-noiommu\n").unwrap();
    let kernel = over(tree);
    let told = explain(&kernel, UNUSED);
    assert_eq!(told.verdict, Verdict::Impossible, "{told:?}");
    assert!(
        told.findings
            .iter()
            .any(|found| found.kind == FindingKind::NoIommuMode && found.problem.contains("noiommu-8"))
    );

    let mut tree = tree_with(&[]);
    tree.add(&function(UNUSED)).unwrap();
    tree.sys_file("module/vfio/parameters/enable_unsafe_noiommu_mode", b"Y\n").unwrap();
    let kernel = over(tree);
    let told = explain(&kernel, UNUSED);
    assert_eq!(told.verdict, Verdict::Impossible);
    assert!(told.findings.iter().any(|found| found.kind == FindingKind::NoIommuMode), "{told:?}");
}

#[test]
fn what_helps_without_an_iommu_is_what_helps_on_that_machine() {
    let cpu =
        |maker: &str, flags: &str| format!("processor : 0\nvendor_id\t: {maker}\nflags\t\t: fpu {flags}\n");
    for (architecture, processors, want) in [
        ("x86_64", cpu("GenuineIntel", "vmx"), "intel_iommu=on"),
        ("x86_64", cpu("AuthenticAMD", "svm"), "AMD-Vi"),
        ("x86_64", cpu("HygonGenuine", ""), "AMD-Vi"),
        ("x86_64", cpu("GenuineIntel", "hypervisor"), "this is a virtual machine"),
        ("aarch64", "processor\t: 0\n".into(), "SMMU"),
        ("s390x", "vendor_id       : IBM/S390\n".into(), "CONFIG_S390_IOMMU"),
        ("ppc64le", String::new(), "vfio_iommu_spapr_tce"),
        ("riscv64", String::new(), "riscv-iommu"),
        ("ia64", String::new(), "the firmware has to describe an IOMMU"),
    ] {
        let mut tree = Tree::in_memory().unwrap();
        tree.add(&function(UNUSED)).unwrap();
        tree.file("proc/sys/kernel/arch", format!("{architecture}\n").as_bytes()).unwrap();
        tree.file("proc/cpuinfo", processors.as_bytes()).unwrap();
        let error = program(&over(tree)).detach(&name(UNUSED)).unwrap_err();
        let help = error.help().unwrap();
        assert!(help.contains(want), "{architecture}: {help}");
        assert_eq!(
            help.contains("intel_iommu"),
            processors.contains("GenuineIntel"),
            "{architecture}: {help}"
        );
        let is_guest = processors.contains("hypervisor");
        assert_eq!(help.contains("this is a virtual machine"), is_guest, "{architecture}: {help}");
    }
}

#[test]
fn xens_first_domain_is_told_to_use_xens_own_driver() {
    for (file, content, first) in [
        ("proc/xen/capabilities", "control_d\n", true),
        ("proc/xen/capabilities", "", false),
        ("sys/hypervisor/type", "xen\n", false),
    ] {
        let mut tree = Tree::in_memory().unwrap();
        tree.add(&function(UNUSED)).unwrap();
        tree.file(file, content.as_bytes()).unwrap();
        let kernel = over(tree);
        kernel.driver("pciback", &[]).unwrap();
        let told = explain(&kernel, UNUSED);
        let found = told.findings.iter().find(|found| found.kind == FindingKind::OtherHypervisor).unwrap();
        assert_eq!(found.problem.contains("dom0"), first, "{found:?}");
        let error = program(&kernel).detach(&name(UNUSED)).unwrap_err();
        let help = error.help().unwrap();
        assert_eq!(help.contains("pciback"), first, "{help}");
        assert!(!help.contains("intel_iommu"), "{help}");
        program(&kernel).detach_flags(&name(UNUSED), Some("pciback"), 0).unwrap();
        assert_eq!(kernel.bound(UNUSED).as_deref(), Some("pciback"));
    }
}
