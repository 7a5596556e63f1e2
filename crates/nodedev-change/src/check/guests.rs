//! What guests have of what is below a function: mediated devices, by their groups and by descriptors of VFIO.

use nodedev_model::{Effect, FindingKind, PciAddress};
use nodedev_sys::paths::{IOMMU_GROUPS, basename, join};

use super::claims::{Claim, Claims};
use super::lookup::devices_in;
use super::scene::{Holder, told};
use super::{Scene, descriptors};
use crate::Result;
use crate::group::Group;

/// Claims of guests on devices below functions that are in groups of their own.
pub(super) fn groups(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let open = scene.open_groups()?;
    for (group, holder) in &open {
        let folder = format!("{IOMMU_GROUPS}/{group}/devices").into_bytes();
        for path in devices_in(scene.host, &folder)? {
            // A function itself is in use only if a driver for VFIO has it, and is looked for by its own nodes.
            if PciAddress::from_bytes(basename(&path)).is_ok() {
                continue;
            }
            claims.add(used(path, holder));
        }
    }
    for process in &scene.open_files()?.processes {
        for path in process.vfio_devices.iter().flatten() {
            let name = basename(path);
            let group = scene.host.read_link(&join(path, b"iommu_group"))?;
            let is_told = group
                .and_then(|group| Group::number_in(&group))
                .is_some_and(|number| open.contains_key(&number));
            if is_told || PciAddress::from_bytes(name).is_ok() {
                continue;
            }
            let (pid, command) = (process.pid, process.command.clone());
            claims.add(used(path.clone(), &Holder { pid, command, node: descriptors::of_device(name) }));
        }
    }
    Ok(())
}

fn used(path: Vec<u8>, holder: &Holder) -> Claim {
    let device = String::from_utf8_lossy(basename(&path)).into_owned();
    Claim {
        kind: FindingKind::InUse,
        effect: Effect::Refused,
        what: format!("has the device {device}, which a guest uses: {}", told(holder)),
        remedy: "stop that process, or take the device from its guest".into(),
        path,
    }
}
