//! Recordings that are broken, or made to do harm: they give a host or an error, never a panic, a hang, or more memory
//! than a host needs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use nodedev_sys::{Root, SysError};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An archive in a temporary folder.
struct Archive {
    folder: TempDir,
    builder: Builder<Vec<u8>>,
}

impl Archive {
    /// With what every recording has.
    fn new() -> Self {
        let mut archive = Self { folder: tempfile::tempdir().unwrap(), builder: Builder::new(Vec::new()) };
        archive.file("sys/devices/x/uevent", b"A=1\n");
        archive.link("sys/class/net/x", "../../devices/x");
        archive
    }

    fn entry(&mut self, path: &str, kind: EntryType, size: u64, content: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        // Not with the builder's methods, which refuse paths that lead out.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(size);
        header.set_cksum();
        self.builder.append(&header, content).unwrap();
    }

    fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, EntryType::Regular, content.len() as u64, content);
    }

    fn link(&mut self, path: &str, target: &str) {
        self.named(path, EntryType::Symlink, target);
    }

    /// A link or hard link.
    fn named(&mut self, path: &str, kind: EntryType, target: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        self.builder.append_link(&mut header, path, target).unwrap();
    }

    fn bytes(self) -> (TempDir, Vec<u8>) {
        (self.folder, self.builder.into_inner().unwrap())
    }

    fn open(self) -> Result<Root, SysError> {
        let (folder, bytes) = self.bytes();
        Root::open(&written(&folder, "host.tar", &bytes))
    }
}

fn written(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn text(root: &Root, path: &str) -> Option<String> {
    let mut buffer = Vec::new();
    root.read(path.as_bytes(), &mut buffer, 1 << 20)
        .unwrap()
        .map(|content| String::from_utf8_lossy(content).into_owned())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A small host in each form of an archive.
fn small() -> Vec<(&'static str, Vec<u8>)> {
    let mut archive = Archive::new();
    for number in 0..12u8 {
        archive.file(&format!("sys/devices/x/attribute{number}"), &[b'a' + number; 300]);
    }
    let tar = archive.bytes().1;
    vec![("tar", tar.clone()), ("gz", gzip(&tar)), ("zst", zstd(&tar))]
}

#[test]
fn an_archive_cut_anywhere_is_opened_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for (form, bytes) in small() {
        for length in (0..bytes.len()).step_by(if form == "tar" { 101 } else { 7 }) {
            let path = written(&folder, form, &bytes[..length]);
            match Root::open(&path) {
                Ok(root) => assert_eq!(text(&root, "sys/devices/x/uevent").as_deref(), Some("A=1\n")),
                Err(error) => {
                    refused += 1;
                    let shown = path.display().to_string();
                    assert!(error.to_string().contains(&shown), "{error} names the archive");
                }
            }
        }
    }
    assert!(refused > 50, "only {refused} cut archives were refused");
}

#[test]
fn an_archive_with_wrong_bytes_is_opened_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (form, bytes) in small() {
        for at in (0..bytes.len()).step_by(if form == "tar" { 13 } else { 3 }) {
            for wrong in [0x00, 0xff, bytes[at] ^ 0x10] {
                let mut bytes = bytes.clone();
                bytes[at] = wrong;
                if let Ok(root) = Root::open(&written(&folder, form, &bytes)) {
                    let _ = root.names(b"sys/devices/x").unwrap();
                }
            }
        }
    }
}

#[test]
fn what_is_no_archive_is_refused_with_the_forms_that_are() {
    let folder = tempfile::tempdir().unwrap();
    for content in
        [&b""[..], b"x", b"#!/bin/sh\n", &[0; 4096], &[0xff; 4096], b"\x1f\x8b", b"\x28\xb5\x2f\xfd"]
    {
        let error = Root::open(&written(&folder, "file", content)).unwrap_err();
        assert!(matches!(error, SysError::NotAHost { .. } | SysError::Io { .. }), "{error}");
    }
    let (folder, _) = Archive::new().bytes();
    let mut other = Archive::new();
    other.builder = Builder::new(Vec::new());
    other.file("etc/passwd", b"");
    let error = other.open().unwrap_err();
    assert!(error.to_string().contains("no folder sys"), "{error}");
    let error = Root::open(&folder.path().join("missing.tar")).unwrap_err();
    assert!(error.path().ends_with("missing.tar"), "{error}");
}

#[test]
fn paths_that_lead_out_are_refused_and_links_that_do_stay_inside() {
    for path in ["../x", "sys/../../x", "sys/devices/x/../../../../etc/x"] {
        let mut archive = Archive::new();
        archive.file(path, b"out");
        let error = archive.open().unwrap_err();
        assert!(matches!(error, SysError::NotAHost { .. }), "{path}: {error}");
    }
    let mut archive = Archive::new();
    archive.file("/sys/devices/y/uevent", b"absolute");
    archive.link("sys/out", "/etc/passwd");
    archive.link("sys/up", "../../../../../../etc/passwd");
    archive.link("sys/loop", "loop");
    let root = archive.open().unwrap();
    assert_eq!(text(&root, "sys/devices/y/uevent").as_deref(), Some("absolute"));
    for link in ["sys/out", "sys/up", "sys/loop", "../../../etc/passwd"] {
        assert_eq!(text(&root, link), None, "{link}");
    }
    // A link in the place of a folder can't send later entries elsewhere.
    let mut archive = Archive::new();
    archive.link("sys/elsewhere", "/etc");
    archive.file("sys/elsewhere/x", b"out");
    assert!(matches!(archive.open(), Err(SysError::NotAHost { .. })));
}

