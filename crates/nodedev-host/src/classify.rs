//! What a device is: which capability libvirt gives it, if any, and what else the native view calls it.

use nodedev_model::{CapabilityType, Text, Visibility};
use nodedev_sys::paths;

use crate::kernel::KernelDevice;
use crate::native::{self, NativeClass};
use crate::storage_class;

/// The capability a device gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of libvirt's.
    Libvirt(CapabilityType),
    /// One of the native view only.
    Native(&'static NativeClass),
}

impl Kind {
    /// One word for it: libvirt's, or the native view's.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Libvirt(kind) => kind.as_str(),
            Self::Native(class) => class.word,
        }
    }
}

/// What there is to know of a device before it is described.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    /// What libvirt adds to the name.
    pub(crate) suffix: Option<Text>,
}

impl Class {
    fn new(kind: CapabilityType) -> Self {
        Self { kind: Kind::Libvirt(kind), visibility: Visibility::Libvirt, suffix: None }
    }

    fn native_only(self) -> Self {
        Self { visibility: Visibility::Native, ..self }
    }

    fn only_if(self, shown: bool) -> Self {
        if shown { self } else { self.native_only() }
    }
}

/// Classifies a device the way libvirt does: the kernel's `DEVTYPE` alone decides if there is one, else properties and
/// the subsystem. `None` for what neither view shows.
pub(crate) fn classify(device: &KernelDevice<'_>) -> Option<Class> {
    use CapabilityType as T;
    let kind = match device.devtype() {
        Some(devtype) => match by_devtype(devtype) {
            Some(kind) => kind,
            None => return native_only(device),
        },
        None => match by_properties(device).or_else(|| by_place(device)) {
            Some(kind) => kind,
            None => return native_only(device),
        },
    };
    let class = Class::new(kind);
    Some(match kind {
        T::Net => Class { suffix: device.clean_text("address"), ..class },
        T::UsbDevice => {
            // Without udev's knowledge libvirt leaves USB devices out; sysfs has all that the native view needs.
            let known = ["ID_VENDOR_ID", "ID_MODEL_ID"].iter().all(|key| device.property(key).is_some());
            class.only_if(known)
        }
        T::Storage => {
            let shown = storage_class::libvirt_class(device).is_some();
            Class { suffix: storage_class::serial(device), ..class }.only_if(shown)
        }
        T::ScsiGeneric => class.only_if(device.kernel("DEVNAME").is_some()),
        T::Drm => class.only_if(drm_minor_kind(device).is_some()),
        T::Css => class.only_if(matches!(device.kernel("DRIVER"), Some(b"io_subchannel" | b"vfio_ccw"))),
        T::Mdev => Class { suffix: Some(paths::basename(paths::parent(device.path)).into()), ..class },
        _ => class,
    })
}

fn by_devtype(devtype: &[u8]) -> Option<CapabilityType> {
    use CapabilityType as T;
    Some(match devtype {
        b"usb_device" => T::UsbDevice,
        b"usb_interface" => T::Usb,
        b"scsi_host" => T::ScsiHost,
        b"scsi_target" => T::ScsiTarget,
        b"scsi_device" => T::Scsi,
        b"disk" => T::Storage,
        b"wlan" => T::Net,
        b"drm_minor" => T::Drm,
        b"ap_card" => T::ApCard,
        b"ap_queue" => T::ApQueue,
        b"qeth_generic" | b"qeth_layer2" | b"qeth_layer3" => T::Ccwgroup,
        _ => return None,
    })
}

/// Later hits win over earlier ones.
fn by_properties(device: &KernelDevice<'_>) -> Option<CapabilityType> {
    use CapabilityType as T;
    Some(match device.subsystem {
        b"scsi_generic" => T::ScsiGeneric,
        b"mdev" => T::Mdev,
        b"ccw" => T::Ccw,
        b"css" => T::Css,
        b"vdpa" => T::Vdpa,
        b"matrix" => T::ApMatrix,
        b"mtty" => T::MdevTypes,
        _ if device.kernel("INTERFACE").is_some() => T::Net,
        _ if device.kernel("PCI_CLASS").is_some() => T::Pci,
        _ => return None,
    })
}

/// Where the kernel states no properties at all, the content of `uevent` was lost. The subsystem still tells what such
/// a device is, so that it isn't lost as well.
fn by_place(device: &KernelDevice<'_>) -> Option<CapabilityType> {
    use CapabilityType as T;
    if !device.has_no_properties() {
        return None;
    }
    let name = device.sysname();
    let kind = match device.subsystem {
        b"pci" => T::Pci,
        b"net" => T::Net,
        b"usb" if name.contains(&b':') => T::Usb,
        b"usb" => T::UsbDevice,
        b"scsi" if name.starts_with(b"host") => T::ScsiHost,
        b"scsi" if name.starts_with(b"target") => T::ScsiTarget,
        b"scsi" => T::Scsi,
        b"block" if device.folder().is_some_and(|folder| !folder.exists(b"partition")) => T::Storage,
        // Connectors are called `card0-DP-1`.
        b"drm" if !name.contains(&b'-') && name != b"version" => T::Drm,
        _ => return None,
    };
    device.issue("uevent", "it should not be empty");
    Some(kind)
}

/// Devices that libvirt leaves out: those with a capability that libvirt gives to others, and the table's.
fn native_only(device: &KernelDevice<'_>) -> Option<Class> {
    if device.subsystem == b"net" && device.kernel("INTERFACE").is_some() {
        return Some(
            Class { suffix: device.clean_text("address"), ..Class::new(CapabilityType::Net) }.native_only(),
        );
    }
    let class = native::class_of(device.subsystem, device.sysname())?;
    Some(Class { kind: Kind::Native(class), visibility: Visibility::Native, suffix: None })
}

/// The kind of a DRM minor, for the minors that libvirt knows: 64 of each kind.
pub(crate) fn drm_minor_kind(device: &KernelDevice<'_>) -> Option<nodedev_model::DrmKind> {
    let minor = crate::number::i32(device.kernel("MINOR")?, 10)?;
    usize::try_from(minor >> 6).ok().and_then(|kind| nodedev_model::DrmKind::ALL.get(kind)).copied()
}
