mod folder;

use std::io::{BufRead as _, BufReader, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, fstat, openat, openat2,
    readlinkat_raw, statat, statx,
};
use rustix::io::{Errno, read};

use crate::archive;
use crate::error::{Operation, SysError, display_path};
use crate::node::{DeviceNode, NodeKind};
use crate::tree::{Node, Tree};

pub use folder::Folder;
use folder::Handle;

/// What the kernel gives of a binary attribute at most in one call, on all architectures a multiple of it.
const PAGE: usize = 4096;
/// How often a path is tried that something else's renaming got in the way of; more than a few never were needed.
const CONFINED_ATTEMPTS: usize = 1000;
/// Bound of an attribute in sysfs. The largest is Vital Product Data with 32 KiB.
const ATTRIBUTE_LIMIT: usize = 64 << 10;

/// A host: this machine, or a recording of one.
///
/// Every file of a host is read through its root, and no path and no symbolic link in a recording leads out of it.
#[derive(Debug)]
pub struct Root {
    backend: Backend,
    privileged: bool,
}

#[derive(Debug)]
enum Backend {
    /// This machine, opened at `/`.
    Live(OwnedFd),
    /// A folder that stands for `/`.
    Folder(OwnedFd),
    /// Such a folder that may be changed.
    Scratch(OwnedFd),
    /// An unpacked archive of such a folder.
    Archive(Tree),
}

impl Root {
    /// This machine.
    ///
    /// # Errors
    /// [`SysError::Io`] when `/` cannot be opened, [`SysError::NotAHost`] when sysfs is not mounted.
    pub fn live() -> Result<Self, SysError> {
        let fd = open_folder(Path::new("/"))?;
        let root = Self { backend: Backend::Live(fd), privileged: rustix::process::geteuid().is_root() };
        if root.exists(b"sys/devices") {
            Ok(root)
        } else {
            Err(SysError::NotAHost { path: "/sys".into(), problem: "sysfs is not mounted here" })
        }
    }

    /// A recording: a folder that stands for `/` (with `sys`, `run/udev/data` …) or has such a folder as `root` in it,
    /// or a `.tar`, `.tar.gz` or `.tar.zst` of one. `/` is this machine.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be opened or unpacked, [`SysError::NotAHost`] when it holds no `sys`,
    /// [`SysError::TooLarge`] when it is larger than any host.
    pub fn open(path: &Path) -> Result<Self, SysError> {
        if path == Path::new("/") {
            return Self::live();
        }
        if path.is_file() {
            return Ok(Self { backend: Backend::Archive(archive::load(path)?), privileged: true });
        }
        let root = Self { backend: Backend::Folder(open_folder(path)?), privileged: true };
        let not_a_host =
            |problem| SysError::NotAHost { path: display_path(path.as_os_str().as_encoded_bytes()), problem };
        let folder = OFlags::PATH | OFlags::DIRECTORY;
        match root.open_at(b"sys", folder) {
            Ok(_) => return Ok(root),
            Err(Errno::NOSYS | Errno::PERM) => {
                return Err(not_a_host(
                    "this kernel cannot confine a folder (openat2 needs Linux 5.6); pack the recording as .tar",
                ));
            }
            Err(_) => {}
        }
        // A recording with other things beside it, as an archive may have it, too.
        if let Ok(inner) = root.open_at(b"root", folder) {
            let inner = Self { backend: Backend::Folder(inner), privileged: true };
            if inner.open_at(b"sys", folder).is_ok() {
                return Ok(inner);
            }
        }
        Err(not_a_host(
            "it has no folder sys (a recording is a folder, or a .tar, .tar.gz or .tar.zst of one, that stands for /)",
        ))
    }

    /// A folder that stands for `/` and, unlike a recording, may be changed: for tests of what changes a host.
    ///
    /// # Errors
    /// As [`Root::open`] of a folder.
    pub fn scratch(path: &Path) -> Result<Self, SysError> {
        let root = Self::open(path)?;
        let backend = match root.backend {
            Backend::Folder(fd) => Backend::Scratch(fd),
            backend => backend,
        };
        Ok(Self { backend, ..root })
    }

    /// Whether files can be written: on this machine, and in [`Root::scratch`].
    pub fn is_changeable(&self) -> bool {
        matches!(self.backend, Backend::Live(_) | Backend::Scratch(_))
    }

    /// The folder that stands for `/`, if it is one that may be changed and not this machine's.
    pub(crate) fn changeable_folder(&self) -> Option<&OwnedFd> {
        match &self.backend {
            Backend::Scratch(folder) => Some(folder),
            _ => None,
        }
    }

