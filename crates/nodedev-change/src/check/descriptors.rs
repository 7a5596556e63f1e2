//! Devices that a process has by a descriptor alone, which VFIO made of them: it was given that by another process, or has closed the
//! group's node since.

use std::collections::HashSet;

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};
use nodedev_sys::attribute_value;
use nodedev_sys::open_files::{Process, vfio_node};
use nodedev_sys::paths::{IOMMU_GROUPS, MDEV_DEVICES, basename, join};

use super::claims::functions_above;
use super::lookup::devices_in;
use super::scene::{group_of_node, who};
use super::{Intent, Scene, finding};
use crate::group::Group;
use crate::{PciFunction, Result};

const SMALL: usize = 64;
/// How often a function was enabled and not disabled since. VFIO's drivers enable it for those who have it open.
const ENABLED: &str = "enable";
const REMEDY: &str =
    "stop that process, or look at what it has open (lsof -p); --force takes the device without knowing";

/// The name under which a holder of a device's descriptor is looked for, as it is told: `VFIO's descriptor of 0000:04:00.0`.
pub(super) fn of_device(name: &[u8]) -> String {
    format!("VFIO's descriptor of {}", String::from_utf8_lossy(name))
}

/// Descriptors of which the kernel does not say what device they are of, and what they can be of.
#[derive(Debug, Default)]
pub(crate) struct Unexplained {
    /// The first process with more of them than the groups that it has open account for; absent if there is none.
    by: Option<String>,
    /// Functions with a mediated device that nobody has by its group.
    parents: HashSet<PciAddress>,
}

impl Unexplained {
    pub(super) fn of(scene: &Scene<'_>) -> Result<Self> {
        let mut by = None;
        for process in &scene.open_files()?.processes {
            let untold = process.vfio_devices.iter().filter(|device| device.is_none()).count();
            if untold > 0 && untold > devices_of_groups(scene, process)? {
                by = Some(who(process.pid, &process.command));
                break;
            }
        }
        let mut parents = HashSet::new();
        if by.is_some() {
            let open = scene.open_groups()?;
            for path in devices_in(scene.host, MDEV_DEVICES)? {
                let group = scene.host.read_link(&join(&path, b"iommu_group"))?;
                let number = group.and_then(|group| Group::number_in(&group));
                if number.is_none_or(|number| !open.contains_key(&number)) {
                    parents.extend(functions_above(&path));
                }
            }
        }
        Ok(Self { by, parents })
    }
}

/// How many devices a process can have by the groups that it has open.
fn devices_of_groups(scene: &Scene<'_>, process: &Process) -> Result<usize> {
    let nodes: HashSet<String> =
        process.files.iter().filter_map(|file| vfio_node(scene.host, file)).collect();
    let mut count = 0;
    for number in nodes.iter().filter_map(|node| group_of_node(node)) {
        let folder = format!("{IOMMU_GROUPS}/{number}/devices").into_bytes();
        for path in devices_in(scene.host, &folder)? {
            let is_served = match PciAddress::from_bytes(basename(&path)) {
                Ok(address) => scene.functions().is_bound_to_vfio(&PciFunction::new(address))?,
                Err(_) => true,
            };
            count += usize::from(is_served);
        }
    }
    Ok(count)
}

/// Whether a function that nobody is known to have may be that of a descriptor of which nobody knows.
pub(super) fn may_be_in_use(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let unexplained = scene.unexplained()?;
    let Some(by) = &unexplained.by else { return Ok(Vec::new()) };
    let mut candidates = vec![intent.function.clone()];
    candidates.extend_from_slice(&scene.functions().files(intent.function)?.virtual_functions);
    for function in candidates {
        let is_parent = unexplained.parents.contains(&function.address);
        if !is_parent && !may_be_open(scene, &function)? {
            continue;
        }
        let whose = if is_parent { "a mediated device of it" } else { "it" };
        let problem = format!(
            "it is not known whether PCI device {} is in use: {by} has a device by a descriptor of VFIO alone, and the kernel does not \
             say whether that is {whose}",
            function.address
        );
        return Ok(vec![finding(FindingKind::Unknown, Effect::RefusedUnlessForced, problem, REMEDY)]);
    }
    Ok(Vec::new())
}

/// Whether somebody may have a function that VFIO serves, and of whom nothing is known.
fn may_be_open(scene: &Scene<'_>, function: &PciFunction) -> Result<bool> {
    if !scene.functions().is_bound_to_vfio(function)? || scene.holder(&scene.vfio_nodes(function)?)?.is_some()
    {
        return Ok(false);
    }
    let enabled = scene.host.read(&function.file(ENABLED), SMALL)?;
    Ok(enabled.is_none_or(|enabled| attribute_value(&enabled) != b"0"))
}
