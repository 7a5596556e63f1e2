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

#[cfg(test)]
mod tests {
    use std::fs;

    use nodedev_model::DrmKind;
    use nodedev_sys::Root;

    use super::*;
    use crate::kernel::Issues;

    const LIBVIRT: Visibility = Visibility::Libvirt;
    const NATIVE: Visibility = Visibility::Native;

    /// Word, view and suffix.
    type Told = (&'static str, Visibility, Option<String>);

    /// What a device with attributes is told as, and how many problems were reported. The lines of
    /// `uevent` are given in one.
    fn told(path: &str, subsystem: &str, uevent: &str, attributes: &[(&str, &str)]) -> (Option<Told>, usize) {
        let (dir, issues) = (tempfile::tempdir().unwrap(), Issues::default());
        let path = format!("sys/devices/{path}");
        let folder = dir.path().join(&path);
        fs::create_dir_all(&folder).unwrap();
        for (name, content) in attributes {
            fs::write(folder.join(name), content).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let uevent = uevent.split_terminator(' ').map(|line| format!("{line}\n")).collect::<String>();
        let device =
            KernelDevice::with_uevent(&root, path.as_bytes(), subsystem.as_bytes(), &issues, uevent.into());
        let class = classify(&device);
        let class = class.map(|it| (it.kind.word(), it.visibility, it.suffix.map(|text| text.to_string())));
        (class, issues.len())
    }

    #[test]
    fn the_kernels_words_say_what_a_device_is_and_who_sees_it() {
        for (path, subsystem, uevent, want) in [
            ("u", "usb", "DEVTYPE=usb_device ID_VENDOR_ID=1 ID_MODEL_ID=2", Some(("usb_device", LIBVIRT))),
            ("u", "usb", "DEVTYPE=usb_device ID_VENDOR_ID=1", Some(("usb_device", NATIVE))),
            ("u", "usb", "DEVTYPE=usb_interface", Some(("usb", LIBVIRT))),
            ("s", "scsi", "DEVTYPE=scsi_host", Some(("scsi_host", LIBVIRT))),
            ("s", "scsi", "DEVTYPE=scsi_target", Some(("scsi_target", LIBVIRT))),
            ("s", "scsi", "DEVTYPE=scsi_device", Some(("scsi", LIBVIRT))),
            ("vda", "block", "DEVTYPE=disk DEVNAME=vda", Some(("storage", LIBVIRT))),
            ("xda", "block", "DEVTYPE=disk DEVNAME=xda", Some(("storage", NATIVE))),
            ("vda1", "block", "DEVTYPE=partition DEVNAME=vda1", None),
            ("w", "net", "DEVTYPE=wlan INTERFACE=w", Some(("net", LIBVIRT))),
            ("b", "net", "DEVTYPE=bridge INTERFACE=b", Some(("net", NATIVE))),
            ("b", "net", "DEVTYPE=bridge", None),
            ("b", "other", "DEVTYPE=bridge INTERFACE=b", None),
            ("card0", "drm", "DEVTYPE=drm_minor MINOR=1", Some(("drm", LIBVIRT))),
            ("card0", "drm", "DEVTYPE=drm_minor", Some(("drm", NATIVE))),
            ("a", "ap", "DEVTYPE=ap_card", Some(("ap_card", LIBVIRT))),
            ("a", "ap", "DEVTYPE=ap_queue", Some(("ap_queue", LIBVIRT))),
            ("q", "ccwgroup", "DEVTYPE=qeth_generic", Some(("ccwgroup", LIBVIRT))),
            ("q", "ccwgroup", "DEVTYPE=qeth_layer2", Some(("ccwgroup", LIBVIRT))),
            ("q", "ccwgroup", "DEVTYPE=qeth_layer3", Some(("ccwgroup", LIBVIRT))),
            // The type alone decides, even an unknown one.
            ("p", "pci", "DEVTYPE=other PCI_CLASS=20000", None),
            ("st0", "scsi_tape", "DEVTYPE=other", Some(("tape", NATIVE))),
            ("sg0", "scsi_generic", "DEVNAME=sg0", Some(("scsi_generic", LIBVIRT))),
            ("sg0", "scsi_generic", "A=b", Some(("scsi_generic", NATIVE))),
            ("c", "ccw", "A=b", Some(("ccw", LIBVIRT))),
            ("c", "css", "DRIVER=io_subchannel", Some(("css", LIBVIRT))),
            ("c", "css", "DRIVER=vfio_ccw", Some(("css", LIBVIRT))),
            ("c", "css", "DRIVER=chsc_subchannel", Some(("css", NATIVE))),
            ("v", "vdpa", "A=b", Some(("vdpa", LIBVIRT))),
            ("m", "matrix", "A=b", Some(("ap_matrix", LIBVIRT))),
            ("m", "mtty", "A=b", Some(("mdev_types", LIBVIRT))),
            ("n", "net", "INTERFACE=n", Some(("net", LIBVIRT))),
            ("p", "pci", "PCI_CLASS=20000", Some(("pci", LIBVIRT))),
            ("st0", "scsi_tape", "A=b", Some(("tape", NATIVE))),
            ("m", "memory", "A=b", None),
            ("p", "pci", "A=b", None),
        ] {
            let (found, issues) = told(path, subsystem, uevent, &[]);
            assert_eq!(found.map(|(word, seen, _)| (word, seen)), want, "{subsystem} {uevent}");
            assert_eq!(issues, 0, "{subsystem} {uevent}");
        }
    }

    #[test]
    fn addresses_serial_numbers_and_parents_are_added_to_names() {
        let address = &[("address", "02:00:00:00:00:01\n")];
        for (path, subsystem, uevent, want) in [
            ("n", "net", "INTERFACE=n", Some("02:00:00:00:00:01")),
            ("n", "net", "DEVTYPE=bridge INTERFACE=n", Some("02:00:00:00:00:01")),
            ("vda", "block", "DEVTYPE=disk DEVNAME=vda ID_SERIAL=A1", Some("A1")),
            ("0000:00:02.0/uuid", "mdev", "A=b", Some("0000:00:02.0")),
            ("0000:00:02.0", "pci", "PCI_CLASS=20000", None),
        ] {
            let (found, _) = told(path, subsystem, uevent, address);
            assert_eq!(found.and_then(|(.., suffix)| suffix).as_deref(), want, "{subsystem} {uevent}");
        }
    }

    #[test]
    fn a_device_of_which_the_kernel_says_nothing_is_known_by_its_place_and_reported() {
        for (path, subsystem, want) in [
            ("0000:00:02.0", "pci", Some(("pci", LIBVIRT))),
            ("eth0", "net", Some(("net", LIBVIRT))),
            ("1-1", "usb", Some(("usb_device", NATIVE))),
            ("1-1:1.0", "usb", Some(("usb", LIBVIRT))),
            ("host0", "scsi", Some(("scsi_host", LIBVIRT))),
            ("target0:0:0", "scsi", Some(("scsi_target", LIBVIRT))),
            ("0:0:0:0", "scsi", Some(("scsi", LIBVIRT))),
            ("sda", "block", Some(("storage", NATIVE))),
            ("card0", "drm", Some(("drm", NATIVE))),
            ("card0-DP-1", "drm", None),
            ("version", "drm", None),
            ("st0", "other", None),
        ] {
            let (found, issues) = told(path, subsystem, "", &[]);
            assert_eq!(found.map(|(word, seen, _)| (word, seen)), want, "{subsystem} {path}");
            assert_eq!(issues, usize::from(want.is_some()), "{subsystem} {path}");
        }
        assert_eq!(told("sda1", "block", "", &[("partition", "1\n")]), (None, 0));
    }

    #[test]
    fn minors_of_drm_are_in_kinds_of_64() {
        let (dir, issues) = (tempfile::tempdir().unwrap(), Issues::default());
        fs::create_dir(dir.path().join("sys")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        for (minor, want) in [
            ("0", Some(DrmKind::Primary)),
            ("63", Some(DrmKind::Primary)),
            ("64", Some(DrmKind::Control)),
            ("128", Some(DrmKind::Render)),
            ("191", Some(DrmKind::Render)),
            ("192", None),
            ("-1", None),
            ("x", None),
        ] {
            let uevent = format!("MINOR={minor}\n").into_bytes();
            let device = KernelDevice::with_uevent(&root, b"sys/devices/card0", b"drm", &issues, uevent);
            assert_eq!(drm_minor_kind(&device), want, "{minor}");
        }
    }
}
