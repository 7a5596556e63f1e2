//! Devices that do not answer: their configuration space reads as ones only.

use nodedev_driver::{
    DetachOptions, Devices as _, ExplainOptions, LibvirtCalls, Operations as _, View, XmlFlags,
};
use nodedev_model::{Capability, Effect, FindingKind, PciPower, Verdict};
use nodedev_testkit::tree::{Device, Tree};

use crate::host::{BRIDGE, PINNED, UNUSED, function, name, over, program, tree, tree_with};

/// A function with the attributes that tell of its power, as far as they are there.
fn with_power(device: Device, state: Option<&str>, status: Option<&str>) -> Device {
    let device = state.into_iter().fold(device, |device, state| device.attr("power_state", state));
    status.into_iter().fold(device, |device, status| device.attr("power/runtime_status", status))
}

fn silence(tree: &Tree, address: &str) {
    let config = tree.root().join(format!("sys/bus/pci/devices/{address}/config"));
    std::fs::write(config, vec![0xff; 4096]).unwrap();
}

/// A host with a function that does not answer.
fn silent(state: Option<&str>, status: Option<&str>) -> Tree {
    let mut tree = tree_with(&[PINNED]);
    let device = with_power(function(UNUSED).driver("igb"), state, status);
    tree.add(&device).unwrap();
    tree.iommu_group(8, device.path()).unwrap();
    silence(&tree, UNUSED);
    tree
}

#[test]
fn a_device_that_does_not_answer_sleeps_is_dead_or_nobody_knows_and_no_guest_can_have_it() {
    for (state, status, why, help) in [
        (Some("D3cold"), Some("suspended"), "it sleeps (D3cold)", "power/control"),
        (Some("D3hot"), None, "it sleeps (D3hot)", "power/control"),
        (None, Some("suspended"), "it sleeps (suspended)", "power/control"),
        (Some("unknown"), Some("suspended"), "it sleeps (suspended)", "power/control"),
        (Some("D3cold"), Some("error"), "the kernel could not wake it", "start the machine cold"),
        (
            Some("D0"),
            Some("active"),
            "it should be awake, so it is dead or was unplugged",
            "start the machine cold",
        ),
        (Some("D0"), Some("unsupported"), "it should be awake, so it is dead", "start the machine cold"),
        (None, None, "the kernel does not say which", "power/control"),
        (Some("unknown"), None, "the kernel does not say which", "power/control"),
    ] {
        let kernel = over(silent(state, status));
        let driver = program(&kernel);
        let told = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        assert_eq!(told.verdict, Verdict::Impossible, "{state:?} {status:?}: {told:?}");
        let found = &told.findings[0];
        assert_eq!((found.kind, found.effect), (FindingKind::NoAnswer, Effect::Refused));
        assert!(found.problem.contains(why), "{}", found.problem);
        assert!(found.remedy.as_deref().unwrap().contains(help), "{found:?}");
        let error = driver.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
        assert_eq!((error.code().0, error.message().contains(&found.problem)), (55, true), "{error}");
        // One that answers is not in the way, whatever it is said of it.
        driver.detach_with(&name(PINNED), &DetachOptions::default()).unwrap();
        // It is woken first: what becomes of it else nobody knows.
        let forced = DetachOptions { force: true, ..DetachOptions::default() };
        assert_eq!(driver.detach_with(&name(UNUSED), &forced).unwrap_err(), error);
        assert!(kernel.writes().iter().all(|(path, _)| !path.contains(UNUSED)));
    }
}

#[test]
fn bridges_that_do_not_answer_are_told_of_and_are_no_bridges_to_conventional_pci() {
    let tree = tree();
    for address in [BRIDGE, crate::host::ONE] {
        let folder = tree.root().join(format!("sys/bus/pci/devices/{address}"));
        std::fs::create_dir(folder.join("power")).unwrap();
        std::fs::write(folder.join("power_state"), "D3cold\n").unwrap();
        std::fs::write(folder.join("power/runtime_status"), "suspended\n").unwrap();
        silence(&tree, address);
    }
    let kernel = over(tree);
    let told = program(&kernel).explain(&name(crate::host::ONE), &ExplainOptions::default()).unwrap();
    let problems: Vec<&str> = told.findings.iter().map(|finding| finding.problem.as_str()).collect();
    let own = "PCI device 0000:03:00.0 does not answer, nor does the bridge 0000:00:1c.0 above it: it sleeps (D3cold)";
    assert!(problems.contains(&own), "{problems:?}");
    let bridge = "the bridge 0000:00:1c.0 does not answer: it sleeps (D3cold)";
    assert!(problems.iter().any(|problem| problem.starts_with(bridge)), "{problems:?}");
    assert!(!problems.iter().any(|problem| problem.contains("conventional")), "{problems:?}");
    // A bridge stays one, by its class.
    let error = program(&kernel).detach_with(&name(BRIDGE), &DetachOptions::default()).unwrap_err();
    assert!(error.message().contains("is a bridge"), "{error}");
}

#[test]
fn power_is_shown_natively_and_never_in_libvirts_documents() {
    let power = |state: Option<&str>, status: Option<&str>, answers| {
        let text = |text: Option<&str>| text.map(Into::into);
        Some(PciPower { state: text(state), runtime_status: text(status), answers })
    };
    let mut tree = silent(Some("D3cold"), Some("suspended"));
    tree.add(&with_power(function("0000:06:00.0"), Some("D0"), Some("active"))).unwrap();
    let kernel = over(tree);
    let driver = program(&kernel);
    for (address, want) in [
        (UNUSED, power(Some("D3cold"), Some("suspended"), Some(false))),
        ("0000:06:00.0", power(Some("D0"), Some("active"), Some(true))),
        (PINNED, None),
    ] {
        let device = driver.device(&name(address)).unwrap();
        let Capability::Pci(pci) = &device.capabilities[0] else { panic!() };
        assert_eq!(pci.power, want, "{address}");
        let xml = String::from_utf8(driver.xml(&name(address), XmlFlags::empty()).unwrap()).unwrap();
        assert!(!xml.contains("D3") && !xml.contains("suspended") && !xml.contains("power"), "{xml}");
    }
    let mut seen = 0;
    let issues = driver
        .visit(View::Native, &mut |device| {
            seen += usize::from(
                matches!(&device.capabilities[..], [Capability::Pci(pci)] if pci.power.is_some()),
            );
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen, 2);
    let of_config: Vec<&str> = issues
        .iter()
        .filter(|issue| issue.path.ends_with("config"))
        .map(|issue| issue.problem.as_str())
        .collect();
    assert_eq!(of_config, ["the device does not answer (power state D3cold)"]);
}
