//! What the kernel cannot do with the device.

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::paths::IOMMU_GROUPS;

use super::{Intent, Scene, finding, user_space};
use crate::{PciFunction, Result};

/// libvirt's words for a host without an IOMMU.
const NO_VFIO: &str = "VFIO device assignment is currently not supported on this system";

pub(super) fn bridge(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let problem =
        format!("PCI device {} is a bridge, and only endpoints can be given to a guest", function.address);
    let remedy = "detach the devices behind it";
    let found = scene.functions().is_bridge(function)?;
    Ok(found.then(|| finding(FindingKind::Bridge, Effect::Refused, problem, remedy)).into_iter().collect())
}

pub(super) fn no_override(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    if !scene.host.is_changeable() {
        // Older recordings have no such file, whatever their kernel had.
        return Ok(Vec::new());
    }
    let missing = function.attribute(scene.host, "driver_override")?.is_none();
    let problem = format!("the kernel has no driver_override for PCI device {}", function.address);
    let remedy = "it needs Linux 3.16 or later";
    Ok(missing
        .then(|| finding(FindingKind::NoOverride, Effect::Refused, problem, remedy))
        .into_iter()
        .collect())
}

pub(super) fn iommu(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    match intent.chosen {
        Some(chosen) if scene.is_for_vfio(intent.function, chosen)? => {
            Ok(iommu_off(scene, intent.function)?.into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// A driver of the host that serves guests of itself, and is to be replaced by another: what guests get of it ends, and does
/// not come back with the driver.
pub(super) fn provides_vfio(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let Some(driver) = scene.host_provider(intent.function)? else { return Ok(Vec::new()) };
    if intent.chosen.is_none_or(|chosen| chosen.driver == driver) {
        return Ok(vec![provides_vfio_itself(&driver)]);
    }
    let problem = format!(
        "PCI device {} is served for VFIO by driver {driver} of the host itself",
        intent.function.address
    );
    let remedy = "leave out the driver: guests get it as it is; with --force it is lost for them, and may not come back when the \
                  driver does";
    Ok(vec![finding(FindingKind::ProvidesVfioItself, Effect::RefusedUnlessForced, problem, remedy)])
}

/// What is told of a device that nothing need be done with.
pub(crate) fn provides_vfio_itself(driver: &str) -> Finding {
    Finding {
        kind: FindingKind::ProvidesVfioItself,
        effect: Effect::Note,
        problem: format!(
            "driver {driver} of the host provides VFIO for it itself: it stays with that driver, and guests get it as it is"
        ),
        remedy: None,
    }
}

/// Whether there is an IOMMU for a function, without which VFIO takes none.
fn iommu_off(scene: &Scene<'_>, function: &PciFunction) -> Result<Option<Finding>> {
    if let Some(group) = scene.functions().group(function)? {
        if !user_space::is_without_iommu(scene.host, &group)? {
            return Ok(None);
        }
        let problem =
            format!("VFIO has PCI device {} without an IOMMU: no guest can have it", function.address);
        return Ok(Some(finding(FindingKind::IommuOff, Effect::Refused, problem, scene.advice()?)));
    }
    let others = scene.host.names(IOMMU_GROUPS.as_bytes())?.unwrap_or_default();
    Ok(Some(if others.is_empty() {
        finding(FindingKind::IommuOff, Effect::Refused, NO_VFIO, scene.advice()?)
    } else {
        finding(
            FindingKind::IommuOff,
            Effect::Refused,
            format!("PCI device {} is in no IOMMU group", function.address),
            "no IOMMU of this machine is responsible for it; another slot may have one",
        )
    }))
}

/// A driver of the host would not notice that its device has forgotten everything.
pub(super) fn host_driver(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(driver) = scene.functions().driver(function)? else { return Ok(Vec::new()) };
    if scene.functions().is_kept(function)? {
        return Ok(Vec::new());
    }
    let problem = format!("PCI device {} is in use by driver {driver} of the host", function.address);
    let remedy = "detach it first; with --force the host loses what it does with the device";
    Ok(vec![finding(FindingKind::HostDriver, Effect::RefusedUnlessForced, problem, remedy)])
}

/// A module that is not loaded: it will be.
pub(super) fn module(_: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let module = intent.chosen.and_then(|chosen| chosen.module.as_ref());
    let note = |module: &String| Finding {
        kind: FindingKind::ModuleNotLoaded,
        effect: Effect::Note,
        problem: format!("the kernel module {module} is not loaded, and is when the device is detached"),
        remedy: None,
    };
    Ok(module.map(note).into_iter().collect())
}
