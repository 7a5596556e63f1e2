//! What a fresh look at the whole host says that the index did not.

use std::collections::HashMap;

use nodedev_driver::{Change, Entry, Happened, LibvirtChange, LibvirtEvent, View};
use nodedev_model::{CapabilityType, DeviceName, DeviceState, Visibility};

use super::apply::{between, shown};
use super::plan::{Touch, Touched};
use crate::classify::Kind;
use crate::index::{COMPUTER, Id, Index};
use crate::shared::view_entry;

/// One of two states of a host.
struct Side<'a> {
    index: &'a Index,
    parents: Vec<Id>,
}

impl<'a> Side<'a> {
    fn new(index: &'a Index) -> Self {
        Self { index, parents: index.parents(View::Native) }
    }

    fn entry(&self, id: Id) -> Entry {
        let parent = (id != COMPUTER).then(|| self.parents[id as usize]);
        view_entry(self.index, id, parent)
    }

    fn path(&self, id: Id) -> &'a [u8] {
        &self.index.entry(id).path
    }
}

/// The changes that lead from one state to the other, what goes before what comes. `touched` devices have changed, even
/// if they look the same.
pub(super) fn diff(old: &Index, new: &Index, touched: &Touched) -> Vec<Happened> {
    let (old, new) = (Side::new(old), Side::new(new));
    let (mut gone, mut came, mut stayed) = (Vec::new(), Vec::new(), Vec::new());
    let (mut olds, mut news) = (old.index.sorted().peekable(), new.index.sorted().peekable());
    fn name<'a>(side: &Side<'a>, id: Option<&Id>) -> Option<&'a DeviceName> {
        id.map(|&id| &side.index.entry(id).name)
    }
    loop {
        let (one, other) = (name(&old, olds.peek()), name(&new, news.peek()));
        match (one, other) {
            (None, None) => break,
            (Some(one), Some(other)) if one == other => stayed.extend(olds.next().zip(news.next())),
            (Some(one), other) if other.is_none_or(|other| one < other) => gone.extend(olds.next()),
            _ => came.extend(news.next()),
        }
    }
    let mut changes = Changes { old: &old, new: &new, touched, happened: Vec::new() };
    let renamed = changes.new_addresses(&gone, &came);
    // Those below first, then those above.
    gone.sort_by(|&a, &b| old.path(b).cmp(old.path(a)));
    for id in gone {
        if !renamed.contains_key(&id) {
            changes.compare(Some(id), None);
        }
    }
    let renamed_to: HashMap<Id, Id> = renamed.into_iter().map(|(from, to)| (to, from)).collect();
    came.sort_by(|&a, &b| new.path(a).cmp(new.path(b)));
    for id in came {
        match renamed_to.get(&id) {
            Some(&from) => changes.new_address(from, id),
            None => changes.compare(None, Some(id)),
        }
    }
    for (one, other) in stayed {
        changes.compare(Some(one), Some(other));
    }
    changes.happened
}

struct Changes<'a> {
    old: &'a Side<'a>,
    new: &'a Side<'a>,
    touched: &'a Touched,
    happened: Vec<Happened>,
}