#[test]
fn odd_entries_are_read_as_what_they_stand_for() {
    let mut archive = Archive::new();
    archive.named("sys/devices/x/same", EntryType::Link, "sys/devices/x/uevent");
    archive.named("sys/devices/x/nothing", EntryType::Link, "sys/devices/x/missing");
    archive.named("sys/devices/x/folder", EntryType::Link, "sys/devices/x");
    archive.entry("dev/node", EntryType::Char, 0, b"");
    archive.entry("dev/pipe", EntryType::Fifo, 0, b"");
    archive.entry("dev/disk", EntryType::Block, 0, b"");
    archive.entry("note", EntryType::XGlobalHeader, 0, b"");
    archive.file("sys/devices/x/again", b"1");
    archive.file("sys/devices/x/again", b"2");
    let root = archive.open().unwrap();
    assert_eq!(text(&root, "sys/devices/x/same").as_deref(), Some("A=1\n"));
    assert_eq!(text(&root, "sys/devices/x/again").as_deref(), Some("2"));
    for node in ["dev/node", "dev/pipe", "dev/disk"] {
        assert_eq!(text(&root, node).as_deref(), Some(""), "{node}");
    }
    assert!(!root.exists(b"sys/devices/x/nothing") && !root.exists(b"sys/devices/x/folder"));
}

#[test]
fn a_size_in_a_header_is_not_believed() {
    for size in [1 << 20, 1 << 33, u64::MAX >> 1, u64::MAX] {
        let mut archive = Archive::new();
        archive.entry("sys/big", EntryType::Regular, size, b"little");
        assert!(matches!(archive.open(), Err(SysError::Io { .. } | SysError::NotAHost { .. })), "{size}");
    }
}

#[test]
fn a_sparse_file_of_exabytes_is_refused() {
    for size in [1u64 << 31, 1 << 60] {
        let mut archive = Archive::new();
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_path("sys/hole").unwrap();
        header.set_size(0);
        // One block of no bytes at the end: everything before it is a hole.
        let gnu = header.as_gnu_mut().unwrap();
        gnu.set_real_size(size);
        number(&mut gnu.sparse[0].offset, size);
        number(&mut gnu.sparse[0].numbytes, 0);
        header.set_cksum();
        archive.builder.append(&header, &b""[..]).unwrap();
        let error = archive.open().unwrap_err();
        assert!(matches!(error, SysError::TooLarge { .. }), "{size}: {error}");
    }
}

/// A number of twelve bytes, in base 256 as for what is too large for octal digits.
fn number(field: &mut [u8; 12], value: u64) {
    field[0] = 0x80;
    field[4..].copy_from_slice(&value.to_be_bytes());
}

#[test]
fn hard_links_do_not_multiply_what_is_held() {
    // 8 MiB, 2,000 times: 16 GiB if each were a copy.
    let mut archive = Archive::new();
    archive.file("sys/big", &vec![b'x'; 8 << 20]);
    for number in 0..2000 {
        archive.named(&format!("sys/more/{number}"), EntryType::Link, "sys/big");
    }
    let root = archive.open().unwrap();
    let mut buffer = Vec::new();
    assert_eq!(root.read(b"sys/more/1999", &mut buffer, 16 << 20).unwrap().map(<[u8]>::len), Some(8 << 20));
    // Other tests of this process hold up to two at the same time.
    assert!(resident_bytes() < 6 << 30, "{} bytes are resident", resident_bytes());
}

