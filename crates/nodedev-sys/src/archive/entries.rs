//! The entries of a tar archive, one after the other, each bounded before it is held.
//!
//! Formats: POSIX.1-2017, `pax`, and GNU tar's manual, "Basic Tar Format" and "Storing Sparse Files". The fields of a header are
//! read by the crate `tar`, whose own iterator holds names of any length.

use std::io::{self, Read};

use tar::{EntryType, GnuExtSparseHeader, Header, PaxExtensions};

use super::read_up_to;
use crate::tree::{MAX_PATH, Problem};

const BLOCK: usize = 512;
/// Bound of one file of a recording, as `nodedev record` has it.
const MAX_FILE: usize = 32 << 20;
/// Bound of extended headers that are held: a path and the target of a link are the longest of what is used.
const MAX_EXTENSION: usize = 64 << 10;
/// Bound of the headers that belong to one sparse file, each of which tells of 21 parts.
const MAX_SPARSE_HEADERS: usize = 4096;

/// What an entry is.
pub(super) enum Body {
    Folder,
    Link(Vec<u8>),
    /// A hard link: a further name of an earlier entry.
    SameAs(Vec<u8>),
    /// A file; an empty one for device nodes and the like, of which only that they exist matters.
    File(Box<[u8]>),
}

/// An entry of an archive.
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) body: Body,
}

/// Reads entries.
pub(super) struct Entries<R> {
    reader: io::Take<R>,
    limit: u64,
}

