//! DRM minors.

use nodedev_model::{Capability, DrmCapability, DrmKind};

use crate::classify::drm_minor_kind;
use crate::kernel::KernelDevice;

/// The kind goes by the minor as in libvirt; beyond the minors that it knows, by the name.
pub(super) fn describe(device: &KernelDevice<'_>) -> Capability {
    let by_name = || match device.sysname() {
        name if name.starts_with(b"renderD") => DrmKind::Render,
        name if name.starts_with(b"controlD") => DrmKind::Control,
        _ => DrmKind::Primary,
    };
    Capability::Drm(DrmCapability { kind: drm_minor_kind(device).unwrap_or_else(by_name) })
}
