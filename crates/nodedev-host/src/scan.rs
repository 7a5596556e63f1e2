//! Makes the index: enumerates the host's devices, classifies and names each, finds parents, and merges the
//! definitions of mediated devices.

use std::collections::HashMap;

use nodedev_model::{CapabilityType, DeviceName, DeviceState, Visibility};
use nodedev_sys::paths::{self, basename, join};
use nodedev_sys::{Root, SysError};

use crate::classify::{Class, Kind, classify};
use crate::index::{COMPUTER, Entry, Id, Index};
use crate::kernel::{Issues, KernelDevice};
use crate::mdevctl;

/// Subsystems that libvirt does not look at: many devices, none of interest.
const LEFT_OUT: [&[u8]; 4] = [b"acpi", b"tty", b"vc", b"i2c"];
/// Subsystems none of whose devices either view has: the kernel gives them no property that libvirt goes by. Big hosts
/// have tens of thousands of such devices (a memory block for each 128 MiB), so that they are not even listed.
///
/// Sorted.
const NO_NODE_DEVICES: [&[u8]; 38] = [
    b"bdi",
    b"bsg",
    b"clockevents",
    b"clocksource",
    b"cpu",
    b"cpuid",
    b"edac",
    b"event_source",
    b"fc_host",
    b"fc_transport",
    b"fc_vports",
    b"firmware",
    b"gpio",
    b"input",
    b"leds",
    b"machinecheck",
    b"mem",
    b"memory",
    b"memory_tiering",
    b"msr",
    b"node",
    b"nvmem",
    b"pci_bus",
    b"pci_express",
    b"pnp",
    b"power_supply",
    b"powercap",
    b"regulator",
    b"rtc",
    b"scsi_device",
    b"scsi_disk",
    b"scsi_host",
    b"serial-base",
    b"serio",
    b"thermal",
    b"vtconsole",
    b"wakeup",
    b"workqueue",
];
/// Bound of a `uevent` file; the kernel's own is 4 KiB.
const UEVENT_LIMIT: usize = 64 << 10;

/// Contents of the `uevent` files that a scan read, for a pass that describes all devices at once.
#[derive(Debug, Default)]
pub(crate) struct Uevents(HashMap<Id, Box<[u8]>>);

impl Uevents {
    /// What was read of a device; `None` if the pass must read it itself.
    pub(crate) fn get(&self, id: Id) -> Option<&[u8]> {
        self.0.get(&id).map(|content| &**content)
    }
}

/// Looks at the whole host, and keeps what it read where that is wanted.
pub(crate) fn scan(root: &Root, issues: &Issues, uevents: Option<&mut Uevents>) -> Index {
    let mut scanner =
        Scanner { root, issues, index: Index::new(), uevents, path: Vec::new(), uevent: Vec::new() };
    let wanted = |subsystem: &[u8]| NO_NODE_DEVICES.binary_search(&subsystem).is_err();
    enumerate(root, issues, wanted, &mut |found| scanner.device(found.subsystem, &found.path));
    let mut index = scanner.index;
    find_parents(&mut index);
    merge_definitions(root, &mut index, issues);
    index.sort();
    index
}

/// A device as the folders of buses and classes list it.
pub(crate) struct Found<'a> {
    pub(crate) subsystem: &'a [u8],
    /// The folder with the link to the device, and the link's name and stored target.
    pub(crate) folder: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) target: &'a [u8],
    /// The device's folder.
    pub(crate) path: Vec<u8>,
}

