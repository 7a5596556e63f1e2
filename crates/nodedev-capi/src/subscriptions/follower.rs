//! The thread that follows a source's changes for those who subscribed. It calls nobody: it fills the mailbox.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use nodedev_driver::{Error, ErrorCode, ErrorDomain, Lifecycles, ListFlags, Next, Result, Stopper, Watch};
use nodedev_model::{DeviceName, DeviceState};
use nodedev_remote::End;

use super::mailbox::{Mailbox, Message};
use crate::source::Source;

/// Pause between two looks at the devices, where one fails.
const PAUSE: Duration = Duration::from_secs(1);

/// A thread that follows. It ends when this is dropped.
pub(super) struct Follower(Stopper);

impl Follower {
    /// Follows what happens from now on.
    pub(super) fn start(source: &Arc<Source>, mailbox: &Arc<Mailbox>) -> Result<Self> {
        let watch = source.calls()?.events()?;
        let stopper = watch.stopper();
        // Neither may the source be kept open by the thread that it ends.
        let (source, mailbox) = (Arc::downgrade(source), Arc::clone(mailbox));
        let look = move || devices(&*source.upgrade()?).ok();
        nodedev_threads::spawn("nodedev-follow", move || follow(watch, &mailbox, &look))
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
fn devices(source: &Source) -> Result<Lifecycles> {
    let calls = source.calls()?;
    let of_state = |flags| match calls.list_names(flags) {
        Err(error) if error.code() == ErrorCode::INVALID_ARG => Ok(Vec::new()),
        names => names,
    };
    let persistent: HashSet<_> = of_state(ListFlags::PERSISTENT)?.into_iter().collect();
    let inactive: HashSet<_> = of_state(ListFlags::INACTIVE)?.into_iter().collect();
    let state = |name: &DeviceName| DeviceState {
        active: !inactive.contains(name),
        persistent: persistent.contains(name),
        autostart: false,
    };
    let all = calls.list_names(ListFlags::empty())?;
    Ok(all.into_iter().map(|name| (name.clone(), state(&name))).collect())
}

fn follow(mut watch: Watch, mailbox: &Mailbox, look: &dyn Fn() -> Option<Lifecycles>) {
    // Looked at after the watch began, so that no device is missing that the watch does not tell of.
    let mut known = look();
    let mut is_behind = known.is_none();
    loop {
        // What cannot be listed for now is not gone: it is looked at again.
        match watch.next(is_behind.then_some(PAUSE)) {
            Next::Event(event) => {
                for (name, event) in event.libvirt_events() {
                    if let Some(known) = &mut known {
                        known.apply(name, event);
                    }
                    mailbox.put(Message::Device(name.clone(), event));
                }
            }
            Next::Missed(_) => is_behind = true,
            Next::TimedOut => {}
            Next::Stopped => return,
            Next::Ended(_) => return,
        }
        if is_behind && let Some(now) = look() {
            is_behind = false;
            match &mut known {
                None => known = Some(now),
                // More happened than the history holds: what is different now is what happened.
                Some(known) => {
                    for (name, event) in known.replace(now) {
                        mailbox.put(Message::Device(name, event));
                    }
                }
            }
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
    pub(super) fn tell(self: &Arc<Self>, source: &Source, mailbox: &Arc<Mailbox>) {
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
            source.on_end(move |end| this.has_come(end));
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

    use super::*;

    #[test]
    fn what_was_missed_is_told_with_definitions_once_it_is_known() {
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
        let mailbox = Mailbox::new().unwrap();
        // How the devices are at the first look, at one that fails, and after what was missed.
        let looks = Mutex::new(vec![
            Some([(name("mdev_a"), state(true, true)), (name("mdev_b"), state(false, true))]),
            None,
            Some([(name("mdev_a"), state(true, false)), (name("mdev_c"), state(false, true))]),
        ]);
        follow(watch, &mailbox, &|| {
            let mut looks = looks.lock().unwrap();
            let look = looks.pop().unwrap();
            if looks.is_empty() {
                log.end(None);
            }
            look.map(|devices| devices.into_iter().collect())
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
