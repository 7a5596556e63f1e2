//! Threads that a library starts in somebody else's program.

use std::io;
use std::thread::{Builder, Scope, ScopedJoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::ioctl::unshare_files;
use crate::root::Root;

/// Signals that the kernel sends to a thread for what the thread itself just did. Whoever handles them (a report of a crash, a
/// sandbox) does so in that thread, and a thread that blocks them is killed without that.
const OWN: [Signal; 6] =
    [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Starts a thread in a scope that takes no signal in the place of the program's own threads: all are blocked in it, but those
/// that a thread brings upon itself.
///
/// # Errors
/// What the operating system says if there can be no thread.
pub fn spawn_scoped<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    run: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    // A thread begins with the signals blocked that its maker blocks, so there is no moment at which it takes one.
    let before = to_block().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let started = Builder::new().name(name.to_owned()).spawn_scoped(scope, run);
    before.thread_set_mask()?;
    started
}

/// Starts a thread as [`spawn_scoped`] does, which looks at a host and does nothing else: the root's is the only file that it may use
/// of those that the program has open, beside the standard streams.
///
/// Threads that share one table of open files get in each other's way whenever they open a file, and looking at a host is little
/// else. So the thread has a table of its own, where the kernel can do that (Linux 5.9); a limit of open files is then its own,
/// too. Files that the program closes meanwhile are closed: the thread does not hold them.
///
/// # Errors
/// What the operating system says if there can be no thread.
pub fn spawn_reader<'scope, 'env, T: Send + 'scope>(
    scope: &'scope Scope<'scope, 'env>,
    name: &str,
    root: &'scope Root,
    run: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    spawn_scoped(scope, name, || {
        if let Some(descriptor) = root.descriptor() {
            // Else it shares the table, which is slower and no less right.
            let _ = unshare_files(descriptor);
        }
        run()
    })
}

fn to_block() -> SigSet {
    let mut signals = SigSet::all();
    OWN.into_iter().for_each(|signal| signals.remove(signal));
    signals
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::thread;

    use nix::sys::signal::{SigSet, Signal};

    use super::{OWN, spawn_reader, spawn_scoped};
    use crate::root::Root;

    #[test]
    fn a_thread_takes_no_signal_but_its_own_and_its_maker_those_of_before() {
        let before = SigSet::thread_get_mask().unwrap();
        let (blocked, name) = thread::scope(|scope| {
            let look = || {
                let name = thread::current().name().map(str::to_owned);
                (SigSet::thread_get_mask().unwrap(), name)
            };
            spawn_scoped(scope, "looks", look).unwrap().join().unwrap()
        });
        for signal in Signal::iterator() {
            let stays = matches!(signal, Signal::SIGKILL | Signal::SIGSTOP) || OWN.contains(&signal);
            assert_eq!(blocked.contains(signal), !stays, "{signal}");
        }
        assert_eq!(name.as_deref(), Some("looks"));
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }

    #[test]
    fn a_thread_that_looks_at_a_host_holds_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sys")).unwrap();
        fs::write(folder.path().join("sys/file"), "x").unwrap();
        let (mut reader, before) = std::io::pipe().unwrap();
        let root = Root::open(folder.path()).unwrap();
        let after = before.try_clone().unwrap();
        let all = File::open("/dev/null").unwrap();
        let (content, open) = thread::scope(|scope| {
            let look = || {
                let mut buffer = Vec::new();
                let content = root.read(b"sys/file", &mut buffer, 10).unwrap().map(<[u8]>::to_vec);
                let open = fs::read_dir("/proc/thread-self/fd").unwrap().count();
                // What was closed for the thread alone is still there for the others.
                (content, open)
            };
            spawn_reader(scope, "looks", &root, look).unwrap().join().unwrap()
        });
        assert_eq!(content.as_deref(), Some(&b"x"[..]));
        // The standard streams, the root, and the folder that is being listed.
        assert!(open <= 5, "{open} files are open");
        drop((before, after));
        assert_eq!(reader.read(&mut [0; 1]).unwrap(), 0);
        assert!(all.metadata().is_ok());
    }
}
