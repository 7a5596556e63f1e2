//! The index of a host: every device's name, place and kind, from which lists and lookups answer.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use nodedev_model::{CapabilityType, DeviceName, DeviceState, MdevConfig, Uuid, Visibility};

use crate::classify::Kind;

/// Position of a device in the index.
pub(crate) type Id = u32;

/// The root device, `computer`.
pub(crate) const COMPUTER: Id = 0;

/// One device, as far as lists and lookups need it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: DeviceName,
    /// Path relative to the root, `sys/devices/…`; empty for `computer` and for inactive devices.
    pub(crate) path: Box<[u8]>,
    /// Number of the subsystem's name in the index.
    pub(crate) subsystem: u16,
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    pub(crate) state: DeviceState,
    /// Nearest device above that libvirt shows.
    pub(crate) parent: Id,
    /// Nearest device above that the native view shows.
    pub(crate) native_parent: Id,
}

/// Definition of a mediated device, from mdevctl's files.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) uuid: Uuid,
    /// The parent's address, as the name of its folder has it.
    pub(crate) parent_addr: Box<[u8]>,
    pub(crate) config: MdevConfig,
    pub(crate) autostart: bool,
}

/// All devices of a host.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Vec<Entry>,
    subsystems: Vec<Box<[u8]>>,
    by_name: HashTable<Id>,
    by_path: HashTable<Id>,
    hasher: RandomState,
    definitions: HashMap<Id, Definition>,
    /// Ids in the order of the names.
    sorted: Vec<Id>,
}

impl Index {
    /// An index with nothing but `computer` in it.
    pub(crate) fn new() -> Self {
        let computer = Entry {
            name: DeviceName::computer(),
            path: Box::default(),
            subsystem: 0,
            kind: Kind::Libvirt(CapabilityType::System),
            visibility: Visibility::Libvirt,
            state: DeviceState { active: true, persistent: true, autostart: true },
            parent: COMPUTER,
            native_parent: COMPUTER,
        };
        let mut index = Self {
            entries: Vec::new(),
            subsystems: vec![Box::default()],
            by_name: HashTable::new(),
            by_path: HashTable::new(),
            hasher: RandomState::new(),
            definitions: HashMap::new(),
            sorted: Vec::new(),
        };
        index.insert(computer);
        index
    }

    /// Number of a subsystem's name, for entries.
    pub(crate) fn intern(&mut self, subsystem: &[u8]) -> u16 {
        // There are a few hundred at most, and devices come subsystem by subsystem.
        let found = self.subsystems.iter().rposition(|known| **known == *subsystem);
        let number = found.unwrap_or_else(|| {
            self.subsystems.push(subsystem.into());
            self.subsystems.len() - 1
        });
        u16::try_from(number).unwrap_or_default()
    }

