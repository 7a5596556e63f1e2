//! Events: who asked for which, and one thread that follows the driver and tells them.

mod registrations;
mod watchers;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use nodedev_driver::{Driver, Error, LibvirtEvent, ListFlags, Stopper, Watch};
use nodedev_model::DeviceName;
use nodedev_rpc::{Fault, LifecycleEvent, LifecycleKind, NodeDeviceEventId, Procedure, Str, UpdateEvent};
use tokio::sync::watch;

use crate::access::Access;
use crate::follower::Follower;
use crate::identity::Identity;
use crate::lanes::{Lane, Lanes};
use crate::ledger::{Charge, Kind as Held};
use crate::outbox::Outbox;
use registrations::{Kind, Registrations};

/// The longest name that somebody may register for of a device that is not there: the kernel's names have at most 255
/// bytes, to which the subsystem comes and for some a serial number.
const NAME_MAX: usize = 1024;
/// So many questions may wait for a client even where others have all the room that there is.
const FEW: usize = 32;
/// Where in the message of an event the number of the registration is: it comes first in the payload.
const CALLBACK: std::ops::Range<usize> =
    nodedev_rpc::bounds::MESSAGE_MIN..nodedev_rpc::bounds::MESSAGE_MIN + 4;

/// A client as the hub knows it.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Its number.
    pub(crate) id: u64,
    /// Its queue.
    pub(crate) outbox: Arc<Outbox>,
    /// Events about which somebody must be asked before the client gets them.
    unchecked: Mutex<Unchecked>,
}

#[derive(Debug, Default)]
struct Unchecked {
    events: VecDeque<Question>,
    is_being_checked: bool,
}

/// An event that a client may get, if it may know of the device.
#[derive(Debug)]
struct Question {
    number: i32,
    identity: Arc<Identity>,
    told: Arc<Told>,
    _charge: Charge,
}

impl Listener {
    pub(crate) fn new(id: u64, outbox: Arc<Outbox>) -> Self {
        Self { id, outbox, unchecked: Mutex::default() }
    }

    fn unchecked(&self) -> MutexGuard<'_, Unchecked> {
        self.unchecked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event as its message, which is the same for all but the number of the registration.
#[derive(Debug)]
struct Told {
    /// The device that it is about.
    name: Option<String>,
    message: Vec<u8>,
}

/// All registrations.
pub(crate) struct Hub {
    driver: Arc<dyn Driver>,
    access: Arc<dyn Access>,
    lanes: Arc<Lanes>,
    registrations: Mutex<Registrations>,
    following: Mutex<Following>,
    begun: Condvar,
    /// The same as [`Following::has_begun`], without waiting.
    is_ready: AtomicBool,
    /// The driver was followed and is not any more, though somebody needs it.
    is_lost: watch::Sender<bool>,
}

/// Whether the driver is followed.
#[derive(Default)]
struct Following {
    /// It is, or it tells of no changes: what happens from now on is told.
    has_begun: bool,
    /// Nobody needs it any more.
    is_over: bool,
    stopper: Option<Stopper>,
}

impl Hub {
    /// Begins to follow the driver, if it tells of changes, in a thread of its own: a driver can take as long as it
    /// takes to look at all devices before it does.
    pub(crate) fn start(driver: Arc<dyn Driver>, access: Arc<dyn Access>, lanes: Arc<Lanes>) -> Arc<Self> {
        let hub = Arc::new(Self {
            driver,
            access,
            lanes,
            registrations: Mutex::default(),
            following: Mutex::default(),
            begun: Condvar::new(),
            is_ready: AtomicBool::new(false),
            is_lost: watch::Sender::new(false),
        });
        let (follower, beginning) = (Follower::new(Arc::clone(&hub)), Arc::clone(&hub));
        let started = std::thread::Builder::new().name("events".into()).spawn(move || {
            if let Some(watch) = beginning.watch() {
                let _at_end = FollowerEnd(&beginning);
                follower.run(watch);
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "cannot start the thread for events: there will be none");
            hub.begin(None);
        }
        hub
    }

    /// The driver that is followed.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Begins to follow the driver.
    fn watch(&self) -> Option<Watch> {
        let watch = match self.driver.changes().and_then(|changes| changes.watch(None)) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::debug!(%error, "there will be no events");
                // The first look at all devices is then made here, and not by the first client's call.
                if let Err(error) = self.driver.calls().count(ListFlags::empty()) {
                    tracing::debug!(%error, "the devices can't be listed");
                }
                None
            }
        };
        self.begin(watch.as_ref().map(Watch::stopper));
        watch
    }

    fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, stopper: Option<Stopper>) {
        let mut following = self.following();
        following.has_begun = true;
        if following.is_over
            && let Some(stopper) = &stopper
        {
            stopper.stop();
        }
        following.stopper = stopper;
        self.is_ready.store(true, Ordering::Release);
        self.begun.notify_all();
    }

    /// Ends the thread, and whoever waits for it.
    pub(crate) fn stop(&self) {
        let mut following = self.following();
        (following.has_begun, following.is_over) = (true, true);
        if let Some(stopper) = &following.stopper {
            stopper.stop();
        }
        self.begun.notify_all();
    }

    /// Whether the driver has looked at all devices.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Waits until the driver is not followed any more, though somebody needs it.
    pub(crate) async fn lost(&self) {
        // The sender lives as long as this.
        let _ = self.is_lost.subscribe().wait_for(|is_lost| *is_lost).await;
    }

    /// Waits until what happens is told.
    fn wait_begun(&self) {
        let waiting = self.begun.wait_while(self.following(), |following| !following.has_begun);
        drop(waiting.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registrations, to add one of a client that is still there. One that has gone meanwhile was forgotten already:
    /// what is added after that would stay for good.
    fn lock_for(&self, listener: &Listener) -> Result<MutexGuard<'_, Registrations>, Refused> {
        let all = self.lock();
        // Its queue is closed before it is forgotten, for which the registrations have to be held.
        if listener.outbox.closed().is_some() { Err(Fault::connection_not_open().into()) } else { Ok(all) }
    }

    /// Registers a client, and waits for that until the driver is followed; `reply` gets the number and puts the reply into
    /// the client's queue, before any event can.
    pub(crate) fn register(
        &self,
        listener: &Arc<Listener>,
        identity: &Arc<Identity>,
        event: NodeDeviceEventId,
        device: Option<Str<'_>>,
        reply: impl FnOnce(i32),
    ) -> Result<(), Refused> {
        let kind = match event {
            NodeDeviceEventId::Lifecycle => Kind::Lifecycle,
            NodeDeviceEventId::Update => Kind::Update,
            NodeDeviceEventId::Unknown(id) => return Err(Fault::unsupported_event(id).into()),
        };
        self.wait_begun();
        if let Some(name) = device.filter(|name| name.as_bytes().len() > NAME_MAX) {
            self.driver.calls().lookup(&name.to_string_lossy())?;
        }
        let wanted = (kind, device.map(|name| name.as_bytes().into()));
        let mut all = self.lock_for(listener)?;
        let watch = self.driver.changes().and_then(|changes| changes.watch(None));
        let since = watch.map_or(0, |watch| watch.revision().number);
        reply(all.add(listener, identity, wanted, since)?);
        Ok(())
    }

    /// Ends a registration of a client.
    pub(crate) fn deregister(&self, listener: &Listener, number: i32) -> Result<(), Fault> {
        self.lock().remove(listener.id, number)
    }

    /// Ends all registrations of a client that has gone.
    pub(crate) fn forget(&self, client: u64) {
        self.lock().forget(client);
    }

    /// Tells those who want it what happened to a device, as the change of this number.
    pub(crate) fn tell(&self, name: &DeviceName, event: LibvirtEvent, number: u64) {
        let all = self.lock();
        if all.is_empty() {
            return;
        }
        let Some((kind, told)) = encode(name, event) else { return };
        let told = Arc::new(told);
        for registration in all.wanting(kind, name.as_str().as_bytes()) {
            if registration.since < number {
                self.deliver(registration.number, &registration.listener, &registration.identity, &told);
            }
        }
    }

    fn deliver(&self, number: i32, listener: &Arc<Listener>, identity: &Arc<Identity>, told: &Arc<Told>) {
        if self.access.allows_all() {
            told.send(&listener.outbox, number);
            return;
        }
        let mut unchecked = listener.unchecked();
        let account = listener.outbox.account();
        let bytes = size_of::<Question>() + told.message.len();
        // As where events wait to be read: who is asked about in time loses nothing by what others have.
        let charge = match unchecked.events.len() < FEW {
            true => Some(account.charge(Held::Output, bytes)),
            false => account.try_charge(Held::Output, bytes),
        };
        let Some(charge) = charge.filter(|_| unchecked.events.len() < listener.outbox.events_max()) else {
            drop(unchecked);
            return listener.outbox.close(crate::outbox::Closed::TooSlow);
        };
        let (identity, told) = (Arc::clone(identity), Arc::clone(told));
        unchecked.events.push_back(Question { number, identity, told, _charge: charge });
        if !std::mem::replace(&mut unchecked.is_being_checked, true) {
            let (access, outbox) = (Arc::clone(&self.access), &listener.outbox);
            let listener = Arc::clone(listener);
            self.lanes.submit(Lane::Change, outbox, move || check(&*access, &listener));
        }
    }
}

