//! Mounted file systems, read in a stream: hosts with many containers have hundreds of thousands of lines.
//!
//! Source: `/proc/PID/mountinfo` (kernel, `Documentation/filesystems/proc.rst`, 3.5).

use std::collections::{BTreeSet, HashMap};

use nodedev_sys::HostAccess;

use super::network::is_of_network;
use super::storage::TOLD_OTHERWISE;
use crate::{OpsError, Result};

/// Longest line that is read: the layers of an overlay make them long.
const LONGEST_LINE: usize = 1 << 20;
/// Bound of what is kept of all lines of a namespace.
const KEPT_LIMIT: usize = 64 << 20;
/// What the numbers of file systems begin with that are on no block device, or on more than one.
const NO_DEVICE: &[u8] = b"0:";
/// Options of an overlay that name the folders it is made of (kernel, `Documentation/filesystems/overlayfs.rst`).
const LAYERS: &[&[u8]] = &[b"lowerdir=", b"lowerdir+=", b"datadir+=", b"upperdir=", b"workdir="];
/// File systems that every user may mount in a namespace of their own, and call what they like (kernel, `FS_USERNS_MOUNT`).
const OF_USERS: &[&[u8]] = &[
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"devpts",
    b"mqueue",
    b"overlay",
    b"proc",
    b"ramfs",
    b"sysfs",
    b"tmpfs",
];
const OVERLAYS: &[&[u8]] = &[b"overlay", b"fuse.fuse-overlayfs", b"aufs"];

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Numbers of its block device, `8:1`.
    pub(super) number: Vec<u8>,
    /// The shortest path that it is mounted at.
    pub(super) at: Vec<u8>,
    /// What kind of file system it is, such as `ext4`.
    pub(super) kind: Vec<u8>,
    /// What was mounted: a node, or what the file system calls its place.
    pub(super) source: Vec<u8>,
    /// Options of the file system; empty for an overlay, whose layers are kept apart.
    pub(super) options: Vec<u8>,
}

impl Mount {
    /// Whether the numbers are those of no block device.
    pub(super) fn is_numberless(&self) -> bool {
        self.number.starts_with(NO_DEVICE)
    }

    /// Whether its files are in memory alone, or on another machine: on no disk of this one.
    pub(super) fn is_on_no_disk(&self) -> bool {
        const KINDS: &[&[u8]] = &[
            b"tmpfs",
            b"ramfs",
            b"devtmpfs",
            b"hugetlbfs",
            b"rootfs",
            b"nfs",
            b"nfs4",
            b"cifs",
            b"smb3",
            b"ceph",
            b"9p",
            b"virtiofs",
            b"lustre",
            b"afs",
        ];
        self.is_numberless() && KINDS.contains(&self.kind.as_slice())
    }

    /// Whether any user may have mounted it, under whatever name.
    pub(super) fn can_be_users(&self) -> bool {
        self.is_numberless() && (OF_USERS.contains(&self.kind.as_slice()) || self.kind.starts_with(b"fuse"))
    }

    /// What tells one file system from others.
    pub(super) fn key(&self) -> (Vec<u8>, Vec<u8>) {
        (self.number.clone(), self.source.clone())
    }

    fn size(&self) -> usize {
        let Self { number, at, kind, source, options } = self;
        [number, at, kind, source, options].iter().map(|part| part.len()).sum()
    }
}

/// The file systems of one mount namespace.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// Each file system once.
    all: Vec<Mount>,
    /// Places in that list, that with the shortest path first: who reads a message should see the weightiest.
    order: Vec<usize>,
    /// Place of the file system that is seen at each path where one is mounted.
    at: HashMap<Vec<u8>, usize>,
    /// Folders that overlays are made of.
    pub(super) layers: BTreeSet<Vec<u8>>,
}

impl Mounts {
    /// The file systems that a process sees. `None` if that is told nowhere.
    pub(super) fn of(host: &dyn HostAccess, process: &str) -> Result<Option<Self>> {
        Self::some_of(host, process, true, KEPT_LIMIT)
    }

    /// As [`Mounts::of`], without what any user may have mounted, and without saying what is where: only what is mounted for
    /// real costs memory.
    pub(super) fn of_administrators(host: &dyn HostAccess, process: &str) -> Result<Option<Self>> {
        Self::some_of(host, process, false, KEPT_LIMIT)
    }

