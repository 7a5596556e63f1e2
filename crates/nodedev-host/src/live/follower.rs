//! The thread that follows a host.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nodedev_driver::{Error, ErrorDomain};
use nodedev_model::DeviceName;
use nodedev_sys::link::LinkAddress;
use nodedev_sys::paths::{self, join};
use nodedev_sys::{News, Waker};

use super::Source;
use super::apply::{Changes, Moved};
use super::diff::diff;
use super::missing::{Missing, Place};
use super::plan::{Cause, Step, Touched, plan};
use crate::enumerate::has_node_devices;
use crate::index::Index;
use crate::kernel::Issues;
use crate::look::{Look, Looker, Prints};
use crate::mdevctl;
use crate::scan::{self, Access};
use crate::shared::Shared;

/// How long a driver that is dropped waits at most for the thread that pauses.
const STEP: Duration = Duration::from_millis(20);
/// Pause between two looks at the host, where one is cut off since no more files may be open.
const UNTIL_THERE_ARE_FILES: Duration = Duration::from_secs(1);
/// How long definitions have to be left alone before they are read again, as in libvirt.
const SETTLE: Duration = Duration::from_millis(100);
/// And how long at most they are waited for.
const SETTLE_LIMIT: Duration = Duration::from_secs(1);

/// The thread that follows a host; ends with this value.
#[derive(Debug)]
pub(crate) struct Follower {
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// The process that the thread is in: a child of it has a copy of this value, and no thread.
    process: u32,
}

impl Follower {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says if there can be no thread.
    pub(crate) fn start(shared: Arc<Shared>, source: impl Source + 'static) -> io::Result<Self> {
        let waker = source.waker();
        let of_thread = Arc::clone(&shared);
        let thread = nodedev_threads::spawn("nodedev-events", move || {
            let end = End(&of_thread);
            let reason = Following::new(&of_thread, source).run().err();
            if let Some(error) = &reason {
                tracing::error!(%error, "devices are not followed any more");
            }
            of_thread.log.end(reason.map(|error| {
                Error::system(ErrorDomain::NODEDEV, "devices are not followed any more", &error)
            }));
            drop(end);
        })?;
        Ok(Self { shared, waker, thread: Some(thread), process: std::process::id() })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let thread = self.thread.take();
        if std::process::id() != self.process {
            // Its number may be that of a thread of this process by now, which must not be detached.
            std::mem::forget(thread);
            return;
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.waker.wake();
        if let Some(thread) = thread {
            // A panic in there was reported when it happened.
            let _ = thread.join();
        }
    }
}

/// However the thread ends, nobody waits for it any longer.
struct End<'a>(&'a Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.complete();
        self.0.set_followed();
        self.0.log.end(None);
    }
}

struct Following<'a, S> {
    shared: &'a Shared,
    source: S,
    prints: Prints,
    news: News,
    missing: Missing,
    /// There was no room for one more that is missing.
    lost_track: bool,
    /// When definitions will have been left alone for long enough, and when they were touched first.
    definitions: Option<(Instant, Instant)>,
}

impl<'a, S: Source> Following<'a, S> {
    fn new(shared: &'a Shared, source: S) -> Self {
        Self {
            shared,
            source,
            prints: shared.prints(),
            news: News::default(),
            missing: Missing::default(),
            lost_track: false,
            definitions: None,
        }
    }

    /// Follows the host until the driver is dropped.
    fn run(&mut self) -> io::Result<()> {
        loop {
            if self.shared.begin() {
                loop {
                    if self.shared.scan(self.prints.clone(), None).is_break() {
                        return Ok(());
                    }
                    if self.shared.exhausted().is_none() {
                        break;
                    }
                    if !self.wait_for_files() {
                        return Ok(());
                    }
                }
                break;
            }
            // What the index has is as old as the call that made it. If that was cut off, it may be this thread's turn.
            if self.shared.ensure_complete(None).is_ok() {
                self.rescan(&Touched::default());
                break;
            }
            if !self.wait_for_files() {
                return Ok(());
            }
        }
        self.shared.complete();
        self.shared.set_followed();
        while !self.shared.is_stopping() {
            let timeout = self.definitions.map(|(due, _)| due.saturating_duration_since(Instant::now()));
            self.news.clear();
            self.source.receive(timeout, &mut self.news)?;
            self.take_news()?;
        }
        Ok(())
    }

