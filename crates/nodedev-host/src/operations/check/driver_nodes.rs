//! Nodes of drivers that no device in sysfs has: they belong to all functions that such a driver serves.

use nodedev_sys::open_files::OpenFile;
use nodedev_sys::paths::{NVIDIA_DEVICES, basename, join};

use super::Scene;
use crate::operations::Result;

const SMALL: usize = 64 << 10;
/// A driver, and what the names of its nodes begin with below `/dev`.
const OWN_NODES: &[(&str, &str)] = &[
    // NVIDIA's own: nvidia0, nvidiactl, nvidia-uvm, nvidia-modeset, nvidia-caps/… .
    ("nvidia", "nvidia"),
    // One node for all of AMD's graphics cards.
    ("amdgpu", "kfd"),
];

/// Paths of the functions that a file belongs to by its driver alone.
pub(super) fn functions(scene: &Scene<'_>, file: &OpenFile) -> Result<Vec<Vec<u8>>> {
    let Some(name) = file.name() else { return Ok(Vec::new()) };
    let Some((driver, _)) = OWN_NODES.iter().find(|(_, prefix)| name.starts_with(prefix.as_bytes())) else {
        return Ok(Vec::new());
    };
    let mut served = scene.functions().served_by(driver)?;
    if let Some(minor) = name.strip_prefix(driver.as_bytes()).and_then(number) {
        // A node of one device, where the driver says of which.
        let mut of_it = Vec::new();
        let mut is_told = true;
        for path in &served {
            match minor_of(scene, basename(path))? {
                Some(found) if found == minor => of_it.push(path.clone()),
                Some(_) => {}
                None => is_told = false,
            }
        }
        if is_told || !of_it.is_empty() {
            served = of_it;
        }
    }
    Ok(served)
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
