//! A host made by hand: a folder that stands for `/`, with the links that the kernel keeps between devices.
//!
//! ```
//! use nodedev_testkit::tree::{Device, Tree};
//!
//! let mut tree = Tree::temporary()?;
//! tree.add(
//!     &Device::new("devices/pci0000:00/0000:00:03.0", "bus/pci")
//!         .driver("e1000e")
//!         .uevent("PCI_CLASS", "20000")
//!         .uevent("PCI_ID", "8086:10D3")
//!         .uevent("PCI_SLOT_NAME", "0000:00:03.0")
//!         .attr("vendor", "0x8086")
//!         .udev("E:ID_VENDOR_FROM_DATABASE=Intel Corporation"),
//! )?;
//! assert!(tree.root().join("sys/bus/pci/devices/0000:00:03.0/driver").exists());
//! # std::io::Result::Ok(())
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;

/// Whether a device node is a block or a character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A block device: `dev/block`, `b8:0` in udev's database.
    Block,
    /// A character device: `dev/char`, `c21:0` in udev's database.
    Char,
}

/// One device, to be [added](Tree::add) to a [`Tree`]. Paths are relative to `sys`.
#[derive(Debug, Clone)]
pub struct Device {
    path: String,
    subsystem: Option<String>,
    driver: Option<String>,
    devtype: Option<String>,
    node: Option<(NodeKind, u32, u32, String)>,
    uevent: Vec<(String, String)>,
    attributes: Vec<(String, Vec<u8>)>,
    directories: Vec<String>,
    links: Vec<(String, String)>,
    udev: Option<Vec<String>>,
}

impl Device {
    /// A device at `path`, such as `devices/pci0000:00/0000:00:03.0`, of the subsystem `bus/NAME` or `class/NAME`.
    pub fn new(path: impl Into<String>, subsystem: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            subsystem: Some(subsystem.into()),
            driver: None,
            devtype: None,
            node: None,
            uevent: Vec::new(),
            attributes: Vec::new(),
            directories: Vec::new(),
            links: Vec::new(),
            udev: None,
        }
    }

    /// A device without a subsystem, such as a remote port of Fibre Channel: it has a `uevent` file and a place in the
    /// tree, and no bus or class lists it.
    pub fn bare(path: impl Into<String>) -> Self {
        Self { subsystem: None, ..Self::new(path, "") }
    }

    /// Binds the device to a kernel driver of its bus.
    #[must_use]
    pub fn driver(mut self, name: impl Into<String>) -> Self {
        self.driver = Some(name.into());
        self
    }

    /// Sets `DEVTYPE`, such as `scsi_host` or `partition`.
    #[must_use]
    pub fn devtype(mut self, name: impl Into<String>) -> Self {
        self.devtype = Some(name.into());
        self
    }

    /// Gives the device a node: its numbers, and its name below `/dev`.
    #[must_use]
    pub fn node(mut self, kind: NodeKind, major: u32, minor: u32, name: impl Into<String>) -> Self {
        self.node = Some((kind, major, minor, name.into()));
        self
    }

    /// Adds a line to `uevent`. Lines that other methods make (`MAJOR`, `DEVTYPE`, `DRIVER` …) come before these.
    #[must_use]
    pub fn uevent(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.uevent.push((key.into(), value.into()));
        self
    }

    /// Adds an attribute of one line; the line end is added. `name` may contain directories.
    #[must_use]
    pub fn attr(self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.bytes(name, format!("{value}\n"))
    }

    /// Adds an attribute with exactly this content. `name` may contain directories.
    #[must_use]
    pub fn bytes(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.attributes.push((name.into(), content.into()));
        self
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn dir(mut self, name: impl Into<String>) -> Self {
        self.directories.push(name.into());
        self
    }

    /// Adds a symbolic link to `target`, a path relative to `sys`; it is stored relative, as the kernel does.
    #[must_use]
    pub fn link(mut self, name: impl Into<String>, target: impl Into<String>) -> Self {
        self.links.push((name.into(), target.into()));
        self
    }

    /// Adds a line to the device's record in udev's database, such as `E:ID_BUS=scsi` or `S:disk/by-id/…`. Without one
    /// the device has no record.
    #[must_use]
    pub fn udev(mut self, line: impl Into<String>) -> Self {
        self.udev.get_or_insert_default().push(line.into());
        self
    }

    /// The path of the device, relative to `sys`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn uevent_text(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            let _ = writeln!(text, "{key}={value}");
        };
        if let Some((_, major, minor, name)) = &self.node {
            line("MAJOR", major);
            line("MINOR", minor);
            line("DEVNAME", name);
        }
        if let Some(devtype) = &self.devtype {
            line("DEVTYPE", devtype);
        }
        if let Some(driver) = &self.driver {
            line("DRIVER", driver);
        }
        for (key, value) in &self.uevent {
            line(key, value);
        }
        text
    }

    /// Name of the record in udev's database (systemd, device-private: `device_get_device_id`).
    fn udev_id(&self) -> Option<String> {
        let subsystem = self.subsystem.as_deref()?.rsplit('/').next()?;
        Some(match &self.node {
            Some((NodeKind::Block, major, minor, _)) => format!("b{major}:{minor}"),
            Some((NodeKind::Char, major, minor, _)) => format!("c{major}:{minor}"),
            None => match self.uevent.iter().find(|(key, _)| key == "IFINDEX") {
                Some((_, index)) => format!("n{index}"),
                None => format!("+{subsystem}:{}", self.name()),
            },
        })
    }
}

