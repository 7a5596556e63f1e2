//! Lists of devices as they go over the wire, kept as long as nothing changes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use nodedev_driver::{Driver, Error, ListFlags, Revision};
use nodedev_rpc::{Reader, Str, Wire};

/// How many lists are kept: clients use a handful of flags.
const KEPT: usize = 8;

/// Capabilities that can come and go without a word from the kernel, so that only a look tells who has them. Vital product
/// data is none of them: it is part of the hardware, and comes and goes with it.
const UNANNOUNCED: ListFlags = ListFlags::CAP_FC_HOST
    .union(ListFlags::CAP_VPORTS)
    .union(ListFlags::CAP_MDEV_TYPES)
    .union(ListFlags::CAP_CCWGROUP_MEMBER);

/// The names of some devices.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// How many.
    pub(crate) count: usize,
    /// Each as a text of the wire, one after the other.
    pub(crate) encoded: Arc<[u8]>,
}

impl Names {
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut count, mut encoded) = (0, Vec::new());
        for name in names {
            Str::truncated(name).encode(&mut encoded);
            count += 1;
        }
        Self { count, encoded: encoded.into() }
    }

    /// Each name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Str<'_>> {
        let mut input = Reader::new(&self.encoded);
        std::iter::from_fn(move || Str::decode(&mut input).ok())
    }

    /// The first `most` names.
    pub(crate) fn first(self, most: usize) -> Self {
        if self.count <= most {
            return self;
        }
        let mut input = Reader::new(&self.encoded);
        for _ in 0..most {
            if Str::decode(&mut input).is_err() {
                break;
            }
        }
        let length = self.encoded.len() - input.rest().len();
        Self { count: most, encoded: self.encoded.get(..length).unwrap_or_default().into() }
    }
}

struct Kept {
    flags: ListFlags,
    as_of: AsOf,
    names: Names,
}

/// Until when a list is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsOf {
    /// Until there is a later revision.
    Revision(Revision),
    /// For ever: the devices are those of a recording.
    Recording,
}

/// The lists that were asked for last.
pub(crate) struct Lists {
    kept: Mutex<VecDeque<Kept>>,
    is_recording: bool,
}

impl Lists {
    pub(crate) fn new(is_recording: bool) -> Self {
        Self { kept: Mutex::default(), is_recording }
    }

    /// What a list of now would be right as, if it can be kept.
    fn as_of(&self, driver: &dyn Driver, flags: ListFlags) -> Option<AsOf> {
        match flags.intersects(UNANNOUNCED) {
            _ if self.is_recording => Some(AsOf::Recording),
            true => None,
            false => driver.revision().map(AsOf::Revision),
        }
    }

    /// Whether a list is kept and right.
    pub(crate) fn has(&self, driver: &dyn Driver, flags: ListFlags) -> bool {
        self.as_of(driver, flags).is_some_and(|as_of| self.kept(flags, as_of).is_some())
    }

    /// The devices that `flags` select.
    pub(crate) fn get(&self, driver: &dyn Driver, flags: ListFlags) -> Result<Names, Error> {
        // Looked at before the devices are: what changes meanwhile then makes this list an old one.
        let as_of = self.as_of(driver, flags);
        if let Some(as_of) = as_of
            && let Some(names) = self.kept(flags, as_of)
        {
            return Ok(names);
        }
        let devices = driver.list_names(flags)?;
        let names = Names::of(devices.iter().map(|name| name.as_str()));
        if let Some(as_of) = as_of {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|other| other.flags != flags);
            kept.truncate(KEPT - 1);
            kept.push_front(Kept { flags, as_of, names: names.clone() });
        }
        Ok(names)
    }

    fn kept(&self, flags: ListFlags, as_of: AsOf) -> Option<Names> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|kept| kept.flags == flags && kept.as_of == as_of)?;
        Some(found.names.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_are_those_that_came_first() {
        let names = Names::of(["a", "bcdef", ""]);
        let first = |most| {
            let names = names.clone().first(most);
            let texts: Vec<_> = names.iter().map(|name| name.to_string()).collect();
            (names.count, texts.join(","))
        };
        assert_eq!(first(0), (0, String::new()));
        assert_eq!(first(2), (2, "a,bcdef".into()));
        assert_eq!(first(3), (3, "a,bcdef,".into()));
        assert_eq!(first(9), (3, "a,bcdef,".into()));
    }
}
