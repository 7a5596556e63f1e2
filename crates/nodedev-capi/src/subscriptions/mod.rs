//! Those who are to be told what happens on a connection, by the program's event loop.
//!
//! The loop watches the connection's mailbox; what it finds there it gives to the callbacks, one message at a time and
//! without a lock, so that they may call anything.

#![expect(unsafe_code, reason = "callbacks are functions of C")]

mod follower;
mod mailbox;

use std::ffi::{CString, c_int, c_void};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use follower::{Ending, Follower};
use mailbox::{Mailbox, Message};
use nodedev_driver::{Error, ErrorCode, ErrorDomain, LibvirtEvent, Result};
use nodedev_model::DeviceName;
use nodedev_remote::End;

use crate::connection::{Connection, Needed};
use crate::function::Function;
use crate::source::Source;
use crate::types::{CloseFunc, FreeCallback, NodeDeviceEventCallback, NodeDeviceLifecycleCallback};
use crate::{device, event_loop};

/// Bit of `virEventHandleType`: there is something to read.
const READABLE: c_int = 1;

/// A kind of events (`virNodeDeviceEventID`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A device came, went, was defined or undefined.
    Lifecycle,
    /// A device changed.
    Update,
}

impl Event {
    pub(crate) fn from_number(number: c_int) -> Option<Self> {
        match number {
            0 => Some(Self::Lifecycle),
            1 => Some(Self::Update),
            _ => None,
        }
    }

    /// The kind of a message, and its number among the kind's (`virNodeDeviceEventLifecycleType`).
    fn of(event: LibvirtEvent) -> (Self, c_int) {
        match event {
            LibvirtEvent::Created => (Self::Lifecycle, 0),
            LibvirtEvent::Deleted => (Self::Lifecycle, 1),
            LibvirtEvent::Defined => (Self::Lifecycle, 2),
            LibvirtEvent::Undefined => (Self::Lifecycle, 3),
            LibvirtEvent::Updated => (Self::Update, 0),
        }
    }
}

/// What the program gave with a callback.
#[derive(Clone, Copy)]
pub(crate) struct Luggage {
    opaque: *mut c_void,
    free: Option<FreeCallback>,
}

// SAFETY: the pointer is only passed on, to callbacks of which the program promises that the loop's thread may call them.
unsafe impl Send for Luggage {}

impl Luggage {
    pub(crate) fn free(self) {
        if let Some(free) = self.free {
            // SAFETY: the program gave the function for this; the callback is not called any more.
            unsafe { free(self.opaque) }
        }
    }
}

/// Someone who is told of events.
struct Subscriber {
    number: c_int,
    event: Event,
    /// The device that is meant; any without one.
    device: Option<CString>,
    callback: NodeDeviceEventCallback,
    luggage: Luggage,
    /// Ended while callbacks were running: it is removed when they are done.
    ended: bool,
    connection: Needed,
}

/// Who is told of the end of the connection.
struct Heir {
    callback: CloseFunc,
    luggage: Luggage,
    connection: Needed,
}

/// Those who are to be told what happens on a connection.
pub(crate) struct Subscriptions {
    source: Arc<Source>,
    ending: Arc<Ending>,
    state: Mutex<State>,
    /// Held while the loop is asked to watch the mailbox or not to, which calls the program.
    arranging: Mutex<()>,
}

#[derive(Default)]
struct State {
    next_number: c_int,
    subscribers: Vec<Subscriber>,
    heir: Option<Heir>,
    /// How many rounds of callbacks are running, one inside the other.
    rounds: usize,
    /// The mailbox, and the number under which the loop watches it.
    mailbox: Option<(Arc<Mailbox>, c_int)>,
    follower: Option<Follower>,
}

