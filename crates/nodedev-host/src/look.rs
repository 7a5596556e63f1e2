//! Looks at one device as far as the index needs it.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use nodedev_model::{CapabilityType, DeviceName, Visibility};
use nodedev_sys::paths::{self, basename, join};
use nodedev_sys::{Root, SysError, udev};

use crate::classify::{Class, Kind, classify};
use crate::kernel::{Issues, KernelDevice};

/// Bound of a `uevent` file; the kernel's own is 4 KiB.
const UEVENT_LIMIT: usize = 64 << 10;

/// How often, and after which pauses, a device is looked at again if no more files may be open: two seconds in all.
const TRIES: u32 = 200;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// What a look at a device says.
#[derive(Debug, Clone)]
pub(crate) enum Look {
    /// There is no such device.
    Gone,
    /// No view shows it.
    Nothing,
    /// This is what it is.
    Device(Seen),
}

/// A device for the index.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: DeviceName,
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    pub(crate) fingerprint: u64,
}

/// Looks at devices one after the other.
#[derive(Debug)]
pub(crate) struct Looker<'a> {
    root: &'a Root,
    prints: Prints,
    /// How often a device is looked at again if no more files may be open.
    tries: u32,
    path: Vec<u8>,
    uevent: Vec<u8>,
}

/// How fingerprints are made.
#[derive(Debug, Clone)]
pub(crate) enum Prints {
    /// Not at all, since nobody will compare them.
    None,
    /// From what the kernel says, and from which record udev has where it has any.
    Made { hasher: RandomState, udev: bool },
}

impl<'a> Looker<'a> {
    pub(crate) fn new(root: &'a Root, prints: Prints) -> Self {
        Self { root, prints, tries: TRIES, path: Vec::new(), uevent: Vec::new() }
    }

    /// One that looks once, where somebody looks again if no more files may be open.
    pub(crate) fn impatient(self) -> Self {
        Self { tries: 0, ..self }
    }

    /// What the kernel said of the device that was looked at last.
    pub(crate) fn uevent(&self) -> &[u8] {
        &self.uevent
    }

    /// Looks at the device of a subsystem at `path`. `None` where no more files may be open, so that nobody knows; the issues say so.
    pub(crate) fn look(&mut self, issues: &Issues, subsystem: &[u8], path: &[u8]) -> Option<Look> {
        self.path.clear();
        self.path.extend_from_slice(path);
        self.path.extend_from_slice(b"/uevent");
        let issues_before = issues.len();
        match self.read_uevent() {
            Ok(true) => {}
            Ok(false) => return Some(Look::Gone),
            Err(error) if error.is_vanished() => return Some(Look::Gone),
            Err(error) => {
                issues.error(&error);
                self.uevent.clear();
            }
        }
        let device =
            KernelDevice::with_uevent(self.root, path, subsystem, issues, std::mem::take(&mut self.uevent));
        let class = classify(&device);
        self.uevent = device.into_uevent();
        // What was worked out without a file that is there is wrong.
        if issues.exhausted().is_some() {
            return None;
        }
        let Some(Class { kind, visibility, suffix }) = class else { return Some(Look::Nothing) };
        let name = match kind {
            Kind::Libvirt(CapabilityType::ApMatrix) => DeviceName::from_parts(b"ap", b"matrix", None),
            _ => DeviceName::from_parts(subsystem, basename(path), suffix.as_deref()),
        };
        issues.attribute(issues_before, &name);
        let fingerprint = self.fingerprint(subsystem, path);
        Some(Look::Device(Seen { name, kind, visibility, fingerprint }))
    }

    /// Reads what the kernel says of the device, if it is there. Where no more files may be open it is tried again for a while: that the device
    /// is gone does not follow from it.
    fn read_uevent(&mut self) -> Result<bool, SysError> {
        let mut tries = 0;
        loop {
            match self.root.read(&self.path, &mut self.uevent, UEVENT_LIMIT) {
                Err(error) if error.is_exhausted() && tries < self.tries => tries += 1,
                read => return read.map(|found| found.is_some()),
            }
            std::thread::sleep(BETWEEN_TRIES);
        }
    }

    fn fingerprint(&self, subsystem: &[u8], path: &[u8]) -> u64 {
        let Prints::Made { hasher, udev } = &self.prints else { return 0 };
        let record = udev.then(|| {
            let name = udev::record_name(udev::Uevent::new(&self.uevent), subsystem, basename(path));
            self.root.stamp(&join(paths::UDEV_DATA.as_bytes(), &name))
        });
        hasher.hash_one((&self.uevent, record.flatten()))
    }
}
