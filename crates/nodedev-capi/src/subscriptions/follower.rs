//! The thread that follows a source's changes for those who subscribed. It calls nobody: it fills the mailbox.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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

/// The end of a source, of which one of its threads tells, and the mailbox that is told. The source is not held here, as its
/// threads must not be those that drop it.
#[derive(Default)]
pub(super) struct Ending(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The source, which forgets nobody who asked, has been asked.
    is_asked: bool,
    end: Option<End>,
    mailbox: Weak<Mailbox>,
}

impl Ending {
    /// Has a mailbox told of the end, in place of the one before; at once if it has come.
    pub(super) fn tell(self: &Arc<Self>, source: &dyn Source, mailbox: &Arc<Mailbox>) {
        let mut known = self.lock();
        known.mailbox = Arc::downgrade(mailbox);
        if let Some(end) = known.end {
            mailbox.put(Message::Ended(end));
        }
        let is_asked = std::mem::replace(&mut known.is_asked, true);
        // The source answers at once if it has ended.
        drop(known);
        if !is_asked {
            let this = Arc::clone(self);
            source.on_end(Box::new(move |end| this.has_come(end)));
        }
    }

    fn has_come(&self, end: End) {
        // What the program does it knows.
        if end == End::Closed {
            return;
        }
        let mut known = self.lock();
        known.end = Some(end);
        if let Some(mailbox) = known.mailbox.upgrade() {
            mailbox.put(Message::Ended(end));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