/// However following ends, and be it by a panic, it is noticed.
struct FollowerEnd<'a>(&'a Hub);

impl Drop for FollowerEnd<'_> {
    fn drop(&mut self) {
        if !self.0.following().is_over {
            self.0.is_lost.send_replace(true);
        }
    }
}

/// Sends a client those of its unchecked events that it may know of.
fn check(access: &dyn Access, listener: &Listener) {
    loop {
        let Question { number, identity, told, .. } = {
            let mut unchecked = listener.unchecked();
            match unchecked.events.pop_front() {
                Some(event) => event,
                None => {
                    unchecked.is_being_checked = false;
                    return;
                }
            }
        };
        let mut filter = Procedure::ConnectNodeDeviceEventRegisterAny.filter().iter();
        // Nothing can be told to somebody of whom nothing is known.
        let mut may_know =
            |name| filter.all(|wanted| access.allows(&identity, wanted, Some(name)).unwrap_or(false));
        if told.name.as_deref().is_none_or(&mut may_know) {
            told.send(&listener.outbox, number);
        }
    }
}

impl Told {
    fn send(&self, outbox: &Outbox, number: i32) {
        let (head, rest) = self.message.split_at(CALLBACK.start.min(self.message.len()));
        let rest = rest.get(CALLBACK.len()..).unwrap_or_default();
        outbox.event([head, &number.to_be_bytes(), rest]);
    }
}

fn encode(name: &DeviceName, event: LibvirtEvent) -> Option<(Kind, Told)> {
    let device = Str::truncated(name.as_str());
    let lifecycle = |kind| {
        let event = LifecycleEvent { callback: 0, device, kind, detail: 0 };
        (Kind::Lifecycle, nodedev_rpc::Event::Lifecycle(event))
    };
    let (kind, event) = match event {
        LibvirtEvent::Created => lifecycle(LifecycleKind::Created),
        LibvirtEvent::Deleted => lifecycle(LifecycleKind::Deleted),
        LibvirtEvent::Defined => lifecycle(LifecycleKind::Defined),
        LibvirtEvent::Undefined => lifecycle(LifecycleKind::Undefined),
        LibvirtEvent::Updated => {
            (Kind::Update, nodedev_rpc::Event::Update(UpdateEvent { callback: 0, device }))
        }
    };
    let mut message = Vec::new();
    event.encode(&mut message).ok()?;
    Some((kind, Told { name: Some(name.as_str().to_owned()), message }))
}

