//! Writes the archive of a recording.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::RecordError;

enum Format {
    Plain(BufWriter<File>),
    Gzip(GzEncoder<BufWriter<File>>),
}

impl Write for Format {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Gzip(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Gzip(file) => file.flush(),
        }
    }
}

/// An archive that is being written, under another name until it is complete.
pub(crate) struct Output {
    archive: PathBuf,
    partial: PathBuf,
    builder: Option<tar::Builder<Format>>,
}

impl Output {
    pub(crate) fn create(archive: &Path) -> Result<Self, RecordError> {
        let name = archive.as_os_str().as_encoded_bytes();
        let gzip = if name.ends_with(b".tar") {
            false
        } else if name.ends_with(b".tar.gz") || name.ends_with(b".tgz") {
            true
        } else {
            return Err(RecordError::Format { path: archive.to_owned() });
        };
        let mut partial = archive.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        // A new file, or in a folder that others can write to a link could lead us to overwrite what is not ours.
        match fs::remove_file(&partial) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecordError::Write { path: archive.to_owned(), source });
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(|source| RecordError::Write { path: archive.to_owned(), source })?;
        let file = BufWriter::with_capacity(1 << 16, file);
        let format = if gzip {
            Format::Gzip(GzEncoder::new(file, Compression::default()))
        } else {
            Format::Plain(file)
        };
        Ok(Self { archive: archive.to_owned(), partial, builder: Some(tar::Builder::new(format)) })
    }

    pub(crate) fn file(&mut self, path: &[u8], content: &[u8]) -> io::Result<()> {
        self.append(path, tar::EntryType::Regular, content, None)
    }

    pub(crate) fn folder(&mut self, path: &[u8]) -> io::Result<()> {
        self.append(path, tar::EntryType::Directory, b"", None)
    }

    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        self.append(path, tar::EntryType::Symlink, b"", Some(target))
    }

    fn append(
        &mut self,
        path: &[u8],
        kind: tar::EntryType,
        content: &[u8],
        target: Option<&[u8]>,
    ) -> io::Result<()> {
        let Some(builder) = &mut self.builder else { return Ok(()) };
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        let path = as_path(path);
        match target {
            Some(target) => builder.append_link(&mut header, path, as_path(target)),
            None => builder.append_data(&mut header, path, content),
        }
    }

    /// Completes the archive, lets `check` look at it, and gives it its name.
    pub(crate) fn finish(
        mut self,
        check: impl FnOnce(&Path) -> Result<(), RecordError>,
    ) -> Result<(), RecordError> {
        let fail = |source| RecordError::Write { path: self.archive.clone(), source };
        let Some(builder) = self.builder.take() else { return Ok(()) };
        let file = match builder.into_inner().map_err(fail)? {
            Format::Plain(file) => file,
            Format::Gzip(encoder) => encoder.finish().map_err(fail)?,
        };
        file.into_inner().map_err(|error| fail(error.into_error()))?.sync_all().map_err(fail)?;
        check(&self.partial)?;
        fs::rename(&self.partial, &self.archive).map_err(fail)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After `finish` there is no such file any more; a failed recording leaves nothing behind.
        let _ = fs::remove_file(&self.partial);
    }
}

fn as_path(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