/// What extended headers say of the entry behind them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(reader: R, limit: u64) -> Self {
        Self { reader: reader.take(limit), limit }
    }

    /// The next entry; `None` at the end of the archive.
    ///
    /// # Errors
    /// [`Problem`] for what is no archive, ends early, or is larger than a recording can be.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Problem> {
        let mut extended = Extended::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(Problem::Io)?;
            match header.entry_type() {
                EntryType::GNULongName => extended.path = Some(self.long_name(size)?),
                EntryType::GNULongLink => extended.target = Some(self.long_name(size)?),
                EntryType::XHeader => self.pax(size, &mut extended)?,
                // It tells of all entries, but nothing that is of use here.
                EntryType::XGlobalHeader => self.skip(size)?,
                kind => return self.entry(&header, kind, size, extended).map(Some),
            }
        }
    }

    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let length = read_up_to(&mut self.reader, bytes).map_err(Problem::Io)?;
        if length == 0 && !self.is_used_up() || length == BLOCK && bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        self.whole(length, BLOCK)?;
        // The field of the sum itself counts as blanks.
        let sum = header.as_bytes().iter().enumerate().map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        match header.cksum() {
            Ok(stated) if stated == sum.sum::<u32>() => Ok(Some(header)),
            _ => Err(bad("a header of the archive has a wrong checksum")),
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extended: Extended,
    ) -> Result<Entry, Problem> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || extended.target.or(header.link_name_bytes().map(Vec::from)).unwrap_or_default();
        let size = extended.size.unwrap_or(size);
        let body = match kind {
            EntryType::Directory => Body::Folder,
            EntryType::Symlink => Body::Link(target()),
            EntryType::Link => Body::SameAs(target()),
            EntryType::Regular | EntryType::Continuous => {
                return Ok(Entry { path, body: Body::File(self.content(size)?.into()) });
            }
            EntryType::GNUSparse => {
                return Ok(Entry { path, body: Body::File(self.sparse(header, size)?.into()) });
            }
            _ => Body::File(Box::default()),
        };
        self.skip(size)?;
        Ok(Entry { path, body })
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>, Problem> {
        if size > MAX_PATH as u64 + 1 {
            return Err(Problem::Bad("a path that is too long"));
        }
        let mut name = self.content(size)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn pax(&mut self, size: u64, extended: &mut Extended) -> Result<(), Problem> {
        if size > MAX_EXTENSION as u64 {
            return Err(Problem::Bad("an extended header that is too long"));
        }
        let content = self.content(size)?;
        for extension in PaxExtensions::new(&content) {
            let extension = extension.map_err(Problem::Io)?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => extended.path = Some(value.to_vec()),
                b"linkpath" => extended.target = Some(value.to_vec()),
                b"size" => extended.size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
        Ok(())
    }

    /// The content of a file that is `size` bytes long by its header, which is not believed.
    fn content(&mut self, size: u64) -> Result<Vec<u8>, Problem> {
        if size > self.limit {
            return Err(Problem::Bad("a file that is larger than the archive can be"));
        }
        let wanted = bounded(size)?;
        let mut content = Vec::new();
        self.reader.by_ref().take(size).read_to_end(&mut content).map_err(Problem::Io)?;
        self.whole(content.len(), wanted)?;
        self.skip_padding(size)?;
        Ok(content)
    }

    /// A file of which the archive has only the parts that are no holes.
    fn sparse(&mut self, header: &Header, size: u64) -> Result<Vec<u8>, Problem> {
        const WRONG: &str = "a sparse file whose parts make no sense";
        let gnu = header.as_gnu().ok_or(Problem::Bad(WRONG))?;
        let length = bounded(gnu.real_size().map_err(Problem::Io)?)?;
        let mut parts = Vec::new();
        let mut add = |sparse: &tar::GnuSparseHeader| -> Result<(), Problem> {
            if !sparse.is_empty() {
                let offset = sparse.offset().map_err(Problem::Io)?;
                parts.push((offset, sparse.length().map_err(Problem::Io)?));
            }
            Ok(())
        };
        gnu.sparse.iter().try_for_each(&mut add)?;
        let mut more = gnu.is_extended();
        for _ in 0..MAX_SPARSE_HEADERS {
            if !more {
                break;
            }
            let mut next = GnuExtSparseHeader::new();
            let read = read_up_to(&mut self.reader, next.as_mut_bytes()).map_err(Problem::Io)?;
            self.whole(read, BLOCK)?;
            next.sparse().iter().try_for_each(&mut add)?;
            more = next.is_extended();
        }
        let mut content = vec![0; length];
        let mut left = size;
        for (offset, part) in parts {
            let place = usize::try_from(offset).ok().zip(usize::try_from(part).ok());
            let place = place.and_then(|(start, part)| content.get_mut(start..start.checked_add(part)?));
            let place = place.filter(|_| part <= left).ok_or(Problem::Bad(WRONG))?;
            let read = read_up_to(&mut self.reader, place).map_err(Problem::Io)?;
            self.whole(read, part as usize)?;
            left -= part;
        }
        if more || left > 0 {
            return Err(Problem::Bad(WRONG));
        }
        self.skip_padding(size)?;
        Ok(content)
    }

    fn skip(&mut self, size: u64) -> Result<(), Problem> {
        let skipped = io::copy(&mut self.reader.by_ref().take(size), &mut io::sink()).map_err(Problem::Io)?;
        if skipped < size {
            return Err(self.ended());
        }
        self.skip_padding(size)
    }

    fn skip_padding(&mut self, size: u64) -> Result<(), Problem> {
        let mut padding = [0; BLOCK];
        let wanted = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        let read = read_up_to(&mut self.reader, &mut padding[..wanted]).map_err(Problem::Io)?;
        self.whole(read, wanted)
    }

    fn whole(&self, read: usize, wanted: usize) -> Result<(), Problem> {
        if read < wanted { Err(self.ended()) } else { Ok(()) }
    }

    /// Why there is nothing more: the archive ends, or is too large.
    fn ended(&self) -> Problem {
        if self.is_used_up() {
            return Problem::TooLarge(usize::try_from(self.limit).unwrap_or(usize::MAX));
        }
        Problem::Io(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the archive ends in the middle of an entry",
        ))
    }

    fn is_used_up(&self) -> bool {
        self.reader.limit() == 0
    }
}

fn bad(problem: &'static str) -> Problem {
    Problem::Io(io::Error::new(io::ErrorKind::InvalidData, problem))
}

/// The length of a file, if a recording can have one of that length.
fn bounded(size: u64) -> Result<usize, Problem> {
    usize::try_from(size).ok().filter(|size| *size <= MAX_FILE).ok_or(Problem::TooLarge(MAX_FILE))
}
