//! Whether a device has the types that are nested in its own, for lists: no more is read than tells.

use nodedev_driver::ListFlags;
use nodedev_model::{Capability, CapabilityType};
use nodedev_sys::Root;
use nodedev_sys::paths::join;

use super::{ccw, mdev, pci, scsi};
use crate::kernel::{Issues, KernelDevice};

/// The types that devices of this type can have besides.
pub(crate) fn possible(kind: CapabilityType) -> ListFlags {
    use CapabilityType as T;
    match kind {
        T::Pci => ListFlags::CAP_MDEV_TYPES | ListFlags::CAP_VPD,
        T::ScsiHost => ListFlags::CAP_FC_HOST | ListFlags::CAP_VPORTS,
        T::Css | T::ApMatrix => ListFlags::CAP_MDEV_TYPES,
        T::Ccw => ListFlags::CAP_CCWGROUP_MEMBER,
        _ => ListFlags::empty(),
    }
}

/// Those of the `wanted` types that the device at `path` has now. The number of the error where nobody knows, since no more files may be
/// open.
pub(crate) fn present(
    root: &Root,
    kind: CapabilityType,
    path: &[u8],
    subsystem: &[u8],
    wanted: ListFlags,
) -> Result<ListFlags, i32> {
    let issues = Issues::default();
    let device = KernelDevice::with_uevent(root, path, subsystem, &issues, Vec::new());
    let mut found = ListFlags::empty();
    let wanted = wanted & possible(kind);
    // Few functions have the file, and that is told by one call.
    if wanted.contains(ListFlags::CAP_VPD) && device.is_there(&join(path, b"vpd")) {
        found.set(ListFlags::CAP_VPD, pci::vital_product_data(&device).is_some());
    }
    if wanted.contains(ListFlags::CAP_MDEV_TYPES) {
        found.set(ListFlags::CAP_MDEV_TYPES, !mdev::types(&device).is_empty());
    }
    // Of these there are few, and their description is little more than the answer.
    let described = match kind {
        CapabilityType::ScsiHost => Some(scsi::host(&device)),
        CapabilityType::Ccw => Some(ccw::device(&device)),
        _ => None,
    };
    for kind in described.iter().flat_map(Capability::kinds) {
        found |= ListFlags::capability(kind) & wanted;
    }
    issues.exhausted().map_or(Ok(found), Err)
}
