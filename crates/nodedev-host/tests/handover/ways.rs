//! Devices go to guests and come back.

use std::sync::Arc;

use nodedev_driver::{DetachOptions, LibvirtCalls, Operations as _, ReattachOptions};
use nodedev_model::{HandoverState, Outcome, StepAction};
use nodedev_testkit::fake_kernel::FakeKernel;

use crate::host::{
    BRIDGE, ONE, PINNED, TWO, UNUSED, detached, function, group, host, is, journal, message, name, over,
    program, served, tree, tree_with,
};

#[test]
fn what_was_there_is_what_comes_back() {
    for (address, before) in
        [(TWO, is(Some("igb"), "(null)")), (UNUSED, is(None, "(null)")), (PINNED, is(Some("uio"), "uio"))]
    {
        let kernel = host();
        let driver = program(&kernel);
        assert_eq!(served(&kernel, address), before);
        driver.detach(&name(address)).unwrap();
        assert_eq!(served(&kernel, address), detached(), "{address}");
        assert_eq!(journal(&driver), [(address.to_owned(), HandoverState::Detached)]);
        // By another program, which knows only the journal.
        program(&kernel).reattach(&name(address)).unwrap();
        assert_eq!(served(&kernel, address), before, "{address}");
        assert_eq!(journal(&driver), []);
    }
}

#[test]
fn a_driver_that_the_kernel_would_not_choose_comes_back_all_the_same() {
    let mut tree = tree();
    let device = function("0000:06:00.0").driver("chosen_by_hand");
    tree.add(&device).unwrap();
    tree.iommu_group(10, device.path()).unwrap();
    let kernel = over(tree);
    kernel.driver("natural", &["0000:06:00.0"]).unwrap();
    let driver = program(&kernel);
    driver.detach(&name("0000:06:00.0")).unwrap();
    driver.reattach(&name("0000:06:00.0")).unwrap();
    assert_eq!(served(&kernel, "0000:06:00.0"), is(Some("chosen_by_hand"), "(null)"));
}

#[test]
fn detaching_again_for_another_driver_keeps_what_is_given_back() {
    let kernel = host();
    kernel.driver("pci-stub", &[]).unwrap();
    let driver = program(&kernel);
    driver.detach(&name(UNUSED)).unwrap();
    driver.detach(&name(UNUSED)).unwrap();
    driver.detach_flags(&name(UNUSED), Some("pci-stub"), 0).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(Some("pci-stub"), "pci-stub"));
    driver.reattach(&name(UNUSED)).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(None, "(null)"));
}

#[test]
fn what_is_so_already_is_unchanged_and_nothing_is_written() {
    let kernel = host();
    let driver = program(&kernel);
    driver.detach(&name(UNUSED)).unwrap();
    let writes = kernel.writes().len();
    let options = DetachOptions::default();
    assert_eq!(driver.detach_with(&name(UNUSED), &options).unwrap().outcome, Outcome::Unchanged);
    let options = ReattachOptions::default();
    assert_eq!(driver.reattach_with(&name(ONE), &options).unwrap().outcome, Outcome::Unchanged);
    assert_eq!(kernel.writes().len(), writes);
}

