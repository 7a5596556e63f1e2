//! The Unix sockets and the lock that keeps a second daemon away from them.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::exit::{Exit, Fatal};
use crate::files::{Folder, Id};

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

/// Makes the directory of the sockets if it is not there, and opens it.
pub(crate) fn make_dir(dir: &Path, is_root: bool) -> Result<Folder, Fatal> {
    let mode = if is_root { 0o755 } else { 0o700 };
    if !dir.is_dir() {
        let absolute = std::path::absolute(dir).map_err(|error| cannot_make(dir, &error))?;
        if let Some(there) = absolute.ancestors().skip(1).find(|parent| parent.is_dir()) {
            Folder::open(there)?;
        }
        fs::create_dir_all(dir)
            .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(mode)))
            .map_err(|error| cannot_make(dir, &error))?;
    }
    Folder::open(dir)
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
    made: Made,
    // Its lock goes with the process, however that ends.
    _file: File,
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, Fatal> {
        let (folder, name) = Folder::of(path)?;
        let cannot = |error: std::io::Error| cannot_make(path, &error);
        let (mut file, id) = loop {
            let file = folder.open_file(&name, OFlags::empty()).map_err(cannot)?;
            let stat = rustix::fs::fstat(&file).map_err(|error| cannot(error.into()))?;
            let id = Id::from(&stat);
            if !lock(&file, path)? {
                // Others could open this one, and so lock it. The daemon's own is for it alone.
                if stat.st_mode & 0o077 == 0 {
                    return Err(runs_already(&file, path));
                }
                tracing::warn!(path = %path.display(), "somebody else may have locked this file; it is made again");
                folder.remove(&name, id).map_err(cannot)?;
                continue;
            }
            // One that has just ended may have removed the file meanwhile: its name is free then.
            let named = folder.stat(&name).map_err(cannot)?;
            if named.is_some_and(|named| Id::from(&named) == id) {
                break (file, id);
            }
        };
        let written = file
            .set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| Fatal::system(format_args!("write {}", path.display()), &error))?;
        Ok(Self { made: Made { folder, name, id }, _file: file })
    }
}

/// Locks a file; whether that could be done.
fn lock(file: &File, path: &Path) -> Result<bool, Fatal> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(Fatal::system(format_args!("lock {}", path.display()), &error.into())),
    }
}

fn runs_already(file: &File, path: &Path) -> Fatal {
    let mut holder = String::new();
    // Only for the message.
    let _ = file.take(20).read_to_string(&mut holder);
    let what =
        format!("another nodedevd runs already: process {} has locked {}", holder.trim(), path.display());
    Fatal::new(Exit::Unavailable, what).help("stop it first, or choose another --run-dir")
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.made.remove();
    }
}

/// A file that this process has made or taken over.
#[derive(Debug)]
struct Made {
    folder: Folder,
    name: PathBuf,
    id: Id,
}

impl Made {
    /// Not if somebody has put another one there. One that stays is no harm.
    fn remove(&self) {
        if let Err(error) = self.folder.remove(&self.name, self.id) {
            tracing::debug!(%error, path = %self.folder.path(&self.name).display(), "a file stays");
        }
    }
}

/// A socket that was made, and is removed with this.
#[derive(Debug)]
pub(crate) struct SocketFile(Made);

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// How many clients may wait to be accepted, as the kernel takes it.
pub(crate) fn backlog(queued: usize) -> i32 {
    i32::try_from(queued).unwrap_or(i32::MAX)
}

/// Listens at a socket of this name. One that nobody listens at any more is replaced.
pub(crate) fn listen(
    folder: &Folder,
    name: &str,
    mode: u32,
    group: Option<u32>,
    queued: usize,
) -> Result<(UnixListener, SocketFile), Fatal> {
    let name = Path::new(name);
    let path = &folder.path(name);
    clear(folder, name)?;
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
    let id = folder
        .give_socket(name, group, mode)
        .map_err(|error| failed("set mode and group (unix_sock_group) of the socket", error))?;
    let folder = folder.again().map_err(|error| failed("look at the folder of", error))?;
    let file = SocketFile(Made { folder, name: name.to_owned(), id });
    // Again, for the queue that is wanted.
    rustix::net::listen(&listener, self::backlog(queued))
        .map_err(|error| failed("listen at", error.into()))?;
    Ok((listener, file))
}

/// Removes a socket that a daemon has left behind; refuses if somebody still listens, or if it is something else.
fn clear(folder: &Folder, name: &Path) -> Result<(), Fatal> {
    let path = folder.path(name);
    let shown = path.display();
    let failed =
        |error: std::io::Error| Fatal::system(format_args!("remove the stale socket {shown}"), &error);
    let Some(stat) = folder.stat(name).map_err(failed)? else { return Ok(()) };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(Fatal::new(Exit::Unavailable, format!("{shown} is there already and is no socket"))
            .help("move it away, or choose another --run-dir"));
    }
    match try_connect(&path) {
        Err(Errno::CONNREFUSED) => folder.remove(name, (&stat).into()).map_err(failed),
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
