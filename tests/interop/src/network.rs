//! A network of one's own, with its part of sysfs, for tests that make interfaces come and go.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io, thread};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use nodedev_testkit::peer::check_root;

use crate::Failure;

/// Does something on a thread in new network and mount namespaces, in which `/sys` shows the new network. Threads and
/// programs that it starts are in there, too. Needs root.
///
/// # Errors
/// If the namespaces cannot be made, or what `action` fails with.
pub fn private<T: Send>(action: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    check_root()?;
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .map_err(|error| Failure::from(format!("cannot make namespaces (root can): {error}")))?;
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
                .and_then(|()| mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none))
                .map_err(|error| Failure::from(format!("cannot mount /sys: {error}")))?;
            action()
        });
        inside.join().map_err(|_| Failure::from("the test in the private network panicked".to_owned()))?
    })
}

/// Runs commands of `ip`, one on each line.
///
/// # Errors
/// If one fails.
pub fn ip(lines: &str) -> Result<(), Failure> {
    let mut child =
        Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip: {}", String::from_utf8_lossy(&output.stderr)).into())
}

/// Lets the kernel send a uevent of an interface again.
///
/// # Errors
/// If there is no such interface.
pub fn trigger(interface: &str, action: &str) -> io::Result<()> {
    fs::write(folder(interface).join("uevent"), action)
}

/// The interface in sysfs.
pub fn folder(interface: &str) -> PathBuf {
    Path::new("/sys/class/net").join(interface)
}