#[test]
fn a_dry_run_writes_nothing_and_tells_what_is_then_written() {
    let kernel = host();
    let driver = program(&kernel);
    let (detach, reattach) = group();
    let dry = DetachOptions { dry_run: true, ..detach.clone() };
    let planned = driver.detach_with(&name(ONE), &dry).unwrap();
    assert_eq!(planned.outcome, Outcome::Planned);
    assert_eq!(kernel.writes(), []);
    assert!(!kernel.folder().join("run/nodedev").exists());
    let done = driver.detach_with(&name(ONE), &detach).unwrap();
    assert_eq!(done.outcome, Outcome::Changed);
    assert_eq!((&planned.steps, &planned.undo), (&done.steps, &done.undo));
    let told: Vec<_> = planned
        .steps
        .iter()
        .map(|step| step.file.rsplit('/').next().map(|file| (file.to_owned(), format!("{}\n", step.value))))
        .collect();
    let written: Vec<_> = kernel
        .writes()
        .into_iter()
        .map(|(file, value)| file.rsplit('/').next().map(|file| (file.to_owned(), value)))
        .collect();
    assert_eq!(told, written);
    let dry = ReattachOptions { dry_run: true, ..reattach.clone() };
    let planned = driver.reattach_with(&name(TWO), &dry).unwrap();
    assert_eq!(planned.steps.len(), 8);
    assert_eq!(served(&kernel, ONE), detached());
    let done = driver.reattach_with(&name(TWO), &reattach).unwrap();
    assert_eq!(planned.steps, done.steps);
    assert_eq!(
        (served(&kernel, ONE), served(&kernel, TWO)),
        (is(Some("igb"), "(null)"), is(Some("igb"), "(null)"))
    );
}

#[test]
fn a_device_that_somebody_else_detached_goes_where_the_kernel_puts_it() {
    let mut tree = tree();
    let stranger = "0000:06:00.0";
    tree.add(&function(stranger).driver("vfio-pci").attr("driver_override", "vfio-pci")).unwrap();
    let kernel = over(tree);
    kernel.driver("e1000e", &[stranger]).unwrap();
    let driver = program(&kernel);
    driver.reattach(&name(stranger)).unwrap();
    assert_eq!(served(&kernel, stranger), is(Some("e1000e"), "(null)"));
    assert_eq!(journal(&driver), []);
}

#[test]
fn a_device_that_was_unplugged_and_plugged_in_again_is_given_back_and_another_one_is_not_mistaken_for_it() {
    for (replaced, want) in [(false, is(Some("uio"), "uio")), (true, is(Some("natural"), "(null)"))] {
        let kernel = host();
        kernel.driver("natural", &[PINNED]).unwrap();
        let driver = program(&kernel);
        driver.detach(&name(PINNED)).unwrap();
        kernel.unplug(PINNED).unwrap();
        let error = driver.reattach(&name(PINNED)).unwrap_err();
        assert_eq!(error.code().0, 38, "{error}");
        assert!(error.message().starts_with("Device 0000:05:00.0 not found: could not access"), "{error}");
        assert_eq!(driver.handovers().unwrap().entries[0].current, None);
        let mut again = nodedev_testkit::tree::Tree::create(kernel.folder()).unwrap();
        let path = format!("devices/pci0000:00/{BRIDGE}/{PINNED}");
        let card = if replaced { function(PINNED).link("x", "devices") } else { function(PINNED) };
        again.add(&card.attr("driver_override", "(null)")).unwrap();
        if replaced {
            std::fs::write(kernel.folder().join("sys").join(&path).join("device"), "0x9999\n").unwrap();
        }
        nodedev_sys::HostAccess::write(&*kernel, b"sys/bus/pci/drivers_probe", PINNED.as_bytes()).unwrap();
        assert_eq!(served(&kernel, PINNED), is(Some("natural"), "(null)"));
        driver.reattach(&name(PINNED)).unwrap();
        assert_eq!(served(&kernel, PINNED), want, "replaced: {replaced}");
        assert_eq!(journal(&driver), []);
    }
}

#[test]
fn entries_of_another_boot_are_dropped() {
    let kernel = host();
    let driver = program(&kernel);
    driver.detach(&name(UNUSED)).unwrap();
    std::fs::write(kernel.folder().join("proc/sys/kernel/random/boot_id"), "another\n").unwrap();
    assert_eq!(driver.recover_handovers().unwrap().len(), 1);
    assert_eq!(journal(&driver), []);
    assert_eq!(served(&kernel, UNUSED), detached(), "what another boot did is not undone");
}

