//! An initramfs: a cpio archive of the format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst), not
//! compressed, since an emulated machine takes long to undo that.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Every field of a header is a number of eight hexadecimal digits.
const MAGIC: &str = "070701";
const LAST: &[u8] = b"TRAILER!!!";

/// Writes all below `root` into `archive`, as root's.
pub(super) fn write(root: &Path, archive: &Path) -> io::Result<()> {
    let mut out = Archive { to: BufWriter::new(File::create(archive)?), entries: 0 };
    out.folder(root, root)?;
    out.entry(LAST, 0, &[])?;
    out.to.flush()
}

struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn folder(&mut self, root: &Path, folder: &Path) -> io::Result<()> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = path.strip_prefix(root).map_err(io::Error::other)?.as_os_str().as_bytes();
            let metadata = path.symlink_metadata()?;
            if metadata.is_symlink() {
                self.entry(name, metadata.mode(), fs::read_link(&path)?.as_os_str().as_bytes())?;
            } else if metadata.is_dir() {
                self.entry(name, metadata.mode(), &[])?;
                self.folder(root, &path)?;
            } else {
                self.entry(name, metadata.mode(), &fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &[u8], mode: u32, content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // inode, mode, user, group, links, time, size, four numbers of devices, length of the name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut head = MAGIC.to_owned();
        for field in fields {
            head.push_str(&format!("{field:08x}"));
        }
        self.padded(&[head.as_bytes(), name, b"\0"].concat())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..bytes.len().next_multiple_of(4) - bytes.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_a_content_padded_to_four_bytes() -> io::Result<()> {
        let mut archive = Archive { to: Vec::new(), entries: 0 };
        archive.entry(b"ab", 0o100_755, b"hello")?;
        let head = "07070100000001000081ed0000000000000000000000010000000000000005\
                    0000000000000000000000000000000000000003";
        let expected = [head.as_bytes(), b"00000000", b"ab\0\0\0\0", b"hello\0\0\0"].concat();
        // 110 bytes of header and 3 of the name make 113, so 3 are for padding.
        assert_eq!(String::from_utf8_lossy(&archive.to), String::from_utf8_lossy(&expected));
        Ok(())
    }
}
