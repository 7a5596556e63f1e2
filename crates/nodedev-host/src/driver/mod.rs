mod calls;
mod change_error;
mod devices;
mod operations;
mod passes;

pub(crate) use change_error::told;

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nodedev_driver::{DeviceRef, Error, ErrorDomain, ListFlags, Result, View};
use nodedev_model::{CapabilityType, DeviceName, NodeDevice, Text, Visibility};
use nodedev_sys::{HostAccess, Monitor, Root};

use crate::classify::Kind;
use crate::describe::{Describer, nested};
use crate::index::{Id, Index};
use crate::kernel::Issues;
use crate::live::{FollowStats, Follower, Source};
use crate::making::{KnownDevices, Maker};
use crate::parallel::Jobs;
use crate::shared::{Known, Shared};

/// The node devices of a host: this machine, or a recording of one.
///
/// A driver that follows its host has one thread for that, from the time it is asked to until it is dropped.
#[derive(Debug)]
pub struct HostDriver {
    shared: Arc<Shared>,
    /// SCSI hosts by their World Wide Names (node, port), as last seen.
    by_wwn: Mutex<HashMap<(Text, Text), DeviceName>>,
    follower: Mutex<Option<Follower>>,
    /// What changes go through; the root itself without one.
    access: Option<Arc<dyn HostAccess>>,
    /// When interrupted operations were last looked for.
    recovered: Mutex<Option<Instant>>,
}

impl HostDriver {
    /// A driver for a host. The first call reads what names, parents and kinds of all devices need. This index is not
    /// kept up to date with what happens on the host later, until a call of [`watch`](nodedev_driver::Changes::watch) or
    /// [`snapshot`](nodedev_driver::Changes::snapshot) asks for it; descriptions are always fresh.
    pub fn new(root: Root) -> Self {
        Self::looking(root, Jobs::default())
    }

    /// A driver that looks at its host, and describes all its devices, by at most so many threads at once; with 1, by the calling
    /// thread alone. The other constructors take as many as there are processors for the program, but at most 8, and one for a
    /// host of few devices. What is told, and in which order, does not depend on it.
    pub fn with_jobs(root: Root, jobs: NonZeroUsize) -> Self {
        Self::looking(root, Jobs::Given(jobs))
    }

    fn looking(root: Root, jobs: Jobs) -> Self {
        Self {
            shared: Arc::new(Shared::new(root, jobs)),
            by_wwn: Mutex::default(),
            follower: Mutex::default(),
            access: None,
            recovered: Mutex::default(),
        }
    }

    /// A driver that changes its host through something else than the root that it looks through: for tests, which put a
    /// kernel of their own there.
    pub fn with_access(root: Root, access: Arc<dyn HostAccess>) -> Self {
        Self { access: Some(access), ..Self::new(root) }
    }

    /// A driver that follows its host from now on. The devices are looked at in the background: calls that concern one
    /// that is known already are answered at once. A recording does not change, so that this is the same as
    /// [`HostDriver::new`] there.
    ///
    /// # Errors
    /// What the operating system says where nobody tells of devices.
    pub fn watching(root: Root) -> io::Result<Self> {
        if !root.is_live() {
            return Ok(Self::new(root));
        }
        let source = Monitor::open(&root)?;
        Self::following(root, source)
    }

    /// A driver that follows its host by what a given source tells of it.
    ///
    /// # Errors
    /// What the operating system says if there can be no thread.
    pub fn following(root: Root, source: impl Source + 'static) -> io::Result<Self> {
        let driver = Self::new(root);
        *driver.follower() = Some(Follower::start(Arc::clone(&driver.shared), source)?);
        Ok(driver)
    }

    /// The root that the host is read through.
    pub fn root(&self) -> &Root {
        &self.shared.root
    }

    /// What following the host has seen so far; all 0 where it is not followed.
    pub fn follow_stats(&self) -> FollowStats {
        self.shared.counters.read()
    }

    fn follower(&self) -> MutexGuard<'_, Option<Follower>> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the host from now on, if it does not yet, and waits until the index is as the host is.
    fn follow(&self) -> Result<()> {
        {
            let mut follower = self.follower();
            if follower.is_none() {
                if !self.root().is_live() {
                    return Err(Error::no_events());
                }
                let start = || Follower::start(Arc::clone(&self.shared), Monitor::open(self.root())?);
                let failed = |error: io::Error| {
                    Error::system(ErrorDomain::NODEDEV, "cannot follow the devices of this machine", &error)
                };
                *follower = Some(start().map_err(failed)?);
            }
        }
        self.shared.wait_followed();
        Ok(())
    }

    /// Refuses a call of libvirt's that would change a recording, as a driver that lacks the function.
    fn serves(&self, function: &str) -> Result<()> {
        if self.engine().is_changeable() {
            return Ok(());
        }
        Err(Error::no_support(function).with_help("leave out --root to change this machine"))
    }

