//! Drivers that serve guests of themselves: what counts is what they do, not what they are called.

use std::sync::Arc;

use nodedev_driver::{
    DetachOptions, ExplainOptions, LibvirtCalls, Operations as _, ReattachOptions, ResetOptions,
};
use nodedev_model::{Effect, FindingKind, Outcome, Verdict};
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::Tree;

use crate::host::{ONE, TWO, UNUSED, function, is, name, over, process, program, served, tree_with};

/// Drivers of the host that provide VFIO, by names with and without the word.
const ITSELF: &[&str] =
    &["nvidia", "foo", "nvgrace_gpu_vfio_pci", "mlx5_vfio_pci", "pds-vfio-pci", "xe_vfio_pci"];

/// A function that a driver of the host serves for VFIO.
fn provided(driver: &str) -> Tree {
    let mut tree = tree_with(&[]);
    let device = function(UNUSED).driver(driver).dir("vfio-dev/vfio3").dir("nvidia");
    tree.add(&device).unwrap();
    tree.iommu_group(8, device.path()).unwrap();
    tree
}

fn kinds(kernel: &Arc<FakeKernel>) -> (Verdict, Option<String>, Vec<FindingKind>) {
    let told = program(kernel).explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
    (told.verdict, told.guest_driver, told.findings.iter().map(|finding| finding.kind).collect())
}

#[test]
fn a_device_that_a_driver_of_the_host_provides_for_vfio_stays_with_it() {
    for driver in ITSELF {
        let kernel = over(provided(driver));
        let before = is(Some(driver), "(null)");
        let host = program(&kernel);
        let plan = host.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap();
        assert_eq!((plan.outcome, plan.steps.len()), (Outcome::Unchanged, 0), "{driver}");
        let found = &plan.findings[0];
        assert_eq!((found.kind, found.effect), (FindingKind::ProvidesVfioItself, Effect::Note), "{driver}");
        assert!(found.problem.contains(driver), "{}", found.problem);
        // libvirt's clients succeed, as before; nothing is taken back either.
        host.detach(&name(UNUSED)).unwrap();
        host.reattach(&name(UNUSED)).unwrap();
        let back = host.reattach_with(&name(UNUSED), &ReattachOptions::default()).unwrap();
        assert_eq!(back.outcome, Outcome::Unchanged, "{driver}");
        assert_eq!((served(&kernel, UNUSED), kernel.writes().len()), (before, 0), "{driver}");
        let (verdict, guest, kinds) = kinds(&kernel);
        assert_eq!((verdict, guest.as_deref()), (Verdict::Possible, Some(*driver)));
        assert!(kinds.contains(&FindingKind::ProvidesVfioItself), "{kinds:?}");
        assert!(!kinds.contains(&FindingKind::Detached), "{kinds:?}");
    }
}

#[test]
fn it_is_taken_from_its_driver_only_by_name_and_by_force() {
    for driver in ITSELF {
        let kernel = over(provided(driver));
        let host = program(&kernel);
        let options = DetachOptions { kernel_driver: Some("vfio-pci".into()), ..DetachOptions::default() };
        for error in [
            host.detach_with(&name(UNUSED), &options).unwrap_err(),
            host.detach_flags(&name(UNUSED), Some("vfio-pci"), 0).unwrap_err(),
        ] {
            let told = format!("is served for VFIO by driver {driver} of the host itself");
            assert!(error.message().contains(&told), "{error}");
            assert!(error.help().unwrap().contains("leave out the driver"), "{error}");
        }
        assert_eq!(kernel.writes(), []);
        // By force, alone, it stays as it is.
        let forced = DetachOptions { force: true, ..DetachOptions::default() };
        assert_eq!(host.detach_with(&name(UNUSED), &forced).unwrap().outcome, Outcome::Unchanged);
        let forced = DetachOptions { force: true, ..options };
        assert_eq!(host.detach_with(&name(UNUSED), &forced).unwrap().outcome, Outcome::Changed);
        assert_eq!(served(&kernel, UNUSED), is(Some("vfio-pci"), "vfio-pci"));
        host.reattach(&name(UNUSED)).unwrap();
        assert_eq!(served(&kernel, UNUSED), is(Some(driver), "(null)"));
    }
}

