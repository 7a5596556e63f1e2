//! A source of news that a test writes, and a host on disk whose kernel the test is.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nodedev_driver::{Driver, Entry, Event, LibvirtEvent, Next, Snapshot, View, Watch};
use nodedev_host::HostDriver;
use nodedev_host::live::Source;
use nodedev_interop::replay::Picture;
use nodedev_sys::link::LinkAddress;
use nodedev_sys::uevent::Message;
use nodedev_sys::{News, Root, Waker};
use nodedev_testkit::tree::{Device, Tree};

/// No more than that at once, as with the kernel.
const BATCH: usize = 1 << 14;

#[derive(Debug)]
pub(crate) enum Piece {
    Uevent(Message),
    Address(LinkAddress),
    Definitions,
    Lost,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Piece>,
    /// Nothing is handed out.
    held: bool,
    woken: bool,
    /// The follower has done all that it was given, and waits.
    idle: bool,
}

/// News for a follower.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed(Arc<(Mutex<State>, Condvar)>);

impl Feed {
    pub(crate) fn push(&self, piece: Piece) {
        let mut state = self.0.0.lock().unwrap();
        state.queue.push_back(piece);
        state.idle = false;
        self.0.1.notify_all();
    }

    /// A uevent of the kernel.
    pub(crate) fn uevent(&self, action: &str, path: &str, subsystem: &str, more: &[(&str, &str)]) {
        let mut text = format!("{action}@/{path}\0ACTION={action}\0DEVPATH=/{path}\0SUBSYSTEM={subsystem}\0");
        for (key, value) in more {
            text.push_str(&format!("{key}={value}\0"));
        }
        self.push(Piece::Uevent(Message::from_kernel(text.as_bytes()).expect("a uevent of a device")));
    }

    /// Hands nothing out for the present, as if the follower were busy.
    pub(crate) fn hold(&self) {
        self.0.0.lock().unwrap().held = true;
    }

    pub(crate) fn release(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.held = false;
        self.0.1.notify_all();
    }

    /// Waits until the follower has done all that it was given.
    pub(crate) fn settle(&self) {
        let state = self.0.0.lock().unwrap();
        let busy = |state: &mut State| !(state.idle && state.queue.is_empty());
        let (_state, waited) = self.0.1.wait_timeout_while(state, Duration::from_secs(60), busy).unwrap();
        assert!(!waited.timed_out(), "the follower does not come to rest");
    }

    /// The same, unless nothing is handed out.
    pub(crate) fn settle_if_free(&self) {
        let held = self.0.0.lock().unwrap().held;
        if !held {
            self.settle();
        }
    }

    /// What is queued and not handed out is lost, but the first few pieces.
    pub(crate) fn overflow(&self, keep: usize) {
        let mut state = self.0.0.lock().unwrap();
        // The kernel says so before it hands out what it kept.
        state.queue.truncate(keep);
        state.queue.push_front(Piece::Lost);
        state.idle = false;
        self.0.1.notify_all();
    }
}

impl Source for Feed {
    fn receive(&mut self, timeout: Option<Duration>, news: &mut News) -> io::Result<()> {
        let mut state = self.0.0.lock().unwrap();
        let nothing = |state: &mut State| (state.held || state.queue.is_empty()) && !state.woken;
        if nothing(&mut state) && timeout.is_none() {
            state.idle = true;
            self.0.1.notify_all();
        }
        state = match timeout {
            None => self.0.1.wait_while(state, nothing).unwrap(),
            Some(timeout) => self.0.1.wait_timeout_while(state, timeout, nothing).unwrap().0,
        };
        state.woken = false;
        if state.held {
            return Ok(());
        }
        let count = state.queue.len().min(BATCH);
        for piece in state.queue.drain(..count) {
            match piece {
                Piece::Uevent(message) => news.uevents.push(message),
                Piece::Address(address) => news.addresses.push(address),
                Piece::Definitions => news.definitions = true,
                Piece::Lost => news.lost = true,
            }
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        let shared = self.0.clone();
        Waker::new(move || {
            shared.0.lock().unwrap().woken = true;
            shared.1.notify_all();
        })
    }
}

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