    /// A subsystem's name; empty for `computer`.
    pub(crate) fn subsystem(&self, entry: &Entry) -> &[u8] {
        self.subsystems.get(usize::from(entry.subsystem)).map_or(b"", |name| name)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entry(&self, id: Id) -> &Entry {
        &self.entries[id as usize]
    }

    pub(crate) fn entry_mut(&mut self, id: Id) -> &mut Entry {
        &mut self.entries[id as usize]
    }

    /// Adds a device, or puts it in the place of the one with the same name. Returns its id.
    ///
    /// Of two devices with the same name one that libvirt shows wins over one that it leaves out; else the later one
    /// in libudev's order does, as it replaces the earlier one there.
    pub(crate) fn insert(&mut self, entry: Entry) -> Id {
        let hash = self.hasher.hash_one(entry.name.as_str());
        let entries = &self.entries;
        let same = self.by_name.find(hash, |&id| entries[id as usize].name == entry.name).copied();
        let id = match same {
            Some(id) => {
                if rank(self.entry(id)) > rank(&entry) {
                    return id;
                }
                self.forget_path(id);
                self.entries[id as usize] = entry;
                id
            }
            None => {
                let id = Id::try_from(self.entries.len()).unwrap_or(Id::MAX);
                self.entries.push(entry);
                let entries = &self.entries;
                let hasher = &self.hasher;
                self.by_name
                    .insert_unique(hash, id, |&id| hasher.hash_one(entries[id as usize].name.as_str()));
                id
            }
        };
        let entries = &self.entries;
        let hasher = &self.hasher;
        let path = &entries[id as usize].path;
        if !path.is_empty() {
            self.by_path.insert_unique(hasher.hash_one(&**path), id, |&id| {
                hasher.hash_one(&*entries[id as usize].path)
            });
        }
        id
    }

    fn forget_path(&mut self, id: Id) {
        let hash = self.hasher.hash_one(&*self.entries[id as usize].path);
        if let Ok(found) = self.by_path.find_entry(hash, |&other| other == id) {
            found.remove();
        }
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Id> {
        self.by_name.find(self.hasher.hash_one(name), |&id| self.entry(id).name.as_str() == name).copied()
    }

    pub(crate) fn by_path(&self, path: &[u8]) -> Option<Id> {
        self.by_path.find(self.hasher.hash_one(path), |&id| *self.entry(id).path == *path).copied()
    }

    /// The nearest device above `path` that `accept` takes; `computer` if there is none.
    pub(crate) fn above(&self, path: &[u8], accept: impl Fn(&Entry) -> bool) -> Id {
        let mut above = nodedev_sys::paths::parent(path);
        while !above.is_empty() {
            if let Some(id) = self.by_path(above)
                && accept(self.entry(id))
            {
                return id;
            }
            above = nodedev_sys::paths::parent(above);
        }
        COMPUTER
    }

    pub(crate) fn define(&mut self, id: Id, definition: Definition) {
        self.definitions.insert(id, definition);
    }

    pub(crate) fn definition(&self, id: Id) -> Option<&Definition> {
        self.definitions.get(&id)
    }

    /// Works out the order of the names, when all devices are in.
    pub(crate) fn sort(&mut self) {
        let mut ids: Vec<Id> = (0..Id::try_from(self.entries.len()).unwrap_or(Id::MAX)).collect();
        ids.sort_unstable_by(|&a, &b| self.entry(a).name.cmp(&self.entry(b).name));
        self.sorted = ids;
        self.entries.shrink_to_fit();
    }

    /// All devices, in the order of their names.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = Id> {
        self.sorted.iter().copied()
    }
}

fn rank(entry: &Entry) -> (bool, (bool, &[u8])) {
    (entry.visibility == Visibility::Libvirt, libudev_order(&entry.path))
}

/// libudev enumerates by path, with software RAID and device mapper behind everything else.
fn libudev_order(path: &[u8]) -> (bool, &[u8]) {
    let late = path.windows(7).enumerate().any(|(at, window)| {
        window == b"/block/" && [&b"md"[..], b"dm-"].iter().any(|p| path[at + 7..].starts_with(p))
    });
    (late, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, path: &str, visibility: Visibility) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            path: path.as_bytes().into(),
            subsystem: 0,
            kind: Kind::Libvirt(CapabilityType::Pci),
            visibility,
            state: DeviceState::default(),
            parent: COMPUTER,
            native_parent: COMPUTER,
        }
    }

    #[test]
    fn of_two_devices_with_one_name_libvirts_and_then_the_later_path_wins() {
        let mut index = Index::new();
        let first = index.insert(entry("x", "sys/devices/a-b", Visibility::Libvirt));
        assert_eq!(index.insert(entry("x", "sys/devices/a_b", Visibility::Libvirt)), first);
        assert_eq!(&*index.entry(first).path, b"sys/devices/a_b");
        index.insert(entry("x", "sys/devices/a+b", Visibility::Libvirt));
        index.insert(entry("x", "sys/devices/z", Visibility::Native));
        assert_eq!(&*index.entry(first).path, b"sys/devices/a_b");
        assert_eq!(index.by_path(b"sys/devices/a-b"), None);
        assert_eq!(index.by_path(b"sys/devices/a_b"), Some(first));
        index.insert(entry("x", "sys/devices/a/block/dm-0", Visibility::Libvirt));
        assert_eq!(index.by_path(b"sys/devices/a_b"), None);
    }

    #[test]
    fn the_nearest_accepted_ancestor_is_the_parent() {
        let mut index = Index::new();
        let top = index.insert(entry("top", "sys/devices/a", Visibility::Libvirt));
        let middle = index.insert(entry("middle", "sys/devices/a/b", Visibility::Native));
        assert_eq!(index.above(b"sys/devices/a/b/c/d", |_| true), middle);
        assert_eq!(index.above(b"sys/devices/a/b/c/d", |e| e.visibility == Visibility::Libvirt), top);
        assert_eq!(index.above(b"sys/devices/ab", |_| true), COMPUTER);
    }
}
