//! A host on disk whose kernel the test is.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::{Changes as _, Devices as _, Entry, Event, LibvirtEvent, Next, Snapshot, View, Watch};
use nodedev_host::HostDriver;
use nodedev_interop::replay::Picture;
use nodedev_sys::Root;
use nodedev_testkit::tree::{Device, Tree};

use super::feed::Feed;

/// A host on disk, a driver that follows it, and what the driver tells.
pub(crate) struct Live {
    pub(crate) tree: Tree,
    pub(crate) feed: Feed,
    pub(crate) driver: HostDriver,
    pub(crate) watch: Watch,
    pub(crate) start: Snapshot,
}

impl Live {
    pub(crate) fn of(devices: &[Device]) -> Self {
        let mut tree = Tree::temporary().unwrap();
        for device in devices {
            tree.add(device).unwrap();
        }
        Self::over(tree)
    }

    pub(crate) fn over(tree: Tree) -> Self {
        let feed = Feed::default();
        let driver = HostDriver::following(Root::open(tree.root()).unwrap(), feed.clone()).unwrap();
        let start = driver.snapshot(View::Native).unwrap();
        let watch = driver.watch(Some(start.revision)).unwrap();
        Self { tree, feed, driver, watch, start }
    }

    pub(crate) fn sys(&self, path: &str) -> PathBuf {
        self.tree.root().join("sys").join(path)
    }

    /// Puts a device on disk without telling of it.
    pub(crate) fn plug(&mut self, device: &Device) {
        self.tree.add(device).unwrap();
    }

    /// Takes a device from disk without telling of it: its folder, and the link to it. `entry` is the bus's or class's
    /// folder of links.
    pub(crate) fn unplug(&self, path: &str, entry: &str) {
        let name = path.rsplit('/').next().unwrap();
        for link in [entry, "block"] {
            let _ = fs::remove_file(self.sys(&format!("{link}/{name}")));
        }
        fs::remove_dir_all(self.sys(path)).unwrap();
    }

    /// Replaces a file below `sys`.
    pub(crate) fn write(&self, path: &str, content: &str) {
        fs::write(self.sys(path), content).unwrap();
    }

    /// Everything that was told since the last call: `NAME CHANGE LIBVIRT-EVENTS`.
    pub(crate) fn told(&mut self) -> Vec<String> {
        self.feed.settle();
        self.events().iter().map(|event| describe(event)).collect()
    }

    pub(crate) fn events(&mut self) -> Vec<Arc<Event>> {
        let mut events = Vec::new();
        loop {
            match self.watch.next(Some(Duration::ZERO)) {
                Next::Event(event) => events.push(event),
                Next::TimedOut => return events,
                other => panic!("{other:?}"),
            }
        }
    }

    /// What a fresh look at the host says, in a view.
    pub(crate) fn fresh(&self, view: View) -> Vec<Entry> {
        HostDriver::new(Root::open(self.tree.root()).unwrap()).entries(view).unwrap()
    }

    /// Holds what the driver has against a fresh look, and what it told since the start.
    pub(crate) fn check(&mut self, events: &[Arc<Event>]) {
        let same = |what: &str, have: &[Entry], want: &[Entry], log: &dyn Fn() -> String| {
            let lost: Vec<_> = want.iter().filter(|entry| !have.contains(entry)).collect();
            let extra: Vec<_> = have.iter().filter(|entry| !want.contains(entry)).collect();
            assert!(lost.is_empty() && extra.is_empty(), "{what}: lost {lost:?}, extra {extra:?}\n{}", log());
            assert_eq!(have.len(), want.len());
        };
        let log = || events.iter().map(|event| describe(event)).collect::<Vec<_>>().join("\n");
        for view in [View::Native, View::Libvirt] {
            let (have, fresh) = (self.driver.entries(view).unwrap(), self.fresh(view));
            same(&format!("{view:?} view"), &have, &fresh, &log);
        }
        let mut picture = Picture::new(&self.start.entries);
        for event in events {
            picture.apply(event).unwrap_or_else(|why| panic!("{why}\n{}", log()));
        }
        let have = self.driver.entries(View::Native).unwrap();
        picture.compare(&have).unwrap_or_else(|why| panic!("{why}\n{}", log()));
    }
}

pub(crate) fn describe(event: &Event) -> String {
    let mut text = format!("{} {}", event.name, event.change.as_str());
    for (name, libvirt) in event.libvirt_events() {
        let word = match libvirt {
            LibvirtEvent::Created => "CREATED",
            LibvirtEvent::Deleted => "DELETED",
            LibvirtEvent::Defined => "DEFINED",
            LibvirtEvent::Undefined => "UNDEFINED",
            LibvirtEvent::Updated => "UPDATE",
        };
        text.push(' ');
        text.push_str(word);
        if *name != event.name {
            text.push_str(&format!("({name})"));
        }
    }
    text
}
