//! Looks at the whole host: enumerates its devices, looks at each, and adds the definitions of mediated devices.

use std::collections::HashMap;
use std::mem;
use std::ops::ControlFlow;

use nodedev_sys::Root;

use crate::enumerate::{Followed, Listing, Opened, has_node_devices};
use crate::index::{Entry, Id, Index};
use crate::kernel::Issues;
use crate::look::{Look, Looker, Prints, Seen};
use crate::mdevctl;
use crate::parallel::{self, Jobs};

/// Contents of the `uevent` files that a scan read, for a pass that describes all devices at once.
#[derive(Debug, Default)]
pub(crate) struct Uevents(HashMap<Id, Box<[u8]>>);

impl Uevents {
    /// What was read of a device; `None` if the pass must read it itself.
    pub(crate) fn get(&self, id: Id) -> Option<&[u8]> {
        self.0.get(&id).map(|content| &**content)
    }
}

/// Gives access to the index that a scan fills, for a moment.
pub(crate) trait Access {
    /// Does something with the index.
    fn access<T>(&mut self, action: impl FnOnce(&mut Index) -> T) -> T;
    /// Whether the scan is not wanted any more.
    fn is_cancelled(&self) -> bool;
}

/// Why a scan ended before its end.
enum End {
    /// It is not wanted any more.
    Cancelled,
    /// This link could not be looked at, since no more files may be open.
    Exhausted(usize, Issues),
}

/// What became of one link of the listing.
#[derive(Default)]
struct Sighting {
    /// The device's path and what it is. `None` if there is no device.
    device: Option<(Vec<u8>, Look)>,
    uevent: Option<Box<[u8]>>,
    issues: Issues,
}

/// Looks at the whole host and fills an index, and keeps what it read where that is wanted. `Break` if it was cancelled. Where no more
/// files may be open it ends early, and the issues say so: what is in the index is right, and not all.
pub(crate) fn scan(
    root: &Root,
    issues: &Issues,
    prints: Prints,
    jobs: Jobs,
    index: &mut impl Access,
    uevents: Option<&mut Uevents>,
) -> ControlFlow<()> {
    // First, so that it is known of each device from the start whether it is persistent.
    let definitions = mdevctl::read(root, issues);
    let names: Vec<_> = definitions.iter().map(|definition| definition.name()).collect();
    index.access(|index| definitions.into_iter().for_each(|definition| index.define(definition)));
    let listing = Listing::of(root, issues, has_node_devices);
    if issues.exhausted().is_none() {
        let mut scan = Scan { root, issues, prints: &prints, listing: &listing, index, uevents };
        let threads = jobs.threads(listing.len());
        let mut flow = scan.run(threads, 0);
        // The other threads may have had the files that were wanting.
        if let ControlFlow::Break(End::Exhausted(link, _)) = flow
            && threads > 1
        {
            flow = scan.run(1, link);
        }
        match flow {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(End::Exhausted(_, last)) => issues.append(last),
            ControlFlow::Break(End::Cancelled) => return ControlFlow::Break(()),
        }
    }
    drop(listing);
    index.access(|index| {
        names.iter().for_each(|name| index.insert_inactive(name));
        index.sort();
    });
    ControlFlow::Continue(())
}

struct Scan<'a, A> {
    root: &'a Root,
    issues: &'a Issues,
    prints: &'a Prints,
    listing: &'a Listing,
    index: &'a mut A,
    uevents: Option<&'a mut Uevents>,
}

impl<'a, A: Access> Scan<'a, A> {
    /// Looks at the links of the listing from one on, by so many threads.
    fn run(&mut self, threads: usize, from: usize) -> ControlFlow<End> {
        let (root, listing, prints) = (self.root, self.listing, self.prints);
        let keep = self.uevents.is_some();
        let is_alone = threads == 1;
        let start = || {
            let looker = Looker::new(root, prints.clone());
            (Opened::default(), if is_alone { looker } else { looker.impatient() })
        };
        let work = |(opened, looker): &mut (Opened<'a>, Looker<'a>), link: usize| {
            let mut sighting = Sighting::default();
            match listing.follow(root, link, opened) {
                Ok(Some(Followed { path, .. })) => {
                    let look = looker.look(&sighting.issues, listing.subsystem(link), &path);
                    sighting.uevent =
                        (keep && matches!(look, Some(Look::Device(_)))).then(|| looker.uevent().into());
                    sighting.device = look.map(|look| (path, look));
                }
                Ok(None) => {}
                Err(error) => sighting.issues.error(&error),
            }
            sighting
        };
        parallel::in_order(root, threads, from..listing.len(), start, work, |link, sighting| {
            self.take(link, sighting)
        })
    }

    /// Puts what was seen into the index. What is in it already stays as it is.
    fn take(&mut self, link: usize, sighting: &mut Sighting) -> ControlFlow<End> {
        if self.index.is_cancelled() {
            return ControlFlow::Break(End::Cancelled);
        }
        let Sighting { device, uevent, issues } = mem::take(sighting);
        if issues.exhausted().is_some() {
            return ControlFlow::Break(End::Exhausted(link, issues));
        }
        let Some((path, look)) = device else {
            self.issues.append(issues);
            return ControlFlow::Continue(());
        };
        let subsystem = self.listing.subsystem(link);
        let (is_news, id) = self.index.access(|index| match look {
            Look::Device(seen) => {
                let id = add(index, subsystem, &path, seen);
                (id.is_some(), id)
            }
            Look::Gone | Look::Nothing => (index.at_path(&path).is_none(), None),
        });
        if is_news {
            self.issues.append(issues);
        }
        if let (Some(uevents), Some(id), Some(uevent)) = (&mut self.uevents, id, uevent) {
            uevents.0.insert(id, uevent);
        }
        ControlFlow::Continue(())
    }
}

/// Adds a device, unless somebody else did meanwhile.
pub(crate) fn add(index: &mut Index, subsystem: &[u8], path: &[u8], seen: Seen) -> Option<Id> {
    if index.at_path(path).is_some() {
        return None;
    }
    let Seen { name, kind, visibility, fingerprint } = seen;
    let subsystem = index.intern(subsystem);
    Some(index.insert(Entry { name, path: path.into(), subsystem, kind, visibility, fingerprint }))
}