#[test]
fn modules_are_loaded_where_the_driver_or_the_original_one_is_missing() {
    let kernel = host();
    kernel.module("mlx5_vfio_pci", "mlx5-vfio");
    let driver = program(&kernel);
    let options = DetachOptions { kernel_driver: Some("mlx5-vfio-pci".into()), ..DetachOptions::default() };
    let dry = driver.detach_with(&name(UNUSED), &DetachOptions { dry_run: true, ..options.clone() }).unwrap();
    assert_eq!((dry.steps[0].action, dry.steps[0].value.as_str()), (StepAction::LoadModule, "mlx5_vfio_pci"));
    let done = driver.detach_with(&name(UNUSED), &options).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(Some("mlx5-vfio"), "mlx5-vfio"));
    assert_eq!(done.devices[0].after.as_ref().unwrap().kernel_driver.as_deref(), Some("mlx5-vfio"));
    // Its driver was a module's, which somebody unloads meanwhile.
    driver.detach(&name(UNUSED)).unwrap();
    assert_eq!(served(&kernel, UNUSED), detached());
    driver.reattach(&name(UNUSED)).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(None, "(null)"));
}

#[test]
fn a_named_driver_has_no_module_loaded_but_one_with_a_driver_of_pci() {
    let mut tree = tree();
    tree.file(
        "lib/modules/6.12.0/modules.dep",
        b"kernel/net/dccp/dccp.ko:\nkernel/fs/ext4/ext4.ko.xz:\nkernel/drivers/net/e1000e.ko:\nkernel/drivers/pci/pci-stub.ko:\n",
    )
    .unwrap();
    tree.file(
        "lib/modules/6.12.0/modules.alias",
        b"alias net-pf-2-proto-0-type-6 dccp\nalias fs-ext4 ext4\nalias char-major-89-* i2c_dev\n\
          alias pci:v00008086d*sv*sd*bc*sc*i* e1000e\nalias vfio_pci:v000015B3d*sv*sd*bc*sc*i* mlx5-vfio-pci\n",
    )
    .unwrap();
    let kernel = over(tree);
    for (module, driver) in [
        ("dccp", "dccp"),
        ("ext4", "ext4"),
        ("fs_ext4", "fs-ext4"),
        ("char_major_89_1", "char-major-89-1"),
        ("e1000e", "e1000e"),
        ("pci_stub", "pci-stub"),
    ] {
        kernel.module(module, driver);
    }
    for name_of_it in ["dccp", "ext4", "fs-ext4", "fs_ext4", "char-major-89-1", "net-pf-2-proto-0-type-6"] {
        let error = program(&kernel).detach_flags(&name(UNUSED), Some(name_of_it), 0).unwrap_err();
        assert!(error.message().contains("does not implement any pci driver"), "{name_of_it}: {error}");
    }
    assert_eq!(kernel.writes(), [], "no module was loaded");
    for driver in ["e1000e", "pci-stub"] {
        program(&kernel).detach_flags(&name(UNUSED), Some(driver), 0).unwrap();
        assert_eq!(kernel.bound(UNUSED).as_deref(), Some(driver));
    }
    // What is not there is said in modprobe's words.
    let error = program(&kernel).detach_flags(&name(PINNED), Some("nosuch"), 0).unwrap_err();
    assert!(error.message().contains("Module nosuch not found"), "{error}");
}

