//! Devices by the folder that lists them.

use nodedev_sys::HostAccess;
use nodedev_sys::paths::follow;

use crate::Result;

/// Paths of all devices of a class or a bus, by its folder of links.
pub(super) fn devices_in(host: &dyn HostAccess, folder: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
    let folder = folder.as_ref();
    let links = host.link_targets(folder)?.unwrap_or_default();
    Ok(links.iter().map(|link| follow(folder, link)).collect())
}

/// Whether bytes can be the name of a device: they are one component of a path.
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'/') && !matches!(name, b"." | b"..")
}
