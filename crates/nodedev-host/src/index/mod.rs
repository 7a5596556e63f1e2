//! The index of a host: every device's name, place and kind, from which lists and lookups answer.

mod definitions;
mod order;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use nodedev_driver::View;
use nodedev_model::{CapabilityType, DeviceName, DeviceState, Visibility};
use nodedev_sys::paths::parent;
use slab::Slab;

use crate::classify::Kind;
pub(crate) use definitions::Definition;
use order::Order;

/// Position of a device in the index, as long as it is in there.
pub(crate) type Id = u32;

/// The root device, `computer`.
pub(crate) const COMPUTER: Id = 0;

/// One device, as far as lists and lookups need it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: DeviceName,
    /// Path relative to the root, `sys/devices/…`; empty for `computer` and for inactive devices.
    pub(crate) path: Box<[u8]>,
    /// Number of the subsystem's name in the index.
    pub(crate) subsystem: u16,
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    /// Stands for what the kernel and udev said of it, to tell whether that has changed; 0 where nobody will ask.
    pub(crate) fingerprint: u64,
}

/// All devices of a host.
#[derive(Debug)]
pub(crate) struct Index {
    entries: Slab<Entry>,
    subsystems: Vec<Box<[u8]>>,
    by_name: HashTable<Id>,
    by_path: HashTable<Id>,
    hasher: RandomState,
    /// Devices whose name another one has, by that name. They are in `by_path` too, and nowhere else.
    shadowed: HashMap<DeviceName, Vec<Id>>,
    /// Definitions of mediated devices by their names, whether active or not.
    definitions: HashMap<DeviceName, Definition>,
    /// Inactive devices by the address of their parent.
    inactive: HashMap<DeviceName, Vec<Id>>,
    /// Absent while a scan fills the index.
    order: Option<Order>,
}

impl Index {
    /// An index with nothing but `computer` in it. Indexes that are to be compared share a hasher.
    pub(crate) fn new(hasher: RandomState) -> Self {
        let computer = Entry {
            name: DeviceName::computer(),
            path: Box::default(),
            subsystem: 0,
            kind: Kind::Libvirt(CapabilityType::System),
            visibility: Visibility::Libvirt,
            fingerprint: 0,
        };
        let mut index = Self {
            entries: Slab::new(),
            subsystems: vec![Box::default()],
            by_name: HashTable::new(),
            by_path: HashTable::new(),
            hasher,
            shadowed: HashMap::new(),
            definitions: HashMap::new(),
            inactive: HashMap::new(),
            order: None,
        };
        index.insert(computer);
        index
    }