/// How many things a [`Tree`] holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
}

/// A folder that stands for `/`: `sys`, `run/udev/data`, and whatever else a test puts there.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    temporary: Option<TempDir>,
    /// The first file with each content, where equal contents share one inode.
    contents: Option<HashMap<Vec<u8>, PathBuf>>,
    size: Size,
}

impl Tree {
    /// A tree in a temporary directory that goes away with it.
    ///
    /// # Errors
    /// If the directories can't be made.
    pub fn temporary() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("nodedev-host-").tempdir()?;
        let mut tree = Self::create(dir.path())?;
        tree.temporary = Some(dir);
        Ok(tree)
    }

    /// A tree like [`Tree::temporary`], but where memory is a file system in that: for tests that make very many.
    ///
    /// # Errors
    /// If the directories can't be made.
    pub fn in_memory() -> io::Result<Self> {
        let Ok(dir) = tempfile::Builder::new().prefix("nodedev-host-").tempdir_in("/dev/shm") else {
            return Self::temporary();
        };
        let mut tree = Self::create(dir.path())?;
        tree.temporary = Some(dir);
        Ok(tree)
    }

    /// A tree in `root`, which is made if needed. It stays.
    ///
    /// # Errors
    /// If the directories can't be made.
    pub fn create(root: &Path) -> io::Result<Self> {
        for dir in
            ["bus", "class", "block", "dev/block", "dev/char", "devices", "kernel", "module", "firmware"]
        {
            fs::create_dir_all(root.join("sys").join(dir))?;
        }
        fs::create_dir_all(root.join("run/udev/data"))?;
        Ok(Self { root: root.to_owned(), temporary: None, contents: None, size: Size::default() })
    }

    /// Makes files of the same content hard links of one inode from here on: a host of 50,000 devices then takes some
    /// hundred megabytes of a memory file system instead of several gigabytes.
    pub fn share_contents(&mut self) {
        self.contents.get_or_insert_default();
    }

    /// The folder that stands for `/`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What was written so far.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Keeps a temporary tree, to look at it by hand.
    pub fn keep(mut self) -> PathBuf {
        if let Some(dir) = self.temporary.take() {
            let _ = dir.keep();
        }
        self.root.clone()
    }

    /// Adds a device: its directory with `uevent`, attributes and links, its entry in the bus or class and below
    /// `dev`, the driver's directory, and udev's record.
    ///
    /// # Errors
    /// If a file can't be written, or exists.
    pub fn add(&mut self, device: &Device) -> io::Result<()> {
        let path = device.path();
        self.sys_file(&format!("{path}/uevent"), device.uevent_text().as_bytes())?;
        for (name, content) in &device.attributes {
            self.sys_file(&format!("{path}/{name}"), content)?;
        }
        for name in &device.directories {
            fs::create_dir_all(self.root.join("sys").join(path).join(name))?;
        }
        for (name, target) in &device.links {
            self.link(&format!("{path}/{name}"), target)?;
        }
        if let Some((kind, major, minor, _)) = &device.node {
            self.sys_file(&format!("{path}/dev"), format!("{major}:{minor}\n").as_bytes())?;
            let by = if *kind == NodeKind::Block { "block" } else { "char" };
            self.link(&format!("dev/{by}/{major}:{minor}"), path)?;
        }
        if let Some(subsystem) = &device.subsystem {
            self.join(device, subsystem)?;
        }
        if let (Some(lines), Some(id)) = (&device.udev, device.udev_id()) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            self.file(&format!("run/udev/data/{id}"), text.as_bytes())?;
        }
        Ok(())
    }

    /// Enters a device in its bus or class.
    fn join(&mut self, device: &Device, subsystem: &str) -> io::Result<()> {
        let (path, name) = (device.path(), device.name());
        self.link(&format!("{path}/subsystem"), subsystem)?;
        if subsystem.starts_with("bus/") {
            self.link(&format!("{subsystem}/devices/{name}"), path)?;
        } else {
            self.link(&format!("{subsystem}/{name}"), path)?;
        }
        if subsystem == "class/block" && device.devtype.as_deref() != Some("partition") {
            self.link(&format!("block/{name}"), path)?;
        }
        if let Some(driver) = &device.driver {
            let driver = format!("{subsystem}/drivers/{driver}");
            self.link(&format!("{path}/driver"), &driver)?;
            self.link(&format!("{driver}/{name}"), path)?;
        }
        Ok(())
    }

    /// Puts a PCI function or mediated device into an IOMMU group, as a member and as its link.
    ///
    /// # Errors
    /// If a link can't be made.
    pub fn iommu_group(&mut self, group: u32, path: &str) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let group = format!("kernel/iommu_groups/{group}");
        self.link(&format!("{path}/iommu_group"), &group)?;
        self.link(&format!("{group}/devices/{name}"), path)
    }

    /// Writes a file below `sys` that belongs to no device, or one more attribute of one.
    ///
    /// # Errors
    /// If it can't be written, or exists.
    pub fn sys_file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.file(&format!("sys/{path}"), content)
    }

    /// Writes a file, with a path relative to the root of the tree.
    ///
    /// # Errors
    /// If it can't be written, or exists.
    pub fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let path = self.root.join(path);
        self.size.files += 1;
        if let Some(contents) = &mut self.contents {
            if let Some(first) = contents.get(content) {
                match with_parent(&path, || fs::hard_link(first, &path)) {
                    // File systems bound the links of one inode; the next file starts a new one.
                    Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {}
                    done => return done,
                }
            }
            contents.insert(content.to_owned(), path.clone());
        }
        with_parent(&path, || {
            let mut file = fs::File::create_new(&path)?;
            io::Write::write_all(&mut file, content)
        })
    }

    /// Makes a symbolic link; both paths are relative to `sys`.
    ///
    /// # Errors
    /// If it can't be made.
    pub fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let from = Path::new(path).parent().unwrap_or(Path::new(""));
        let at = self.root.join("sys").join(path);
        self.size.links += 1;
        let to = self.root.join("sys").join(target);
        // Groups, classes and drivers come to be with the first link to them, as directories. Where a device is linked
        // before it is added, that makes its directory.
        if !to.exists() {
            fs::create_dir_all(&to)?;
        }
        with_parent(&at, || symlink(relative(from, Path::new(target)), &at))
    }
}