#[test]
fn a_guest_that_has_it_open_keeps_it_from_everybody() {
    let kernel = over(provided("nvidia"));
    process(kernel.folder(), 42, "qemu", &["/dev/vfio/devices/vfio3"]);
    let host = program(&kernel);
    let forced =
        DetachOptions { kernel_driver: Some("vfio-pci".into()), force: true, ..DetachOptions::default() };
    for error in [
        host.detach_with(&name(UNUSED), &forced).unwrap_err(),
        host.detach(&name(UNUSED)).unwrap_err(),
        host.reset_with(&name(UNUSED), &ResetOptions::default()).unwrap_err(),
    ] {
        assert!(error.message().ends_with("PCI device 0000:04:00.0 is in use"), "{error}");
        assert!(error.help().unwrap().contains("process 42 (qemu)"), "{error}");
    }
    assert_eq!(kinds(&kernel).0, Verdict::Impossible);
}

#[test]
fn a_driver_for_vfio_that_was_named_for_the_device_is_detached_and_is_given_back() {
    // Named by an override and made for such devices as the modules say, or only that.
    let aliases = "alias vfio_pci:v00008086d000010C9sv*sd*bc*sc*i* mlx5_vfio_pci\n";
    for (driver, driver_override) in [("mlx5_vfio_pci", "mlx5_vfio_pci"), ("mlx5_vfio_pci", "(null)")] {
        let mut tree = tree_with(&[]);
        let device = function(UNUSED).driver(driver).dir("vfio-dev/vfio3");
        tree.add(&device.attr("driver_override", driver_override)).unwrap();
        tree.file("lib/modules/6.12.0/modules.alias", aliases.as_bytes()).unwrap();
        tree.iommu_group(8, &format!("devices/pci0000:00/{}/{UNUSED}", crate::host::BRIDGE)).unwrap();
        let kernel = over(tree);
        kernel.driver("igb", &[UNUSED]).unwrap();
        assert!(kinds(&kernel).2.contains(&FindingKind::Detached), "{driver}");
        let host = program(&kernel);
        let plan = host.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap();
        assert_eq!(plan.outcome, Outcome::Unchanged, "{driver}");
        host.reattach(&name(UNUSED)).unwrap();
        assert_eq!(served(&kernel, UNUSED), is(Some("igb"), "(null)"), "{driver}");
    }
}

#[test]
fn a_driver_whose_name_has_the_word_is_one_of_the_host_if_it_provides_nothing() {
    let mut tree = tree_with(&[ONE]);
    let device = function(UNUSED).driver("no_vfio_here");
    tree.add(&device).unwrap();
    let kernel = over(tree);
    let host = program(&kernel);
    let (_, guest, kinds) = kinds(&kernel);
    assert_eq!(guest.as_deref(), Some("vfio-pci"));
    assert!(!kinds.contains(&FindingKind::Detached) && !kinds.contains(&FindingKind::ProvidesVfioItself));
    // It needs no IOMMU, which this device does not have.
    host.detach_flags(&name(UNUSED), Some("igb"), 0).unwrap();
    host.detach_flags(&name(UNUSED), Some("no_vfio_here"), 0).unwrap();
    assert_eq!(served(&kernel, UNUSED), is(Some("no_vfio_here"), "no_vfio_here"));
}

#[test]
fn a_driver_that_is_to_be_bound_is_for_vfio_if_the_modules_say_so() {
    for (aliases, holders, refused) in [
        ("alias vfio_pci:v00001234d*sv*sd*bc*sc*i* xe_vfio_pci\n", false, true),
        ("", true, true),
        ("", false, false),
    ] {
        let mut tree = tree_with(&[ONE, TWO]);
        tree.add(&function(UNUSED)).unwrap();
        tree.file("lib/modules/6.12.0/modules.alias", aliases.as_bytes()).unwrap();
        if holders {
            tree.link("module/vfio_pci_core/holders/xe_vfio_pci", "module/xe_vfio_pci").unwrap();
        }
        let kernel = over(tree);
        kernel.driver("xe_vfio_pci", &[]).unwrap();
        let told = program(&kernel).detach_flags(&name(UNUSED), Some("xe_vfio_pci"), 0);
        assert_eq!(told.is_err_and(|error| error.code().0 == 74), refused, "{aliases}{holders}");
    }
}
