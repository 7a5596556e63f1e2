//! The devices in the order of their names and of their paths.

use std::cmp::Ordering;

use nodedev_driver::View;
use slab::Slab;

use super::{COMPUTER, Entry, Id, Index};

#[derive(Debug)]
pub(super) struct Order {
    /// Devices by name, without those in the shadow of another.
    names: Vec<Id>,
    /// Devices by path, those in the shadow of another too, and what is below a device right behind it.
    paths: Vec<Id>,
}

impl Order {
    fn name_place(&self, entries: &Slab<Entry>, id: Id) -> Result<usize, usize> {
        let name = &entries[id as usize].name;
        self.names.binary_search_by(|&other| entries[other as usize].name.cmp(name))
    }

    fn path_place(&self, entries: &Slab<Entry>, path: &[u8]) -> Result<usize, usize> {
        self.paths.binary_search_by(|&other| path_order(&entries[other as usize].path, path))
    }

    pub(super) fn add_name(&mut self, entries: &Slab<Entry>, id: Id) {
        let (Ok(place) | Err(place)) = self.name_place(entries, id);
        self.names.insert(place, id);
    }

    pub(super) fn forget_name(&mut self, entries: &Slab<Entry>, id: Id) {
        if let Ok(place) = self.name_place(entries, id) {
            self.names.remove(place);
        }
    }

    pub(super) fn add_path(&mut self, entries: &Slab<Entry>, id: Id) {
        let (Ok(place) | Err(place)) = self.path_place(entries, &entries[id as usize].path);
        self.paths.insert(place, id);
    }

    pub(super) fn forget_path(&mut self, entries: &Slab<Entry>, id: Id) {
        if let Ok(place) = self.path_place(entries, &entries[id as usize].path) {
            self.paths.remove(place);
        }
    }
}

impl Index {
    /// Works out the orders, when a scan has put all devices in. From here on they are kept.
    pub(crate) fn sort(&mut self) {
        let ids = |wanted: &dyn Fn(Id) -> bool| -> Vec<Id> {
            let all = self.entries.iter().filter_map(|(at, _)| Id::try_from(at).ok());
            all.filter(|&id| wanted(id)).collect()
        };
        let mut names = ids(&|id| !self.is_shadowed(id));
        names.sort_unstable_by(|&a, &b| self.entry(a).name.cmp(&self.entry(b).name));
        let mut paths = ids(&|id| !self.entry(id).path.is_empty());
        paths.sort_unstable_by(|&a, &b| path_order(&self.entry(a).path, &self.entry(b).path));
        self.order = Some(Order { names, paths });
        self.entries.shrink_to_fit();
    }

    /// All devices, in the order of their names.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = Id> {
        self.order.iter().flat_map(|order| order.names.iter().copied())
    }

    /// All devices that have a path, in the order of the paths: a device before those below it.
    pub(crate) fn by_paths(&self) -> impl Iterator<Item = Id> {
        self.order.iter().flat_map(|order| order.paths.iter().copied())
    }

    /// The devices below a path, nearer ones first.
    pub(crate) fn below(&self, path: &[u8]) -> &[Id] {
        let Some(order) = &self.order else { return &[] };
        let start = match order.path_place(&self.entries, path) {
            Ok(place) => place + 1,
            Err(place) => place,
        };
        let rest = &order.paths[start..];
        &rest[..rest.partition_point(|&id| is_below(&self.entry(id).path, path))]
    }

    /// The nearest device above of every device in a view, by id. The same as [`Index::parent`] for each, in one pass.
    pub(crate) fn parents(&self, view: View) -> Vec<Id> {
        let mut parents = vec![COMPUTER; self.entries.iter().next_back().map_or(0, |(at, _)| at + 1)];
        // The devices above the present one, from the top.
        let mut above: Vec<Id> = Vec::new();
        for id in self.by_paths() {
            let path = &self.entry(id).path;
            while above.pop_if(|top| !is_below(path, &self.entries[*top as usize].path)).is_some() {}
            parents[id as usize] = above.last().copied().unwrap_or(COMPUTER);
            if self.shows(id, view) && !self.is_shadowed(id) {
                above.push(id);
            }
        }
        for &id in self.inactive.values().flatten() {
            parents[id as usize] = self.parent_of_inactive(id);
        }
        parents
    }
}

/// Whether `path` is below `folder`.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Compares paths so that what is below a folder comes right behind it: `/` counts less than everything.
fn path_order(one: &[u8], other: &[u8]) -> Ordering {
    const CHUNK: usize = 16;
    let chunks = one.chunks_exact(CHUNK).zip(other.chunks_exact(CHUNK));
    let start = chunks.take_while(|(one, other)| one == other).count() * CHUNK;
    let (one, other) = (&one[start..], &other[start..]);
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let weight = |path: &[u8]| match path.get(same) {
        None => 0,
        Some(b'/') => 1,
        Some(&byte) => u16::from(byte) + 2,
    };
    weight(one).cmp(&weight(other))
}

#[cfg(test)]
mod tests {
    use nodedev_model::Visibility;

    use super::super::tests::{entry, index};
    use super::*;

    #[test]
    fn what_is_below_a_folder_follows_it() {
        let long = "sys/devices/pci0000:00/0000:00:02.0";
        let mut paths = [
            format!("{long}/x"),
            format!("{long}-b"),
            format!("{long}/x/y"),
            long.to_owned(),
            format!("{long}0"),
        ];
        paths.sort_by(|a, b| path_order(a.as_bytes(), b.as_bytes()));
        let want = ["", "/x", "/x/y", "-b", "0"].map(|rest| format!("{long}{rest}"));
        assert_eq!(paths, want);
    }

    #[test]
    fn orders_are_kept_while_devices_come_and_go() {
        let paths = ["a", "a/b", "a/b/c", "a-b", "a/d", "e", "e/f/g"];
        let mut kept = index();
        kept.sort();
        for path in paths {
            kept.insert(entry(&path.replace('/', "_"), path, Visibility::Libvirt));
        }
        let below: Vec<_> = kept.below(b"a").iter().map(|&id| kept.entry(id).path.to_vec()).collect();
        assert_eq!(below, [&b"a/b"[..], b"a/b/c", b"a/d"]);
        assert_eq!(kept.below(b"e/f").len(), 1);
        for path in ["a/b", "e"] {
            let id = kept.at_path(path.as_bytes()).unwrap();
            kept.remove(id);
        }
        let order =
            |index: &Index| -> (Vec<Id>, Vec<Id>) { (index.sorted().collect(), index.by_paths().collect()) };
        let before = order(&kept);
        kept.sort();
        assert_eq!(order(&kept), before);
        assert_eq!(before.1.len(), 5);
    }

    #[test]
    fn parents_in_one_pass_are_the_parents_one_by_one() {
        let mut index = index();
        for (path, visibility) in [
            ("a", Visibility::Libvirt),
            ("a-b", Visibility::Libvirt),
            ("a/b", Visibility::Native),
            ("a/b/c/d", Visibility::Libvirt),
            ("a/b/c/d/e", Visibility::Native),
            ("f/g", Visibility::Native),
        ] {
            index.insert(entry(&path.replace(['/', '-'], "_"), path, visibility));
        }
        index.sort();
        for view in [View::Libvirt, View::Native] {
            let parents = index.parents(view);
            for id in index.by_paths() {
                assert_eq!(Some(parents[id as usize]), index.parent(id, view), "{:?}", index.entry(id));
            }
        }
    }
}