/// Resident memory of this process.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string(Path::new("/proc/self/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn endless_paths_and_names_are_refused() {
    let deep = "a/".repeat(100_000);
    let mut archive = Archive::new();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(0);
    archive.builder.append_data(&mut header, format!("sys/{deep}x"), &b""[..]).unwrap();
    let error = archive.open().unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");

    let mut archive = Archive::new();
    archive.link("sys/link", &deep);
    let error = archive.open().unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn a_bomb_that_unpacks_to_gigabytes_is_refused_soon() {
    // A file of 2 GiB of zeros packs to a few megabytes.
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path("sys/devices/x/uevent").unwrap();
    header.set_size(2 << 30);
    header.set_cksum();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(header.as_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1100 {
        encoder.write_all(&zeros).unwrap();
    }
    let packed = encoder.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Root::open(&written(&folder, "bomb.tar.gz", &packed)).unwrap_err();
    assert!(matches!(error, SysError::TooLarge { .. }), "{error}");
}

/// An archive that is packed while it is made: bombs are long.
struct Bomb(flate2::write::GzEncoder<Vec<u8>>);

impl Bomb {
    fn new() -> Self {
        let mut bomb = Self(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        bomb.header("sys/devices/", EntryType::Directory, 0);
        bomb
    }

    fn header(&mut self, path: &str, kind: EntryType, size: u64) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(size);
        header.set_cksum();
        self.0.write_all(header.as_bytes()).unwrap();
    }

    fn megabytes(&mut self, count: usize) {
        let content = vec![b'a'; 1 << 20];
        (0..count).for_each(|_| self.0.write_all(&content).unwrap());
    }

    /// An entry with a long name, as GNU tar writes it.
    fn long(&mut self, name: &str, kind: EntryType) {
        self.header("././@LongLink", kind, name.len() as u64 + 1);
        let mut content = name.as_bytes().to_vec();
        content.resize((name.len() + 1).next_multiple_of(512), 0);
        self.0.write_all(&content).unwrap();
        self.header(
            "sys/x",
            if kind == EntryType::GNULongLink { EntryType::Link } else { EntryType::Regular },
            0,
        );
    }

    fn open(self) -> Result<Root, SysError> {
        let folder = tempfile::tempdir().unwrap();
        Root::open(&written(&folder, "bomb.tar.gz", &self.0.finish().unwrap()))
    }
}

/// Set in the process that opens bombs alone, so that its memory can be measured.
const ALONE: &str = "NODEDEV_TEST_BOMBS";

#[test]
fn bombs_of_names_are_refused_before_they_are_held() {
    if std::env::var_os(ALONE).is_none() {
        let name = "bombs_of_names_are_refused_before_they_are_held";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    const MEGABYTES: usize = 72;
    let mut bombs = Vec::new();
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
        let mut bomb = Bomb::new();
        bomb.header("././@LongLink", kind, (MEGABYTES as u64) << 20);
        bomb.megabytes(MEGABYTES);
        bombs.push((format!("{kind:?}"), bomb, "too long"));
    }
    let mut bomb = Bomb::new();
    for number in 0..20_000 {
        bomb.long(&format!("sys/{number}/{}", "b".repeat(4000)), EntryType::GNULongName);
    }
    bombs.push(("long names".into(), bomb, "a name that is too long"));
    let mut bomb = Bomb::new();
    for number in 0..20_000 {
        bomb.long(&format!("sys/devices/{}{number}", "a/".repeat(1900)), EntryType::GNULongName);
    }
    bombs.push(("deep".into(), bomb, "more folders"));
    let mut bomb = Bomb::new();
    bomb.header("sys/big", EntryType::Regular, (MEGABYTES as u64) << 20);
    bomb.megabytes(MEGABYTES);
    bombs.push(("a large file".into(), bomb, "larger than"));
    for (what, bomb, problem) in bombs {
        let error = bomb.open().unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("bomb.tar.gz"), "{what}: {error}");
    }
    // What is long but of no use is passed over: hard links to what is not there, global headers.
    let mut bomb = Bomb::new();
    for _ in 0..20_000 {
        bomb.long(&"nowhere/".repeat(500), EntryType::GNULongLink);
    }
    bomb.header("global", EntryType::XGlobalHeader, (MEGABYTES as u64) << 20);
    bomb.megabytes(MEGABYTES);
    assert!(bomb.open().is_ok());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB were resident");
}

#[test]
fn a_sparse_file_has_its_parts_in_their_places() {
    let mut archive = Archive::new();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_path("sys/sparse").unwrap();
    header.set_size(3);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(2000);
    number(&mut gnu.sparse[0].offset, 1000);
    number(&mut gnu.sparse[0].numbytes, 3);
    header.set_cksum();
    archive.builder.append(&header, &b"abc"[..]).unwrap();
    archive.file("sys/after", b"1");
    let root = archive.open().unwrap();
    let content = text(&root, "sys/sparse").unwrap();
    assert_eq!((content.len(), &content[1000..1004]), (2000, "abc\0"));
    assert_eq!(text(&root, "sys/after").as_deref(), Some("1"));
}

#[test]
fn names_of_pax_are_read() {
    let mut archive = Archive::new();
    let long = format!("sys/devices/x/{}", "n".repeat(200));
    let records = format!("{} path={long}\n", long.len() + 10);
    assert_eq!(records.len(), long.len() + 10);
    archive.entry("PaxHeaders/x", EntryType::XHeader, records.len() as u64, records.as_bytes());
    archive.file("sys/short", b"1");
    let root = archive.open().unwrap();
    assert_eq!(text(&root, &long).as_deref(), Some("1"));
    assert!(!root.exists(b"sys/short"));
}

#[test]
fn a_hundred_thousand_tiny_entries_are_opened_in_linear_time() {
    let mut archive = Archive::new();
    for number in 0..100_000 {
        archive.file(&format!("sys/devices/x/d{}/f{number}", number % 300), b"");
    }
    let start = std::time::Instant::now();
    let root = archive.open().unwrap();
    assert_eq!(root.names(b"sys/devices/x").unwrap().len(), 301);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
