//! The functions of `libvirt/libvirt-event.h`: the event loop that the program runs, its own or the default one.

#![expect(unsafe_code, reason = "functions for C")]

mod default;

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, PoisonError};

use crate::function::Function;
use crate::types::{
    AddHandleFunc, AddTimeoutFunc, FreeCallback, HandleCallback, RemoveHandleFunc, RemoveTimeoutFunc,
    TimeoutCallback, UpdateHandleFunc, UpdateTimeoutFunc,
};

/// A loop: what adds, changes and removes its file descriptors and timers. Each may be absent.
#[derive(Clone, Copy)]
struct Implementation {
    add_handle: Option<AddHandleFunc>,
    update_handle: Option<UpdateHandleFunc>,
    remove_handle: Option<RemoveHandleFunc>,
    add_timeout: Option<AddTimeoutFunc>,
    update_timeout: Option<UpdateTimeoutFunc>,
    remove_timeout: Option<RemoveTimeoutFunc>,
}

/// The program's loop. There is one, for good.
static LOOP: Mutex<Option<Implementation>> = Mutex::new(None);

/// The program's loop; none before it is registered.
fn registered() -> Option<Implementation> {
    *LOOP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the program runs a loop that file descriptors can be added to.
pub(crate) fn is_registered() -> bool {
    registered().is_some_and(|implementation| implementation.add_handle.is_some())
}

fn register(implementation: Implementation) {
    let mut known = LOOP.lock().unwrap_or_else(PoisonError::into_inner);
    if known.is_some() {
        log::warn!("an event loop is registered already; the further one is ignored");
        return;
    }
    *known = Some(implementation);
}

/// Registers the program's own loop, by what adds, changes and removes its file descriptors and timers. Only the first
/// registration counts.
///
/// # Safety
/// The functions are what libvirt's manual says of them, and can be called from every thread.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virEventRegisterImpl(
    add_handle: Option<AddHandleFunc>,
    update_handle: Option<UpdateHandleFunc>,
    remove_handle: Option<RemoveHandleFunc>,
    add_timeout: Option<AddTimeoutFunc>,
    update_timeout: Option<UpdateTimeoutFunc>,
    remove_timeout: Option<RemoveTimeoutFunc>,
) {
    register(Implementation {
        add_handle,
        update_handle,
        remove_handle,
        add_timeout,
        update_timeout,
        remove_timeout,
    });
}

/// Registers the default loop, which the program runs with [`virEventRunDefaultImpl`].
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventRegisterDefaultImpl() -> c_int {
    Function::of_connections("virEventRegisterDefaultImpl").run(|| {
        default::start()?;
        register(Implementation {
            add_handle: Some(default::add_handle),
            update_handle: Some(default::update_handle),
            remove_handle: Some(default::remove_handle),
            add_timeout: Some(default::add_timeout),
            update_timeout: Some(default::update_timeout),
            remove_timeout: Some(default::remove_timeout),
        });
        Ok(0)
    })
}

/// Waits until something happens in the default loop, and calls those who are to be told of it.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventRunDefaultImpl() -> c_int {
    let mut round = None;
    let result = Function::of_connections("virEventRunDefaultImpl").run(|| {
        round = default::wait()?;
        Ok(0)
    });
    if let Some(round) = round {
        default::call(&round);
    }
    result
}

/// Has the program's loop call a function when a file descriptor is ready (`virEventHandleType`). Returns the number of
/// the watch; -1 without a loop.
///
/// # Safety
/// `callback` and `free` can be called with `opaque` from the loop until the watch is removed.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virEventAddHandle(
    fd: c_int,
    events: c_int,
    callback: Option<HandleCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int {
    match registered().and_then(|implementation| implementation.add_handle) {
        // SAFETY: the program's loop takes what the caller promises.
        Some(add) => unsafe { add(fd, events, callback, opaque, free) },
        None => -1,
    }
}

/// Changes what is waited for on a watched file descriptor.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventUpdateHandle(watch: c_int, events: c_int) {
    if let Some(update) = registered().and_then(|implementation| implementation.update_handle) {
        // SAFETY: the program's loop takes any number.
        unsafe { update(watch, events) }
    }
}

/// Ends a watch. What was given with it is freed later, by the loop. Returns -1 if there is no such watch.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventRemoveHandle(watch: c_int) -> c_int {
    match registered().and_then(|implementation| implementation.remove_handle) {
        // SAFETY: the program's loop takes any number.
        Some(remove) => unsafe { remove(watch) },
        None => -1,
    }
}

/// Has the program's loop call a function every some milliseconds; 0: in each round, -1: not now. Returns the number of
/// the timer; -1 without a loop.
///
/// # Safety
/// `callback` and `free` can be called with `opaque` from the loop until the timer is removed.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn virEventAddTimeout(
    milliseconds: c_int,
    callback: Option<TimeoutCallback>,
    opaque: *mut c_void,
    free: Option<FreeCallback>,
) -> c_int {
    match registered().and_then(|implementation| implementation.add_timeout) {
        // SAFETY: the program's loop takes what the caller promises.
        Some(add) => unsafe { add(milliseconds, callback, opaque, free) },
        None => -1,
    }
}

/// Changes the time of a timer.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventUpdateTimeout(timer: c_int, milliseconds: c_int) {
    if let Some(update) = registered().and_then(|implementation| implementation.update_timeout) {
        // SAFETY: the program's loop takes any number.
        unsafe { update(timer, milliseconds) }
    }
}

/// Ends a timer. What was given with it is freed later, by the loop. Returns -1 if there is no such timer.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn virEventRemoveTimeout(timer: c_int) -> c_int {
    match registered().and_then(|implementation| implementation.remove_timeout) {
        // SAFETY: the program's loop takes any number.
        Some(remove) => unsafe { remove(timer) },
        None => -1,
    }
}
