//! Breaking a host, one file at a time: what a reader of it must survive.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A way to break a file or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Damage {
    /// It is gone.
    Deleted,
    /// It is an empty file.
    Empty,
    /// It is a file with the first half of the content.
    Half,
    /// It is a file of bytes that are neither text nor zero.
    Garbage,
    /// It is an empty directory.
    Directory,
    /// It is a link to nothing.
    Dangling,
    /// It is a link to itself.
    Loop,
}

impl Damage {
    /// Every way.
    pub const ALL: [Self; 7] =
        [Self::Deleted, Self::Empty, Self::Half, Self::Garbage, Self::Directory, Self::Dangling, Self::Loop];

    /// Puts the broken thing at `path`, where nothing is; `content` is what a file there held.
    fn inflict(self, path: &Path, content: &[u8]) -> io::Result<()> {
        match self {
            Self::Deleted => Ok(()),
            Self::Empty => fs::write(path, b""),
            Self::Half => fs::write(path, &content[..content.len() / 2]),
            Self::Garbage => fs::write(path, garbage(content.len().max(64))),
            Self::Directory => fs::create_dir(path),
            Self::Dangling => symlink("no/such/place", path),
            Self::Loop => symlink(path.file_name().unwrap_or_default(), path),
        }
    }
}

/// Bytes above 0x7f, with line ends and equals signs among them, so that parsers by line and by key get something too.
fn garbage(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| match at % 17 {
            7 => b'=',
            16 => b'\n',
            _ => 0x80 | u8::try_from(at.wrapping_mul(37) % 128).unwrap_or(0),
        })
        .collect()
}

/// What the reader is shown.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The host, which stands for `/`.
    pub root: &'a Path,
    /// The broken thing, relative to it.
    pub path: &'a Path,
    /// What happened to it.
    pub damage: Damage,
}

/// Breaks every file and link below `root` that `choose` lets through, in every way, and calls `look` each time. The
/// host is whole again afterwards, also when `look` panics.
///
/// Returns how many cases there were.
///
/// # Errors
/// If something can't be broken or repaired, or whatever `look` returns.
pub fn each_file<E: From<io::Error>>(
    root: &Path,
    choose: impl Fn(&Path) -> bool,
    mut look: impl FnMut(Case<'_>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut cases = 0;
    for path in files(root)? {
        if !choose(&path) {
            continue;
        }
        let whole = Whole::take(root.join(&path))?;
        for damage in Damage::ALL {
            if damage == Damage::Half && whole.content.len() < 2 {
                continue;
            }
            damage.inflict(&whole.path, &whole.content)?;
            let seen = look(Case { root, path: &path, damage });
            remove(&whole.path)?;
            seen?;
            cases += 1;
        }
    }
    Ok(cases)
}

/// Every regular file and link below `root`, relative to it, sorted.
///
/// # Errors
/// If a directory can't be read.
pub fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let path = dir.join(entry.file_name());
            if entry.file_type()?.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// A file or link that was moved aside, and comes back when this is dropped.
struct Whole {
    path: PathBuf,
    aside: PathBuf,
    content: Vec<u8>,
}

impl Whole {
    fn take(path: PathBuf) -> io::Result<Self> {
        let content = if path.is_symlink() { Vec::new() } else { fs::read(&path)? };
        // Not beside the file: a reader of the directory would see it.
        let aside = tempfile::Builder::new().prefix("nodedev-aside-").tempdir_in(
            path.ancestors()
                .find(|dir| dir.join("sys").is_dir())
                .and_then(Path::parent)
                .unwrap_or(Path::new("/tmp")),
        )?;
        let aside = aside.keep().join("whole");
        fs::rename(&path, &aside)?;
        Ok(Self { path, aside, content })
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        let _ = remove(&self.path);
        let _ = fs::rename(&self.aside, &self.path);
        if let Some(dir) = self.aside.parent() {
            let _ = fs::remove_dir(dir);
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Device, Tree};

    fn host() -> Tree {
        let mut tree = Tree::temporary().unwrap();
        let device = Device::new("devices/virtual/net/lo", "class/net").attr("address", "00:00:00:00:00:00");
        tree.add(&device).unwrap();
        tree
    }

    fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let content = |path: &PathBuf| {
            let path = root.join(path);
            if path.is_symlink() {
                fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(path).unwrap()
            }
        };
        files(root).unwrap().into_iter().map(|path| (path.clone(), content(&path))).collect()
    }

    #[test]
    fn every_file_is_broken_in_every_way_and_whole_again() {
        let tree = host();
        let before = snapshot(tree.root());
        let address = Path::new("sys/devices/virtual/net/lo/address");
        let mut seen = Vec::new();
        let cases = each_file(
            tree.root(),
            |_| true,
            |case| {
                if case.path == address {
                    seen.push((
                        case.damage,
                        fs::read(case.root.join(case.path)).ok().map(|content| content.len()),
                    ));
                }
                Ok::<(), io::Error>(())
            },
        );
        // Two links and two files, of which the empty uevent can't be halved.
        assert_eq!(before.len(), 4);
        assert_eq!(cases.unwrap(), 2 * 6 + 6 + 7);
        let lengths = [None, Some(0), Some(9), Some(64), None, None, None];
        assert_eq!(seen, Damage::ALL.into_iter().zip(lengths).collect::<Vec<_>>());
        assert_eq!(snapshot(tree.root()), before);
    }

    #[test]
    fn a_panic_leaves_the_host_whole() {
        let tree = host();
        let before = snapshot(tree.root());
        let broken = std::panic::catch_unwind(|| {
            each_file(tree.root(), |_| true, |_| -> io::Result<()> { panic!("reader fell over") })
        });
        assert!(broken.is_err());
        assert_eq!(snapshot(tree.root()), before);
    }
}
