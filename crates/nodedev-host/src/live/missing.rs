//! Devices that were told of and were not there when they were looked at. Most have gone, and news of that follow; but
//! what is below a renamed device is somewhere else, and no news of its own say so.

use std::collections::BTreeMap;

/// Bound of the devices that are remembered. More cannot be told apart from a host that changes faster than it is
/// followed.
const LIMIT: usize = 1 << 12;

/// A device's path and its subsystem.
pub(super) type Place = (Box<[u8]>, Box<[u8]>);

#[derive(Debug, Default)]
pub(super) struct Missing(BTreeMap<Box<[u8]>, Box<[u8]>>);

impl Missing {
    /// Remembers a device of a subsystem. `false` if there is no room.
    pub(super) fn add(&mut self, path: &[u8], subsystem: &[u8]) -> bool {
        let has_room = self.0.len() < LIMIT;
        if has_room {
            self.0.insert(path.into(), subsystem.into());
        }
        has_room
    }

    /// Forgets the device at a path and those below it, and gives them: path and subsystem.
    pub(super) fn take(&mut self, path: &[u8]) -> Vec<Place> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let below = [path, b"/"].concat();
        let inside = self.0.range(below.clone().into_boxed_slice()..).map(|(path, _)| path);
        let mut paths: Vec<Box<[u8]>> = inside.take_while(|path| path.starts_with(&below)).cloned().collect();
        paths.push(path.into());
        paths.into_iter().filter_map(|path| self.0.remove_entry(&path)).collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_forgotten_with_those_above_them() {
        let mut missing = Missing::default();
        for path in ["a/b", "a/b/c", "a/b/c/d", "a/b-c", "a"] {
            assert!(missing.add(path.as_bytes(), b"x"));
        }
        let taken: Vec<_> = missing.take(b"a/b").into_iter().map(|(path, _)| path.to_vec()).collect();
        assert_eq!(taken, [&b"a/b/c"[..], b"a/b/c/d", b"a/b"]);
        assert_eq!(missing.take(b"a").len(), 2);
    }

    #[test]
    fn there_is_room_for_so_many_only() {
        let mut missing = Missing::default();
        assert!((0..LIMIT).all(|at| missing.add(at.to_string().as_bytes(), b"x")));
        assert!(!missing.add(b"x", b"x"));
    }
}
