//! Which block devices libvirt shows, and as what kind of drive: decided by udev's properties and the node's name.

use nodedev_model::Text;

use crate::kernel::KernelDevice;
use crate::number;

/// A kind of drive that libvirt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DriveClass {
    /// An optical drive, with a medium in it or not.
    Cdrom { medium: bool },
    /// A floppy drive, with a readable medium in it or not.
    Floppy { medium: bool },
    /// A disk.
    Disk,
    /// A memory card.
    Sd,
    /// An s390 disk.
    Dasd,
}

impl DriveClass {
    /// libvirt's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Cdrom { .. } => "cdrom",
            Self::Floppy { .. } => "floppy",
            Self::Disk => "disk",
            Self::Sd => "sd",
            Self::Dasd => "dasd",
        }
    }
}

/// The kind of drive; `None` for block devices that libvirt does not show.
pub(crate) fn libvirt_class(device: &KernelDevice<'_>) -> Option<DriveClass> {
    let node = device.devnode()?;
    let is = |prefix: &[u8]| node.starts_with(prefix);
    let guessed = match device.property("ID_TYPE") {
        Some(word) if word != b"generic" => word,
        _ if device.property("ID_DRIVE_FLOPPY").is_some() => b"floppy",
        _ if device.property("ID_CDROM").is_some() => b"cd",
        _ if device.property("ID_DRIVE_FLASH_SD").is_some() => b"sd",
        _ if is(b"/dev/vd") || is(b"/dev/nvme") => b"disk",
        _ if is(b"/dev/dasd") => b"dasd",
        _ => return None,
    };
    Some(match guessed {
        b"disk" if is(b"/dev/dasd") => DriveClass::Dasd,
        b"disk" => DriveClass::Disk,
        b"sd" => DriveClass::Sd,
        b"dasd" => DriveClass::Dasd,
        b"floppy" => DriveClass::Floppy { medium: device.property("ID_FS_LABEL").is_some() },
        b"cd" | b"cd/dvd" => DriveClass::Cdrom {
            medium: device
                .property("ID_CDROM_MEDIA")
                .and_then(|value| number::i32(value, 0))
                .is_some_and(|n| n != 0),
        },
        _ => return None,
    })
}

/// The serial number that is part of the device's name: udev's, or the uid of a DASD.
pub(crate) fn serial(device: &KernelDevice<'_>) -> Option<Text> {
    match libvirt_class(device) {
        Some(DriveClass::Dasd) => device.clean_text("device/uid"),
        _ => device.property("ID_SERIAL").map(Text::from),
    }
}
