//! The recorded hosts of this repository: `fixtures/hosts/NAME/root.tar.gz`, with golden files beside it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A recorded host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixture {
    dir: PathBuf,
}

/// Every recorded host, by name.
///
/// # Errors
/// If the folder can't be read.
pub fn all() -> io::Result<Vec<Fixture>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(crate::repository().join("fixtures/hosts"))? {
        let dir = entry?.path();
        if dir.join("root.tar.gz").is_file() {
            found.push(Fixture { dir });
        }
    }
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(found)
}

impl Fixture {
    /// Its name.
    pub fn name(&self) -> &str {
        self.dir.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The folder with the archive and the golden files, as [`crate::answers::Answers::read`] reads them.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The archive, which `nodedev --root` takes as it is.
    pub fn archive(&self) -> PathBuf {
        self.dir.join("root.tar.gz")
    }

    /// Unpacks the host into a temporary directory, which stands for `/`.
    ///
    /// # Errors
    /// If the archive can't be read or unpacked.
    pub fn unpack(&self) -> io::Result<TempDir> {
        let dir = tempfile::Builder::new().prefix("nodedev-host-").tempdir()?;
        let mut archive = self.open()?;
        archive.set_preserve_permissions(false);
        archive.unpack(dir.path())?;
        Ok(dir)
    }

    /// The contents of the regular files that `choose` picks by their path, without unpacking anything.
    ///
    /// # Errors
    /// If the archive can't be read.
    pub fn files(&self, choose: impl Fn(&Path) -> bool) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
        let mut found = BTreeMap::new();
        for entry in self.open()?.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            if entry.header().entry_type().is_file() && choose(&path) {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                found.insert(path, content);
            }
        }
        Ok(found)
    }

    fn open(&self) -> io::Result<tar::Archive<impl Read>> {
        Ok(tar::Archive::new(GzDecoder::new(io::BufReader::new(fs::File::open(self.archive())?))))
    }
}

/// Packs the folder `root`, sorted and without times and owners, so that the same host gives the same archive.
///
/// # Errors
/// If a file can't be read or the archive can't be written.
pub fn pack(root: &Path, archive: &Path) -> io::Result<()> {
    let out = io::BufWriter::new(fs::File::create(archive)?);
    let mut builder = tar::Builder::new(GzEncoder::new(out, Compression::best()));
    builder.mode(tar::HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    pack_dir(&mut builder, root, Path::new(""))?;
    let mut out = builder.into_inner()?.finish()?;
    io::Write::flush(&mut out)
}

fn pack_dir<W: io::Write>(builder: &mut tar::Builder<W>, root: &Path, below: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        builder.append_path_with_name(entry.path(), &name)?;
        if entry.file_type()?.is_dir() {
            pack_dir(builder, root, &name)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Device, Tree};

    #[test]
    fn a_host_survives_packing() {
        let mut tree = Tree::temporary().unwrap();
        let path = "devices/virtual/net/lo";
        tree.add(&Device::new(path, "class/net").attr("address", "00:00:00:00:00:00")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let fixture = Fixture { dir: dir.path().to_owned() };
        pack(tree.root(), &fixture.archive()).unwrap();
        let first = fs::read(fixture.archive()).unwrap();
        pack(tree.root(), &fixture.archive()).unwrap();
        assert_eq!(first, fs::read(fixture.archive()).unwrap());

        let unpacked = fixture.unpack().unwrap();
        let address = fixture.files(|path| path.ends_with("address")).unwrap();
        assert_eq!(address.into_values().collect::<Vec<_>>(), [b"00:00:00:00:00:00\n"]);
        let link = unpacked.path().join("sys/class/net/lo");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../devices/virtual/net/lo"));
        assert_eq!(fs::read_to_string(link.join("address")).unwrap(), "00:00:00:00:00:00\n");
        assert!(unpacked.path().join("run/udev/data").is_dir());
    }
}
