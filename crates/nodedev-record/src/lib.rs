//! Records a host: writes an archive of the files that tell of its devices, which any command takes as its root.
//!
//! Only files from the tables in `attributes` are read. Reading anything else of sysfs can have effects on hardware
//! or take long, and would put more about the machine into the recording than its devices.

mod asked;
mod attributes;
mod handover;
mod mask;
mod output;
mod spelling;
mod verify;

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use nodedev_model::{Issue, Text};
use nodedev_sys::paths::{self, join, parent};
use nodedev_sys::{Folder, Root, SysError};

use mask::Mask;
use nodedev_host::raw::{Found, Issues, KernelDevice, enumerate, machine_files};
use output::Output;

/// Bound of a file that is recorded.
const FILE_LIMIT: usize = 32 << 20;

/// How to record a host.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordOptions {
    /// Replace serial numbers, asset tags, hardware addresses, World Wide Names, UUIDs, names and addresses of the network, and
    /// labels by invented ones of the same form; the same value becomes the same one everywhere in the recording, another one
    /// in another. The vendor's half of a hardware address stays. What is not known to be harmless is left out or replaced, and
    /// what was written is searched for each value in all its spellings.
    pub mask: bool,
}

/// What was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordReport {
    /// Number of the kernel's devices, many of which no view shows.
    pub devices: usize,
    /// Number of files and links.
    pub files: usize,
    /// Number of different values that were masked wherever they stand; labels and short serial numbers, which are
    /// replaced in their own places, are not counted.
    pub masked: usize,
    /// What could not be read.
    pub issues: Vec<Issue>,
}

/// Recording failed.
#[derive(Debug)]
pub enum RecordError {
    /// The name of the archive says no format.
    Format {
        /// The archive.
        path: PathBuf,
    },
    /// The archive could not be written.
    Write {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A value that masking is to hide would have been in the recording, which was not kept.
    Revealed {
        /// The archive.
        path: PathBuf,
        /// The file in it, or the path of a file or link.
        file: String,
        /// The property, or the offset, where the value was.
        key: String,
        /// Where on the host the value was found, without the value.
        secret: String,
    },
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Format { path } => {
                write!(
                    f,
                    "cannot tell the format of {}: a recording's name ends in .tar or .tar.gz",
                    path.display()
                )
            }
            Self::Write { path, .. } => write!(f, "cannot write the recording {}", path.display()),
            Self::Revealed { path, file, key, secret } => write!(
                f,
                "the recording {} was not kept: masking would not have hidden {secret}, which stands in {file} ({key})",
                path.display()
            ),
        }
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Format { .. } | Self::Revealed { .. } => None,
            Self::Write { source, .. } => Some(source),
        }
    }
}

/// Records a host into an archive, `.tar` or `.tar.gz` by its name. An existing file is replaced when the recording is
/// complete; only its owner can read it, as it tells of serial numbers.
///
/// # Errors
/// [`RecordError`]; what cannot be read of the host is no error but listed in the report.
pub fn record(root: &Root, archive: &Path, options: RecordOptions) -> Result<RecordReport, RecordError> {
    let issues = Issues::default();
    let mask = if options.mask { Some(Mask::of_host(root, &issues)) } else { None };
    let output = Output::create(archive)?;
    let mut recorder =
        Recorder { root, issues: &issues, mask: mask.as_ref(), output, seen: HashSet::new(), devices: 0 };
    let write_error = |source| RecordError::Write { path: archive.to_owned(), source };
    recorder.host().map_err(write_error)?;
    let Recorder { output, devices, seen, .. } = recorder;
    output.finish(|written| match &mask {
        Some(mask) => verify::hides(written, archive, mask.secrets()),
        None => Ok(()),
    })?;
    let mut issues = issues.into_inner();
    issues.sort_unstable();
    issues.dedup();
    Ok(RecordReport { devices, files: seen.len(), masked: mask.as_ref().map_or(0, Mask::len), issues })
}

