//! The default loop: file descriptors by `poll(2)`, timers, and what is to be freed after them.
//!
//! Everything can be called from any thread and from inside of callbacks: no lock is held while one runs.

use std::ffi::{c_int, c_short, c_void};
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nodedev_driver::{Error, ErrorDomain, Result};

use crate::types::{FreeCallback, HandleCallback, TimeoutCallback};

/// Bits of `virEventHandleType`, and those of `poll(2)`.
const EVENTS: [(c_int, c_short); 4] =
    [(1, libc::POLLIN), (2, libc::POLLOUT), (ERROR, libc::POLLERR), (8, libc::POLLHUP)];
const ERROR: c_int = 4;

static LOOP: OnceLock<Loop> = OnceLock::new();

struct Loop {
    state: Mutex<State>,
    /// Wakes a thread that waits in [`run`].
    wake: UnixStream,
    woken: UnixStream,
}

#[derive(Default)]
struct State {
    last_watch: c_int,
    last_timer: c_int,
    watches: Vec<Watch>,
    timers: Vec<Timer>,
    /// What removed watches and timers leave.
    garbage: Vec<Garbage>,
}

#[derive(Clone, Copy)]
struct Watch {
    number: c_int,
    fd: c_int,
    events: c_int,
    callback: Option<HandleCallback>,
    garbage: Garbage,
}

#[derive(Clone, Copy)]
struct Timer {
    number: c_int,
    every: Option<Duration>,
    due: Option<Instant>,
    callback: Option<TimeoutCallback>,
    garbage: Garbage,
}

/// What was given with a callback.
#[derive(Clone, Copy)]
struct Garbage {
    opaque: *mut c_void,
    free: Option<FreeCallback>,
}

// SAFETY: the pointer is only passed on, to callbacks of which the program promises that the loop's thread may call them.
unsafe impl Send for Garbage {}

impl Loop {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread that waits look again.
    fn wake(&self) {
        // If it does not fit, there is something to read already.
        let _ = (&self.wake).write(&[0]);
    }

    /// Changes what the loop waits for.
    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.wake();
        result
    }
}

/// Makes the loop, once.
pub(super) fn start() -> Result<()> {
    if LOOP.get().is_none() {
        let failed = |error: std::io::Error| {
            Error::system(ErrorDomain::EVENT, "Unable to create the event loop's wake-up", &error)
        };
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).and_then(|()| woken.set_nonblocking(true)).map_err(failed)?;
        // Another thread that was faster has made one as good.
        let _ = LOOP.set(Loop { state: Mutex::default(), wake, woken });
    }
    Ok(())
}