    fn maker(&self) -> Maker<'_> {
        Maker { devices: self, engine: self.engine() }
    }

    fn describer(&self) -> Describer<'_> {
        Describer::new(&self.shared, None)
    }

    /// Makes sure that all devices are known.
    fn complete(&self) -> Result<()> {
        self.shared.ensure_complete(None).map_err(exhausted_at_host)
    }

    /// Gives the device of a name to `use_it`; the index is not changed meanwhile.
    fn with_any<T>(&self, name: &str, use_it: impl FnOnce(&Index, Id) -> T) -> Result<T> {
        // Near names are for people: whoever talks to them looks for some.
        self.shared.with(name, use_it).ok_or_else(|| match self.shared.exhausted() {
            Some(number) => exhausted(number, format_args!("cannot look for '{name}'")),
            None => Error::no_device(ErrorDomain::NODEDEV, name),
        })
    }

    /// The same for a device of the libvirt view.
    fn with<T>(&self, name: &str, use_it: impl FnOnce(&Index, Id) -> T) -> Result<T> {
        let shown = |index: &Index, id: Id| {
            (index.entry(id).visibility == Visibility::Libvirt).then(|| use_it(index, id))
        };
        self.with_any(name, shown)?.ok_or_else(|| {
            Error::no_device(ErrorDomain::NODEDEV, name)
                .with_help("libvirt does not represent this device; `nodedev show` describes it")
        })
    }

    fn describe(&self, known: Known) -> Result<NodeDevice> {
        self.describe_by(&self.describer(), known)
    }

    fn describe_by(&self, describer: &Describer<'_>, known: Known) -> Result<NodeDevice> {
        let name = known.name.clone();
        let issues = Issues::default();
        let described = describer.describe(known, &issues);
        if let Some(number) = issues.exhausted() {
            return Err(exhausted(number, format_args!("cannot look at '{name}'")));
        }
        described.ok_or_else(|| {
            Error::no_device(ErrorDomain::NODEDEV, name.as_str()).with_help("it is gone by now")
        })
    }

    /// Names of the devices of a view that come after a name, or of all, sorted.
    fn names_after(&self, view: View, after: Option<&str>) -> Result<Vec<DeviceName>> {
        self.complete()?;
        let index = self.shared.index();
        let shown = index.sorted().filter(|&id| index.shows(id, view)).map(|id| &index.entry(id).name);
        let wanted = shown.skip_while(|name| after.is_some_and(|after| name.as_str() <= after));
        Ok(wanted.cloned().collect())
    }

    /// The devices that flags select. Only where a nested type decides is the device itself looked at.
    /// Parents are worked out if they are wanted, and left out else.
    fn select(&self, flags: ListFlags, parents: bool) -> Result<Vec<DeviceRef>> {
        flags.check(ErrorDomain::NODEDEV, "nodeConnectListAllNodeDevices")?;
        self.complete()?;
        let mut selected = Vec::new();
        for Candidate { device, doubt } in self.candidates(flags, parents) {
            let is_selected = match doubt {
                None => true,
                Some(Doubt { kind, path, subsystem }) => {
                    let present = nested::present(self.root(), kind, &path, &subsystem, flags);
                    let cannot = |number| exhausted(number, format_args!("cannot look at '{}'", device.name));
                    !present.map_err(cannot)?.is_empty()
                }
            };
            selected.extend(is_selected.then_some(device));
        }
        Ok(selected)
    }

    /// The devices that flags select for what the index knows, and those that they may select.
    fn candidates(&self, flags: ListFlags, parents: bool) -> Vec<Candidate> {
        let index = self.shared.index();
        let parents = if parents { index.parents(View::Libvirt) } else { Vec::new() };
        let candidate = |id: Id| {
            let entry = index.entry(id);
            let Kind::Libvirt(kind) = entry.kind else { return None };
            if entry.visibility != Visibility::Libvirt {
                return None;
            }
            let state = index.state(id);
            let doubt = if flags.selects(kind.bit(), state) {
                None
            } else if flags.selects(kind.bit() | nested::possible(kind).bits(), state) {
                let (path, subsystem) = (entry.path.clone(), index.subsystem(entry).into());
                Some(Doubt { kind, path, subsystem })
            } else {
                return None;
            };
            Some(Candidate { device: reference(&index, id, parents.get(id as usize).copied()), doubt })
        };
        index.sorted().filter_map(candidate).collect()
    }
}

impl KnownDevices for HostDriver {
    fn kinds(&self, name: &str) -> Result<Vec<CapabilityType>> {
        Ok(self.describe(self.with(name, Known::copy)?)?.capability_types().collect())
    }
}

/// What is told where no more files may be open: what there is cannot be told from what there is not.
fn exhausted(number: i32, what: impl std::fmt::Display) -> Error {
    let error = std::io::Error::from_raw_os_error(number);
    Error::system(ErrorDomain::NODEDEV, what, &error).with_help(
        "raise the number of files that may be open (LimitNOFILE= of a unit, ulimit -n, fs.file-max)",
    )
}

fn exhausted_at_host(number: i32) -> Error {
    exhausted(number, "cannot look at all devices")
}

/// A device that flags select, unless there is doubt.
struct Candidate {
    device: DeviceRef,
    doubt: Option<Doubt>,
}

/// A device that is selected if it has a nested type, which only a look at it can tell.
struct Doubt {
    kind: CapabilityType,
    path: Box<[u8]>,
    subsystem: Box<[u8]>,
}

fn reference(index: &Index, id: Id, parent: Option<Id>) -> DeviceRef {
    let parent = parent.filter(|_| id != crate::index::COMPUTER);
    DeviceRef {
        name: index.entry(id).name.clone(),
        parent: parent.map(|parent| index.entry(parent).name.clone()),
    }
}
