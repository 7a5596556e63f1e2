//! What guests have of what is below a function: mediated devices, by their groups.

use nodedev_model::{Effect, FindingKind, PciAddress};
use nodedev_sys::paths::{IOMMU_GROUPS, basename, follow};

use super::Scene;
use super::claims::{Claim, Claims};
use super::scene::told;
use crate::operations::Result;

/// Claims of guests on devices below functions that are in groups of their own.
pub(super) fn groups(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    for (group, holder) in scene.open_groups()? {
        let folder = format!("{IOMMU_GROUPS}/{group}/devices").into_bytes();
        for link in scene.host.link_targets(&folder)?.unwrap_or_default() {
            let path = follow(&folder, &link);
            // A function itself is in use only if a driver for VFIO has it, and is looked for by its own nodes.
            if PciAddress::from_bytes(basename(&path)).is_ok() {
                continue;
            }
            let device = String::from_utf8_lossy(basename(&path)).into_owned();
            claims.add(Claim {
                kind: FindingKind::InUse,
                effect: Effect::Refused,
                what: format!("has the device {device}, which a guest uses: {}", told(holder)),
                remedy: "stop that process, or take the device from its guest".into(),
                path,
            });
        }
    }
    Ok(())
}