/// Does `action`, and if a directory of `path` is missing, makes it and does it again.
fn with_parent(path: &Path, action: impl Fn() -> io::Result<()>) -> io::Result<()> {
    match action() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            action()
        }
        done => done,
    }
    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The way from directory `from` to `to`, both relative to the same place.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let from: Vec<Component<'_>> = from.components().collect();
    let to: Vec<Component<'_>> = to.components().collect();
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - common);
    up.chain(to[common..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_lead_back() {
        for (from, to, way) in [
            ("devices/a/b", "bus/pci", "../../../bus/pci"),
            ("devices/a", "devices/a/c", "c"),
            ("devices/a", "devices/b", "../b"),
            ("", "devices/b", "devices/b"),
        ] {
            assert_eq!(relative(Path::new(from), Path::new(to)), Path::new(way), "{from} -> {to}");
        }
    }

    #[test]
    fn a_disk_is_where_the_kernel_would_put_it() {
        let mut tree = Tree::temporary().unwrap();
        let disk = Device::new("devices/x/host0/block/sda", "class/block")
            .node(NodeKind::Block, 8, 0, "sda")
            .devtype("disk")
            .link("device", "devices/x/host0")
            .udev("E:ID_BUS=scsi");
        tree.add(&disk).unwrap();
        let sys = tree.root().join("sys");
        for link in ["block/sda", "class/block/sda", "dev/block/8:0"] {
            assert_eq!(
                fs::canonicalize(sys.join(link)).unwrap(),
                fs::canonicalize(sys.join(disk.path())).unwrap()
            );
        }
        let uevent = fs::read_to_string(sys.join("block/sda/uevent")).unwrap();
        assert_eq!(uevent, "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n");
        assert_eq!(fs::read_to_string(tree.root().join("run/udev/data/b8:0")).unwrap(), "E:ID_BUS=scsi\n");
    }

    #[test]
    fn udev_records_are_named_as_udev_names_them() {
        let net = Device::new("devices/virtual/net/lo", "class/net").uevent("IFINDEX", "1");
        let pci = Device::new("devices/pci0000:00/0000:00:01.0", "bus/pci");
        let sg = Device::new("devices/x/sg0", "class/scsi_generic").node(NodeKind::Char, 21, 0, "sg0");
        let names = [net, pci, sg].map(|device| device.udev_id().unwrap());
        assert_eq!(names, ["n1", "+pci:0000:00:01.0", "c21:0"]);
    }

    #[test]
    fn equal_contents_can_share_an_inode() {
        use std::os::unix::fs::MetadataExt as _;
        let mut tree = Tree::temporary().unwrap();
        tree.share_contents();
        tree.sys_file("a/x", b"1\n").unwrap();
        tree.sys_file("b/x", b"1\n").unwrap();
        assert_eq!(fs::metadata(tree.root().join("sys/b/x")).unwrap().nlink(), 2);
        assert_eq!(tree.size().files, 2);
    }

    #[test]
    fn the_same_device_twice_is_an_error() {
        let mut tree = Tree::temporary().unwrap();
        let device = Device::new("devices/virtual/net/lo", "class/net");
        tree.add(&device).unwrap();
        assert_eq!(tree.add(&device).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
