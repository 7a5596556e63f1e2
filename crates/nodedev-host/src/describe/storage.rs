//! Disks and other block devices.

use nodedev_model::{Capability, RemovableMedia, StorageCapability, StorageMedia, Text};

use super::{Describer, software};
use crate::kernel::KernelDevice;
use crate::number;
use crate::storage_class::{self, DriveClass};

pub(super) fn describe(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let class = storage_class::libvirt_class(device);
    // libvirt asks only drives of these kinds.
    let is_asked = matches!(class, Some(DriveClass::Cdrom { .. } | DriveClass::Floppy { .. }));
    let removable = (is_asked || context.is_native) && device.number("removable", 0, number::i32) == Some(1);
    let block = device.devnode().unwrap_or_else(|| [b"/dev/", device.sysname()].concat().into());
    Capability::Storage(Box::new(StorageCapability {
        block,
        bus: device.property("ID_BUS").map(Text::from),
        drive_type: class
            .map(|class| class.as_str().into())
            .or_else(|| device.property("ID_TYPE").map(Text::from)),
        model: padded_text(device, "device/model"),
        vendor: padded_text(device, "device/vendor"),
        serial: storage_class::serial(device),
        media: media(device, class, removable),
        removable,
        hotpluggable: false,
        software: context.is_native.then(|| software::block(device)).flatten(),
    }))
}

/// An attribute that SCSI pads with blanks. One of nothing but blanks is there and empty, as in libvirt.
fn padded_text(device: &KernelDevice<'_>, name: &str) -> Option<Text> {
    device.clean_text(name).map(|text| text.trim_ascii_end().into())
}

/// The size, and what libvirt asks of the medium. It asks only drives of some kinds whether that is removable.
fn media(device: &KernelDevice<'_>, class: Option<DriveClass>, removable: bool) -> StorageMedia {
    let medium = match class {
        Some(DriveClass::Cdrom { medium } | DriveClass::Floppy { medium }) => medium,
        _ => {
            let (logical_block_size, num_blocks, size) = size(device);
            return StorageMedia::Fixed { size, logical_block_size, num_blocks };
        }
    };
    if !medium {
        return if removable {
            StorageMedia::Removable(RemovableMedia::default())
        } else {
            StorageMedia::default()
        };
    }
    let (logical_block_size, num_blocks, size) = size(device);
    if !removable {
        // It has a size for a medium that is removable only.
        return StorageMedia::Fixed { size: 0, logical_block_size, num_blocks };
    }
    let label = device.property("ID_FS_LABEL").map(Text::from);
    StorageMedia::Removable(RemovableMedia { available: true, size, label, logical_block_size, num_blocks })
}

/// Logical block size, number of 512-byte units, and their product, which libvirt takes for the size.
fn size(device: &KernelDevice<'_>) -> (u64, u64, u64) {
    let logical_block_size = device.number("queue/logical_block_size", 0, number::wrapping_u64).unwrap_or(0);
    let num_blocks = device.number("size", 0, number::wrapping_u64).unwrap_or(0);
    (logical_block_size, num_blocks, logical_block_size.wrapping_mul(num_blocks))
}
