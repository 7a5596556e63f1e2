//! Hosts of any size, made up but plausible: for tests at scale and for benchmarks.
//!
//! A host is made of cells of one hundred node devices each: a small server with an SR-IOV network card, a Fibre
//! Channel adapter with two fabrics' worth of disks, NVMe, USB and graphics, and about as many devices again that
//! libvirt does not show (partitions, processors, memory, terminals …), because a reader has to pass over those too.
//! What is left over is filled with plain PCI functions. The same size and seed give the same host.
//!
//! ```
//! use nodedev_testkit::synthetic::Host;
//!
//! let dir = tempfile::tempdir()?;
//! let manifest = Host::new(100).seed(7).write(dir.path())?;
//! assert_eq!(manifest.total(), 100);
//! assert_eq!(manifest.names("scsi_host").len(), 3);
//! # std::io::Result::Ok(())
//! ```

mod pci;
mod platform;
mod scsi;
mod usb;

use std::collections::BTreeMap;
use std::path::Path;
use std::{fmt, io};

use crate::random::Random;
use crate::tree::{Size, Tree};

/// Node devices in one cell.
pub const CELL: usize = 100;

/// A synthetic host to be [written](Host::write).
#[derive(Debug, Clone, Copy)]
pub struct Host {
    devices: usize,
    seed: u64,
    mdev: bool,
    noise: bool,
    share: bool,
}

impl Host {
    /// A host of `devices` node devices, not counting `computer`.
    pub fn new(devices: usize) -> Self {
        Self { devices, seed: 1, mdev: false, noise: true, share: false }
    }

    /// Picks addresses and serial numbers; 1 unless told.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Gives each cell's graphics card mediated device types and one running mediated device, in place of a plain PCI
    /// function; of every other cell the device is also defined, and a second one only defined.
    #[must_use]
    pub fn mdev(mut self, with: bool) -> Self {
        self.mdev = with;
        self
    }

    /// Leaves out, with `false`, the devices that libvirt does not show.
    #[must_use]
    pub fn noise(mut self, with: bool) -> Self {
        self.noise = with;
        self
    }

    /// Makes equal files hard links of one inode; see [`Tree::share_contents`].
    #[must_use]
    pub fn share_contents(mut self, share: bool) -> Self {
        self.share = share;
        self
    }

    /// Writes the host into `root`, a folder that then stands for `/`.
    ///
    /// # Errors
    /// If a file can't be written, or the folder holds a host already.
    pub fn write(self, root: &Path) -> io::Result<Manifest> {
        let mut tree = Tree::create(root)?;
        if self.share {
            tree.share_contents();
        }
        let mut writer = Writer {
            host: self,
            tree,
            made: Manifest::default(),
            random: Random::new(self.seed),
            next: Next::default(),
        };
        platform::machine(&mut writer)?;
        for cell in 0..self.devices / CELL {
            pci::cell(&mut writer, cell)?;
        }
        pci::rest(&mut writer, self.devices % CELL)?;
        writer.made.size = writer.tree.size();
        Ok(writer.made)
    }
}

/// What a synthetic host holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    names: BTreeMap<&'static str, Vec<String>>,
    hidden: usize,
    inactive: usize,
    size: Size,
}

impl Manifest {
    /// Names of the devices with a capability, nested ones (`fc_host`, `vpd` …) included; defined but inactive mediated
    /// devices are under `inactive`.
    pub fn names(&self, capability: &str) -> &[String] {
        self.names.get(capability).map_or(&[], Vec::as_slice)
    }

    /// How many devices each capability has.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.names.iter().map(|(capability, names)| (*capability, names.len()))
    }

    /// Active node devices, not counting `computer`.
    pub fn total(&self) -> usize {
        TOP_LEVEL.iter().map(|capability| self.names(capability).len()).sum()
    }

    /// Devices of the kernel that libvirt does not show.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Files and links written.
    pub fn size(&self) -> Size {
        self.size
    }
}

/// Capabilities of which a device has exactly one.
const TOP_LEVEL: &[&str] = &[
    "pci",
    "usb_device",
    "usb",
    "net",
    "scsi_host",
    "scsi_target",
    "scsi",
    "storage",
    "scsi_generic",
    "drm",
    "mdev",
];

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (capability, count) in self.counts() {
            writeln!(f, "{capability} {count}")?;
        }
        writeln!(f, "total {}\nhidden {}", self.total(), self.hidden)?;
        writeln!(f, "files {} links {}", self.size.files, self.size.links)
    }
}

/// The numbers that the kernel would give out next.
#[derive(Debug, Default)]
struct Next {
    group: u32,
    interface: u32,
    host: u32,
    disk: u32,
    generic: u32,
    namespace: u32,
    usb_bus: u32,
    tap: u32,
}

fn take(counter: &mut u32) -> u32 {
    let number = *counter;
    *counter += 1;
    number
}

struct Writer {
    host: Host,
    tree: Tree,
    made: Manifest,
    random: Random,
    next: Next,
}

impl Writer {
    /// Notes a device, or a nested capability of one.
    fn shown(&mut self, capability: &'static str, name: impl AsRef<str>) {
        let name = name.as_ref().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        self.made.names.entry(capability).or_default().push(name);
    }

    /// Adds a device that libvirt shows under `name`.
    fn add(
        &mut self,
        device: &crate::tree::Device,
        capability: &'static str,
        name: impl AsRef<str>,
    ) -> io::Result<()> {
        self.shown(capability, name);
        self.tree.add(device)
    }

    /// Adds a device that libvirt does not show. Some are needed by others and therefore always there.
    fn add_hidden(&mut self, device: &crate::tree::Device) -> io::Result<()> {
        self.made.hidden += 1;
        self.tree.add(device)
    }

    /// Adds a device that is there only to be passed over.
    fn add_noise(&mut self, device: &crate::tree::Device) -> io::Result<()> {
        if self.host.noise { self.add_hidden(device) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn manifest(host: Host) -> Manifest {
        let dir = tempfile::tempdir().unwrap();
        host.write(dir.path()).unwrap()
    }

    #[test]
    fn every_size_is_exact() {
        for (devices, mdev) in [(1, true), (99, false), (100, false), (100, true), (101, true)] {
            assert_eq!(manifest(Host::new(devices).mdev(mdev).noise(false)).total(), devices);
        }
        let noisy = manifest(Host::new(100));
        assert_eq!(noisy.total(), 100);
        assert!(noisy.hidden() > 50, "{}", noisy.hidden());
    }

    #[test]
    fn names_are_unique() {
        let made = manifest(Host::new(200).mdev(true).noise(false));
        let all: Vec<&String> = TOP_LEVEL.iter().flat_map(|capability| made.names(capability)).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn the_seed_decides_the_addresses() {
        let net = |seed| manifest(Host::new(100).noise(false).seed(seed)).names("net").to_vec();
        assert_eq!(net(1), net(1));
        assert_ne!(net(1), net(2));
    }
}
