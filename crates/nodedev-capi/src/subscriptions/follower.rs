//! The thread that follows a source's changes for those who subscribed. It calls nobody: it fills the mailbox.

use std::collections::HashSet;
use std::sync::Arc;

use nodedev_driver::{Error, ErrorDomain, LibvirtEvent, Next, Result, Stopper, Watch};
use nodedev_model::DeviceName;
use nodedev_remote::End;

use super::mailbox::{Mailbox, Message};
use crate::source::Source;

/// A thread that follows. It ends when this is dropped.
pub(super) struct Follower(Stopper);

impl Follower {
    /// Follows what happens from now on.
    pub(super) fn start(source: &Arc<dyn Source>, mailbox: &Arc<Mailbox>) -> Result<Self> {
        let watch = source.watch()?;
        let stopper = watch.stopper();
        // Neither may the source be kept open by the thread that it ends.
        let (source, mailbox) = (Arc::downgrade(source), Arc::clone(mailbox));
        let look = move || source.upgrade().map(|source| devices(&*source)).unwrap_or_default();
        std::thread::Builder::new()
            .name("nodedev-follow".to_owned())
            .spawn(move || follow(watch, &mailbox, &look))
            .map_err(|error| Error::system(ErrorDomain::NONE, "Unable to start a thread", &error))?;
        Ok(Self(stopper))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.stop();
    }
}

type Names = HashSet<DeviceName>;

fn devices(source: &dyn Source) -> Names {
    let names = source.list_all(0).unwrap_or_default();
    names.iter().filter_map(|name| name.to_str().ok()?.parse().ok()).collect()
}

fn follow(mut watch: Watch, mailbox: &Mailbox, look: &dyn Fn() -> Names) {
    // Looked at after the watch began, so that no device is missing that the watch does not tell of.
    let mut known = look();
    let put = |name: &DeviceName, event| mailbox.put(Message::Device(name.clone(), event));
    loop {
        match watch.next(None) {
            Next::Event(event) => {
                for (name, event) in event.libvirt_events() {
                    match event {
                        LibvirtEvent::Deleted => drop(known.remove(name)),
                        _ => drop(known.insert(name.clone())),
                    }
                    put(name, event);
                }
            }
            // More happened than the history holds: what is different now is what happened.
            Next::Missed(_) => {
                let now = look();
                known.difference(&now).for_each(|name| put(name, LibvirtEvent::Deleted));
                for name in &now {
                    let event =
                        if known.contains(name) { LibvirtEvent::Updated } else { LibvirtEvent::Created };
                    put(name, event);
                }
                known = now;
            }
            Next::TimedOut => {}
            Next::Stopped => return,
            Next::Ended(_) => return,
        }
    }
}

/// Has the end of a source told.
pub(super) fn tell_end(source: &dyn Source, mailbox: &Arc<Mailbox>) {
    let mailbox = Arc::downgrade(mailbox);
    source.on_end(Box::new(move |end| {
        if let (Some(mailbox), false) = (mailbox.upgrade(), end == End::Closed) {
            mailbox.put(Message::Ended(end));
        }
    }));
}
