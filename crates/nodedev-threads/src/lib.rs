//! Threads that a library starts in somebody else's program.
//!
//! A signal that is sent to a process goes to any of its threads that does not block it. A program that blocks signals in its own
//! threads, to wait for them (`sigtimedwait`, `signalfd`), knows nothing of a library's, and would be ended by a signal that one of them
//! takes. So a thread that is started here takes none: all are blocked in it, but those that a thread brings upon itself.

use std::io;
use std::thread::{Builder, JoinHandle, Scope, ScopedJoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// Signals that the kernel sends to a thread for what the thread itself just did. Whoever handles them (a report of a crash, a
/// sandbox) does so in that thread, and a thread that blocks them is killed without that.
const OWN: [Signal; 6] =
    [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Starts a thread that takes no signal in the place of the program's own threads.
///
/// ```
/// let thread = nodedev_threads::spawn("example", || 6 * 7)?;
/// assert_eq!(thread.join().unwrap(), 42);
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// What the operating system says if there can be no thread.
pub fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    blocked(|| Builder::new().name(name.to_owned()).spawn(run))
}

/// The same in a scope.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    run: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    blocked(|| Builder::new().name(name.to_owned()).spawn_scoped(scope, run))
}

/// A thread begins with the signals blocked that its maker blocks, so there is no moment at which it takes one.
fn blocked<T>(start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let mut signals = SigSet::all();
    OWN.into_iter().for_each(|signal| signals.remove(signal));
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = start();
    before.thread_set_mask()?;
    started
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn check(blocked: SigSet, before: SigSet) {
        for signal in Signal::iterator() {
            let stays = matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) || OWN.contains(&signal);
            assert_eq!(blocked.contains(signal), !stays, "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[test]
    fn a_thread_takes_no_signal_but_its_own_and_its_maker_those_of_before() {
        let before = SigSet::thread_get_mask().unwrap();
        let look = || (SigSet::thread_get_mask().unwrap(), thread::current().name().map(str::to_owned));
        let (blocked, name) = spawn("looks", look).unwrap().join().unwrap();
        assert_eq!(name.as_deref(), Some("looks"));
        check(blocked, before);
        let (blocked, name) =
            thread::scope(|scope| spawn_scoped(scope, "too", look).unwrap().join().unwrap());
        assert_eq!(name.as_deref(), Some("too"));
        check(blocked, before);
    }

    #[test]
    fn what_its_maker_blocks_stays_blocked() {
        let mut mine = SigSet::empty();
        mine.add(Signal::SIGUSR1);
        mine.thread_block().unwrap();
        spawn("looks", || ()).unwrap().join().unwrap();
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR1));
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR2));
    }
}
