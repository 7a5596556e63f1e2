//! One device as the kernel and udev show it: its folder in sysfs, its `uevent` file and its record in udev's database.

use std::cell::{Cell, OnceCell, RefCell};

use nodedev_model::{Issue, Text};
use nodedev_sys::paths::{basename, join};
use nodedev_sys::udev::{Record, Uevent, record_name};
use nodedev_sys::{Folder, Root, SysError, paths};
pub(crate) use nodedev_sys::{attribute_value, up_to_nul};

use crate::number;

/// Bound of a record in udev's database.
const RECORD_LIMIT: usize = 1 << 20;

/// Collects what could not be read or made sense of.
#[derive(Debug, Default)]
pub struct Issues {
    list: RefCell<Vec<Issue>>,
    exhausted: Cell<Option<i32>>,
}

impl Issues {
    /// Reports a problem with a file, a path of the host.
    pub fn push(&self, path: String, problem: String) {
        self.list.borrow_mut().push(Issue { device: None, path, problem });
    }

    /// Reports an error, unless it only says that the device is gone or that the caller may not look.
    pub fn error(&self, error: &SysError) {
        if error.is_exhausted() {
            self.exhausted.set(error.errno());
        }
        if !error.is_vanished() && !error.is_permission() {
            self.push(error.path().to_owned(), error.problem());
        }
    }

    /// Notes an error of a file that is missing for good reasons, if it is only that no more files may be open.
    pub(crate) fn only_exhausted(&self, error: &SysError) {
        if error.is_exhausted() {
            self.error(error);
        }
    }

    /// The number of the error where something was not read since no more files may be open: what was described is then less
    /// than there is, or nothing.
    pub(crate) fn exhausted(&self) -> Option<i32> {
        self.exhausted.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Says of the issues from `start` on which device they concern.
    pub(crate) fn attribute(&self, start: usize, device: &nodedev_model::DeviceName) {
        for issue in &mut self.list.borrow_mut()[start..] {
            issue.device = Some(device.clone());
        }
    }

    /// Adds what another collection has, behind all that is in this one.
    pub(crate) fn append(&self, other: Self) {
        self.list.borrow_mut().append(&mut other.list.into_inner());
        if other.exhausted.get().is_some() {
            self.exhausted.set(other.exhausted.get());
        }
    }

    /// All that was reported.
    pub fn into_inner(self) -> Vec<Issue> {
        self.list.into_inner()
    }
}

/// An opened device.
pub struct KernelDevice<'a> {
    pub(crate) root: &'a Root,
    /// Path relative to the root, `sys/devices/…`.
    pub path: &'a [u8],
    /// Bus or class that lists it.
    pub subsystem: &'a [u8],
    pub(crate) issues: &'a Issues,
    uevent: Vec<u8>,
    record: OnceCell<Vec<u8>>,
    folder: OnceCell<Option<Folder<'a>>>,
    buffer: RefCell<Vec<u8>>,
}

impl<'a> KernelDevice<'a> {
    /// Opens the device at `path`. `None` if it is gone: a folder without `uevent` is no device.
    pub fn open(root: &'a Root, path: &'a [u8], subsystem: &'a [u8], issues: &'a Issues) -> Option<Self> {
        let folder = Self::open_folder(root, path, issues)?;
        let mut uevent = Vec::new();
        match folder.read(b"uevent", &mut uevent) {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(error) => issues.error(&error),
        }
        Some(Self {
            folder: OnceCell::from(Some(folder)),
            ..Self::with_uevent(root, path, subsystem, issues, uevent)
        })
    }

    /// Opens the device at `path`, whose `uevent` was read a moment ago. `None` if it is gone by now.
    pub(crate) fn reopen(
        root: &'a Root,
        path: &'a [u8],
        subsystem: &'a [u8],
        issues: &'a Issues,
        uevent: &[u8],
    ) -> Option<Self> {
        let folder = Self::open_folder(root, path, issues)?;
        Some(Self {
            folder: OnceCell::from(Some(folder)),
            ..Self::with_uevent(root, path, subsystem, issues, uevent.to_vec())
        })
    }