/// Why a registration was refused.
pub(crate) enum Refused {
    Fault(Fault),
    Error(Error),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[cfg(test)]
mod tests {
    use nodedev_driver::TestDriver;

    use super::*;
    use crate::access::AllowAll;
    use crate::identity::User;
    use crate::lanes::Workers;
    use crate::ledger::Ledger;
    use crate::outbox::{Bounds, Closed};

    fn hub() -> Arc<Hub> {
        let lanes = Arc::new(Lanes::new(Workers::default()));
        Hub::start(Arc::new(TestDriver::new()), Arc::new(AllowAll), lanes)
    }

    fn listener() -> Arc<Listener> {
        let bounds = Bounds { calls: 5, events: 10, event_bytes: 10_000 };
        let account = Ledger::new().account(User::Id(1000));
        Arc::new(Listener::new(1, Arc::new(Outbox::new(bounds, account))))
    }

    #[test]
    fn a_client_that_went_while_it_was_waited_for_leaves_no_registration() {
        let (hub, listener, identity) = (hub(), listener(), Arc::new(Identity::default()));
        let register = |reply: &mut dyn FnMut()| {
            hub.register(&listener, &identity, NodeDeviceEventId::Lifecycle, None, |_| reply())
        };
        let mut replies = 0;
        assert!(register(&mut || replies += 1).is_ok());
        // As its end does it.
        listener.outbox.close(Closed::Gone);
        hub.forget(listener.id);
        assert!(register(&mut || replies += 1).is_err());
        assert!(hub.watch_changes(&listener, &identity, None, |_, _| replies += 1).is_err());
        let all = hub.lock();
        assert_eq!((replies, all.is_empty(), all.clients()), (1, true, 0));
        assert!(all.watchers.is_empty());
        drop(all);
        hub.stop();
    }

    /// Registers for the events of a device; whether that went well.
    fn registered(hub: &Hub, listener: &Arc<Listener>, name: &str) -> bool {
        let identity = Arc::new(Identity::default());
        let name = Str::new(name).ok();
        hub.register(listener, &identity, NodeDeviceEventId::Lifecycle, name, |_| ()).is_ok()
    }

    #[test]
    fn names_that_no_device_has_are_not_kept_and_those_of_devices_are() {
        let (hub, listener) = (hub(), listener());
        assert!(registered(&hub, &listener, &"x".repeat(NAME_MAX)));
        assert!(!registered(&hub, &listener, &"x".repeat(NAME_MAX + 1)));
        assert!(registered(&hub, &listener, "computer"));
        hub.stop();
    }

    #[test]
    fn registrations_are_bounded_in_bytes_for_a_user_and_leave_nothing_behind() {
        let hub = hub();
        let listener = listener();
        let account = Arc::clone(listener.outbox.account());
        let long = "x".repeat(NAME_MAX - 8);
        let count = (0..200_000)
            .take_while(|number| registered(&hub, &listener, &format!("{long}{number:08}")))
            .count();
        let held = account.held(Held::Registrations);
        // Another client of the user has no more room, one of another user has.
        let same = Arc::new(Listener::new(2, Arc::clone(&listener.outbox)));
        let other = self::listener();
        assert!(!registered(&hub, &same, &long) && registered(&hub, &other, &long));
        assert!((10_000..40_000).contains(&count) && held <= 32 << 20, "{count} registrations, {held} bytes");
        for number in [0, 1, 2] {
            assert!(hub.deregister(&listener, number).is_ok());
        }
        assert!(hub.deregister(&same, 3).is_err(), "it is another client's");
        hub.forget(other.id);
        hub.forget(listener.id);
        assert_eq!(account.held(Held::Registrations), 0);
        let all = hub.lock();
        assert!(all.is_empty() && all.clients() == 0 && all.capacity() < 256, "{}", all.capacity());
        drop(all);
        hub.stop();
    }
}