    /// Waits a while for what somebody else may close. `false` if the driver is dropped meanwhile.
    fn wait_for_files(&self) -> bool {
        let until = Instant::now() + UNTIL_THERE_ARE_FILES;
        while Instant::now() < until && !self.shared.is_stopping() {
            std::thread::sleep(STEP);
        }
        !self.shared.is_stopping()
    }

    fn take_news(&mut self) -> io::Result<()> {
        let counters = &self.shared.counters;
        counters.events.fetch_add(self.news.uevents.len() as u64, Ordering::Relaxed);
        if self.news.lost {
            return self.recover();
        }
        for step in plan(self.news.uevents.drain(..)) {
            if self.shared.is_stopping() {
                return Ok(());
            }
            self.step(step);
        }
        for address in std::mem::take(&mut self.news.addresses) {
            self.address(&address);
        }
        if std::mem::take(&mut self.lost_track) {
            self.rescan(&Touched::default());
        }
        let now = Instant::now();
        if self.news.definitions {
            let first = self.definitions.map_or(now, |(_, first)| first);
            self.definitions = Some(((now + SETTLE).min(first + SETTLE_LIMIT), first));
        }
        if self.definitions.is_some_and(|(due, _)| due <= now) {
            self.definitions = None;
            self.read_definitions();
        }
        Ok(())
    }

