//! The thread that follows a source's changes for those who subscribed. It calls nobody: it fills the mailbox.

use std::collections::HashSet;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nodedev_driver::{Error, ErrorDomain, Lifecycles, ListFlags, Next, Result, Stopper, Watch};
use nodedev_model::DeviceState;
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

/// Which devices there are. A daemon that is too old to know of definitions has none.
fn devices(source: &dyn Source) -> Lifecycles {
    let list = |flags: ListFlags| source.list_all(flags.bits()).unwrap_or_default();
    let persistent: HashSet<_> = list(ListFlags::PERSISTENT).into_iter().collect();
    let inactive: HashSet<_> = list(ListFlags::INACTIVE).into_iter().collect();
    let all = list(ListFlags::empty());
    let state = |name: &CString| DeviceState {
        active: !inactive.contains(name),
        persistent: persistent.contains(name),
        autostart: false,
    };
    all.iter().filter_map(|name| Some((name.to_str().ok()?.parse().ok()?, state(name)))).collect()
}

fn follow(mut watch: Watch, mailbox: &Mailbox, look: &dyn Fn() -> Lifecycles) {
    // Looked at after the watch began, so that no device is missing that the watch does not tell of.
    let mut known = look();
    loop {
        match watch.next(None) {
            Next::Event(event) => {
                for (name, event) in event.libvirt_events() {
                    known.apply(name, event);
                    mailbox.put(Message::Device(name.clone(), event));
                }
            }
            // More happened than the history holds: what is different now is what happened.
            Next::Missed(_) => {
                for (name, event) in known.replace(look()) {
                    mailbox.put(Message::Device(name, event));
                }
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

#[cfg(test)]
mod tests {
    use nodedev_driver::{Change, EventLog, Happened, LibvirtChange, LibvirtEvent};
    use nodedev_model::DeviceName;

    use super::*;

    #[test]
    fn what_was_missed_is_told_with_definitions() {
        let name = |name: &str| name.parse::<DeviceName>().unwrap();
        let state = |active, persistent| DeviceState { active, persistent, autostart: false };
        let log = EventLog::with_capacity(2);
        let watch = log.watch(None).unwrap();
        let happened = |_| Happened {
            name: name("net_a"),
            change: Change::Updated,
            libvirt: LibvirtChange::Unseen,
            entry: None,
        };
        log.publish((0..9).map(happened));
        log.end(None);
        let mailbox = Mailbox::new().unwrap();
        // How the devices are at the first look, and after what was missed.
        let looks = Mutex::new(vec![
            [(name("mdev_a"), state(true, true)), (name("mdev_b"), state(false, true))],
            [(name("mdev_a"), state(true, false)), (name("mdev_c"), state(false, true))],
        ]);
        follow(watch, &mailbox, &|| {
            let mut looks = looks.lock().unwrap();
            looks.pop().into_iter().flatten().collect()
        });
        let mut told: Vec<_> = mailbox
            .take()
            .into_iter()
            .map(|message| match message {
                Message::Device(name, event) => (name.as_str().to_owned(), event),
                Message::Ended(_) => panic!("nothing has ended"),
            })
            .collect();
        told.sort_by(|one, other| one.0.cmp(&other.0));
        let told: Vec<_> = told.iter().map(|(name, event)| (name.as_str(), *event)).collect();
        assert_eq!(
            told,
            [
                ("mdev_a", LibvirtEvent::Defined),
                ("mdev_a", LibvirtEvent::Updated),
                ("mdev_b", LibvirtEvent::Defined),
                ("mdev_c", LibvirtEvent::Undefined),
            ]
        );
    }
}