impl Changes<'_> {
    /// The interfaces that are in the same place under the name of another address, old to new.
    fn new_addresses(&self, gone: &[Id], came: &[Id]) -> HashMap<Id, Id> {
        let is_net = |side: &Side<'_>, id: Id| {
            side.index.entry(id).kind == Kind::Libvirt(CapabilityType::Net) && !side.path(id).is_empty()
        };
        let came: HashMap<&[u8], Id> =
            came.iter().filter(|&&id| is_net(self.new, id)).map(|&id| (self.new.path(id), id)).collect();
        gone.iter()
            .filter(|&&id| {
                is_net(self.old, id) && self.touched.get(self.old.path(id)) != Some(Touch::Replaced)
            })
            .filter_map(|&id| {
                let to = *came.get(self.old.path(id))?;
                let same = self.old.index.entry(id).visibility == self.new.index.entry(to).visibility;
                same.then_some((id, to))
            })
            .collect()
    }

    fn new_address(&mut self, from: Id, to: Id) {
        let change = Change::AddressChanged { from: self.old.index.entry(from).name.clone() };
        let libvirt = match self.new.index.entry(to).visibility {
            Visibility::Libvirt => LibvirtChange::Replaced,
            Visibility::Native => LibvirtChange::Unseen,
        };
        self.tell(to, change, libvirt);
    }

    /// Tells what is another about the device of a name. Each event has the device as it is at that point, so that it is
    /// there from the first to the last.
    fn compare(&mut self, old: Option<Id>, new: Option<Id>) {
        let state = |side: &Side<'_>, id: Option<Id>| {
            let none = DeviceState { active: false, persistent: false, autostart: false };
            id.map_or(none, |id| side.index.state(id))
        };
        let (was, is) = (state(self.old, old), state(self.new, new));
        let visibility = |side: &Side<'_>, id: Option<Id>| {
            id.map_or(Visibility::Native, |id| side.index.entry(id).visibility)
        };
        let (before, after) = (visibility(self.old, old), visibility(self.new, new));
        let replaced = was.active && is.active && self.touch(old, new) == Some(Touch::Replaced);
        let mut state = DeviceState { autostart: is.autostart, ..was };
        if !was.persistent && is.persistent {
            state.persistent = true;
            self.tell_state(old, new, state, Change::Defined, LibvirtChange::One(LibvirtEvent::Defined));
        }
        if was.active && (!is.active || replaced) {
            state.active = false;
            self.tell_state(old, new, state, Change::Deleted, shown(before, LibvirtEvent::Deleted));
        }
        if is.active && (!was.active || replaced) {
            state.active = true;
            self.tell_state(old, new, state, Change::Created, shown(after, LibvirtEvent::Created));
        }
        if was.persistent && !is.persistent {
            state.persistent = false;
            self.tell_state(old, new, state, Change::Undefined, LibvirtChange::One(LibvirtEvent::Undefined));
        }
        if let (Some(one), Some(other)) = (old, new)
            && was.active == is.active
            && !replaced
        {
            self.compare_details(one, other);
        }
    }

    fn compare_details(&mut self, old: Id, new: Id) {
        let (one, other) = (self.old.index.entry(old), self.new.index.entry(new));
        let is_other = one.path != other.path
            || one.kind != other.kind
            || one.visibility != other.visibility
            || one.fingerprint != other.fingerprint
            || both_differ(self.old.index.definition(old), self.new.index.definition(new));
        if is_other || self.touch(Some(old), Some(new)).is_some() {
            let same = LibvirtChange::One(LibvirtEvent::Updated);
            let libvirt = between(one.visibility, other.visibility, same);
            self.tell(new, Change::Updated, libvirt);
        } else if self.old.entry(old).parent != self.new.entry(new).parent {
            self.tell(new, Change::ParentChanged, LibvirtChange::Unseen);
        }
    }

    /// What was heard of a device that is in the same place.
    fn touch(&self, old: Option<Id>, new: Option<Id>) -> Option<Touch> {
        let path = self.new.path(new?);
        (self.old.path(old?) == path).then(|| self.touched.get(path)).flatten()
    }

    fn tell(&mut self, id: Id, change: Change, libvirt: LibvirtChange) {
        let entry = self.new.entry(id);
        self.happened.push(Happened { name: entry.name.clone(), change, libvirt, entry: Some(entry) });
    }

    /// Tells of a device in a state on the way from the old one to the new one.
    fn tell_state(
        &mut self,
        old: Option<Id>,
        new: Option<Id>,
        state: DeviceState,
        change: Change,
        libvirt: LibvirtChange,
    ) {
        let of_new = || new.map(|id| self.new.entry(id));
        let of_old = || old.map(|id| self.old.entry(id));
        let Some(entry) = of_new().or_else(of_old) else { return };
        let name = entry.name.clone();
        let entry = (state.active || state.persistent).then_some(Entry { state, ..entry });
        self.happened.push(Happened { name, change, libvirt, entry });
    }
}

/// Whether something is there before and after and is not the same; what comes or goes is told otherwise.
fn both_differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}
