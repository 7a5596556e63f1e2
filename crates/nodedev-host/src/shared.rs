//! What the driver and the thread that follows the host have in common: the index, how far it is, and the history.

use std::hash::RandomState;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nodedev_driver::{Entry, EventLog, View};
use nodedev_model::{DeviceName, DeviceState, Issue, Visibility};
use nodedev_sys::Root;
use nodedev_sys::paths::{self, basename, join, parent};

use crate::classify::Kind;
use crate::enumerate::has_node_devices;
use crate::index::{Definition, Id, Index};
use crate::issues::KnownIssues;
use crate::kernel::Issues;
use crate::live::Counters;
use crate::look::{Look, Looker, Prints};
use crate::parallel::Jobs;
use crate::pci_ids::PciIds;
use crate::scan::{self, Access, Uevents};

/// How many changes are kept for watchers: those of a rescan of a big host.
const HISTORY: usize = 1 << 16;

/// How far the first look at the host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody has asked yet.
    Idle,
    /// Some devices are in the index.
    Scanning,
    /// All are.
    Complete,
}

#[derive(Debug)]
struct Progress {
    phase: Phase,
    /// Whether changes come into the index from now on.
    followed: bool,
    /// The number of the error where the last look at the host was cut off, since no more files may be open.
    exhausted: Option<i32>,
}

impl Progress {
    /// Whether the first look is over, be it cut off.
    fn is_over(&self) -> bool {
        self.phase != Phase::Scanning || self.exhausted.is_some()
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: Root,
    pub(crate) pci_ids: PciIds,
    /// How many threads look at the host at once.
    pub(crate) jobs: Jobs,
    pub(crate) log: EventLog,
    pub(crate) counters: Counters,
    /// What could not be read for the index.
    pub(crate) issues: Mutex<KnownIssues>,
    /// The driver is being dropped.
    pub(crate) stopping: AtomicBool,
    index: RwLock<Index>,
    progress: Mutex<Progress>,
    progressed: Condvar,
}

/// A copy of all that the index has of a device, to describe it without holding the index meanwhile.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) id: Id,
    pub(crate) name: DeviceName,
    pub(crate) path: Box<[u8]>,
    pub(crate) subsystem: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) visibility: Visibility,
    pub(crate) state: DeviceState,
    /// Nearest device above in the view that the device is of.
    pub(crate) parent: Option<DeviceName>,
    /// Nearest device of any kind above.
    pub(crate) native_parent: Option<DeviceName>,
    pub(crate) definition: Option<Definition>,
}

impl Known {
    pub(crate) fn copy(index: &Index, id: Id) -> Self {
        let entry = index.entry(id);
        let view = match entry.visibility {
            Visibility::Libvirt => View::Libvirt,
            Visibility::Native => View::Native,
        };
        let parent = |view| index.parent(id, view).map(|id| index.entry(id).name.clone());
        Self {
            id,
            name: entry.name.clone(),
            path: entry.path.clone(),
            subsystem: index.subsystem(entry).into(),
            kind: entry.kind,
            visibility: entry.visibility,
            state: index.state(id),
            parent: parent(view),
            native_parent: parent(View::Native),
            definition: index.definition(id).cloned(),
        }
    }
}

/// A device as views list it, with its parent if that is known already.
pub(crate) fn view_entry(index: &Index, id: Id, parent: Option<Id>) -> Entry {
    let entry = index.entry(id);
    Entry {
        name: entry.name.clone(),
        parent: parent.map(|id| index.entry(id).name.clone()),
        kind: entry.kind.word().into(),
        visibility: entry.visibility,
        state: index.state(id),
    }
}

impl Shared {
    pub(crate) fn new(root: Root, jobs: Jobs) -> Self {
        Self {
            root,
            pci_ids: PciIds::default(),
            jobs,
            log: EventLog::with_capacity(HISTORY),
            counters: Counters::default(),
            issues: Mutex::default(),
            stopping: AtomicBool::new(false),
            index: RwLock::new(Index::new(RandomState::new())),
            progress: Mutex::new(Progress { phase: Phase::Idle, followed: false, exhausted: None }),
            progressed: Condvar::new(),
        }
    }