impl Subscriptions {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, ending: Arc::default(), state: Mutex::default(), arranging: Mutex::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscriber; its number.
    #[expect(clippy::too_many_arguments, reason = "those of libvirt's function")]
    pub(crate) fn add(
        self: &Arc<Self>,
        function: Function,
        connection: &Arc<Connection>,
        event: Event,
        device: Option<CString>,
        callback: NodeDeviceEventCallback,
        opaque: *mut c_void,
        free: Option<FreeCallback>,
    ) -> Result<c_int> {
        let arranging = self.arranging.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |known: &Subscriber| {
            !known.ended
                && known.event == event
                && known.device == device
                && std::ptr::fn_addr_eq(known.callback, callback)
        };
        if self.lock().subscribers.iter().any(is_same) {
            let detail = "event callback already tracked";
            return Err(Error::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, detail));
        }
        let needed = Needed::take(connection).ok_or_else(|| function.invalid_connection())?;
        let mailbox = self.watched_mailbox()?;
        if self.lock().follower.is_none() {
            let follower = match Follower::start(&self.source, &mailbox) {
                Ok(follower) => follower,
                Err(error) => {
                    self.tidy(arranging).into_iter().for_each(Luggage::free);
                    return Err(error);
                }
            };
            self.lock().follower = Some(follower);
        }
        let mut state = self.lock();
        let number = state.next_number;
        state.next_number += 1;
        let luggage = Luggage { opaque, free };
        let connection = needed;
        state.subscribers.push(Subscriber {
            number,
            event,
            device,
            callback,
            luggage,
            ended: false,
            connection,
        });
        Ok(number)
    }

    /// Removes a subscriber. What it gave is for the caller to free, unless callbacks are running: then they are followed by
    /// that.
    pub(crate) fn remove(&self, number: c_int) -> Result<Vec<Luggage>> {
        let mut state = self.lock();
        let found = state.subscribers.iter_mut().find(|known| known.number == number && !known.ended);
        let Some(found) = found else {
            let detail = if self.source.is_remote() {
                format!("event callback id {number} not registered")
            } else {
                format!("could not find event callback {number} for deletion")
            };
            return Err(Error::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, detail));
        };
        found.ended = true;
        drop(state);
        Ok(self.tidy(self.arranging.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Sets who is told of the end of the connection.
    pub(crate) fn on_end(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        callback: CloseFunc,
        opaque: *mut c_void,
        free: Option<FreeCallback>,
    ) -> Result<()> {
        if !self.source.is_remote() {
            return Ok(());
        }
        let _arranging = self.arranging.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lock().heir.is_some() {
            let detail = "A close callback is already registered";
            return Err(Error::new(ErrorDomain::REMOTE, ErrorCode::OPERATION_INVALID, detail));
        }
        let function = Function::of_connections("virConnectRegisterCloseCallback");
        let connection = Needed::take(connection).ok_or_else(|| function.invalid_connection())?;
        // Without a loop the function is remembered, and nobody there to call it, as in libvirt.
        if event_loop::is_registered() {
            let mailbox = self.watched_mailbox()?;
            self.ending.tell(&self.source, &mailbox);
        }
        self.lock().heir = Some(Heir { callback, luggage: Luggage { opaque, free }, connection });
        Ok(())
    }

    /// Forgets who is told of the end.
    pub(crate) fn not_on_end(&self, callback: CloseFunc) -> Result<Vec<Luggage>> {
        if !self.source.is_remote() {
            return Ok(Vec::new());
        }
        let mut state = self.lock();
        let heir = state.heir.take_if(|heir| std::ptr::fn_addr_eq(heir.callback, callback));
        drop(state);
        let Some(heir) = heir else {
            let detail = "A different callback was requested";
            return Err(Error::new(ErrorDomain::REMOTE, ErrorCode::OPERATION_INVALID, detail));
        };
        let mut luggage = vec![heir.luggage];
        drop(heir.connection);
        luggage.extend(self.tidy(self.arranging.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(luggage)
    }

    /// The mailbox, which the loop watches. Called while arranging.
    fn watched_mailbox(self: &Arc<Self>) -> Result<Arc<Mailbox>> {
        if let Some((mailbox, _)) = &self.lock().mailbox {
            return Ok(Arc::clone(mailbox));
        }
        let failed = || Error::internal(ErrorDomain::NONE, "could not initialize domain event timer");
        if !event_loop::is_registered() {
            return Err(failed());
        }
        let mailbox = Arc::new(Mailbox::new().map_err(|error| {
            Error::system(ErrorDomain::NONE, "Unable to create the connection's mailbox", &error)
        })?);
        let fd = mailbox.fd();
        let visitor = Box::new(Visitor { subscriptions: Arc::clone(self), mailbox: Arc::clone(&mailbox) });
        let visitor = Box::into_raw(visitor);
        // SAFETY: both functions take the pointer that is given with them, which is good until `forget` is called.
        let watch =
            unsafe { event_loop::virEventAddHandle(fd, READABLE, Some(visit), visitor.cast(), Some(forget)) };
        if watch < 0 {
            // SAFETY: the loop did not take the pointer that was made above.
            drop(unsafe { Box::from_raw(visitor) });
            return Err(failed());
        }
        self.lock().mailbox = Some((Arc::clone(&mailbox), watch));
        Ok(mailbox)
    }

    /// Removes those who ended unless callbacks are running, and what nobody needs any more. What they gave is to be freed.
    fn tidy(&self, arranging: MutexGuard<'_, ()>) -> Vec<Luggage> {
        let mut state = self.lock();
        if state.rounds > 0 {
            return Vec::new();
        }
        let (ended, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.subscribers).into_iter().partition(|subscriber| subscriber.ended);
        state.subscribers = left;
        let follower = if state.subscribers.is_empty() { state.follower.take() } else { None };
        let is_idle = state.subscribers.is_empty() && state.heir.is_none();
        let mailbox = if is_idle { state.mailbox.take() } else { None };
        drop(state);
        drop(follower);
        if let Some((_, watch)) = mailbox {
            event_loop::virEventRemoveHandle(watch);
        }
        drop(arranging);
        ended.into_iter().map(|subscriber| subscriber.luggage).collect()
    }

    /// Gives all that waits to those who subscribed.
    fn deliver(&self, mailbox: &Mailbox) {
        let round = Round::of(self);
        for message in mailbox.take() {
            match message {
                Message::Device(name, event) => self.tell(&name, event),
                Message::Ended(end) => self.tell_heir(end),
            }
        }
        drop(round);
        let luggage = self.tidy(self.arranging.lock().unwrap_or_else(PoisonError::into_inner));
        luggage.into_iter().for_each(Luggage::free);
    }

    fn tell(&self, name: &DeviceName, event: LibvirtEvent) {
        let (kind, number) = Event::of(event);
        let is_meant = |subscriber: &&Subscriber| {
            let of_device =
                subscriber.device.as_ref().is_none_or(|device| device.to_bytes() == name.as_str().as_bytes());
            !subscriber.ended && subscriber.event == kind && of_device
        };
        let meant: Vec<_> =
            self.lock().subscribers.iter().filter(is_meant).map(|subscriber| subscriber.number).collect();
        for subscriber in meant {
            // A callback before this one may have ended it.
            let state = self.lock();
            let Some(found) =
                state.subscribers.iter().filter(is_meant).find(|known| known.number == subscriber)
            else {
                continue;
            };
            let (callback, opaque) = (found.callback, found.luggage.opaque);
            let connection = Arc::clone(&found.connection);
            drop(state);
            let function = Function::of_devices("virConnectNodeDeviceEventRegisterAny");
            let Ok(device) = device::insert(function, &connection, name.clone()) else { continue };
            match kind {
                Event::Lifecycle => {
                    // SAFETY: callbacks of lifecycle events have this type, and are registered cast to the other one.
                    let callback = unsafe {
                        std::mem::transmute::<NodeDeviceEventCallback, NodeDeviceLifecycleCallback>(callback)
                    };
                    // SAFETY: the program gave the callback for this. The device is given back below.
                    unsafe { callback(connection.handle(), device, number, 0, opaque) }
                }
                // SAFETY: as above.
                Event::Update => unsafe { callback(connection.handle(), device, opaque) },
            }
            device::give_back(device);
        }
    }

    fn tell_heir(&self, end: End) {
        let Some(heir) = self.lock().heir.take() else { return };
        let reason = match end {
            End::Error => 0,
            End::EndOfFile => 1,
            End::Silence => 2,
            End::Closed => 3,
        };
        // SAFETY: the program gave the callback for this, once.
        unsafe { (heir.callback)(heir.connection.handle(), reason, heir.luggage.opaque) }
        heir.luggage.free();
    }
}

/// A round of callbacks. It ends with this value, also where a callback ends its thread.
struct Round<'a>(&'a Subscriptions);

impl<'a> Round<'a> {
    fn of(subscriptions: &'a Subscriptions) -> Self {
        subscriptions.lock().rounds += 1;
        Self(subscriptions)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.0.lock().rounds -= 1;
    }
}

/// What the loop has of a connection.
struct Visitor {
    subscriptions: Arc<Subscriptions>,
    mailbox: Arc<Mailbox>,
}

unsafe extern "C-unwind" fn visit(_watch: c_int, _fd: c_int, _events: c_int, visitor: *mut c_void) {
    // SAFETY: the loop passes the pointer that it was given with this function, before `forget` gets it. What a callback
    // ends is only forgotten by a later round of the loop, as libvirt's manual asks of loops.
    let visitor = unsafe { &*visitor.cast::<Visitor>() };
    let (subscriptions, mailbox) = (Arc::clone(&visitor.subscriptions), Arc::clone(&visitor.mailbox));
    subscriptions.deliver(&mailbox);
}

unsafe extern "C-unwind" fn forget(visitor: *mut c_void) {
    // SAFETY: the loop passes the pointer that it was given with this function, once and last.
    drop(unsafe { Box::from_raw(visitor.cast::<Visitor>()) });
}