    fn some_of(host: &dyn HostAccess, process: &str, all: bool, limit: usize) -> Result<Option<Self>> {
        let path = format!("{process}/mountinfo");
        let (mut mounts, mut places) = (Self::default(), HashMap::new());
        let (mut kept, mut malformed) = (0, false);
        let mut line = |line: &[u8]| {
            let Some(mount) = parse(line) else {
                malformed = true;
                return;
            };
            if kept <= limit && (all || !mount.can_be_users()) {
                kept += mounts.take(mount, &mut places, all);
            }
        };
        if !host.lines(path.as_bytes(), LONGEST_LINE, &mut line)? {
            return Ok(None);
        }
        let problem = match (malformed, kept > limit) {
            (true, _) => Some("it has a line that is none of a file system"),
            (_, true) => Some("it has more file systems than anybody can need"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(OpsError::Malformed { path: format!("/{path}"), problem });
        }
        mounts.order = (0..mounts.all.len()).collect();
        mounts.order.sort_by_key(|place| mounts.all[*place].at.len());
        Ok(Some(mounts))
    }

    /// Each file system once, that with the shortest path first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Mount> {
        self.order.iter().map(|place| &self.all[*place])
    }

    /// Takes one line; `is_at` says that what is where is kept. Gives how many bytes more are kept.
    fn take(
        &mut self,
        mut mount: Mount,
        places: &mut HashMap<(Vec<u8>, Vec<u8>), usize>,
        is_at: bool,
    ) -> usize {
        let mut kept = 0;
        if OVERLAYS.contains(&mount.kind.as_slice()) {
            let options = std::mem::take(&mut mount.options);
            for layer in layers(&options) {
                let length = layer.len();
                if self.layers.insert(layer) {
                    kept += length;
                }
            }
        }
        let at = is_at.then(|| mount.at.clone());
        let place = match places.entry(mount.key()) {
            std::collections::hash_map::Entry::Occupied(place) => {
                let known = &mut self.all[*place.get()];
                if mount.at.len() < known.at.len() {
                    known.at = mount.at;
                }
                *place.get()
            }
            std::collections::hash_map::Entry::Vacant(place) => {
                kept += mount.size();
                place.insert(self.all.len());
                self.all.push(mount);
                self.all.len() - 1
            }
        };
        // The later one is on top.
        if let Some(at) = at {
            kept += at.len();
            self.at.insert(at, place);
        }
        kept
    }

    /// The file system that a path is on; `None` if no path above it is known.
    pub(super) fn of_path(&self, path: &[u8]) -> Option<&Mount> {
        let mut path = path;
        loop {
            if let Some(place) = self.at.get(path) {
                return self.all.get(*place);
            }
            if path.len() <= 1 {
                return None;
            }
            let above = path.iter().rposition(|&b| b == b'/')?;
            path = if above == 0 { b"/" } else { &path[..above] };
        }
    }
}

/// A line of a list of mounts as a recording has it: what a file system calls its place is told only where that leads to a
/// device or a machine.
pub fn recorded_mount(line: &[u8]) -> &[u8] {
    let Some(mount) = parse(line) else { return line };
    let leads_on = !mount.is_numberless()
        || mount.source.split(|&b| b == b':').any(|source| source.starts_with(b"/dev/"))
        || OVERLAYS.contains(&mount.kind.as_slice())
        || TOLD_OTHERWISE.contains(&mount.kind.as_slice())
        || is_of_network(&mount.kind);
    // The blank behind the kind stays: a place without a name follows.
    let end = line.windows(3).position(|part| part == b" - ").map(|at| at + 3 + mount.kind.len() + 1);
    if leads_on { line } else { end.and_then(|end| line.get(..end)).unwrap_or(line) }
}

/// Reads a line.
fn parse(line: &[u8]) -> Option<Mount> {
    let at = line.windows(3).position(|part| part == b" - ")?;
    let mut fields = line[..at].split(|&b| b == b' ').skip(2);
    let (number, _root, place) = (fields.next()?, fields.next()?, fields.next()?);
    let mut behind = line[at + 3..].splitn(3, |&b| b == b' ');
    let (kind, source) = (behind.next()?, behind.next()?);
    let is_number = number.contains(&b':') && number.iter().all(|b| b.is_ascii_digit() || *b == b':');
    is_number.then(|| Mount {
        number: number.to_owned(),
        at: unescaped(place),
        kind: kind.to_owned(),
        source: unescaped(source),
        options: unescaped(behind.next().unwrap_or_default()),
    })
}