    fn open_folder(root: &'a Root, path: &'a [u8], issues: &Issues) -> Option<Folder<'a>> {
        root.folder(path).unwrap_or_else(|error| {
            issues.error(&error);
            None
        })
    }

    /// A device whose `uevent` was read already.
    pub(crate) fn with_uevent(
        root: &'a Root,
        path: &'a [u8],
        subsystem: &'a [u8],
        issues: &'a Issues,
        uevent: Vec<u8>,
    ) -> Self {
        Self {
            root,
            path,
            subsystem,
            issues,
            uevent,
            record: OnceCell::new(),
            folder: OnceCell::new(),
            buffer: RefCell::default(),
        }
    }

    /// Gives the buffer back for the next device.
    pub(crate) fn into_uevent(self) -> Vec<u8> {
        self.uevent
    }

    /// Last component of the path: `0000:00:02.0`, `sda`.
    pub fn sysname(&self) -> &'a [u8] {
        basename(self.path)
    }

    /// Whether it stands on no hardware.
    pub(crate) fn is_virtual(&self) -> bool {
        self.path.strip_prefix(paths::VIRTUAL.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
    }

    /// A property that the kernel states.
    pub fn kernel(&self, key: &str) -> Option<&[u8]> {
        Uevent::new(&self.uevent).get(key.as_bytes())
    }

    /// All that the kernel states, as it does.
    pub fn uevent(&self) -> &[u8] {
        &self.uevent
    }

    /// Whether the kernel states nothing at all: a broken recording, or the content was lost.
    pub(crate) fn has_no_properties(&self) -> bool {
        Uevent::new(&self.uevent).is_empty()
    }

    /// The kernel's type of the device, even an empty one.
    pub(crate) fn devtype(&self) -> Option<&[u8]> {
        Uevent::new(&self.uevent).stated(b"DEVTYPE")
    }

    /// A property: udev's, which its rules or its hardware database added, else the kernel's.
    pub fn property(&self, key: &str) -> Option<&[u8]> {
        match self.record().entry(key.as_bytes()) {
            Some(value) => Some(value).filter(|value| !value.is_empty()),
            None => self.kernel(key),
        }
    }

    /// The file in udev's database that has the device's record.
    pub fn record_name(&self) -> Vec<u8> {
        record_name(Uevent::new(&self.uevent), self.subsystem, self.sysname())
    }

    /// The record in udev's database; empty if there is none.
    pub fn record(&self) -> Record<'_> {
        Record::new(self.record.get_or_init(|| {
            let name = self.record_name();
            let mut content = Vec::new();
            if let Err(error) =
                self.root.read(&join(paths::UDEV_DATA.as_bytes(), &name), &mut content, RECORD_LIMIT)
            {
                self.issues.error(&error);
                content.clear();
            }
            content
        }))
    }

    /// Whether something is at a path of the host; links are followed.
    pub(crate) fn is_there(&self, path: &[u8]) -> bool {
        self.root.find(path).unwrap_or_else(|error| {
            self.issues.only_exhausted(&error);
            false
        })
    }

    /// The device's folder.
    pub fn folder(&self) -> Option<&Folder<'a>> {
        self.folder
            .get_or_init(|| {
                self.root.folder(self.path).unwrap_or_else(|error| {
                    self.issues.error(&error);
                    None
                })
            })
            .as_ref()
    }

    /// Hands the attribute's content, without trailing line breaks and cut at a NUL, to `use_it`. `None` if it is
    /// missing or unreadable; the latter is reported.
    pub(crate) fn attribute<T>(&self, name: &str, use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut buffer = self.buffer.borrow_mut();
        match self.folder()?.read(name.as_bytes(), &mut buffer) {
            Ok(content) => Some(use_it(attribute_value(content?))),
            Err(error) => {
                self.issues.error(&error);
                None
            }
        }
    }

    /// The attribute's text as it is.
    pub fn text(&self, name: &str) -> Option<Text> {
        self.attribute(name, |value| (!value.is_empty()).then(|| Text::from(value)))?
    }

    /// The attribute's text without control characters. `None` if nothing is left.
    pub(crate) fn clean_text(&self, name: &str) -> Option<Text> {
        self.attribute(name, |value| {
            let mut clean = value.to_vec();
            strip_control_characters(&mut clean);
            (!clean.is_empty()).then(|| Text::from(clean))
        })?
    }

    /// The attribute as a number that `parse` reads. `None` if it is missing, or is no such number, which is reported.
    pub(crate) fn number<T>(&self, name: &str, base: u32, parse: fn(&[u8], u32) -> Option<T>) -> Option<T> {
        self.attribute(name, |value| {
            let number = parse(value, base);
            if number.is_none() {
                self.malformed(name, value, "a number");
            }
            number
        })?
    }

    /// The attribute as an unsigned number.
    pub(crate) fn u32(&self, name: &str, base: u32) -> Option<u32> {
        self.number(name, base, number::u32)
    }

    /// Last component of what the link `name` in the device's folder leads to.
    pub(crate) fn link(&self, name: &str) -> Option<Vec<u8>> {
        Some(basename(&self.link_path(name)?).to_vec()).filter(|name| !name.is_empty())
    }

    /// Where the link `name` in the device's folder leads, relative to the root.
    pub(crate) fn link_path(&self, name: &str) -> Option<Vec<u8>> {
        match self.folder()?.link(name.as_bytes()) {
            Ok(target) => Some(paths::follow(self.path, &target?)),
            Err(error) => {
                self.issues.error(&error);
                None
            }
        }
    }

    /// Reports that an attribute does not hold what it should.
    pub(crate) fn malformed(&self, name: &str, value: &[u8], wanted: &str) {
        let shown = Text::from(&value[..value.len().min(80)]);
        self.issue(name, format!("'{shown}' is not {wanted}"));
    }

    /// Reports a problem with the file `name` in the device's folder.
    pub(crate) fn issue(&self, name: &str, problem: impl Into<String>) {
        let path = join(self.path, name.as_bytes());
        self.issues.push(format!("/{}", Text::from(path)), problem.into());
    }

    /// Device node: the kernel's name of it below `/dev`.
    pub(crate) fn devnode(&self) -> Option<Text> {
        let name = self.kernel("DEVNAME")?;
        match name {
            // An absolute path that leads elsewhere is none.
            [b'/', ..] => name.starts_with(b"/dev/").then(|| name.into()),
            _ => Some([b"/dev/", name].concat().into()),
        }
    }
}

/// Takes out the control characters that libvirt takes out of texts of sysfs: all but tabs and line feeds.
pub(crate) fn strip_control_characters(text: &mut Vec<u8>) {
    text.retain(|b| !matches!(b, 0x01..=0x08 | 0x0b..=0x1f));
}

/// The first line of an attribute.
pub(crate) fn first_line(content: &[u8]) -> &[u8] {
    up_to_nul(content).split(|&b| b == b'\n').next().unwrap_or_default()
}