    /// What fingerprints are made with.
    pub(crate) fn hasher(&self) -> &RandomState {
        &self.hasher
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

    pub(crate) fn entry(&self, id: Id) -> &Entry {
        &self.entries[id as usize]
    }

    /// Changes what is known of a device but its name and path, by which it is found.
    pub(crate) fn update(&mut self, id: Id, kind: Kind, visibility: Visibility, fingerprint: u64) {
        let entry = &mut self.entries[id as usize];
        (entry.kind, entry.visibility, entry.fingerprint) = (kind, visibility, fingerprint);
    }

    pub(crate) fn state(&self, id: Id) -> DeviceState {
        let entry = self.entry(id);
        let definition = self.definition(id);
        DeviceState {
            active: !entry.path.is_empty() || id == COMPUTER,
            persistent: definition.is_some() || id == COMPUTER,
            autostart: definition.is_some_and(|definition| definition.autostart) || id == COMPUTER,
        }
    }

    /// Adds a device whose path is not in here yet, and returns its id.
    ///
    /// It takes the place of an inactive device of its name. Of two devices with the same name one that libvirt shows
    /// wins over one that it leaves out; else the later one in libudev's order does, as it replaces the earlier one
    /// there. The other one stays in its shadow until the winner goes.
    pub(crate) fn insert(&mut self, entry: Entry) -> Id {
        if let Some(inactive) = self.by_name(entry.name.as_str())
            && self.entry(inactive).path.is_empty()
        {
            self.remove(inactive);
        }
        let rival = self.by_name(entry.name.as_str());
        let loses = rival.is_some_and(|rival| rank(self.entry(rival)) > rank(&entry));
        let id = Id::try_from(self.entries.insert(entry)).unwrap_or(Id::MAX);
        self.add_path(id);
        match rival {
            Some(_) if loses => self.add_shadow(id),
            Some(rival) => {
                self.forget_name(rival);
                self.add_shadow(rival);
                self.add_name(id);
            }
            None => self.add_name(id),
        }
        id
    }

    /// Takes a device out. Of those in its shadow the first in rank steps out of it, and its id is returned.
    pub(crate) fn remove(&mut self, id: Id) -> Option<Id> {
        let is_shadowed = self.is_shadowed(id);
        let name = self.entry(id).name.clone();
        let mut heir = None;
        if is_shadowed {
            self.forget_shadow(&name, id);
        } else {
            self.forget_name(id);
            let others = self.shadowed.get(&name).into_iter().flatten().copied();
            heir = others.max_by(|&a, &b| rank(self.entry(a)).cmp(&rank(self.entry(b))));
        }
        self.forget_path(id);
        self.entries.remove(id as usize);
        if let Some(heir) = heir {
            self.forget_shadow(&name, heir);
            self.add_name(heir);
        }
        heir
    }

    fn add_name(&mut self, id: Id) {
        let (entries, hasher) = (&self.entries, &self.hasher);
        let hash = |id: Id| hasher.hash_one(entries[id as usize].name.as_str());
        self.by_name.insert_unique(hash(id), id, |&id| hash(id));
        if let Some(order) = &mut self.order {
            order.add_name(entries, id);
        }
    }

    fn forget_name(&mut self, id: Id) {
        let hash = self.hasher.hash_one(self.entry(id).name.as_str());
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        if let Some(order) = &mut self.order {
            order.forget_name(&self.entries, id);
        }
    }

    fn add_path(&mut self, id: Id) {
        let (entries, hasher) = (&self.entries, &self.hasher);
        if entries[id as usize].path.is_empty() {
            self.note_inactive(id);
            return;
        }
        let hash = |id: Id| hasher.hash_one(&*entries[id as usize].path);
        self.by_path.insert_unique(hash(id), id, |&id| hash(id));
        if let Some(order) = &mut self.order {
            order.add_path(entries, id);
        }
    }

    fn forget_path(&mut self, id: Id) {
        if self.entry(id).path.is_empty() {
            self.forget_inactive(id);
            return;
        }
        let hash = self.hasher.hash_one(&*self.entry(id).path);
        if let Ok(found) = self.by_path.find_entry(hash, |&other| other == id) {
            found.remove();
        }
        if let Some(order) = &mut self.order {
            order.forget_path(&self.entries, id);
        }
    }

    fn add_shadow(&mut self, id: Id) {
        let name = self.entry(id).name.clone();
        self.shadowed.entry(name).or_default().push(id);
    }

    fn forget_shadow(&mut self, name: &DeviceName, id: Id) {
        if let Some(ids) = self.shadowed.get_mut(name) {
            ids.retain(|&other| other != id);
            if ids.is_empty() {
                self.shadowed.remove(name);
            }
        }
    }

    /// Whether another device has this one's name.
    pub(crate) fn is_shadowed(&self, id: Id) -> bool {
        !self.shadowed.is_empty()
            && self.shadowed.get(&self.entry(id).name).is_some_and(|ids| ids.contains(&id))
    }

    /// Whether other devices are in the shadow of this name.
    pub(crate) fn has_shadow(&self, name: &DeviceName) -> bool {
        self.shadowed.contains_key(name)
    }

    /// All devices of a name: the one that has it and those in its shadow.
    pub(crate) fn named(&self, name: &DeviceName) -> impl Iterator<Item = Id> {
        self.by_name(name.as_str()).into_iter().chain(self.shadowed.get(name).into_iter().flatten().copied())
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<Id> {
        self.by_name.find(self.hasher.hash_one(name), |&id| self.entry(id).name.as_str() == name).copied()
    }

    /// The device at a path, also one in the shadow of another.
    pub(crate) fn at_path(&self, path: &[u8]) -> Option<Id> {
        self.by_path.find(self.hasher.hash_one(path), |&id| *self.entry(id).path == *path).copied()
    }

    /// The device at a path that its name leads to.
    pub(crate) fn by_path(&self, path: &[u8]) -> Option<Id> {
        self.at_path(path).filter(|&id| !self.is_shadowed(id))
    }

    /// The nearest device above in a view; `None` for `computer`.
    pub(crate) fn parent(&self, id: Id, view: View) -> Option<Id> {
        let entry = self.entry(id);
        if id == COMPUTER {
            return None;
        }
        if entry.path.is_empty() {
            return Some(self.parent_of_inactive(id));
        }
        let mut above = parent(&entry.path);
        while !above.is_empty() {
            if let Some(id) = self.by_path(above)
                && self.shows(id, view)
            {
                return Some(id);
            }
            above = parent(above);
        }
        Some(COMPUTER)
    }

    /// Whether a view shows the device.
    pub(crate) fn shows(&self, id: Id, view: View) -> bool {
        view == View::Native || self.entry(id).visibility == Visibility::Libvirt
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

    pub(super) fn entry(name: &str, path: &str, visibility: Visibility) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            path: path.as_bytes().into(),
            subsystem: 0,
            kind: Kind::Libvirt(CapabilityType::Pci),
            visibility,
            fingerprint: 0,
        }
    }

    pub(super) fn index() -> Index {
        Index::new(RandomState::new())
    }

    #[test]
    fn of_two_devices_with_one_name_libvirts_and_then_the_later_path_wins() {
        let mut index = index();
        let winner = |index: &Index| index.by_name("x").map(|id| index.entry(id).path.to_vec()).unwrap();
        index.insert(entry("x", "sys/devices/a-b", Visibility::Libvirt));
        index.insert(entry("x", "sys/devices/a_b", Visibility::Libvirt));
        assert_eq!(winner(&index), b"sys/devices/a_b");
        index.insert(entry("x", "sys/devices/a+b", Visibility::Libvirt));
        index.insert(entry("x", "sys/devices/z", Visibility::Native));
        assert_eq!(winner(&index), b"sys/devices/a_b");
        assert_eq!(index.by_path(b"sys/devices/a-b"), None);
        assert!(index.at_path(b"sys/devices/a-b").is_some());
        index.insert(entry("x", "sys/devices/a/block/dm-0", Visibility::Libvirt));
        assert_eq!(winner(&index), b"sys/devices/a/block/dm-0");
        assert_eq!(index.by_path(b"sys/devices/a_b"), None);
    }

    #[test]
    fn what_lost_its_name_has_it_back_when_the_winner_goes() {
        for ordered in [false, true] {
            let mut index = index();
            let paths = ["sys/devices/a-b", "sys/devices/a_b", "sys/devices/a+b"];
            if ordered {
                index.sort();
            }
            for path in paths {
                index.insert(entry("x", path, Visibility::Libvirt));
            }
            let gone = index.at_path(b"sys/devices/a-b").unwrap();
            assert_eq!(index.remove(gone), None);
            let winner = index.by_name("x").unwrap();
            let heir = index.remove(winner).unwrap();
            assert_eq!(&*index.entry(heir).path, b"sys/devices/a+b");
            assert_eq!(index.by_name("x"), Some(heir));
            assert_eq!(index.remove(heir), None);
            assert_eq!(index.by_name("x"), None);
            index.sort();
            assert_eq!(index.sorted().count(), 1);
        }
    }

    #[test]
    fn the_nearest_device_above_in_the_view_is_the_parent() {
        let mut index = index();
        let top = index.insert(entry("top", "sys/devices/a", Visibility::Libvirt));
        let middle = index.insert(entry("middle", "sys/devices/a/b", Visibility::Native));
        let low = index.insert(entry("low", "sys/devices/a/b/c/d", Visibility::Libvirt));
        let other = index.insert(entry("other", "sys/devices/ab", Visibility::Libvirt));
        assert_eq!(index.parent(low, View::Native), Some(middle));
        assert_eq!(index.parent(low, View::Libvirt), Some(top));
        assert_eq!(index.parent(other, View::Native), Some(COMPUTER));
        assert_eq!(index.parent(COMPUTER, View::Native), None);
    }
}
