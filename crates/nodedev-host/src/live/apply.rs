//! Changes of single devices: the index after them, and what they are called.

use std::collections::HashSet;

use nodedev_driver::{Change, Entry, Happened, LibvirtChange, LibvirtEvent, View};
use nodedev_model::{CapabilityType, DeviceName, Visibility};

use super::plan::{Cause, DriverChange};
use crate::classify::Kind;
use crate::index::{Definition, Id, Index};
use crate::look::{Look, Seen};
use crate::scan;
use crate::shared::view_entry;

/// Applies changes to an index and collects what happened.
pub(super) struct Changes<'a> {
    index: &'a mut Index,
    happened: Vec<Happened>,
    /// Parents are compared when a change of many devices is over.
    parents_later: bool,
}

/// A device below one that moved, looked at in its new place.
pub(super) struct Moved {
    pub(super) from: Box<[u8]>,
    pub(super) path: Box<[u8]>,
    pub(super) subsystem: Box<[u8]>,
    pub(super) look: Look,
}

/// Devices whose parent may change, with its name so far.
type Children = Vec<(DeviceName, Option<DeviceName>)>;

impl<'a> Changes<'a> {
    pub(super) fn new(index: &'a mut Index) -> Self {
        Self { index, happened: Vec::new(), parents_later: false }
    }

    /// What happened, in order.
    pub(super) fn finish(self) -> Vec<Happened> {
        self.happened
    }

    /// A device went, and with it all below it.
    pub(super) fn remove(&mut self, path: &[u8]) {
        let mut gone: Vec<Id> = self.index.below(path).iter().rev().copied().collect();
        gone.extend(self.index.at_path(path));
        for id in gone {
            let (name, path) = (self.index.entry(id).name.clone(), self.index.entry(id).path.clone());
            // What is below it in sysfs goes as well, but not what is below an heir of its name or only defined.
            let children = match self.index.has_shadow(&name) {
                true => self.children(&path, &name),
                false => self.inactive_children(&path),
            };
            self.take_out(id);
            self.tell_new_parents(children);
        }
    }

    /// A device was looked at.
    pub(super) fn update(&mut self, subsystem: &[u8], path: &[u8], look: Look, cause: &Cause) {
        match (self.index.at_path(path), look) {
            // That it went, or where it is now, is told by news that are on the way. If it was renamed, what is known
            // of it and of those below it is needed then.
            (_, Look::Gone) | (None, Look::Nothing) => {}
            (None, Look::Device(seen)) => {
                if cause != &Cause::default() {
                    let children = self.children(path, &seen.name);
                    self.add(subsystem, path, seen);
                    self.tell_new_parents(children);
                }
            }
            (Some(id), Look::Nothing) => {
                let name = self.index.entry(id).name.clone();
                let children = self.children(path, &name);
                self.take_out(id);
                self.tell_new_parents(children);
            }
            (Some(id), Look::Device(seen)) => {
                let entry = self.index.entry(id);
                if entry.name == seen.name && !self.index.has_shadow(&seen.name) {
                    self.refresh(id, seen, cause);
                } else if entry.name != seen.name || entry.visibility != seen.visibility {
                    self.replace(id, subsystem, path, seen, cause);
                } else if self.index.is_shadowed(id) {
                    self.index.update(id, seen.kind, seen.visibility, seen.fingerprint);
                } else {
                    self.refresh(id, seen, cause);
                }
            }
        }
    }

    /// A device is somewhere else now, and those below it are there with it: the device first.
    pub(super) fn relocate(&mut self, moved: Vec<Moved>) {
        let Some(first) = moved.first() else { return };
        let ids: Vec<Id> = self
            .index
            .at_path(&first.from)
            .into_iter()
            .chain(self.index.below(&first.from).to_vec())
            .collect();
        let children = self.with_parents(&ids);
        // What was taken for the device in its new place was looked at before this news of it was.
        if !ids.is_empty() {
            self.remove(&first.path);
        }
        self.parents_later = true;
        let told = Cause { told: true, ..Cause::default() };
        for Moved { from, path, subsystem, look } in moved {
            match (self.index.at_path(&from), look) {
                (Some(id), Look::Device(seen)) => self.replace(id, &subsystem, &path, seen, &told),
                (id, look) => {
                    if id.is_some() {
                        self.remove(&from);
                    }
                    self.update(&subsystem, &path, look, &told);
                }
            }
        }
        self.parents_later = false;
        self.tell_new_parents(children);
    }