    /// The index to look at. Whoever holds it keeps changes away, so nothing of the host is read meanwhile.
    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index to change.
    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known_issues(&self) -> MutexGuard<'_, KnownIssues> {
        self.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, done: impl Fn(&Progress) -> bool) {
        let progress = self.progress();
        drop(self.progressed.wait_while(progress, |progress| !done(progress)));
    }

    /// Takes the first look at the host on oneself. `false` if somebody else has.
    pub(crate) fn begin(&self) -> bool {
        let mut progress = self.progress();
        let idle = progress.phase == Phase::Idle;
        if idle {
            progress.phase = Phase::Scanning;
        }
        idle
    }

    /// The first look is over.
    pub(crate) fn complete(&self) {
        self.progress().phase = Phase::Complete;
        self.progressed.notify_all();
    }

    /// The first look is over, or it was cut off: then whoever asks next takes it again.
    fn end_first_look(&self) {
        let mut progress = self.progress();
        progress.phase = if progress.exhausted.is_some() { Phase::Idle } else { Phase::Complete };
        self.progressed.notify_all();
    }

    /// Notes whether a look at the host was cut off.
    pub(crate) fn set_exhausted(&self, number: Option<i32>) {
        self.progress().exhausted = number;
        self.progressed.notify_all();
    }

    /// The number of the error where the last look at the host was cut off, since no more files may be open: what the index has is
    /// less than there is.
    pub(crate) fn exhausted(&self) -> Option<i32> {
        self.progress().exhausted
    }

    /// From now on, changes come into the index; or they never will, as the history says then.
    pub(crate) fn set_followed(&self) {
        self.progress().followed = true;
        self.progressed.notify_all();
    }

    /// Whether changes come into the index by now.
    pub(crate) fn is_followed(&self) -> bool {
        self.progress().followed
    }

    /// Waits until changes come into the index.
    pub(crate) fn wait_followed(&self) {
        self.wait_until(|progress| progress.followed);
    }

    /// Makes sure that all devices are in the index: looks at the host if nobody has, and waits if somebody is at it. The number of the
    /// error where they are not, since no more files may be open.
    pub(crate) fn ensure_complete(&self, uevents: Option<&mut Uevents>) -> Result<(), i32> {
        if self.begin() {
            // Where changes are not followed, nothing is compared either.
            let _ = self.scan(Prints::None, uevents);
            self.end_first_look();
        } else {
            self.wait_until(Progress::is_over);
        }
        self.exhausted().map_or(Ok(()), Err)
    }

    /// Looks at the whole host, and lets others see what is in the index already.
    pub(crate) fn scan(&self, prints: Prints, uevents: Option<&mut Uevents>) -> ControlFlow<()> {
        let issues = Issues::default();
        let flow = scan::scan(&self.root, &issues, prints, self.jobs, &mut &*self, uevents);
        self.set_exhausted(issues.exhausted());
        *self.known_issues() = KnownIssues::from_iter(issues.into_inner());
        flow
    }

    /// How fingerprints are made where changes are followed.
    pub(crate) fn prints(&self) -> Prints {
        let hasher = self.index().hasher().clone();
        Prints::Made { hasher, udev: self.root.find(paths::UDEV_DATA.as_bytes()).unwrap_or(true) }
    }

    /// Gives the device of a name to `use_it`. While the first look is taken, a device that is in already is given at
    /// once, and for others the end is waited for.
    pub(crate) fn with<T>(&self, name: &str, use_it: impl FnOnce(&Index, Id) -> T) -> Option<T> {
        if self.begin() {
            let _ = self.scan(Prints::None, None);
            self.end_first_look();
        }
        if self.progress().phase == Phase::Scanning {
            let known = {
                let index = self.index();
                // Of a device without a path it is not known yet below which it is.
                index.by_name(name).map(|id| index.entry(id).path.clone()).filter(|path| !path.is_empty())
            };
            match known {
                Some(path) => self.add_above(&path),
                None => self.wait_until(Progress::is_over),
            }
        }
        let index = self.index();
        index.by_name(name).map(|id| use_it(&index, id))
    }

    /// What the index has of the device of a name now.
    pub(crate) fn known(&self, name: &DeviceName) -> Option<Known> {
        let index = self.index();
        index.by_name(name.as_str()).map(|id| Known::copy(&index, id))
    }

    /// Adds the devices above a path to the index, so that its parents are right before all devices are in.
    fn add_above(&self, path: &[u8]) {
        let issues = Issues::default();
        let mut looker = Looker::new(&self.root, self.prints());
        let mut above = parent(path);
        while above.len() > paths::DEVICES.len() {
            let known = self.index().at_path(above).is_some();
            if !known && let Ok(Some(link)) = self.root.read_link(&join(above, b"subsystem")) {
                let subsystem = basename(&link);
                if has_node_devices(subsystem)
                    && let Some(Look::Device(seen)) = looker.look(&issues, subsystem, above)
                {
                    scan::add(&mut self.index_mut(), subsystem, above, seen);
                }
            }
            above = parent(above);
        }
    }

    /// Whether the driver is being dropped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What could not be read for the index.
    pub(crate) fn all_issues(&self) -> Vec<Issue> {
        self.known_issues().iter().cloned().collect()
    }
}

impl Access for &Shared {
    fn access<T>(&mut self, action: impl FnOnce(&mut Index) -> T) -> T {
        action(&mut self.index_mut())
    }

    fn is_cancelled(&self) -> bool {
        self.is_stopping()
    }
}