/// Folders in the options of an overlay.
fn layers(options: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let folders = options
        .split(|&b| b == b',')
        .filter_map(|option| LAYERS.iter().find_map(|key| option.strip_prefix(*key)))
        .flat_map(|folders| folders.split(|&b| b == b':'));
    // Relative ones are relative to what nobody knows any more.
    folders.filter(|folder| folder.starts_with(b"/")).map(<[u8]>::to_vec)
}

/// A path with blanks and the like written as `\040`.
pub(super) fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                plain.push(byte);
                rest = &behind[3..];
            }
            _ => {
                plain.push(first);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{KEPT_LIMIT, Mount, Mounts, layers, parse, recorded_mount, unescaped};

    #[test]
    fn lines_of_mountinfo_are_read_with_and_without_optional_fields() {
        let want = |number: &str, at: &str, kind: &str, source: &str, options: &str| {
            let [number, at, kind, source, options] =
                [number, at, kind, source, options].map(|text| text.as_bytes().to_vec());
            Some(Mount { number, at, kind, source, options })
        };
        for (line, wanted) in [
            (
                "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
                want("98:0", "/mnt 2", "ext3", "/dev/root", "rw,errors=continue"),
            ),
            ("22 1 0:31 / / rw shared:1 - btrfs /dev/sda2 rw", want("0:31", "/", "btrfs", "/dev/sda2", "rw")),
            ("22 1 0:31 / / rw - tmpfs tmpfs rw", want("0:31", "/", "tmpfs", "tmpfs", "rw")),
            ("22 1 ../x / / rw - a b c", None),
            ("22 1 831 / / rw - a b c", None),
            ("22 1 8:x / / rw - a b c", None),
            ("22 1 0:31", None),
            ("", None),
        ] {
            assert_eq!(parse(line.as_bytes()), wanted, "{line}");
        }
        assert_eq!(unescaped(b"a\\134b\\q\\"), b"a\\b\\q\\");
        assert_eq!(unescaped(b"\\377"), [0xff]);
    }

    #[test]
    fn a_path_is_on_the_file_system_of_the_nearest_mount_above_it_and_the_later_one_is_on_top() {
        let mut mounts = Mounts::default();
        let mut places = HashMap::new();
        for line in
            ["1 0 8:1 / / rw - ext4 a rw", "2 1 0:5 / /run rw - tmpfs t rw", "3 1 8:2 / /run rw - xfs b rw"]
        {
            mounts.take(parse(line.as_bytes()).unwrap(), &mut places, true);
        }
        for (path, want) in [
            ("/run/x/y", Some("8:2")),
            ("/run", Some("8:2")),
            ("/runs", Some("8:1")),
            ("/", Some("8:1")),
            ("x", None),
        ] {
            let found = mounts.of_path(path.as_bytes()).map(|mount| mount.number.as_slice());
            assert_eq!(found, want.map(str::as_bytes), "{path}");
        }
        assert_eq!(Mounts::default().of_path(b"/a/b"), None);
    }

    #[test]
    fn layers_of_an_overlay_are_found_in_its_options() {
        let found: Vec<_> = layers(b"rw,lowerdir=/a:/b,upperdir=/c,workdir=rel,xino=off").collect();
        assert_eq!(found, [b"/a", b"/b", b"/c"]);
    }

    #[test]
    fn any_user_may_have_mounted_what_is_on_no_device_and_of_some_kinds() {
        for (line, want) in [
            ("1 0 0:5 / /x rw - tmpfs a rw", true),
            ("1 0 0:5 / /x rw - overlay a rw", true),
            ("1 0 0:5 / /x rw - fuse.sshfs a rw", true),
            ("1 0 8:1 / /x rw - fuseblk a rw", false),
            ("1 0 8:1 / /x rw - overlay a rw", false),
            ("1 0 0:5 / /x rw - btrfs a rw", false),
        ] {
            assert_eq!(parse(line.as_bytes()).unwrap().can_be_users(), want, "{line}");
        }
    }

    #[test]
    fn what_is_kept_of_lines_is_counted_in_bytes_and_each_thing_once() {
        let (mut mounts, mut places) = (Mounts::default(), HashMap::new());
        for (line, is_at, kept) in [
            // Number, place, kind, source and options; and the place again where what is where is kept.
            ("1 0 8:1 / /long rw - ext4 ab rw", true, 3 + 5 + 4 + 2 + 2 + 5),
            ("1 0 8:2 / /long rw - ext4 ab rw", false, 3 + 5 + 4 + 2 + 2),
            // A file system that is known is kept once, with the shortest place, the first of those.
            ("1 0 8:1 / /b rw - ext4 ab rw", true, 2),
            ("1 0 8:1 / /a rw - ext4 ab rw", false, 0),
            // The options of an overlay are kept as its folders.
            ("1 0 0:5 / /o rw - overlay o lowerdir=/a:/bc", false, 3 + 2 + 7 + 1 + 2 + 3),
            ("1 0 0:6 / /o rw - overlay p lowerdir=/a:/bc", false, 3 + 2 + 7 + 1),
        ] {
            let mount = parse(line.as_bytes()).unwrap();
            assert_eq!(mounts.take(mount, &mut places, is_at), kept, "{line}");
        }
        assert_eq!(mounts.all[0].at, b"/b");
    }

    #[test]
    fn too_much_to_keep_is_an_error_and_what_users_may_have_mounted_is_not_kept_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let lines = "1 0 8:1 / / rw - ext4 a rw\n2 1 0:5 / /m rw - tmpfs t rw\n3 1 8:2 / /s rw - xfs b rw\n";
        for path in ["sys", "proc/1"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        std::fs::write(folder.path().join("proc/1/mountinfo"), lines).unwrap();
        let host = nodedev_sys::Root::open(folder.path()).unwrap();
        let read = |all, limit| match Mounts::some_of(&host, "proc/1", all, limit) {
            Ok(mounts) => Ok(mounts.unwrap().all().map(|mount| mount.kind.clone()).collect::<Vec<_>>()),
            Err(error) => Err(error.message()),
        };
        let kinds =
            |kinds: &[&str]| Ok(kinds.iter().map(|kind| kind.as_bytes().to_vec()).collect::<Vec<_>>());
        // 11 bytes and a place of 1, 13 and 2, 11 and 2.
        let (some, all) = (11 + 11, 12 + 15 + 13);
        assert_eq!(read(true, all), kinds(&["ext4", "tmpfs", "xfs"]));
        assert_eq!(read(false, KEPT_LIMIT), kinds(&["ext4", "xfs"]));
        assert_eq!(read(false, some), kinds(&["ext4", "xfs"]));
        for (is_all, limit) in [(true, all - 1), (true, 1), (false, some - 1)] {
            let error = read(is_all, limit).unwrap_err();
            assert!(error.contains("more file systems than anybody can need"), "{error}");
        }
    }

    #[test]
    fn a_recording_has_the_source_of_what_leads_to_a_device_or_a_machine() {
        for (line, want) in [
            ("22 1 8:1 / / rw - ext4 /dev/sda1 rw", None),
            ("22 1 8:1 / / rw - ext4 secret rw", None),
            ("22 1 0:5 / /dev/shm rw - tmpfs secret size=1", Some("22 1 0:5 / /dev/shm rw - tmpfs ")),
            ("22 1 0:40 / / rw - bcachefs /dev/sda1:/dev/sdb1 rw", None),
            ("22 1 0:40 / / rw - overlay secret rw,lowerdir=/a", None),
            ("22 1 0:40 / / rw - btrfs secret rw", None),
            ("22 1 0:40 / / rw - zfs secret rw", None),
            ("22 1 0:40 / / rw - nfs4 10.0.0.1:/secret rw", None),
            ("22 1 0:40 / / rw shared:1 - tmpfs secret rw", Some("22 1 0:40 / / rw shared:1 - tmpfs ")),
            ("22 1 0:40 / / rw - proc secret rw", Some("22 1 0:40 / / rw - proc ")),
            ("no mount", None),
        ] {
            let found = String::from_utf8_lossy(recorded_mount(line.as_bytes()));
            assert_eq!(found, want.unwrap_or(line), "{line}");
        }
    }
}