struct Recorder<'a> {
    root: &'a Root,
    issues: &'a Issues,
    mask: Option<&'a Mask>,
    output: Output,
    /// Paths that are in the archive already, or that do not exist.
    seen: HashSet<Vec<u8>>,
    devices: usize,
}

impl Recorder<'_> {
    fn host(&mut self) -> io::Result<()> {
        // By these a recording is told from other archives, even one of a host that has no devices.
        for folder in [paths::DEVICES, paths::BUS, paths::CLASS] {
            self.empty_folder(folder.as_bytes())?;
        }
        let mut failed = None;
        let stopped = enumerate(self.root, self.issues, |_| true, &mut |found| match self.device(found) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        if let (ControlFlow::Break(()), Some(error)) = (stopped, failed) {
            return Err(error);
        }
        for path in attributes::HOST_FILES {
            self.file(path.as_bytes())?;
        }
        for path in machine_files(self.root) {
            self.file(path.as_bytes())?;
        }
        self.handovers()?;
        if self.mask.is_none() {
            self.file(paths::HOSTNAME.as_bytes())?;
        }
        for path in paths::PCI_IDS {
            self.file(path.as_bytes())?;
            self.file(format!("{path}.gz").as_bytes())?;
        }
        for parent in self.names(paths::MDEVCTL.as_bytes()) {
            let folder = join(paths::MDEVCTL.as_bytes(), &parent);
            for file in self.names(&folder) {
                self.file(&join(&folder, &file))?;
            }
        }
        Ok(())
    }

    fn device(&mut self, found: Found<'_>) -> io::Result<()> {
        self.link(&join(found.folder, found.name), found.target)?;
        let path = &found.path;
        let Some(device) = KernelDevice::open(self.root, path, found.subsystem, self.issues) else {
            return Ok(());
        };
        self.devices += 1;
        let mut above = parent(path);
        while above.len() > paths::DEVICES.len() {
            self.file(&join(above, b"uevent"))?;
            above = parent(above);
        }
        if let Some(folder) = device.folder() {
            let names = folder.names().unwrap_or_else(|error| self.unreadable(&error));
            self.folder(folder, &names)?;
            if device.subsystem == b"pci" {
                self.function(path, &names)?;
            }
        }
        if device.subsystem == b"block" {
            let number = |key| {
                device.kernel(key).and_then(|number| std::str::from_utf8(number).ok()?.parse::<u32>().ok())
            };
            let numbers = number("MAJOR").zip(number("MINOR"));
            self.block(path, numbers.map(|(major, minor)| format!("{major}:{minor}")))?;
        }
        if device.subsystem == b"net" {
            self.links(&join(path, attributes::PORTS_OF_BRIDGE))?;
        }
        for file in attributes::DEEP {
            self.file(&join(path, file.as_bytes()))?;
        }
        let types = join(path, b"mdev_supported_types");
        for id in self.names(&types) {
            for file in attributes::MDEV_TYPE {
                self.file(&join(&join(&types, &id), file.as_bytes()))?;
            }
        }
        self.file(&join(paths::UDEV_DATA.as_bytes(), &device.record_name()))
    }

    /// The links in a device's folder, what they lead to as far as it matters, and the attributes of the table.
    fn folder(&mut self, folder: &Folder<'_>, names: &[Box<[u8]>]) -> io::Result<()> {
        for name in names {
            let path = join(folder.path(), name);
            match folder.link(name) {
                Ok(Some(target)) => {
                    self.link(&path, &target)?;
                    let leads_to = paths::follow(folder.path(), &target);
                    match &**name {
                        b"driver" if self.root.exists(&leads_to) => self.empty_folder(&leads_to)?,
                        b"iommu_group" => self.iommu_group(&leads_to)?,
                        // A disk's vendor and model are there, whether or not a bus or class lists it.
                        b"device" if leads_to.starts_with(paths::DEVICES.as_bytes()) => {
                            self.attributes(&leads_to)?;
                        }
                        _ => {}
                    }
                }
                // An ordinary user sees the beginning only, which a recording must not give for the whole.
                Ok(None) if &**name == b"config" && !self.root.is_privileged() => {}
                Ok(None) if attributes::is_recorded(name) => {
                    self.file(&path)?;
                    if &**name == b"device" {
                        self.attributes(&path)?;
                    }
                }
                Ok(None) if name.starts_with(b"vhost-vdpa") => {
                    let node = join(paths::DEV.as_bytes(), name);
                    if self.root.exists(&node) && self.seen.insert(node.clone()) {
                        self.output.file(&node, b"")?;
                    }
                    self.file(&join(&path, b"uevent"))?;
                }
                Ok(None) => {}
                Err(error) => self.issues.error(&error),
            }
        }
        Ok(())
    }

    /// The attributes of the table in a folder of sysfs.
    fn attributes(&mut self, folder: &[u8]) -> io::Result<()> {
        for name in self.names(folder) {
            if attributes::is_recorded(&name) {
                self.file(&join(folder, &name))?;
            }
        }
        Ok(())
    }

    fn iommu_group(&mut self, group: &[u8]) -> io::Result<()> {
        let devices = join(group, b"devices");
        if !group.starts_with(paths::IOMMU_GROUPS.as_bytes()) || self.seen.contains(&devices) {
            return Ok(());
        }
        if self.root.exists(&devices) {
            self.empty_folder(&devices)?;
        }
        for file in attributes::IOMMU_GROUP {
            self.file(&join(group, file.as_bytes()))?;
        }
        for member in self.names(&devices) {
            let path = join(&devices, &member);
            if let Ok(Some(target)) = self.root.read_link(&path) {
                self.link(&path, &target)?;
            }
        }
        Ok(())
    }

    fn names(&mut self, folder: &[u8]) -> Vec<Box<[u8]>> {
        let names = self.root.names(folder);
        let mut names = names.unwrap_or_else(|error| self.unreadable(&error));
        names.sort_unstable();
        names
    }

    fn unreadable<T: Default>(&self, error: &SysError) -> T {
        self.issues.error(error);
        T::default()
    }

    /// Adds a file, if there is one and it is not in yet. A value that only its device's driver refuses is left out.
    fn file(&mut self, path: &[u8]) -> io::Result<()> {
        if self.seen.contains(path) {
            return Ok(());
        }
        let mut content = Vec::new();
        match self.root.read(path, &mut content, FILE_LIMIT) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(SysError::TooLarge { limit, .. }) => {
                self.issues.push(
                    format!("/{}", Text::from(path)),
                    format!("not recorded: larger than {limit} bytes"),
                );
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
        self.content(path, content)
    }

    /// Adds a file with this content, if it is not in yet.
    fn content(&mut self, path: &[u8], content: Vec<u8>) -> io::Result<()> {
        if !self.seen.insert(path.to_vec()) {
            return Ok(());
        }
        match self.mask {
            Some(mask) => self.output.file(&mask.apply(path), &mask.apply_to_file(path, content)),
            None => self.output.file(path, &content),
        }
    }

    fn link(&mut self, path: &[u8], target: &[u8]) -> io::Result<()> {
        if !self.seen.insert(path.to_vec()) {
            return Ok(());
        }
        match self.mask {
            Some(mask) => self.output.link(&mask.apply(path), &mask.apply(target)),
            None => self.output.link(path, target),
        }
    }

    fn empty_folder(&mut self, path: &[u8]) -> io::Result<()> {
        if path.starts_with(paths::SYS.as_bytes()) { self.any_folder(path) } else { Ok(()) }
    }

    fn any_folder(&mut self, path: &[u8]) -> io::Result<()> {
        if !self.seen.insert(path.to_vec()) {
            return Ok(());
        }
        match self.mask {
            Some(mask) => self.output.folder(&mask.apply(path)),
            None => self.output.folder(path),
        }
    }
}
