//! Recordings packed as `.tar`, `.tar.gz` or `.tar.zst`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use crate::error::{Operation, SysError, display_path};
use crate::tree::{MAX_NODES, Node, Tree};

/// Bound of what a compressed recording unpacks to, headers and padding included.
const MAX_UNPACKED: u64 = 4 << 30;
/// Bound of the contents of all files of a recording together, which are held in memory. A recording of 50,000 devices
/// has some 200 MiB.
const MAX_CONTENTS: usize = 1 << 30;

const NO_ARCHIVE: &str = "it is neither a folder nor an archive (a recording is a folder, or a .tar, .tar.gz or .tar.zst of one, that stands for /)";

/// Reads a whole archive into memory. A single top folder that holds the `sys` folder (as `tar` makes when it packs a
/// folder by name) is taken off.
pub(crate) fn load(path: &Path) -> Result<Tree, SysError> {
    let name = path.as_os_str().as_encoded_bytes();
    let fail = |source: io::Error| SysError::io(Operation::Unpack, name, source);
    let mut file = File::open(path).map_err(|source| SysError::io(Operation::Open, name, source))?;
    let mut magic = [0; 4];
    let length = read_up_to(&mut file, &mut magic).map_err(fail)?;
    file.rewind().map_err(fail)?;
    let file = BufReader::with_capacity(1 << 16, file);
    let tree = match &magic[..length] {
        [0x1f, 0x8b, ..] => read_tar(flate2::bufread::MultiGzDecoder::new(file), name)?,
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file)
                .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            read_tar(decoder, name)?
        }
        _ => read_tar(file, name)?,
    };
    if tree.resolve(b"sys", true).is_none() {
        return Err(SysError::NotAHost {
            path: display_path(name),
            problem: "it has no folder sys (a recording stands for /, with sys, run/udev/data …)",
        });
    }
    Ok(tree)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

fn read_tar(reader: impl Read, name: &[u8]) -> Result<Tree, SysError> {
    let fail = |source: io::Error| SysError::io(Operation::Unpack, name, source);
    let bad = |problem: &'static str| SysError::NotAHost { path: display_path(name), problem };
    let mut archive = tar::Archive::new(reader.take(MAX_UNPACKED));
    let mut room = MAX_CONTENTS;
    let mut entries = Vec::new();
    for entry in archive.entries().map_err(fail)? {
        let entry = match entry {
            Ok(entry) => entry,
            Err(_) if entries.is_empty() => return Err(bad(NO_ARCHIVE)),
            Err(error) => return Err(fail(error)),
        };
        if entries.len() >= MAX_NODES {
            return Err(bad("it has more files than any host"));
        }
        let path = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        let node = if kind.is_dir() {
            Node::Folder(BTreeMap::new())
        } else if kind.is_symlink() {
            Node::Link(entry.link_name_bytes().unwrap_or_default().into())
        } else if kind.is_hard_link() {
            // Resolved below, when all entries are there.
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            entries.push((path, Err(target)));
            continue;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let mut content = Vec::new();
            // Not by the size in the header: a sparse file of eight exabytes takes one block of the archive.
            entry.take(room as u64 + 1).read_to_end(&mut content).map_err(fail)?;
            let left = room.checked_sub(content.len());
            room = left.ok_or(SysError::TooLarge { path: display_path(name), limit: MAX_CONTENTS })?;
            Node::File(content.into())
        } else {
            // Device nodes and the like: only that they exist matters.
            Node::File(Box::default())
        };
        entries.push((path, Ok(node)));
    }
    let prefix = common_prefix(entries.iter().map(|(path, _)| path.as_slice()));
    let mut tree = Tree::new();
    for (path, node) in entries {
        let inside = path.strip_prefix(b"./").unwrap_or(&path);
        let Some(inside) = inside.strip_prefix(prefix.as_slice()) else { continue };
        let done = match node {
            Ok(node) => tree.insert(inside, node),
            Err(target) => {
                let target = target.strip_prefix(b"./").unwrap_or(&target);
                tree.insert_same(inside, target.strip_prefix(prefix.as_slice()).unwrap_or(target))
            }
        };
        done.map_err(bad)?;
    }
    Ok(tree)
}

/// The folders above `sys`, with their slash: `""`, `"host/"`, `"host/root/"`. The shortest path that ends in a folder
/// `sys` with a `bus`, `class` or `devices` in it decides.
fn common_prefix<'a>(paths: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut best: Option<&[u8]> = None;
    for path in paths {
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let Some(at) = [&b"sys/devices"[..], b"sys/bus", b"sys/class"].iter().find_map(|folder| {
            let at = path.windows(folder.len()).position(|window| window == *folder)?;
            (at == 0 || path[at - 1] == b'/').then_some(at)
        }) else {
            continue;
        };
        if best.is_none_or(|best| at < best.len()) {
            best = Some(&path[..at]);
        }
        if at == 0 {
            break;
        }
    }
    best.unwrap_or_default().to_vec()
}
