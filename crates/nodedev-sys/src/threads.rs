//! Threads that look at a host.

use std::io;
use std::thread::{Scope, ScopedJoinHandle};

use nodedev_threads::spawn_scoped;

use crate::ioctl::unshare_files;
use crate::root::Root;

/// Starts a thread that takes no signal, which looks at a host and does nothing else: the root's is the only file that it may use
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read as _;
    use std::thread;

    use super::spawn_reader;
    use crate::root::Root;

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
