//! The virtual functions of a physical one, which go when its driver lets go of it.

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};

use super::scene::told;
use super::{Intent, NEEDED, Scene, claims, finding};
use crate::Result;

/// Virtual functions end when the driver of their physical function lets go of it.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let count = scene.functions().files(intent.function)?.virtual_functions.len();
    if count == 0 {
        return Ok(Vec::new());
    }
    let address = intent.function.address;
    let text = format!("PCI device {address} has virtual functions ({count}), which go with its driver");
    let remedy = "they are not made again when it is given back";
    Ok(vec![finding(FindingKind::VirtualFunctions, Effect::Warning, text, remedy)])
}

/// What happens to a physical function happens to the guests that have virtual ones of it.
pub(super) fn in_use(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    for function in &scene.functions().files(intent.function)?.virtual_functions {
        if let Some(holder) = scene.holder(&scene.vfio_nodes(function)?)? {
            return Ok(vec![finding(
                FindingKind::VirtualFunctions,
                Effect::Refused,
                format!(
                    "PCI device {} has the virtual function {}, which is in use",
                    intent.function.address, function.address
                ),
                format!("{}: stop it, or take the device from its guest", told(holder)),
            )]);
        }
        let below = claims::of_guests(scene, &Intent { function, ..*intent })?;
        if let Some(found) = below.into_iter().next() {
            return Ok(vec![of_virtual(intent, function.address, found)]);
        }
    }
    Ok(Vec::new())
}

/// What was found of a virtual function, told of the physical one.
fn of_virtual(intent: &Intent<'_>, address: PciAddress, finding: Finding) -> Finding {
    let physical = intent.function.address;
    let problem = finding.problem.replacen(&format!("PCI device {address} "), "", 1);
    let problem = format!("PCI device {physical} has the virtual function {address}, which {problem}");
    Finding { problem, ..finding }
}

/// What the host needs of virtual functions, it needs of their physical one.
pub(super) fn needed(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for function in &scene.functions().files(intent.function)?.virtual_functions {
        let address = function.address;
        for check in NEEDED {
            let found = check(scene, &Intent { function, ..*intent })?;
            findings.extend(found.into_iter().map(|finding| match finding.kind {
                FindingKind::Unknown => finding,
                _ => of_virtual(intent, address, finding),
            }));
        }
    }
    Ok(findings)
}
