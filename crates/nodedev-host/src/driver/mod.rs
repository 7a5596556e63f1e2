mod calls;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodedev_driver::{DeviceRef, Error, ErrorDomain, ListFlags, Result, View};
use nodedev_model::{CapabilityType, DeviceName, NodeDevice, Text, Visibility};
use nodedev_sys::{Monitor, Root};

use crate::classify::Kind;
use crate::describe::Describer;
use crate::index::{Id, Index};
use crate::kernel::Issues;
use crate::live::{FollowStats, Follower, Source};
use crate::scan::Uevents;
use crate::shared::{Known, Shared};

/// Types that only a look at the device itself can tell, since they are nested in others.
const NESTED: ListFlags = ListFlags::CAP_FC_HOST
    .union(ListFlags::CAP_VPORTS)
    .union(ListFlags::CAP_MDEV_TYPES)
    .union(ListFlags::CAP_VPD)
    .union(ListFlags::CAP_CCWGROUP_MEMBER);

/// The node devices of a host: this machine, or a recording of one.
///
/// A driver that follows its host has one thread for that, from the time it is asked to until it is dropped.
#[derive(Debug)]
pub struct HostDriver {
    shared: Arc<Shared>,
    /// SCSI hosts by their World Wide Names (node, port), as last seen.
    by_wwn: Mutex<HashMap<(Text, Text), DeviceName>>,
    follower: Mutex<Option<Follower>>,
}

impl HostDriver {
    /// A driver for a host. The first call reads what names, parents and kinds of all devices need. This index is not
    /// kept up to date with what happens on the host later, until a call of [`watch`](nodedev_driver::Driver::watch) or
    /// [`snapshot`](nodedev_driver::Driver::snapshot) asks for it; descriptions are always fresh.
    pub fn new(root: Root) -> Self {
        Self { shared: Arc::new(Shared::new(root)), by_wwn: Mutex::default(), follower: Mutex::default() }
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

    fn describer(&self) -> Describer<'_> {
        Describer::new(&self.shared, Uevents::default())
    }

    /// For a pass over all devices: where the host must be looked at first, that look's reading serves the pass too.
    fn describer_of_all(&self) -> Describer<'_> {
        let mut uevents = Uevents::default();
        self.shared.ensure_complete(Some(&mut uevents));
        Describer::new(&self.shared, uevents)
    }

    /// Gives the device of a name to `use_it`; the index is not changed meanwhile.
    fn with_any<T>(&self, name: &str, use_it: impl FnOnce(&Index, Id) -> T) -> Result<T> {
        self.shared.with(name, use_it).ok_or_else(|| {
            let index = self.shared.index();
            let names: Vec<&DeviceName> = index.sorted().map(|id| &index.entry(id).name).collect();
            let near = nodedev_driver::near_matches(name, names.iter().copied());
            Error::no_device(ErrorDomain::NODEDEV, name).with_suggestions(&near)
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
        let name = known.name.clone();
        self.describer().describe(known, &Issues::default()).ok_or_else(|| {
            Error::no_device(ErrorDomain::NODEDEV, name.as_str()).with_help("it is gone by now")
        })
    }

    /// Names of all devices of a view, sorted.
    fn all_names(&self, view: View) -> Vec<DeviceName> {
        self.shared.ensure_complete(None);
        let index = self.shared.index();
        index.sorted().filter(|&id| index.shows(id, view)).map(|id| index.entry(id).name.clone()).collect()
    }

    /// The devices that flags select. Only nested types make it look at the devices themselves.
    fn select(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        flags.check(ErrorDomain::NODEDEV, "nodeConnectListAllNodeDevices")?;
        self.shared.ensure_complete(None);
        if flags.intersects(NESTED) {
            return Ok(self.select_deep(flags));
        }
        let index = self.shared.index();
        let parents = index.parents(View::Libvirt);
        let selected = index.sorted().filter(|&id| {
            let entry = index.entry(id);
            let Kind::Libvirt(kind) = entry.kind else { return false };
            entry.visibility == Visibility::Libvirt && flags.selects(kind.bit(), index.state(id))
        });
        Ok(selected.map(|id| reference(&index, id, parents.get(id as usize).copied())).collect())
    }

    fn select_deep(&self, flags: ListFlags) -> Vec<DeviceRef> {
        let (describer, issues) = (self.describer(), Issues::default());
        let selected = |name: DeviceName| {
            let known = self.shared.known(&name)?;
            let Kind::Libvirt(kind) = known.kind else { return None };
            let (parent, state) = (known.parent.clone(), known.state);
            let mut capabilities = kind.bit();
            if may_nest(kind) {
                let described = describer.describe(known, &issues);
                let nested = described.iter().flat_map(|device| device.capability_types());
                capabilities = nested.fold(capabilities, |bits, kind| bits | kind.bit());
            }
            flags.selects(capabilities, state).then_some(DeviceRef { name, parent })
        };
        self.all_names(View::Libvirt).into_iter().filter_map(selected).collect()
    }
}

fn reference(index: &Index, id: Id, parent: Option<Id>) -> DeviceRef {
    let parent = parent.filter(|_| id != crate::index::COMPUTER);
    DeviceRef {
        name: index.entry(id).name.clone(),
        parent: parent.map(|parent| index.entry(parent).name.clone()),
    }
}

/// Whether devices of this type can have nested types.
fn may_nest(kind: CapabilityType) -> bool {
    use CapabilityType as T;
    matches!(kind, T::Pci | T::ScsiHost | T::Css | T::ApMatrix | T::Ccw)
}
