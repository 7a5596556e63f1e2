//! The other devices of the IOMMU group.

use nodedev_model::{Effect, Finding, FindingKind};

use super::scene::{group_nodes, told};
use super::{Intent, Scene, descriptors, finding, vital};
use crate::operations::function::KEEPERS;
use crate::operations::{PciFunction, Result};

/// Drivers of the host that leave the DMA of their devices to guests (kernel, `driver_managed_dma`), besides those that only
/// keep a device.
const HARMLESS: &[&str] = &["pcieport", "shpchp"];

/// Whether a driver leaves the DMA of its devices to guests, or only keeps them from everybody.
pub(super) fn is_harmless(driver: &str) -> bool {
    HARMLESS.contains(&driver) || KEEPERS.contains(&driver)
}

/// How many other members of a group are named: there are hosts with all in one.
const MOST_TOLD: usize = 8;

/// VFIO gives a guest a whole group or nothing of it: whatever else is in it must not be the host's.
pub(super) fn group_shared(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(chosen) = intent.chosen else { return Ok(Vec::new()) };
    if !scene.drivers().is_for_vfio(function, chosen)? {
        return Ok(Vec::new());
    }
    let Some(group) = scene.functions().group(function)? else { return Ok(Vec::new()) };
    let (mut others, mut used) = (Vec::new(), Vec::new());
    for member in
        group.members.iter().filter(|member| !intent.together.contains(member) && *member != function)
    {
        if let Some(driver) = host_driver(scene, member)? {
            others.push(format!("{} ({driver})", member.address));
            used.push(member.clone());
        }
    }
    if others.is_empty() {
        return Ok(Vec::new());
    }
    let told = match others.len().checked_sub(MOST_TOLD) {
        None | Some(0) => others.join(", "),
        Some(more) => format!("{} and {more} more", others[..MOST_TOLD].join(", ")),
    };
    let vital = vital::named(scene.host, used.iter())?;
    let remedy = if vital.is_empty() {
        "detach the whole group with --group; --force detaches this device alone".to_owned()
    } else {
        format!(
            "--group would take vital parts of the host as well: {}; put the card into another slot, or leave it to the host",
            vital.join(", ")
        )
    };
    let effect = if intent.strict { Effect::RefusedUnlessForced } else { Effect::Warning };
    Ok(vec![finding(
        FindingKind::GroupShared,
        effect,
        format!(
            "PCI device {} shares IOMMU group {} with {}, which the host still uses: no guest can have it alone",
            function.address, group.number, told
        ),
        remedy,
    )])
}

/// The driver with which the host uses a function; `None` if it does not.
fn host_driver(scene: &Scene<'_>, function: &PciFunction) -> Result<Option<String>> {
    let Some(driver) = scene.functions().driver(function)? else { return Ok(None) };
    let is_harmless = HARMLESS.contains(&driver.as_str())
        || function.is_stub(scene.host, &driver)?
        || scene.functions().is_bridge(function)?;
    Ok((!is_harmless).then_some(driver))
}

/// While a guest has one device of a group, the kernel lets no driver of the host have another.
pub(super) fn group_held(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(group) = scene.functions().group(function)? else { return Ok(Vec::new()) };
    let mut nodes = group_nodes(&group).to_vec();
    for member in &group.members {
        nodes.extend(scene.own_nodes(member)?);
        nodes.push(descriptors::of_device(member.address.to_string().as_bytes()));
    }
    let held = |holder| {
        finding(
            FindingKind::GroupHeld,
            Effect::Refused,
            format!(
                "a guest has another device of IOMMU group {}, so the host cannot have PCI device {}",
                group.number, function.address
            ),
            format!("{}: stop it, or take the device from its guest", told(holder)),
        )
    };
    Ok(scene.holder(&nodes)?.map(held).into_iter().collect())
}
