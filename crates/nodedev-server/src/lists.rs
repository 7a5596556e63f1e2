//! Lists of devices as they go over the wire, kept as long as nothing changes, and shared by all who ask meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodedev_driver::{Driver, Error, ListFlags, Revision, View};
use nodedev_rpc::{Reader, Str, Wire};

use crate::outbox::Prefix;

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
    pub(crate) encoded: Prefix,
}

impl Names {
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut count, mut encoded) = (0, Vec::new());
        for name in names {
            Str::truncated(name).encode(&mut encoded);
            count += 1;
        }
        Self { count, encoded: Arc::<[u8]>::from(encoded).into() }
    }

    fn encoded(&self) -> &[u8] {
        self.encoded.bytes.get(..self.encoded.length).unwrap_or_default()
    }

    /// Each name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Str<'_>> {
        let mut input = Reader::new(self.encoded());
        std::iter::from_fn(move || Str::decode(&mut input).ok())
    }

    /// The first `most` names.
    pub(crate) fn first(self, most: usize) -> Self {
        if self.count <= most {
            return self;
        }
        let mut input = Reader::new(self.encoded());
        for _ in 0..most {
            if Str::decode(&mut input).is_err() {
                break;
            }
        }
        let length = self.encoded.length - input.rest().len();
        Self { count: most, encoded: Prefix { bytes: self.encoded.bytes, length } }
    }
}

/// What a list is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// The names of the devices that these select.
    Names(ListFlags),
    /// All devices of a view, with what the index knows of each.
    Snapshot(View),
}

struct Kept {
    question: Question,
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
    fn as_of(&self, driver: &dyn Driver, question: Question) -> Option<AsOf> {
        let is_announced = match question {
            Question::Names(flags) => !flags.intersects(UNANNOUNCED),
            Question::Snapshot(_) => true,
        };
        match is_announced {
            _ if self.is_recording => Some(AsOf::Recording),
            true => driver.changes().ok()?.revision().map(AsOf::Revision),
            false => None,
        }
    }

    /// Whether a list is kept and right.
    pub(crate) fn has(&self, driver: &dyn Driver, flags: ListFlags) -> bool {
        let question = Question::Names(flags);
        self.as_of(driver, question).is_some_and(|as_of| self.kept(question, as_of).is_some())
    }

    /// The devices that `flags` select.
    pub(crate) fn get(&self, driver: &dyn Driver, flags: ListFlags) -> Result<Names, Error> {
        self.answer(driver, Question::Names(flags), || {
            let devices = driver.calls().list_names(flags)?;
            Ok(Names::of(devices.iter().map(|name| name.as_str())))
        })
    }

    /// The snapshot of a view, which `encode` makes.
    pub(crate) fn snapshot<E: From<Error>>(
        &self,
        driver: &dyn Driver,
        view: View,
        encode: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Prefix, E> {
        let made = || Ok(Names { count: 0, encoded: Arc::<[u8]>::from(encode()?).into() });
        self.answer(driver, Question::Snapshot(view), made).map(|names| names.encoded)
    }

    fn answer<E>(
        &self,
        driver: &dyn Driver,
        question: Question,
        make: impl FnOnce() -> Result<Names, E>,
    ) -> Result<Names, E> {
        // Looked at before the devices are: what changes meanwhile then makes this list an old one.
        let Some(as_of) = self.as_of(driver, question) else { return make() };
        if let Some(names) = self.kept(question, as_of) {
            return Ok(names);
        }
        let names = make()?;
        let mut kept = self.lock();
        // Somebody may have made the same meanwhile: one of both is enough to hold.
        if let Some(same) = kept.iter().find(|kept| kept.question == question && kept.as_of == as_of) {
            return Ok(same.names.clone());
        }
        kept.retain(|other| other.question != question);
        kept.truncate(KEPT - 1);
        kept.push_front(Kept { question, as_of, names: names.clone() });
        Ok(names)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self, question: Question, as_of: AsOf) -> Option<Names> {
        let kept = self.lock();
        let found = kept.iter().find(|kept| kept.question == question && kept.as_of == as_of)?;
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
