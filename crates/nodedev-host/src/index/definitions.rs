//! Definitions of mediated devices, and the devices that are only defined.

use std::collections::HashMap;

use nodedev_model::{CapabilityType, DeviceName, MdevConfig, Uuid, Visibility};
use nodedev_sys::paths::basename;

use super::{COMPUTER, Entry, Id, Index};
use crate::classify::Kind;

/// Definition of a mediated device, from mdevctl's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) uuid: Uuid,
    /// The parent's address, as the name of its folder has it.
    pub(crate) parent_addr: Box<[u8]>,
    pub(crate) config: MdevConfig,
    pub(crate) autostart: bool,
}

impl Definition {
    /// Name of the device, active or not.
    pub(crate) fn name(&self) -> DeviceName {
        DeviceName::from_parts(b"mdev", self.uuid.to_string().as_bytes(), Some(&self.parent_addr))
    }
}

/// An address of a parent in the way it is in the parent's name, by which the parent is found.
fn address_key(address: &[u8]) -> DeviceName {
    DeviceName::from_parts(b"", address, None)
}

impl Index {
    pub(crate) fn definition(&self, id: Id) -> Option<&Definition> {
        if self.definitions.is_empty() { None } else { self.definitions.get(&self.entry(id).name) }
    }

    pub(crate) fn definitions(&self) -> &HashMap<DeviceName, Definition> {
        &self.definitions
    }

    /// Adds or changes a definition. The device, if there is none of its name, is added with
    /// [`Index::insert_inactive`].
    pub(crate) fn define(&mut self, definition: Definition) {
        self.definitions.insert(definition.name(), definition);
    }

    /// Forgets a definition, and the device if it is nothing else.
    pub(crate) fn undefine(&mut self, name: &DeviceName) {
        if let Some(id) = self.by_name(name.as_str())
            && self.entry(id).path.is_empty()
        {
            self.remove(id);
        }
        self.definitions.remove(name);
    }

    /// Adds the inactive device of a definition, if no device has its name.
    pub(crate) fn insert_inactive(&mut self, name: &DeviceName) {
        if self.definitions.contains_key(name) && self.by_name(name.as_str()).is_none() {
            let subsystem = self.intern(b"mdev");
            self.insert(Entry {
                name: name.clone(),
                path: Box::default(),
                subsystem,
                kind: Kind::Libvirt(CapabilityType::Mdev),
                visibility: Visibility::Libvirt,
                fingerprint: 0,
            });
        }
    }

    pub(super) fn note_inactive(&mut self, id: Id) {
        if let Some(definition) = self.definition(id) {
            let address = address_key(&definition.parent_addr);
            self.inactive.entry(address).or_default().push(id);
        }
    }

    pub(super) fn forget_inactive(&mut self, id: Id) {
        let Some(definition) = self.definition(id) else { return };
        let address = address_key(&definition.parent_addr);
        if let Some(ids) = self.inactive.get_mut(&address) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.inactive.remove(&address);
            }
        }
    }

    /// The inactive devices that may have the device at a path for their parent.
    pub(crate) fn inactive_below(&self, path: &[u8]) -> &[Id] {
        if self.inactive.is_empty() {
            return &[];
        }
        self.inactive.get(&address_key(basename(path))).map_or(&[], |ids| ids)
    }

    /// The device that mdevctl means with the address of a definition, if it can be the parent of mediated devices in
    /// libvirt's eyes; else `computer`.
    pub(super) fn parent_of_inactive(&self, id: Id) -> Id {
        use CapabilityType as T;
        let Some(address) = self.definition(id).map(|definition| &definition.parent_addr) else {
            return COMPUTER;
        };
        [
            (&b"pci"[..], T::Pci),
            (b"css", T::Css),
            (b"ap", T::ApMatrix),
            (b"ccwgroup", T::Ccwgroup),
            (b"mtty", T::MdevTypes),
        ]
        .into_iter()
        .filter_map(|(subsystem, kind)| {
            let id = self.by_name(DeviceName::from_parts(subsystem, address, None).as_str())?;
            let entry = self.entry(id);
            let fits = entry.kind == Kind::Libvirt(kind) && entry.visibility == Visibility::Libvirt;
            (fits && !entry.path.is_empty()).then_some(id)
        })
        .next()
        .unwrap_or(COMPUTER)
    }
}