    /// Whether this is the running machine, where files change and interfaces can be asked.
    pub fn is_live(&self) -> bool {
        matches!(self.backend, Backend::Live(_))
    }

    /// Whether everything can be read: the caller is root, or the root is a recording.
    pub fn is_privileged(&self) -> bool {
        self.privileged
    }

    /// Reads a whole file of at most `limit` bytes into `buffer` and returns its bytes. `None` if there is no such file.
    /// The path is relative to the root; links in it are followed.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read, [`SysError::TooLarge`] beyond the limit.
    pub fn read<'b>(
        &self,
        path: &[u8],
        buffer: &'b mut Vec<u8>,
        limit: usize,
    ) -> Result<Option<&'b [u8]>, SysError> {
        buffer.clear();
        match &self.backend {
            Backend::Archive(tree) => copy_bounded(node_content(tree, path, true), path, buffer, limit),
            _ => read_opened(self.open_at(path, READ), path, buffer, limit, gives_parts(path)),
        }
    }

    /// The target of the symbolic link at `path`, as it is stored. `None` if there is no link.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read.
    pub fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        let split = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        let (folder, name) = path.split_at(split);
        let Some(folder) = self.folder(if folder.is_empty() { b"." } else { folder })? else {
            return Ok(None);
        };
        folder.link(name.strip_prefix(b"/").unwrap_or(name))
    }

    /// Whether something is at `path`; links are followed. What cannot be looked at is not there.
    pub fn exists(&self, path: &[u8]) -> bool {
        self.find(path).unwrap_or(false)
    }

    /// As [`Root::exists`], where it matters why something is not there.
    ///
    /// # Errors
    /// [`SysError::Io`] if it cannot be looked at.
    pub fn find(&self, path: &[u8]) -> Result<bool, SysError> {
        match &self.backend {
            Backend::Archive(tree) => Ok(tree.resolve(path, true).is_some()),
            _ => match self.open_at(path, OFlags::PATH) {
                Ok(_) => Ok(true),
                Err(errno) if is_absent(errno) => Ok(false),
                Err(errno) => Err(SysError::io(Operation::Open, path, errno)),
            },
        }
    }

    /// What tells a file that was put in the place of another from it: its inode, and when it was written. `None` if
    /// there is no such file, and in an archive, where nothing is ever replaced.
    pub fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        let stat = match &self.backend {
            Backend::Live(fd) => statat(fd, path, AtFlags::empty()),
            Backend::Folder(_) | Backend::Scratch(_) => self.open_at(path, OFlags::PATH).and_then(fstat),
            Backend::Archive(_) => return None,
        }
        .ok()?;
        #[allow(clippy::unnecessary_cast, reason = "they are of other types on other architectures")]
        Some(Stamp(stat.st_ino as u64, stat.st_mtime as i64, stat.st_mtime_nsec as u64))
    }

    /// The device node that `path` leads to. `None` if it is no device node.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] where there are no nodes.
    pub(crate) fn node(&self, path: &[u8]) -> Result<Option<DeviceNode>, SysError> {
        let Backend::Live(fd) = &self.backend else {
            return Err(SysError::ReadOnly { path: display_path(path) });
        };
        // Not synced: a server of files that does not answer is not asked.
        let found = statx(fd, path, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)
            .map_err(|errno| SysError::io(Operation::Open, path, errno))?;
        let kind = match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::CharacterDevice => NodeKind::Char,
            FileType::BlockDevice => NodeKind::Block,
            _ => return Ok(None),
        };
        Ok(Some(DeviceNode { kind, major: found.stx_rdev_major, minor: found.stx_rdev_minor }))
    }

    /// Whether somebody has a block device for himself: opening it in the same way is refused then. Nothing is read of it.
    ///
    /// # Errors
    /// [`SysError::Io`], also where the node is another device's; [`SysError::ReadOnly`] where there are no nodes.
    pub(crate) fn is_claimed(&self, path: &[u8], device: DeviceNode) -> Result<bool, SysError> {
        // What is no block device is not opened.
        if self.node(path)? != Some(device) {
            return Err(SysError::io(Operation::Open, path, Errno::NODEV));
        }
        let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
        match self.open_at(path, flags) {
            Ok(_) => Ok(false),
            Err(Errno::BUSY) => Ok(true),
            // The kernel has no such device, or nothing is in it.
            Err(Errno::NXIO | Errno::NODEV | Errno::NOMEDIUM) => Ok(false),
            Err(errno) => Err(SysError::io(Operation::Open, path, errno)),
        }
    }

    /// Calls `visit` with each line of a file, without its end; so a file of any length is read in little memory. `false` if
    /// there is no such file.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read, [`SysError::TooLarge`] if a line is longer than `longest`.
    pub fn lines(&self, path: &[u8], longest: usize, visit: &mut dyn FnMut(&[u8])) -> Result<bool, SysError> {
        if let Backend::Archive(tree) = &self.backend {
            let Some(content) = node_content(tree, path, true) else { return Ok(false) };
            for line in content.split_inclusive(|&b| b == b'\n') {
                if line.len() > longest {
                    return Err(SysError::TooLarge { path: display_path(path), limit: longest });
                }
                visit(line.strip_suffix(b"\n").unwrap_or(line));
            }
            return Ok(true);
        }
        let fd = match self.open_at(path, READ) {
            Ok(fd) => fd,
            Err(errno) if is_absent(errno) => return Ok(false),
            Err(errno) => return Err(SysError::io(Operation::Open, path, errno)),
        };
        let mut lines = BufReader::with_capacity(LINES, std::fs::File::from(fd));
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = (&mut lines).take(longest as u64 + 1);
            let length = bounded
                .read_until(b'\n', &mut line)
                .map_err(|error| SysError::io(Operation::Read, path, error))?;
            if length == 0 {
                return Ok(true);
            }
            if length > longest {
                return Err(SysError::TooLarge { path: display_path(path), limit: longest });
            }
            visit(line.strip_suffix(b"\n").unwrap_or(&line));
        }
    }

    /// Opens a folder. `None` if there is none at `path`.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be opened.
    pub fn folder<'a>(&'a self, path: &'a [u8]) -> Result<Option<Folder<'a>>, SysError> {
        let handle = match &self.backend {
            Backend::Archive(tree) => match tree.resolve(path, true) {
                Some(index) if matches!(tree.node(index), Node::Folder(_)) => Handle::Node(tree, index),
                _ => return Ok(None),
            },
            _ => match self.open_at(path, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(fd) => Handle::Fd(fd),
                Err(errno) if is_absent(errno) => return Ok(None),
                Err(errno) => return Err(SysError::io(Operation::Open, path, errno)),
            },
        };
        Ok(Some(Folder { root: self, path, handle }))
    }

    /// Names of what is in a folder, in the order of the file system. Nothing if there is no such folder.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be listed.
    pub fn names(&self, path: &[u8]) -> Result<Vec<Box<[u8]>>, SysError> {
        let mut names = Vec::new();
        self.list(path, |name| names.push(name.into()))?;
        Ok(names)
    }

    /// Calls `visit` with the name of each entry of a folder, in the order of the file system. `false` if there is no
    /// such folder.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be listed.
    pub fn list(&self, path: &[u8], mut visit: impl FnMut(&[u8])) -> Result<bool, SysError> {
        if let Backend::Archive(_) = &self.backend {
            return match self.folder(path)? {
                Some(folder) => folder.for_each_name(visit).map(|()| true),
                None => Ok(false),
            };
        }
        match self.open_at(path, LIST).and_then(|fd| list_opened(&fd, &mut visit)) {
            Ok(()) => Ok(true),
            Err(errno) if is_absent(errno) => Ok(false),
            Err(errno) => Err(SysError::io(Operation::List, path, errno)),
        }
    }

    /// What it is opened as; `None` of an archive.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.backend {
            Backend::Live(fd) | Backend::Folder(fd) | Backend::Scratch(fd) => Some(fd.as_fd()),
            Backend::Archive(_) => None,
        }
    }

    fn open_at(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_with_mode(path, flags, Mode::empty())
    }

    /// Opens what is at `path`; `mode` is for what is made by that.
    pub(crate) fn open_with_mode(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::CLOEXEC;
        let path = path.strip_prefix(b"/").unwrap_or(path);
        match &self.backend {
            Backend::Live(fd) => openat(fd, path, flags, mode),
            Backend::Folder(fd) | Backend::Scratch(fd) => {
                let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
                let mut opened = Err(Errno::AGAIN);
                // The kernel gives up on a path with `..` in it whenever anything on the machine is renamed meanwhile.
                for _ in 0..CONFINED_ATTEMPTS {
                    opened = openat2(fd, path, flags, mode, confined);
                    if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
                        break;
                    }
                }
                opened
            }
            Backend::Archive(_) => Err(Errno::NOTSUP),
        }
    }
}