    /// Does one step: looks at the host first, and then holds the index for a moment.
    fn step(&mut self, step: Step) {
        match step {
            Step::Remove(path) => {
                self.missing.take(&path);
                self.change(|changes| changes.remove(&path));
            }
            Step::Look { path, subsystem, cause } => self.look(&subsystem, &path, &cause),
            Step::Move { from, path, subsystem } => self.relocate(&from, &path, &subsystem),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Changes<'_>)) {
        let mut index = self.shared.index_mut();
        let mut changes = Changes::new(&mut index);
        change(&mut changes);
        // Before the index is let go, so that what is in it and what was told always agree.
        self.shared.log.publish(changes.finish());
    }

    fn look(&mut self, subsystem: &[u8], path: &[u8], cause: &Cause) {
        if !has_node_devices(subsystem) {
            return;
        }
        let Some(look) = self.look_at(subsystem, path) else { return };
        if matches!(look, Look::Gone) {
            self.note_missing(path, subsystem);
        }
        self.change(|changes| changes.update(subsystem, path, look, cause));
    }

    fn note_missing(&mut self, path: &[u8], subsystem: &[u8]) {
        self.lost_track |= !self.missing.add(path, subsystem);
    }

    /// `None` where no more files may be open: then all devices are looked at again.
    fn look_at(&mut self, subsystem: &[u8], path: &[u8]) -> Option<Look> {
        let issues = Issues::default();
        let look = Looker::new(&self.shared.root, self.prints.clone()).look(&issues, subsystem, path);
        self.lost_track |= look.is_none();
        if let Some(Look::Device(seen)) = &look {
            self.shared.known_issues().replace(seen.name.clone(), issues.into_inner());
        }
        look
    }

    fn relocate(&mut self, from: &[u8], path: &[u8], subsystem: &[u8]) {
        let mut places: Vec<Place> = vec![(from.into(), subsystem.into())];
        {
            let index = self.shared.index();
            let below = index.below(from).iter().map(|&id| index.entry(id));
            places.extend(below.map(|entry| (entry.path.clone(), index.subsystem(entry).into())));
        }
        places.extend(self.missing.take(from).into_iter().filter(|(place, _)| **place != *from));
        let mut moved = Vec::with_capacity(places.len());
        for (place, subsystem) in places {
            let path: Box<[u8]> = [path, &place[from.len()..]].concat().into();
            let Some(look) = self.look_at(&subsystem, &path) else { return };
            if matches!(look, Look::Gone) {
                self.note_missing(&path, &subsystem);
            }
            moved.push(Moved { from: place, path, subsystem, look });
        }
        self.change(|changes| changes.relocate(moved));
    }

    /// Looks at an interface if it has another address than the one in its name.
    fn address(&mut self, link: &LinkAddress) {
        let address = Some(link.address.as_bytes()).filter(|address| !address.is_empty());
        let name = DeviceName::from_parts(b"net", &link.name, address);
        if self.shared.index().by_name(name.as_str()).is_some() {
            return;
        }
        let folder = join(paths::CLASS.as_bytes(), b"net");
        // One that is not in the index yet is about to be: its uevent is on the way.
        if let Ok(Some(target)) = self.shared.root.read_link(&join(&folder, &link.name)) {
            self.look(b"net", &paths::follow(&folder, &target), &Cause::default());
        }
    }

    fn read_definitions(&self) {
        let issues = Issues::default();
        let definitions = mdevctl::read(&self.shared.root, &issues);
        self.shared.known_issues().replace_below(paths::MDEVCTL, issues.into_inner());
        self.change(|changes| changes.define(definitions));
    }

    /// Some news were lost: takes what is left of them, looks at the whole host, and tells the difference.
    fn recover(&mut self) -> io::Result<()> {
        self.shared.counters.overflows.fetch_add(1, Ordering::Relaxed);
        let mut touched = Touched::default();
        // To the last: the kernel does not say again that it has no room before that.
        while !self.shared.is_stopping() {
            let rest = self.news.uevents.len() + self.news.addresses.len();
            touched.add(self.news.uevents.drain(..));
            self.news.clear();
            if rest == 0 {
                break;
            }
            self.source.receive(Some(Duration::ZERO), &mut self.news)?;
            self.shared.counters.events.fetch_add(self.news.uevents.len() as u64, Ordering::Relaxed);
        }
        self.definitions = None;
        let start = Instant::now();
        self.rescan(&touched);
        let overflows = self.shared.counters.read().overflows;
        tracing::warn!(
            overflows,
            milliseconds = start.elapsed().as_millis() as u64,
            "news of devices were lost, since they came too fast; all devices were looked at again"
        );
        Ok(())
    }

    /// Looks at the whole host and puts the result in the place of the index.
    fn rescan(&mut self, touched: &Touched) {
        self.missing.clear();
        let (issues, fresh) = loop {
            let issues = Issues::default();
            let mut fresh =
                Fresh { index: Index::new(self.shared.index().hasher().clone()), shared: self.shared };
            let Shared { root, jobs, .. } = self.shared;
            if scan::scan(root, &issues, self.prints.clone(), *jobs, &mut fresh, None).is_break() {
                return;
            }
            self.shared.set_exhausted(issues.exhausted());
            // Devices that could not be looked at are not gone.
            if issues.exhausted().is_none() {
                break (issues, fresh);
            }
            if !self.wait_for_files() {
                return;
            }
        };
        self.shared.counters.rescans.fetch_add(1, Ordering::Relaxed);
        // Only this thread changes the index.
        let happened = diff(&self.shared.index(), &fresh.index, touched);
        *self.shared.known_issues() = issues.into_inner().into_iter().collect();
        let mut index = self.shared.index_mut();
        *index = fresh.index;
        self.shared.log.publish(happened);
    }
}

/// An index that nobody else sees yet.
struct Fresh<'a> {
    index: Index,
    shared: &'a Shared,
}

impl Access for Fresh<'_> {
    fn access<T>(&mut self, action: impl FnOnce(&mut Index) -> T) -> T {
        action(&mut self.index)
    }

    fn is_cancelled(&self) -> bool {
        self.shared.is_stopping()
    }
}
