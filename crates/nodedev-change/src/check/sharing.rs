//! The other devices of the IOMMU group.

use nodedev_model::{Effect, Finding, FindingKind};

use super::scene::{group_nodes, told};
use super::{Intent, Scene, descriptors, finding, vital};
use crate::function::KEEPERS;
use crate::group::Group;
use crate::{PciFunction, Result};

/// Drivers of the host that leave the DMA of their devices to guests (kernel, `driver_managed_dma`), besides those that only
/// keep a device.
const HARMLESS: &[&str] = &["pcieport", "shpchp"];

/// Whether a driver leaves the DMA of its devices to guests, or only keeps them from everybody.
pub(super) fn is_harmless(driver: &str) -> bool {
    HARMLESS.contains(&driver) || KEEPERS.contains(&driver)
}

/// How many other members of a group are named: there are hosts with all in one.
pub(super) const MOST_TOLD: usize = 8;

/// Some things of which the first are named, as they are told.
pub(super) fn listed(named: &[String], count: usize) -> String {
    match count.saturating_sub(MOST_TOLD) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named[..MOST_TOLD].join(", ")),
    }
}

/// The members of a group that the host uses.
#[derive(Debug, Default)]
pub(crate) struct Users {
    /// All of them, sorted, each with its driver.
    used: Vec<(PciFunction, String)>,
    /// Places of those that the host lives by.
    vital: Vec<usize>,
}

impl Users {
    pub(super) fn of(scene: &Scene<'_>, group: &Group) -> Result<Self> {
        let mut users = Self::default();
        for member in &group.members {
            if let Some(driver) = host_driver(scene, member)? {
                if scene.functions().vital(member)?.is_some() {
                    users.vital.push(users.used.len());
                }
                users.used.push((member.clone(), driver));
            }
        }
        Ok(users)
    }

    /// How many there are besides some, which are sorted.
    fn besides(&self, some: &[&PciFunction]) -> usize {
        let is_known =
            |function: &&&PciFunction| self.used.binary_search_by(|(user, _)| user.cmp(function)).is_ok();
        self.used.len() - some.iter().filter(is_known).count()
    }
}

/// VFIO gives a guest a whole group or nothing of it: whatever else is in it must not be the host's.
pub(super) fn group_shared(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(chosen) = intent.chosen else { return Ok(Vec::new()) };
    if !scene.is_for_vfio(function, chosen)? {
        return Ok(Vec::new());
    }
    let Some(group) = scene.functions().group(function)? else { return Ok(Vec::new()) };
    let users = scene.users(&group)?;
    // What is handed over as well is none of the host's then.
    let mut taken: Vec<&PciFunction> = intent.together.iter().chain([function]).collect();
    taken.sort_unstable();
    taken.dedup();
    let count = users.besides(&taken);
    if count == 0 {
        return Ok(Vec::new());
    }
    let is_other = |member: &PciFunction| taken.binary_search(&member).is_err();
    let others = users.used.iter().filter(|(member, _)| is_other(member)).take(MOST_TOLD);
    let others: Vec<_> = others.map(|(member, driver)| format!("{} ({driver})", member.address)).collect();
    let told = listed(&others, count);
    let vital = users.vital.iter().map(|place| &users.used[*place].0).filter(|member| is_other(member));
    let remedy = match vital::named(scene, vital)? {
        None => "detach the whole group with --group; --force detaches this device alone".to_owned(),
        Some(vital) => format!(
            "--group would take vital parts of the host as well: {vital}; put the card into another slot, or leave it to the host"
        ),
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
    let functions = scene.functions();
    let Some(driver) = functions.driver(function)? else { return Ok(None) };
    let is_harmless = HARMLESS.contains(&driver.as_str())
        || functions.is_kept(function)?
        || functions.is_bridge(function)?;
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