/// Stands for one content of a file; see [`Root::stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp(u64, i64, u64);

/// A pipe or a device in the place of a file must not block us.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// How much of a file is read at once by [`Root::lines`].
const LINES: usize = 64 << 10;

const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open_folder(path: &Path) -> Result<OwnedFd, SysError> {
    openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| SysError::io(Operation::Open, path.as_os_str().as_encoded_bytes(), errno))
}

/// No file of that name, or something else in its place: libudev takes an attribute that is a folder or a link for a
/// missing one.
fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR)
}

/// Whether a file can give less in a call than there is and was room for: those of `/proc` give whole lines, about a page of
/// them.
fn gives_parts(path: &[u8]) -> bool {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    path == b"proc" || path.starts_with(b"proc/")
}

/// Reads what was opened. Where it `gives_parts`, nothing but an empty answer is its end.
fn read_opened<'b>(
    opened: Result<OwnedFd, Errno>,
    path: &[u8],
    buffer: &'b mut Vec<u8>,
    limit: usize,
    gives_parts: bool,
) -> Result<Option<&'b [u8]>, SysError> {
    let fd = match opened {
        Ok(fd) => fd,
        Err(errno) if is_absent(errno) => return Ok(None),
        Err(errno) => return Err(SysError::io(Operation::Open, path, errno)),
    };
    loop {
        // An attribute in sysfs gives all it has in one call when there is room, as a plain file does, so a short answer is
        // the end; but binary attributes give at most a page at a time.
        if buffer.capacity() - buffer.len() < 4096 {
            buffer.reserve(buffer.len().max(4096));
        }
        let room = buffer.capacity() - buffer.len();
        let length = match read(&fd, spare_capacity(buffer)) {
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(Errno::ISDIR) => return Ok(None),
            Err(errno) => return Err(SysError::io(Operation::Read, path, errno)),
        };
        if buffer.len() > limit {
            return Err(SysError::TooLarge { path: display_path(path), limit });
        }
        let is_short = length < room && !buffer.len().is_multiple_of(PAGE);
        if length == 0 || is_short && !gives_parts {
            return Ok(Some(buffer));
        }
    }
}

