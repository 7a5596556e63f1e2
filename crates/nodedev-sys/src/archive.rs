//! Recordings packed as `.tar`, `.tar.gz` or `.tar.zst`.

mod entries;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use crate::error::{Operation, SysError, display_path};
use crate::tree::{Node, Problem, Tree};
use entries::{Body, Entries};

/// Bound of what a compressed recording unpacks to, headers and padding included.
const MAX_UNPACKED: u64 = 4 << 30;
/// Bound of the window of a compressed frame, which is held in memory. `zstd -19` has 8 MiB.
const MAX_WINDOW: u64 = 32 << 20;

const NO_ARCHIVE: &str = "it is neither a folder nor an archive (a recording is a folder, or a .tar, .tar.gz or .tar.zst of one, that stands for /)";

/// Reads a whole archive into memory. Folders above the folder `sys` (as `tar` makes when it packs a folder by name) are taken
/// off.
pub(crate) fn load(path: &Path) -> Result<Tree, SysError> {
    let name = path.as_os_str().as_encoded_bytes();
    let fail = |source: io::Error| SysError::io(Operation::Unpack, name, source);
    let mut file = File::open(path).map_err(|source| SysError::io(Operation::Open, name, source))?;
    let mut magic = [0; 4];
    let length = read_up_to(&mut file, &mut magic).map_err(fail)?;
    file.rewind().map_err(fail)?;
    let file = BufReader::with_capacity(1 << 16, file);
    let mut tree = match &magic[..length] {
        [0x1f, 0x8b, ..] => read_tar(flate2::bufread::MultiGzDecoder::new(file), name)?,
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let mut decoder = ruzstd::decoding::FrameDecoder::new();
            decoder.set_max_window_size(MAX_WINDOW);
            let decoder = ruzstd::decoding::StreamingDecoder::new_with_decoder(file, decoder)
                .map_err(|error| fail(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            read_tar(decoder, name)?
        }
        _ => read_tar(file, name)?,
    };
    if !tree.enter_host() {
        return Err(SysError::NotAHost {
            path: display_path(name),
            problem: "it has no folder sys (a recording stands for /, with sys, run/udev/data …)",
        });
    }
    Ok(tree)
}

/// Reads until the buffer is full or nothing is left. Gives how much was read.
fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn read_tar(reader: impl Read, name: &[u8]) -> Result<Tree, SysError> {
    let mut entries = Entries::new(reader, MAX_UNPACKED);
    let mut tree = Tree::new();
    let mut is_first = true;
    let refused = |problem: Problem, is_first: bool| match problem {
        Problem::Io(_) if is_first => SysError::NotAHost { path: display_path(name), problem: NO_ARCHIVE },
        Problem::Io(source) => SysError::io(Operation::Unpack, name, source),
        Problem::TooLarge(limit) => SysError::TooLarge { path: display_path(name), limit },
        Problem::Bad(problem) => SysError::NotAHost { path: display_path(name), problem },
    };
    loop {
        let entry = match entries.next() {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(tree),
            Err(problem) => return Err(refused(problem, is_first)),
        };
        is_first = false;
        let done = match entry.body {
            Body::Folder => tree.insert(&entry.path, Node::folder()),
            Body::Link(target) => tree.insert(&entry.path, Node::Link(target.into())),
            Body::SameAs(target) => tree.insert_same(&entry.path, &target),
            Body::File(content) => tree.insert(&entry.path, Node::File(content)),
        };
        done.map_err(|problem| refused(problem, false))?;
    }
}
