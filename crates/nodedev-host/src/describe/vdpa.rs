//! vDPA devices.

use nodedev_model::{Capability, Text, VdpaCapability};
use nodedev_sys::paths::{DEV, join};

use crate::kernel::KernelDevice;

/// The device node for guests is there while the device is bound to `vhost_vdpa`.
pub(super) fn describe(device: &KernelDevice<'_>) -> Capability {
    let names = device.folder().map(|folder| folder.names()).unwrap_or_else(|| Ok(Vec::new()));
    let names = names.unwrap_or_else(|error| {
        device.issues.error(&error);
        Vec::new()
    });
    let node = names.into_iter().filter(|name| name.starts_with(b"vhost-vdpa")).min();
    let chardev = node.and_then(|node| {
        let path = join(DEV.as_bytes(), &node);
        if device.is_there(&path) {
            return Some(Text::from([b"/", path.as_slice()].concat()));
        }
        device.issue("", format!("its device node /{} does not exist", Text::from(path)));
        None
    });
    Capability::Vdpa(VdpaCapability { chardev })
}
