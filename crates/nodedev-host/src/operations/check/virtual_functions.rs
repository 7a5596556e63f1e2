//! The virtual functions of a physical one, which go when its driver lets go of it.

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};
use nodedev_sys::paths::basename;

use super::scene::told;
use super::{Intent, NEEDED, Scene, claims, finding};
use crate::operations::{PciFunction, Result};

/// Virtual functions end when the driver of their physical function lets go of it.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let count = functions_of(scene, intent.function)?.len();
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
    for function in functions_of(scene, intent.function)? {
        if let Some(holder) = scene.holder(&scene.vfio_nodes(&function)?)? {
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
        let below = claims::of_guests(scene, &Intent { function: &function, ..*intent })?;
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
    for function in functions_of(scene, intent.function)? {
        let address = function.address;
        for check in NEEDED {
            let found = check(scene, &Intent { function: &function, ..*intent })?;
            findings.extend(found.into_iter().map(|finding| match finding.kind {
                FindingKind::Unknown => finding,
                _ => of_virtual(intent, address, finding),
            }));
        }
    }
    Ok(findings)
}

fn functions_of(scene: &Scene<'_>, function: &PciFunction) -> Result<Vec<PciFunction>> {
    let names = scene.host.names(&function.file(""))?.unwrap_or_default();
    let mut functions = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(b"virtfn")) {
        let link = scene.host.read_link(&function.file(&String::from_utf8_lossy(name)))?;
        let address = link.and_then(|link| PciAddress::from_bytes(basename(&link)).ok());
        functions.extend(address.map(PciFunction::new));
    }
    Ok(functions)
}
