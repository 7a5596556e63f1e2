//! The devices as values, and what happens to them.

use nodedev_driver::{
    Changes, DeviceVisitor, Devices, Driver, Entry, LibvirtCalls, Operations, Result, Revision, Snapshot,
    View, Watch,
};
use nodedev_model::{Issue, NodeDevice};

use super::HostDriver;
use crate::index::{COMPUTER, Index};
use crate::shared::{Known, view_entry};

impl Driver for HostDriver {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        self
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Ok(self)
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(self)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Ok(self)
    }
}

impl Devices for HostDriver {
    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        self.complete()?;
        Ok(entries(&self.shared.index(), view))
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        self.describe_by(&self.describer().natively(), self.with_any(name, Known::copy)?)
    }

    fn visit_from(
        &self,
        view: View,
        after: Option<&str>,
        visit: &mut DeviceVisitor<'_>,
    ) -> Result<Vec<Issue>> {
        self.visit_devices(view, after, visit)
    }
}

impl Changes for HostDriver {
    fn snapshot(&self, view: View) -> Result<Snapshot> {
        self.follow()?;
        // Changes come into the index and into the history together, while nobody else has the index.
        let index = self.shared.index();
        Ok(Snapshot { revision: self.shared.log.revision(), entries: entries(&index, view) })
    }

    fn revision(&self) -> Option<Revision> {
        let is_followed = self.shared.is_followed() && !self.shared.log.has_ended();
        is_followed.then(|| self.shared.log.revision())
    }

    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        self.follow()?;
        self.shared.log.watch(since)
    }
}

fn entries(index: &Index, view: View) -> Vec<Entry> {
    let parents = index.parents(view);
    let shown = index.sorted().filter(|&id| index.shows(id, view));
    shown
        .map(|id| view_entry(index, id, parents.get(id as usize).copied().filter(|_| id != COMPUTER)))
        .collect()
}