    /// These are all definitions of mediated devices now.
    pub(super) fn define(&mut self, definitions: Vec<Definition>) {
        let now: HashSet<DeviceName> = definitions.iter().map(Definition::name).collect();
        let known = self.index.definitions().keys();
        let mut gone: Vec<DeviceName> = known.filter(|&name| !now.contains(name)).cloned().collect();
        gone.sort_unstable();
        for name in gone {
            self.index.undefine(&name);
            self.tell(name, Change::Undefined, LibvirtChange::One(LibvirtEvent::Undefined));
        }
        for definition in definitions {
            let name = definition.name();
            let change = match self.index.definitions().get(&name) {
                Some(known) if *known == definition => continue,
                Some(_) => (Change::Updated, LibvirtEvent::Updated),
                None => (Change::Defined, LibvirtEvent::Defined),
            };
            self.index.define(definition);
            self.index.insert_inactive(&name);
            self.tell(name, change.0, LibvirtChange::One(change.1));
        }
    }

    /// Adds a device to the index.
    fn add(&mut self, subsystem: &[u8], path: &[u8], seen: Seen) {
        let rival =
            self.index.by_name(seen.name.as_str()).filter(|&id| !self.index.entry(id).path.is_empty());
        let before = rival.map(|id| self.index.entry(id).visibility);
        let rival_path = rival.map(|id| self.index.entry(id).path.clone());
        let (name, after) = (seen.name.clone(), seen.visibility);
        let children = rival_path.map_or_else(Vec::new, |path| self.children(&path, &name));
        let Some(id) = scan::add(self.index, subsystem, path, seen) else { return };
        if self.index.is_shadowed(id) {
            return;
        }
        match before {
            None => self.tell(name, Change::Created, shown(after, LibvirtEvent::Created)),
            // As in libvirt, where it takes the place of the other one.
            Some(before) => {
                let libvirt = between(before, after, LibvirtChange::One(LibvirtEvent::Updated));
                self.tell(name, Change::Updated, libvirt);
            }
        }
        self.tell_new_parents(children);
    }

    /// Takes a device out of the index. One that is defined stays as an inactive one.
    fn take_out(&mut self, id: Id) {
        let entry = self.index.entry(id);
        let (name, visibility) = (entry.name.clone(), entry.visibility);
        let is_shadowed = self.index.is_shadowed(id);
        let heir = self.index.remove(id);
        if is_shadowed {
            return;
        }
        self.index.insert_inactive(&name);
        let happened = Happened {
            entry: if heir.is_none() { self.entry(&name) } else { None },
            name: name.clone(),
            change: Change::Deleted,
            libvirt: shown(visibility, LibvirtEvent::Deleted),
        };
        self.happened.push(happened);
        if let Some(heir) = heir {
            let visibility = self.index.entry(heir).visibility;
            self.tell(name, Change::Created, shown(visibility, LibvirtEvent::Created));
        }
    }

    /// A known device was looked at and has the same name.
    fn refresh(&mut self, id: Id, seen: Seen, cause: &Cause) {
        let before = self.index.entry(id).visibility;
        self.index.update(id, seen.kind, seen.visibility, seen.fingerprint);
        self.tell_caused(seen.name, before, seen.visibility, cause);
    }

    /// Tells what a cause means for a device that is known and keeps its name.
    fn tell_caused(&mut self, name: DeviceName, before: Visibility, after: Visibility, cause: &Cause) {
        let mut changes = Vec::new();
        if cause.told {
            changes.push((Change::Updated, LibvirtChange::One(LibvirtEvent::Updated)));
        } else if cause.quiet || (cause.driver.is_none() && before != after) {
            changes.push((Change::Updated, LibvirtChange::Unseen));
        }
        match &cause.driver {
            Some(DriverChange::Bound(driver)) => {
                changes.push((Change::DriverBound { kernel_driver: driver.clone() }, LibvirtChange::Unseen));
            }
            Some(DriverChange::Unbound) => changes.push((Change::DriverUnbound, LibvirtChange::Unseen)),
            None => {}
        }
        for (at, (change, libvirt)) in changes.into_iter().enumerate() {
            // If it appears in libvirt's view, or vanishes from it, it does so once.
            let libvirt = if at == 0 { between(before, after, libvirt) } else { libvirt };
            self.tell(name.clone(), change, libvirt);
        }
    }