/// Reads at most `length` bytes, so that no more of a device is touched than asked for. Whole pages are followed by
/// another look, since binary attributes give at most a page at a time. Of a list in `/proc` it can be less, down to a page.
fn read_start_opened(fd: &OwnedFd, buffer: &mut Vec<u8>, length: usize) -> Result<(), Errno> {
    buffer.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        match read(fd, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
        if !filled.is_multiple_of(PAGE) {
            break;
        }
    }
    buffer.truncate(filled);
    Ok(())
}

fn list_opened(fd: &OwnedFd, visit: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); 32 << 10];
    let mut entries = RawDir::new(fd, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            visit(name);
        }
    }
    Ok(())
}

fn read_link_at(fd: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let mut space = [MaybeUninit::uninit(); 4096];
    match readlinkat_raw(fd, name, &mut space) {
        Ok((target, _)) => Ok(Some(target.to_vec())),
        // Not a link.
        Err(Errno::INVAL) => Ok(None),
        Err(errno) if is_absent(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn copy_bounded<'b>(
    content: Option<&[u8]>,
    path: &[u8],
    buffer: &'b mut Vec<u8>,
    limit: usize,
) -> Result<Option<&'b [u8]>, SysError> {
    buffer.clear();
    match content {
        Some(content) if content.len() > limit => Err(SysError::TooLarge { path: display_path(path), limit }),
        Some(content) => {
            buffer.extend_from_slice(content);
            Ok(Some(buffer))
        }
        None => Ok(None),
    }
}

/// The content of a file of an unpacked recording.
fn node_content<'t>(tree: &'t Tree, path: &[u8], follow: bool) -> Option<&'t [u8]> {
    match tree.node(tree.resolve(path, follow)?) {
        Node::File(content) => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn host() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let devices = folder.path().join("sys/devices/a/b");
        fs::create_dir_all(&devices).unwrap();
        fs::write(devices.join("value"), "1\n").unwrap();
        fs::write(devices.join("long"), vec![b'x'; 5000]).unwrap();
        fs::write(devices.join("page"), vec![b'x'; 4096]).unwrap();
        fs::create_dir_all(folder.path().join("sys/class/c")).unwrap();
        symlink("../../devices/a/b", folder.path().join("sys/class/c/b")).unwrap();
        symlink("/etc/passwd", devices.join("outside")).unwrap();
        symlink("../../../../../../../../../etc", devices.join("above")).unwrap();
        symlink("loop", devices.join("loop")).unwrap();
        folder
    }

    #[test]
    fn files_are_read_whole_whatever_their_length() {
        let folder = host();
        let root = Root::open(folder.path()).unwrap();
        let mut buffer = Vec::new();
        for (name, length) in [("value", 2), ("long", 5000), ("page", 4096)] {
            let path = format!("sys/devices/a/b/{name}");
            assert_eq!(root.read(path.as_bytes(), &mut buffer, 1 << 20).unwrap().unwrap().len(), length);
        }
        let error = root.read(b"sys/devices/a/b/long", &mut buffer, 100).unwrap_err();
        assert!(matches!(error, SysError::TooLarge { limit: 100, .. }));
        assert_eq!(root.read(b"sys/devices/a/nothing", &mut buffer, 100).unwrap(), None);
        let device = root.folder(b"sys/devices/a/b").unwrap().unwrap();
        assert_eq!(device.read_start(b"long", &mut buffer, 257).unwrap().unwrap().len(), 257);
        assert_eq!(device.read_start(b"long", &mut buffer, 9000).unwrap().unwrap().len(), 5000);
        assert_eq!(device.read_start(b"value", &mut buffer, 257).unwrap(), Some(&b"1\n"[..]));
        assert_eq!(device.length(b"long"), Some(5000));
        assert_eq!((device.length(b"nothing"), device.length(b"outside")), (None, None));
    }

    #[test]
    fn a_list_of_the_kernel_is_read_whole_that_gives_whole_lines_a_page_at_a_time() {
        // Of 128 bytes each in the list of sockets.
        let listening: Vec<_> =
            (0..100).map(|_| std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()).collect();
        let root = Root::live().unwrap();
        let process = root.folder(b"proc/self/net").unwrap().unwrap();
        let (mut whole, mut attribute) = (Vec::new(), Vec::new());
        root.read(b"proc/self/net/udp", &mut whole, 16 << 20).unwrap().unwrap();
        process.read(b"udp", &mut attribute).unwrap().unwrap();
        for told in [whole, attribute] {
            let told = String::from_utf8(told).unwrap();
            for port in listening.iter().map(|socket| socket.local_addr().unwrap().port()) {
                assert!(told.contains(&format!(" 0100007F:{port:04X} ")), "{port} of {} bytes", told.len());
            }
        }
    }

    #[test]
    fn links_do_not_lead_out_of_a_recording() {
        let folder = host();
        let root = Root::open(folder.path()).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(root.read(b"sys/class/c/b/value", &mut buffer, 100).unwrap(), Some(&b"1\n"[..]));
        let device = root.folder(b"sys/devices/a/b").unwrap().unwrap();
        for name in [&b"outside"[..], b"above/passwd", b"loop", b"value/x", b""] {
            assert_eq!(device.read(name, &mut buffer).unwrap(), None, "{}", String::from_utf8_lossy(name));
            assert!(!device.exists(b"above/passwd") && !device.exists(b"outside"));
        }
        assert!(device.exists(b"value"));
        assert_eq!(device.link(b"outside").unwrap().unwrap(), b"/etc/passwd");
        assert_eq!(device.link_basename(b"outside").unwrap().unwrap(), b"passwd");
        assert_eq!(root.read(b"../../../../etc/passwd", &mut buffer, 1 << 20).unwrap(), None);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_does_not_block() {
        let folder = host();
        let path = folder.path().join("sys/devices/a/b/pipe");
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(root.read(b"sys/devices/a/b/pipe", &mut buffer, 100).unwrap(), Some(&b""[..]));
    }

    #[test]
    fn renames_elsewhere_do_not_lose_a_file() {
        let folder = host();
        let root = Root::open(folder.path()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (one, two) = (folder.path().join("one"), folder.path().join("two"));
                fs::create_dir(&one).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    fs::rename(&one, &two).unwrap();
                    fs::rename(&two, &one).unwrap();
                }
            });
            let mut buffer = Vec::new();
            let lost = (0..20_000)
                .find(|_| !matches!(root.read(b"sys/class/c/b/value", &mut buffer, 100), Ok(Some(b"1\n"))));
            stop.store(true, Ordering::Relaxed);
            assert_eq!(lost, None);
        });
    }

    #[test]
    fn a_recording_may_be_the_folder_root_in_the_one_that_is_named() {
        let outer = tempfile::tempdir().unwrap();
        fs::rename(host().keep(), outer.path().join("root")).unwrap();
        let root = Root::open(outer.path()).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(root.read(b"sys/class/c/b/value", &mut buffer, 100).unwrap(), Some(&b"1\n"[..]));
    }

    #[test]
    fn what_is_no_host_is_refused_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| Root::open(path).unwrap_err().to_string();
        assert!(error(folder.path()).contains("has no folder sys"));
        assert!(error(&folder.path().join("nowhere")).contains("cannot open"));
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(error(&file).contains("neither a folder nor an archive"));
    }
}