pub(super) unsafe extern "C-unwind" fn add_handle(
    fd: c_int,
    events: c_int,
    callback: Option<HandleCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int {
    let Some(this) = LOOP.get() else { return -1 };
    this.change(|state| {
        state.last_watch += 1;
        let number = state.last_watch;
        state.watches.push(Watch { number, fd, events, callback, garbage: Garbage { opaque, free } });
        number
    })
}

pub(super) unsafe extern "C-unwind" fn update_handle(watch: c_int, events: c_int) {
    let Some(this) = LOOP.get() else { return };
    this.change(|state| {
        if let Some(watch) = state.watches.iter_mut().find(|known| known.number == watch) {
            watch.events = events;
        }
    });
}

pub(super) unsafe extern "C-unwind" fn remove_handle(watch: c_int) -> c_int {
    let Some(this) = LOOP.get() else { return -1 };
    this.change(|state| match state.watches.iter().position(|known| known.number == watch) {
        None => -1,
        Some(index) => {
            let watch = state.watches.remove(index);
            state.garbage.push(watch.garbage);
            0
        }
    })
}

pub(super) unsafe extern "C-unwind" fn add_timeout(
    milliseconds: c_int,
    callback: Option<TimeoutCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int {
    let Some(this) = LOOP.get() else { return -1 };
    let every = period(milliseconds);
    this.change(|state| {
        state.last_timer += 1;
        let number = state.last_timer;
        let due = next(every);
        state.timers.push(Timer { number, every, due, callback, garbage: Garbage { opaque, free } });
        number
    })
}

pub(super) unsafe extern "C-unwind" fn update_timeout(timer: c_int, milliseconds: c_int) {
    let Some(this) = LOOP.get() else { return };
    this.change(|state| {
        if let Some(timer) = state.timers.iter_mut().find(|known| known.number == timer) {
            timer.every = period(milliseconds);
            timer.due = next(timer.every);
        }
    });
}

pub(super) unsafe extern "C-unwind" fn remove_timeout(timer: c_int) -> c_int {
    let Some(this) = LOOP.get() else { return -1 };
    this.change(|state| match state.timers.iter().position(|known| known.number == timer) {
        None => -1,
        Some(index) => {
            let timer = state.timers.remove(index);
            state.garbage.push(timer.garbage);
            0
        }
    })
}

/// Time between two calls of a timer; nothing for one that is switched off.
fn period(milliseconds: c_int) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

fn next(every: Option<Duration>) -> Option<Instant> {
    every.and_then(|every| Instant::now().checked_add(every))
}

/// What a round of the loop has found.
pub(super) struct Round {
    this: &'static Loop,
    /// Descriptors, of which the first is our own, and whose the others are.
    polled: Vec<libc::pollfd>,
    watches: Vec<c_int>,
    garbage: Vec<Garbage>,
}

/// Waits until something is ready or due.
pub(super) fn wait() -> Result<Option<Round>> {
    start()?;
    let Some(this) = LOOP.get() else { return Ok(None) };
    let (mut polled, watches, timeout) = waited_for(this);
    // SAFETY: the array is as long as said. Descriptors that are closed are reported and do no harm.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    if ready < 0 {
        let error = std::io::Error::last_os_error();
        return match error.kind() {
            std::io::ErrorKind::Interrupted => Ok(None),
            _ => Err(Error::system(ErrorDomain::EVENT, "Unable to poll on file handles", &error)),
        };
    }
    let mut buffer = [0; 64];
    while (&this.woken).read(&mut buffer).is_ok_and(|count| count == buffer.len()) {}
    let garbage = std::mem::take(&mut this.lock().garbage);
    Ok(Some(Round { this, polled, watches, garbage }))
}

/// Calls those who asked for what was found.
///
/// Nothing here catches what unwinds: an interpreter that is ending ends its threads in their callbacks (`pthread_exit`).
pub(super) fn call(round: &Round) {
    for Garbage { opaque, free } in &round.garbage {
        if let Some(free) = free {
            // SAFETY: the watch or timer is removed, and nobody calls its callback any more.
            unsafe { free(*opaque) }
        }
    }
    call_timers(round.this);
    call_watches(round.this, &round.polled, &round.watches);
}

/// What to give to `poll(2)`: the descriptors (the first is our own), whose they are, and how long to wait.
fn waited_for(this: &Loop) -> (Vec<libc::pollfd>, Vec<c_int>, c_int) {
    let state = this.lock();
    let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
    let mut polled = vec![entry(this.woken.as_raw_fd(), libc::POLLIN)];
    let mut watches = Vec::new();
    for watch in state.watches.iter().filter(|watch| watch.events != 0) {
        let wanted = EVENTS.iter().filter(|(ours, _)| watch.events & ours != 0);
        polled.push(entry(watch.fd, wanted.fold(0, |all, (_, theirs)| all | theirs)));
        watches.push(watch.number);
    }
    let due = state.timers.iter().filter_map(|timer| timer.due).min();
    let timeout = match due {
        _ if !state.garbage.is_empty() => 0,
        None => -1,
        Some(due) => {
            // Rounded up, so that the time has come when it is looked at.
            let left = due.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            c_int::try_from(left).unwrap_or(c_int::MAX)
        }
    };
    (polled, watches, timeout)
}

fn call_watches(this: &Loop, polled: &[libc::pollfd], watches: &[c_int]) {
    for (entry, number) in polled.iter().skip(1).zip(watches) {
        let mut happened = EVENTS
            .iter()
            .filter(|(_, theirs)| entry.revents & theirs != 0)
            .fold(0, |all, (ours, _)| all | ours);
        if entry.revents & libc::POLLNVAL != 0 {
            happened |= ERROR;
        }
        if happened == 0 {
            continue;
        }
        // A callback before this one may have removed it.
        let watch = this.lock().watches.iter().find(|watch| watch.number == *number).copied();
        if let Some(Watch { fd, callback: Some(callback), garbage, .. }) = watch {
            // SAFETY: the program gave the callback for this, with this pointer.
            unsafe { callback(*number, fd, happened, garbage.opaque) }
        }
    }
}

fn call_timers(this: &Loop) {
    let now = Instant::now();
    let due = |timer: &Timer| timer.due.is_some_and(|due| due <= now);
    let numbers: Vec<_> =
        this.lock().timers.iter().filter(|timer| due(timer)).map(|timer| timer.number).collect();
    for number in numbers {
        let mut state = this.lock();
        // A callback before this one may have removed or changed it.
        let Some(timer) = state.timers.iter_mut().find(|timer| timer.number == number && due(timer)) else {
            continue;
        };
        timer.due = timer.every.and_then(|every| now.checked_add(every));
        let Timer { callback, garbage, .. } = *timer;
        drop(state);
        if let Some(callback) = callback {
            // SAFETY: the program gave the callback for this, with this pointer.
            unsafe { callback(number, garbage.opaque) }
        }
    }
}
