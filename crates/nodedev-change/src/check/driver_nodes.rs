//! Nodes of drivers that no device in sysfs has: they belong to all functions that such a driver serves.

use std::collections::HashMap;

use nodedev_sys::open_files::OpenFile;
use nodedev_sys::paths::{NVIDIA_DEVICES, basename, join};

use super::Scene;
use crate::Result;

const SMALL: usize = 64 << 10;
/// A driver, and what the names of its nodes begin with below `/dev`.
const OWN_NODES: &[(&str, &str)] = &[
    // NVIDIA's own: nvidia0, nvidiactl, nvidia-uvm, nvidia-modeset, nvidia-caps/… .
    ("nvidia", "nvidia"),
    // One node for all of AMD's graphics cards.
    ("amdgpu", "kfd"),
];

/// Whether a driver has nodes that are no device's.
pub(super) fn has_own(driver: &str) -> bool {
    OWN_NODES.iter().any(|(known, _)| *known == driver)
}

/// Paths of the functions that a file belongs to by its driver alone.
pub(super) fn functions(scene: &Scene<'_>, file: &OpenFile) -> Result<Vec<Vec<u8>>> {
    let Some(name) = file.name() else { return Ok(Vec::new()) };
    let Some((driver, _)) = OWN_NODES.iter().find(|(_, prefix)| name.starts_with(prefix.as_bytes())) else {
        return Ok(Vec::new());
    };
    let served = scene.functions().served_by(driver)?;
    let Some(minor) = name.strip_prefix(driver.as_bytes()).and_then(number) else {
        return Ok(served.to_vec());
    };
    // A node of one device, where the driver says of which.
    let minors = scene.minors(&served)?;
    let of_it = |path: &&Vec<u8>| minors.get(*path).is_some_and(|found| *found == Some(minor));
    let of_it: Vec<_> = served.iter().filter(of_it).cloned().collect();
    let is_told = served.iter().all(|path| minors.get(path).is_some_and(Option::is_some));
    Ok(if is_told || !of_it.is_empty() { of_it } else { served.to_vec() })
}

/// The numbers of the nodes of devices, as their driver tells.
pub(super) fn minors(scene: &Scene<'_>, served: &[Vec<u8>]) -> Result<HashMap<Vec<u8>, Option<u32>>> {
    served.iter().map(|path| Ok((path.clone(), minor_of(scene, basename(path))?))).collect()
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The number of a device's node, as its driver tells.
fn minor_of(scene: &Scene<'_>, address: &[u8]) -> Result<Option<u32>> {
    let file = join(&join(NVIDIA_DEVICES.as_bytes(), address), b"information");
    let told = scene.host.read(&file, SMALL)?.unwrap_or_default();
    let line = told.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Device Minor:"));
    Ok(line.and_then(|value| number(value.trim_ascii())))
}