#[test]
fn the_drivers_module_of_the_host_is_loaded_again_to_give_a_device_back() {
    let kernel = host();
    kernel.module("e1000e", "e1000e");
    nodedev_sys::HostAccess::load_module(&*kernel, "e1000e").unwrap();
    let write = |path: String, value: &str| {
        nodedev_sys::HostAccess::write(&*kernel, path.as_bytes(), value.as_bytes()).unwrap();
    };
    write(format!("sys/bus/pci/devices/{UNUSED}/driver_override"), "e1000e\n");
    write("sys/bus/pci/drivers_probe".into(), UNUSED);
    write(format!("sys/bus/pci/devices/{UNUSED}/driver_override"), "\n");
    let driver = program(&kernel);
    driver.detach(&name(UNUSED)).unwrap();
    std::fs::remove_dir_all(kernel.folder().join("sys/bus/pci/drivers/e1000e")).unwrap();
    std::fs::remove_dir_all(kernel.folder().join("sys/module/e1000e")).unwrap();
    let dry = ReattachOptions { dry_run: true, ..ReattachOptions::default() };
    let planned = driver.reattach_with(&name(UNUSED), &dry).unwrap();
    assert_eq!(
        (planned.steps[0].action, planned.steps[0].value.as_str()),
        (StepAction::LoadModule, "e1000e")
    );
    driver.reattach(&name(UNUSED)).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(Some("e1000e"), "(null)"));

    driver.detach(&name(UNUSED)).unwrap();
    std::fs::remove_dir_all(kernel.folder().join("sys/bus/pci/drivers/e1000e")).unwrap();
    std::fs::remove_dir_all(kernel.folder().join("sys/module/e1000e")).unwrap();
    kernel.remove_module("e1000e");
    let error = driver.reattach(&name(UNUSED)).unwrap_err();
    assert!(
        error.message().contains("the original driver e1000e is not there, and cannot be loaded"),
        "{error}"
    );
    assert!(error.help().is_some_and(|help| !help.contains("vfio-pci")), "{error:?}");
    assert_eq!(served(&kernel, UNUSED), detached());
}

#[test]
fn the_variant_driver_that_the_modules_name_is_taken() {
    let mut tree = tree();
    let aliases = b"alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n\
                    alias vfio_pci:v00008086d000010C9sv*sd*bc*sc*i* igb_vfio_pci\n";
    tree.file("lib/modules/6.12.0/modules.alias", aliases).unwrap();
    let kernel = over(tree);
    kernel.module("igb_vfio_pci", "igb-vfio-pci");
    program(&kernel).detach(&name(UNUSED)).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(Some("igb-vfio-pci"), "igb-vfio-pci"));
}

#[test]
fn the_driver_that_fits_every_device_is_called_by_its_name_before_its_module_is_loaded() {
    let mut tree = tree();
    tree.file("lib/modules/6.12.0/modules.alias", b"alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci\n").unwrap();
    let kernel = Arc::new(FakeKernel::over(tree).unwrap());
    kernel.module("vfio_pci", "vfio-pci");
    let driver = program(&kernel);
    let dry = DetachOptions { dry_run: true, ..DetachOptions::default() };
    let planned = driver.detach_with(&name(UNUSED), &dry).unwrap();
    let done = driver.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap();
    assert_eq!(planned.steps, done.steps);
    assert_eq!(served(&kernel, UNUSED), detached());
}

#[test]
fn bad_input_is_refused_in_libvirts_words_and_nothing_is_written() {
    let kernel = host();
    let driver = program(&kernel);
    let unused = name(UNUSED);
    let unknown =
        |module: &str, why: &str| format!("internal error: Failed to load PCI driver module {module}: {why}");
    let missing = "modprobe: FATAL: Module nosuch_driver not found in directory /lib/modules/6.12.0";
    let no_name = "that is no name of a kernel driver";
    for (device, kernel_driver, code, domain, text) in [
        (
            "nosuch",
            None,
            53,
            22,
            "Node device not found: no node device with matching name 'nosuch'".to_owned(),
        ),
        ("computer", None, 8, 20, "invalid argument: device computer is not a PCI device".to_owned()),
        (
            &unused,
            Some("kvm"),
            74,
            10,
            "argument unsupported: 'legacy KVM' device assignment is no longer supported on this system"
                .to_owned(),
        ),
        (&unused, Some("nosuch-driver"), 1, 0, unknown("nosuch_driver", missing)),
        (&unused, Some("../../x"), 1, 0, unknown("../../x", no_name)),
        (&unused, Some("-r"), 1, 0, unknown("_r", no_name)),
        (&unused, Some(""), 1, 0, unknown("", no_name)),
    ] {
        let error = driver.detach_flags(device, kernel_driver, 0).unwrap_err();
        assert_eq!(message(&error), (code, domain, text.as_str()), "{device} {kernel_driver:?}");
    }
    assert_eq!(driver.reattach("computer").unwrap_err().code().0, 8);
    assert_eq!(kernel.writes(), []);
    assert_eq!(journal(&driver), []);
}

