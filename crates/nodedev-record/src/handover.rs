//! What `explain` asks about beside the descriptions of devices: whether a function can be reset, sleeps, or is kept for a guest,
//! which drivers and modules there are, and what the host keeps on its disks.

use std::io;

use nodedev_sys::paths::{self, join};

use crate::{FILE_LIMIT, Recorder};

/// Files of a PCI function that are written only: that they are there is all that they tell.
const WRITE_ONLY: &[&[u8]] = &[b"reset", b"reset_subordinate"];
/// Files that the kernel does not let anybody read while virtual functions are made or taken away, which can last as long as a
/// guest has one (`drivers/pci/iov.c` takes the device's lock). They are not read.
const NUMBER_OF_FUNCTIONS: &[u8] = b"sriov_numvfs";
/// What links to virtual functions begin with.
const VIRTUAL_FUNCTION: &[u8] = b"virtfn";
/// Folders of links between block devices.
const BUILT_UPON: [&[u8]; 2] = [b"slaves", b"holders"];
/// What the names of PCI drivers begin with in a module's folder.
const PCI_DRIVER: &[u8] = b"pci:";
/// What lines of `modules.alias` that name drivers for VFIO begin with.
const VFIO_ALIAS: &[u8] = b"alias vfio_pci:";

impl Recorder<'_> {
    /// What a PCI function has besides its attributes.
    pub(crate) fn function(&mut self, path: &[u8], names: &[Box<[u8]>]) -> io::Result<()> {
        for name in names.iter().filter(|name| WRITE_ONLY.contains(&&***name)) {
            self.content(&join(path, name), Vec::new())?;
        }
        if names.iter().any(|name| **name == *NUMBER_OF_FUNCTIONS) {
            let count = names.iter().filter(|name| name.starts_with(VIRTUAL_FUNCTION)).count();
            self.content(&join(path, NUMBER_OF_FUNCTIONS), format!("{count}\n").into_bytes())?;
        }
        let nodes = join(path, b"vfio-dev");
        for name in self.names(&nodes) {
            self.empty_folder(&join(&nodes, &name))?;
        }
        Ok(())
    }

    /// What a block device is built upon, and what is built upon it; and the link by its number.
    pub(crate) fn block(&mut self, path: &[u8], number: Option<String>) -> io::Result<()> {
        for folder in BUILT_UPON.map(|folder| join(path, folder)) {
            self.links(&folder)?;
        }
        match number {
            Some(number) => self.link_as_it_is(&join(paths::DEV_BLOCK.as_bytes(), number.as_bytes())),
            None => Ok(()),
        }
    }

    /// Drivers, modules, and how the host uses its disks and networks. A masked recording does not tell of the latter.
    pub(crate) fn handovers(&mut self) -> io::Result<()> {
        self.file(paths::KERNEL_RELEASE.as_bytes())?;
        for driver in self.names(paths::PCI_DRIVERS.as_bytes()) {
            let driver = join(paths::PCI_DRIVERS.as_bytes(), &driver);
            self.empty_folder(&driver)?;
            self.link_as_it_is(&join(&driver, b"module"))?;
        }
        for module in self.names(paths::MODULE.as_bytes()) {
            let module = join(paths::MODULE.as_bytes(), &module);
            self.empty_folder(&module)?;
            let drivers = join(&module, b"drivers");
            for name in self.names(&drivers).iter().filter(|name| name.starts_with(PCI_DRIVER)) {
                self.link_as_it_is(&join(&drivers, name))?;
            }
        }
        let is_masked = self.mask.is_some();
        for release in self.names(paths::MODULES.as_bytes()) {
            let folder = join(paths::MODULES.as_bytes(), &release);
            self.lines(&join(&folder, b"modules.alias"), |line| {
                line.starts_with(VFIO_ALIAS).then_some(line)
            })?;
            self.lines(&join(&folder, b"modules.dep"), |line| {
                // Only that there is a module, and not what it depends on. What was built here has its maker's names.
                let colon = line.iter().position(|&b| b == b':')?;
                (!is_masked || line.starts_with(b"kernel/")).then_some(&line[..=colon])
            })?;
        }
        self.asked()
    }

    pub(super) fn links(&mut self, folder: &[u8]) -> io::Result<()> {
        for name in self.names(folder) {
            self.link_as_it_is(&join(folder, &name))?;
        }
        Ok(())
    }

    fn link_as_it_is(&mut self, path: &[u8]) -> io::Result<()> {
        match self.root.read_link(path) {
            Ok(Some(target)) => self.link(path, &target),
            _ => Ok(()),
        }
    }

    /// Records some lines of a file.
    pub(crate) fn lines(&mut self, path: &[u8], wanted: impl Fn(&[u8]) -> Option<&[u8]>) -> io::Result<()> {
        let mut content = Vec::new();
        let Ok(Some(content)) = self.root.read(path, &mut content, FILE_LIMIT) else { return Ok(()) };
        let mut kept = Vec::new();
        let lines = content.split_inclusive(|&b| b == b'\n');
        for line in lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line)).filter_map(wanted) {
            kept.extend_from_slice(line);
            kept.push(b'\n');
        }
        self.content(path, kept)
    }
}