/// Calls `visit` for each device of the host that libvirt's enumeration would look at, in the wanted subsystems.
pub(crate) fn enumerate(
    root: &Root,
    issues: &Issues,
    wanted: impl Fn(&[u8]) -> bool,
    visit: &mut dyn FnMut(Found<'_>),
) {
    for (top, devices) in [(paths::BUS, &b"/devices"[..]), (paths::CLASS, b"")] {
        let mut subsystems = root.names(top.as_bytes()).unwrap_or_else(|error: SysError| {
            issues.error(&error);
            Vec::new()
        });
        subsystems.sort_unstable();
        for subsystem in subsystems.iter().filter(|name| !LEFT_OUT.contains(&&***name) && wanted(name)) {
            let folder = [top.as_bytes(), b"/", subsystem, devices].concat();
            if let Err(error) = enumerate_subsystem(root, issues, subsystem, &folder, visit) {
                issues.error(&error);
            }
        }
    }
}

fn enumerate_subsystem(
    root: &Root,
    issues: &Issues,
    subsystem: &[u8],
    folder: &[u8],
    visit: &mut dyn FnMut(Found<'_>),
) -> Result<(), SysError> {
    let Some(opened) = root.folder(folder)? else { return Ok(()) };
    opened.for_each_name(|name| match opened.link(name) {
        // What is no link is a control file of the class.
        Ok(None) => {}
        Ok(Some(target)) => {
            let path = paths::follow(folder, &target);
            if path.starts_with(paths::SYS.as_bytes()) {
                visit(Found { subsystem, folder, name, target: &target, path });
            }
        }
        Err(error) => issues.error(&error),
    })
}

struct Scanner<'a> {
    root: &'a Root,
    issues: &'a Issues,
    index: Index,
    uevents: Option<&'a mut Uevents>,
    path: Vec<u8>,
    uevent: Vec<u8>,
}

impl Scanner<'_> {
    /// Adds the device at `path`, if any view shows it.
    fn device(&mut self, subsystem: &[u8], path: &[u8]) {
        if self.index.by_path(path).is_some() {
            return;
        }
        self.path.clear();
        self.path.extend_from_slice(path);
        self.path.extend_from_slice(b"/uevent");
        let issues_before = self.issues.len();
        match self.root.read(&self.path, &mut self.uevent, UEVENT_LIMIT) {
            Ok(Some(_)) => {}
            // Gone since it was listed.
            Ok(None) => return,
            Err(error) if error.is_vanished() => return,
            Err(error) => {
                self.issues.error(&error);
                self.uevent.clear();
            }
        }
        let device = KernelDevice::with_uevent(
            self.root,
            path,
            subsystem,
            self.issues,
            std::mem::take(&mut self.uevent),
        );
        let class = classify(&device);
        self.uevent = device.into_uevent();
        let Some(Class { kind, visibility, suffix }) = class else { return };
        let name = match kind {
            Kind::Libvirt(CapabilityType::ApMatrix) => DeviceName::from_parts(b"ap", b"matrix", None),
            _ => DeviceName::from_parts(subsystem, basename(path), suffix.as_deref()),
        };
        self.issues.attribute(issues_before, &name);
        let number = self.index.intern(subsystem);
        let id = self.index.insert(Entry {
            name,
            path: path.into(),
            subsystem: number,
            kind,
            visibility,
            state: DeviceState::default(),
            parent: COMPUTER,
            native_parent: COMPUTER,
        });
        if let Some(uevents) = &mut self.uevents {
            // Of two devices with one name only one is in the index.
            if *self.index.entry(id).path == *path {
                uevents.0.insert(id, self.uevent.as_slice().into());
            }
        }
    }
}

fn find_parents(index: &mut Index) {
    for id in 1..index.len() as Id {
        let path = &index.entry(id).path;
        let native_parent = index.above(path, |_| true);
        let parent = match index.entry(native_parent).visibility {
            Visibility::Libvirt => native_parent,
            Visibility::Native => {
                index.above(&index.entry(native_parent).path, |above| above.visibility == Visibility::Libvirt)
            }
        };
        let entry = index.entry_mut(id);
        entry.parent = parent;
        entry.native_parent = native_parent;
    }
}

/// Adds the mediated devices that mdevctl's files define: to the active device of the same name, or as inactive ones.
fn merge_definitions(root: &Root, index: &mut Index, issues: &Issues) {
    let definitions = mdevctl::read(root, issues);
    if definitions.is_empty() {
        return;
    }
    let subsystem = index.intern(b"mdev");
    for definition in definitions {
        let uuid = definition.uuid.to_string();
        let name = DeviceName::from_parts(b"mdev", uuid.as_bytes(), Some(&definition.parent_addr));
        let state = DeviceState { active: true, persistent: true, autostart: definition.autostart };
        let id = match index.by_name(name.as_str()) {
            Some(id) => {
                index.entry_mut(id).state = state;
                id
            }
            None => {
                let parent = parent_by_address(root, index, &definition.parent_addr);
                index.insert(Entry {
                    name,
                    path: Box::default(),
                    subsystem,
                    kind: Kind::Libvirt(CapabilityType::Mdev),
                    visibility: Visibility::Libvirt,
                    state: DeviceState { active: false, ..state },
                    parent,
                    native_parent: parent,
                })
            }
        };
        index.define(id, definition);
    }
}

/// The device that mdevctl calls `address`, if it can be the parent of mediated devices in libvirt's eyes; else
/// `computer`.
fn parent_by_address(root: &Root, index: &Index, address: &[u8]) -> Id {
    use CapabilityType as T;
    let named = |subsystem: &[u8]| index.by_name(DeviceName::from_parts(subsystem, address, None).as_str());
    let candidates = [
        named(b"pci").filter(|&id| index.entry(id).kind == Kind::Libvirt(T::Pci)),
        named(b"css").filter(|&id| index.entry(id).kind == Kind::Libvirt(T::Css)),
        named(b"ap").filter(|&id| index.entry(id).kind == Kind::Libvirt(T::ApMatrix)),
        named(b"ccwgroup").filter(|&id| index.entry(id).kind == Kind::Libvirt(T::Ccwgroup)),
        mdev_bus_device(root, index, address)
            .filter(|&id| index.entry(id).kind == Kind::Libvirt(T::MdevTypes)),
    ];
    candidates
        .into_iter()
        .flatten()
        .find(|&id| index.entry(id).visibility == Visibility::Libvirt && !index.entry(id).path.is_empty())
        .unwrap_or(COMPUTER)
}

fn mdev_bus_device(root: &Root, index: &Index, address: &[u8]) -> Option<Id> {
    let folder = join(paths::CLASS.as_bytes(), b"mdev_bus");
    let target = root.read_link(&join(&folder, address)).ok()??;
    index.by_path(&paths::follow(&folder, &target))
}

#[cfg(test)]
mod tests {
    #[test]
    fn table_of_subsystems_is_sorted() {
        assert!(super::NO_NODE_DEVICES.is_sorted());
    }
}
