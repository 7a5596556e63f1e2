//! Looks at the whole host: enumerates its devices, looks at each, and adds the definitions of mediated devices.

use std::collections::HashMap;
use std::ops::ControlFlow;

use nodedev_sys::Root;

use crate::enumerate::{enumerate, has_node_devices};
use crate::index::{Entry, Id, Index};
use crate::kernel::Issues;
use crate::look::{Look, Looker, Prints, Seen};
use crate::mdevctl;

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

/// Looks at the whole host and fills an index, and keeps what it read where that is wanted. `Break` if it was cancelled. Where no more
/// files may be open it ends early, and the issues say so: what is in the index is right, and not all.
pub(crate) fn scan(
    root: &Root,
    issues: &Issues,
    prints: Prints,
    index: &mut impl Access,
    mut uevents: Option<&mut Uevents>,
) -> ControlFlow<()> {
    // First, so that it is known of each device from the start whether it is persistent.
    let definitions = mdevctl::read(root, issues);
    let names: Vec<_> = definitions.iter().map(|definition| definition.name()).collect();
    index.access(|index| definitions.into_iter().for_each(|definition| index.define(definition)));
    let mut looker = Looker::new(root, issues, prints);
    let flow = enumerate(root, issues, has_node_devices, &mut |found| {
        if index.is_cancelled() {
            return ControlFlow::Break(());
        }
        if index.access(|index| index.at_path(&found.path).is_some()) {
            return ControlFlow::Continue(());
        }
        match looker.look(found.subsystem, &found.path) {
            Some(Look::Device(seen)) => {
                let id = index.access(|index| add(index, found.subsystem, &found.path, seen));
                if let (Some(uevents), Some(id)) = (&mut uevents, id) {
                    uevents.0.insert(id, looker.uevent().into());
                }
            }
            Some(Look::Gone | Look::Nothing) => {}
            None => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    });
    if flow.is_break() && issues.exhausted().is_none() {
        return flow;
    }
    index.access(|index| {
        names.iter().for_each(|name| index.insert_inactive(name));
        index.sort();
    });
    ControlFlow::Continue(())
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