#[test]
fn devices_of_a_recording_are_planned_for_and_never_changed() {
    let kernel = host();
    let recording = nodedev_host::HostDriver::new(nodedev_sys::Root::open(kernel.folder()).unwrap());
    // libvirt's clients are told what a daemon without these calls says.
    assert_eq!(recording.detach(&name(UNUSED)).unwrap_err().code().0, 3);
    assert_eq!(recording.reattach(&name(UNUSED)).unwrap_err().code().0, 3);
    assert_eq!(recording.reset(&name(UNUSED)).unwrap_err().code().0, 3);
    let error = recording.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert_eq!(error.code().0, 84, "{error}");
    assert_eq!(recording.forget_handover(UNUSED).unwrap_err().code().0, 84);
    let dry = DetachOptions { dry_run: true, ..DetachOptions::default() };
    assert_eq!(recording.detach_with(&name(UNUSED), &dry).unwrap().steps.len(), 2);
    assert_eq!(kernel.writes(), []);
}

#[test]
fn a_damaged_entry_is_reported_refused_and_can_be_forgotten() {
    for content in ["", "{", "[]", "{\"version\":1}", "\u{0}\u{1}", &"[".repeat(100_000)] {
        let kernel = host();
        let driver = program(&kernel);
        driver.detach(&name(UNUSED)).unwrap();
        let path = kernel.folder().join(format!("run/nodedev/handover/{UNUSED}.json"));
        let good = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let shown = driver.handovers().unwrap();
        assert_eq!((shown.entries.len(), shown.issues.len()), (0, 1));
        let error = driver.reattach(&name(UNUSED)).unwrap_err();
        assert!(!error.message().is_empty());
        assert!(error.help().is_some_and(|help| help.contains("nodedev handover forget")), "{error:?}");
        assert_eq!(served(&kernel, UNUSED), detached());
        // Another device is not concerned.
        driver.detach(&name(PINNED)).unwrap();
        assert!(driver.forget_handover(UNUSED).unwrap());
        assert!(!driver.forget_handover(&name(UNUSED)).unwrap());
        assert!(driver.forget_handover("nosuch").is_err());
        for (what, with) in [
            ("\"version\": 2", "\"version\": 3"),
            ("0000:04:00.0\"", "0000:04:00.1\""),
            ("vfio-pci\"", "../x\""),
        ] {
            std::fs::write(&path, good.replace(what, with)).unwrap();
            assert_eq!(driver.handovers().unwrap().issues.len(), 1, "{what}");
        }
    }
}

#[test]
fn two_programs_at_once_leave_a_device_whole() {
    let kernel = host();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let driver = program(&kernel);
                for _ in 0..10 {
                    driver.detach(&name(PINNED)).unwrap();
                    driver.reattach(&name(PINNED)).unwrap();
                }
            });
        }
    });
    assert_eq!(served(&kernel, PINNED), is(Some("uio"), "uio"));
    assert_eq!(journal(&program(&kernel)), []);
}

#[test]
fn many_detached_devices_make_no_operation_longer() {
    let mut tree = tree_with(&[]);
    let addresses: Vec<String> =
        (0..40).map(|slot| format!("0000:{:02x}:{:02x}.0", 0x20 + slot / 32, slot % 32)).collect();
    for (number, address) in addresses.iter().enumerate() {
        let device = function(address).driver("igb");
        tree.add(&device).unwrap();
        tree.iommu_group(100 + number as u32, device.path()).unwrap();
    }
    let kernel = over(tree);
    let driver = program(&kernel);
    let mut steps = Vec::new();
    for address in &addresses {
        kernel.restart();
        driver.detach(&name(address)).unwrap();
        steps.push(kernel.steps());
    }
    // The first one looks for what was interrupted.
    assert!(steps[1..].iter().all(|count| *count == steps[1]), "{steps:?}");
    assert_eq!(journal(&driver).len(), addresses.len());
}
