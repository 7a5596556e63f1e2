//! The Unix sockets and the lock that keeps a second daemon away from them.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::exit::{Exit, Fatal};

/// Names of libvirt's sockets, by which its clients find them.
pub(crate) const READ_WRITE: &str = "virtnodedevd-sock";
/// The one for those who only look.
pub(crate) const READ_ONLY: &str = "virtnodedevd-sock-ro";

/// Where the sockets are if nobody says.
pub(crate) fn default_dir(is_root: bool) -> Result<PathBuf, Fatal> {
    if is_root {
        return Ok("/run/libvirt".into());
    }
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let cache = || {
        let home = env::var_os("HOME").filter(|dir| !dir.is_empty())?;
        Some(PathBuf::from(home).join(".cache"))
    };
    runtime.map(PathBuf::from).or_else(cache).map(|dir| dir.join("libvirt")).ok_or_else(|| {
        Fatal::new(
            Exit::System,
            "neither XDG_RUNTIME_DIR nor HOME is set, so there is no place for the sockets",
        )
        .help("run nodedevd in a session of systemd, or name a directory with --run-dir")
    })
}

/// Makes the directory of the sockets if it is not there.
pub(crate) fn make_dir(dir: &Path, is_root: bool) -> Result<(), Fatal> {
    let mode = if is_root { 0o755 } else { 0o700 };
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(mode)))
        .map_err(|error| cannot_make(dir, &error))
}

fn cannot_make(path: &Path, error: &std::io::Error) -> Fatal {
    let exit =
        if error.kind() == ErrorKind::PermissionDenied { Exit::NoPermission } else { Exit::CannotCreate };
    Fatal::new(exit, format!("cannot make {}: {error}", path.display()))
        .help("run nodedevd as root, or name a directory that you may write to with --run-dir")
}

/// The file with the daemon's process number. Whoever has it locked has the sockets.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    // Its lock goes with the process, however that ends.
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: PathBuf) -> Result<Self, Fatal> {
        let mut file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|error| cannot_make(&path, &error))?;
            lock(&file, &path)?;
            // One that has just ended may have removed the file meanwhile: its name is free then.
            let locked = file.metadata().map_err(|error| cannot_make(&path, &error))?;
            if fs::symlink_metadata(&path).is_ok_and(|named| named.ino() == locked.ino()) {
                break file;
            }
        };
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| Fatal::system(format_args!("write {}", path.display()), &error))?;
        Ok(Self { path, _file: file })
    }
}

fn lock(file: &File, path: &Path) -> Result<(), Fatal> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // Only for the message.
            let _ = file.take(20).read_to_string(&mut holder);
            let what = format!(
                "another nodedevd runs already: process {} has locked {}",
                holder.trim(),
                path.display()
            );
            Err(Fatal::new(Exit::Unavailable, what).help("stop it first, or choose another --run-dir"))
        }
        Err(error) => Err(Fatal::system(format_args!("lock {}", path.display()), &error.into())),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays is no harm: its lock is gone.
        let _ = fs::remove_file(&self.path);
    }
}

/// A socket that was made, and is removed with this.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Not if somebody has put another one there.
        if fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// How many clients may wait to be accepted, as the kernel takes it.
pub(crate) fn backlog(queued: usize) -> i32 {
    i32::try_from(queued).unwrap_or(i32::MAX)
}

/// Listens at `path`. A socket that nobody listens at any more is replaced.
pub(crate) fn listen(
    path: &Path,
    mode: u32,
    group: Option<u32>,
    queued: usize,
) -> Result<(UnixListener, SocketFile), Fatal> {
    clear(path)?;
    let failed = |doing: &str, error: std::io::Error| {
        let fatal = Fatal::system(format_args!("{doing} {}", path.display()), &error);
        match error.kind() {
            ErrorKind::PermissionDenied => {
                fatal.help("run nodedevd as root, or name a directory that you may write to with --run-dir")
            }
            // The path of a Unix socket has at most 107 bytes.
            ErrorKind::InvalidInput => fatal.help("name a directory with a shorter path with --run-dir"),
            _ => fatal,
        }
    };
    // Nobody may connect before the mode is as it should be. No other thread makes files yet.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = listener.map_err(|error| failed("listen at", error))?;
    let inode = fs::symlink_metadata(path).map_err(|error| failed("look at", error))?.ino();
    let file = SocketFile { path: path.to_owned(), inode };
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group)
            .map_err(|error| failed("give to unix_sock_group the socket", error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| failed("set the mode of", error))?;
    // Again, for the queue that is wanted.
    rustix::net::listen(&listener, self::backlog(queued))
        .map_err(|error| failed("listen at", error.into()))?;
    Ok((listener, file))
}

/// Removes a socket that a daemon has left behind; refuses if somebody still listens, or if it is something else.
fn clear(path: &Path) -> Result<(), Fatal> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(Fatal::new(Exit::Unavailable, format!("{shown} is there already and is no socket"))
                .help("move it away, or choose another --run-dir"));
        }
        Ok(_) => {}
    }
    match try_connect(path) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path)
            .map_err(|error| Fatal::system(format_args!("remove the stale socket {shown}"), &error)),
        _ => Err(Fatal::new(Exit::Unavailable, format!("another program listens at {shown}")).help(
            "stop it first (for libvirt's: systemctl stop virtnodedevd.service virtnodedevd.socket \
             virtnodedevd-ro.socket virtnodedevd-admin.socket), or choose another --run-dir",
        )),
    }
}

/// Whether somebody listens. Where it can't take anybody more just now, somebody does: that is not waited for.
fn try_connect(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}