    /// A known device has another name or another path now, or may win or lose its name against others.
    fn replace(&mut self, id: Id, subsystem: &[u8], path: &[u8], seen: Seen, cause: &Cause) {
        let entry = self.index.entry(id);
        let (from, before, former_path) = (entry.name.clone(), entry.visibility, entry.path.clone());
        let (name, after) = (seen.name.clone(), seen.visibility);
        let mut children = self.children(&former_path, &from);
        children.extend(self.children(path, &name));
        let is_plain = !self.index.has_shadow(&from)
            && self.index.definition(id).is_none()
            && (from == name || self.index.by_name(name.as_str()).is_none());
        if !is_plain {
            self.take_out(id);
            self.add(subsystem, path, seen);
            self.tell_new_parents(children);
            return;
        }
        let is_moved = *former_path != *path;
        let is_net = seen.kind == Kind::Libvirt(CapabilityType::Net);
        self.index.remove(id);
        scan::add(self.index, subsystem, path, seen);
        if from == name {
            self.tell_caused(name, before, after, cause);
        } else if before == after && (is_moved || is_net) {
            let change = if is_moved { Change::Renamed { from } } else { Change::AddressChanged { from } };
            let libvirt = match after {
                Visibility::Libvirt => LibvirtChange::Replaced,
                Visibility::Native => LibvirtChange::Unseen,
            };
            self.tell(name, change, libvirt);
        } else {
            self.tell(from, Change::Deleted, shown(before, LibvirtEvent::Deleted));
            self.tell(name, Change::Created, shown(after, LibvirtEvent::Created));
        }
        self.tell_new_parents(children);
    }

    /// The devices whose parent a change at a path can change: those below it, those below another device of its name
    /// that may get or lose it, and those that are only defined.
    fn children(&self, path: &[u8], name: &DeviceName) -> Children {
        let mut ids = self.index.below(path).to_vec();
        for rival in self.index.named(name) {
            let rival_path = &self.index.entry(rival).path;
            if **rival_path != *path && !rival_path.is_empty() {
                ids.extend(self.index.below(rival_path));
            }
        }
        let mut children = self.with_parents(&ids);
        children.extend(self.inactive_children(path));
        children
    }

    fn inactive_children(&self, path: &[u8]) -> Children {
        self.with_parents(self.index.inactive_below(path))
    }

    fn with_parents(&self, ids: &[Id]) -> Children {
        let named = |id: Id| self.index.entry(id).name.clone();
        ids.iter()
            .filter(|&&id| !self.index.is_shadowed(id))
            .map(|&id| (named(id), self.index.parent(id, View::Native).map(named)))
            .collect()
    }

    /// Tells of which devices the parent is another now.
    fn tell_new_parents(&mut self, mut children: Children) {
        if self.parents_later {
            return;
        }
        children.sort_unstable();
        children.dedup_by(|one, other| one.0 == other.0);
        for (name, before) in children {
            let Some(id) = self.index.by_name(name.as_str()) else { continue };
            let after = self.index.parent(id, View::Native).map(|id| self.index.entry(id).name.clone());
            if after != before {
                self.tell(name, Change::ParentChanged, LibvirtChange::Unseen);
            }
        }
    }

    fn entry(&self, name: &DeviceName) -> Option<Entry> {
        let id = self.index.by_name(name.as_str())?;
        Some(view_entry(self.index, id, self.index.parent(id, View::Native)))
    }

    fn tell(&mut self, name: DeviceName, change: Change, libvirt: LibvirtChange) {
        let entry = self.entry(&name);
        self.happened.push(Happened { name, change, libvirt, entry });
    }
}

/// An event of a device, if libvirt shows it.
pub(super) fn shown(visibility: Visibility, event: LibvirtEvent) -> LibvirtChange {
    match visibility {
        Visibility::Libvirt => LibvirtChange::One(event),
        Visibility::Native => LibvirtChange::Unseen,
    }
}

/// What libvirt's clients are told of a device that stays: that it came into their view or left it, else `same`.
pub(super) fn between(before: Visibility, after: Visibility, same: LibvirtChange) -> LibvirtChange {
    match (before, after) {
        (Visibility::Libvirt, Visibility::Libvirt) => same,
        (Visibility::Libvirt, Visibility::Native) => LibvirtChange::One(LibvirtEvent::Deleted),
        (Visibility::Native, Visibility::Libvirt) => LibvirtChange::One(LibvirtEvent::Created),
        (Visibility::Native, Visibility::Native) => LibvirtChange::Unseen,
    }
}
