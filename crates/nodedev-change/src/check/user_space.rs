//! Programs that drive a device themselves: through `uio`, or VFIO without an IOMMU.

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::attribute_value;
use nodedev_sys::open_files::OpenFile;
use nodedev_sys::paths::{DEV, IOMMU_GROUPS, VFIO_WITHOUT_IOMMU};

use super::{Intent, Scene};
use crate::group::Group;
use crate::{PciFunction, Result};

const SMALL: usize = 64;
/// The name of the groups that VFIO makes where there is no IOMMU.
const NO_IOMMU: &[u8] = b"vfio-noiommu";

/// The nodes of `uio` through which a program drives a function, as DPDK does.
pub(super) fn uio_nodes(host: &dyn HostAccess, function: &PciFunction) -> Result<Vec<String>> {
    let names = host.names(&function.file("uio"))?.unwrap_or_default();
    Ok(names.iter().map(|name| format!("/{DEV}/{}", String::from_utf8_lossy(name))).collect())
}

/// The node of `uio` that an open file is, by its name.
pub(super) fn uio_node(file: &OpenFile) -> Option<String> {
    let name = file.name().filter(|name| name.starts_with(b"uio"))?;
    Some(format!("/{DEV}/{}", String::from_utf8_lossy(name)))
}

/// Whether a group is one that VFIO made where there is no IOMMU.
pub(super) fn is_without_iommu(host: &dyn HostAccess, group: &Group) -> Result<bool> {
    let name = host.read(format!("{IOMMU_GROUPS}/{}/name", group.number).as_bytes(), SMALL)?;
    Ok(name.is_some_and(|name| attribute_value(&name) == NO_IOMMU))
}

/// Whether VFIO takes the device without an IOMMU.
pub(super) fn mode(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let note = |problem: String| Finding {
        kind: FindingKind::NoIommuMode,
        effect: Effect::Note,
        problem,
        remedy: Some(
            "turn the IOMMU on, and the mode off (enable_unsafe_noiommu_mode of the module vfio)".into(),
        ),
    };
    let danger = "what a program gets reaches all of the machine's memory, and no guest can have it";
    if let Some(group) = scene.functions().group(function)? {
        let problem = format!(
            "VFIO has PCI device {} without an IOMMU (noiommu-{}): {danger}",
            function.address, group.number
        );
        return Ok(is_without_iommu(scene.host, &group)?.then(|| note(problem)).into_iter().collect());
    }
    let on = scene.host.read(VFIO_WITHOUT_IOMMU.as_bytes(), SMALL)?;
    let is_on = on.is_some_and(|on| attribute_value(&on) == b"Y");
    Ok(is_on
        .then(|| note(format!("VFIO takes devices without an IOMMU here: {danger}")))
        .into_iter()
        .collect())
}
