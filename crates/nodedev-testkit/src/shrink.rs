//! Making a small host out of a large recording: only some devices, and nothing that is read for no device.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::corrupt::files;

/// Which parts of a recording stay.
#[derive(Debug, Clone, Default)]
pub struct Shrink {
    /// Paths below `sys` of all node devices of the host.
    pub devices: BTreeSet<PathBuf>,
    /// Those that stay; so do the devices above them.
    pub keep: BTreeSet<PathBuf>,
}

/// Directories below a device that describe what it did, not what it is.
const ACTIVITY: &[&str] =
    &["power", "statistics", "queues", "trace", "mq", "msi_irqs", "wakeup", "ata_link", "drv"];
/// Places, relative to the root, that only devices of no interest to us live in, or none.
const REMOTE: &[&str] = &[
    "proc",
    "run/udev/tags",
    "run/udev/links",
    "run/udev/control",
    "sys/bus/pci/slots",
    "sys/bus/platform",
    "sys/devices/platform/i8042",
    "sys/devices/platform/serial8250",
    "sys/devices/virtual/bdi",
    "sys/firmware",
    "sys/fs",
    "sys/hypervisor",
    "sys/module",
    "sys/power",
    "sys/devices/LNXSYSTM:00",
    "sys/devices/breakpoint",
    "sys/devices/pnp0",
    "sys/devices/msr",
    "sys/devices/software",
    "sys/devices/tracepoint",
    "sys/devices/kprobe",
    "sys/devices/uprobe",
    "sys/devices/cpu",
    "sys/devices/system",
    "sys/devices/virtual/mem",
    "sys/devices/virtual/misc",
    "sys/devices/virtual/tty",
    "sys/devices/virtual/vc",
    "sys/devices/virtual/vtconsole",
    "sys/devices/virtual/workqueue",
    "sys/devices/virtual/thermal",
    "sys/devices/virtual/input",
    "sys/devices/virtual/powercap",
];

impl Shrink {
    /// Copies the part of the host `from` that stays to `to`, an empty folder.
    ///
    /// # Errors
    /// If a file can't be read or written.
    pub fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let paths = files(from)?;
        let stays: BTreeSet<&Path> =
            paths.iter().map(PathBuf::as_path).filter(|path| self.stays(path)).collect();
        let mut dirs: BTreeSet<PathBuf> =
            stays.iter().filter_map(|path| path.parent()).flat_map(above).collect();
        // A link to what does not stay goes, which may leave a directory that others link to empty, and so on.
        let mut links: BTreeMap<&Path, PathBuf> = BTreeMap::new();
        for path in &stays {
            if from.join(path).is_symlink() {
                let target = fs::read_link(from.join(path))?;
                links.insert(path, normal(&path.parent().unwrap_or(path).join(target)));
            }
        }
        dirs.insert(PathBuf::from("run/udev/data"));
        let is_there = |path: &Path| dirs.contains(path) || stays.contains(path);
        let kept: Vec<&Path> = stays
            .iter()
            .copied()
            .filter(|path| {
                links.get(path).is_none_or(|target| is_there(target) || !from.join(target).exists())
            })
            .collect();
        let records = records(from, &kept);
        for path in kept {
            if path.starts_with("run/udev/data") && !records.contains(path) {
                continue;
            }
            copy_one(from, to, path)?;
        }
        fs::create_dir_all(to.join("run/udev/data"))?;
        trim_pci_ids(to)
    }

    fn stays(&self, path: &Path) -> bool {
        if REMOTE.iter().any(|place| path.starts_with(place)) {
            return false;
        }
        if path.starts_with("sys/kernel") {
            return path.starts_with("sys/kernel/iommu_groups");
        }
        let Ok(below) = path.strip_prefix("sys") else { return true };
        let in_activity = below
            .parent()
            .is_some_and(|dir| dir.iter().any(|part| ACTIVITY.iter().any(|name| part == *name)));
        if below.starts_with("devices") && in_activity {
            return false;
        }
        // The nearest node device that this belongs to decides.
        match below.ancestors().find(|dir| self.devices.contains(*dir)) {
            Some(device) => self.keep.iter().any(|kept| kept.starts_with(device)),
            None => true,
        }
    }
}

fn above(path: &Path) -> Vec<PathBuf> {
    path.ancestors().map(Path::to_owned).collect()
}

/// `path` without `..`, by its text: links of sysfs lead through directories only.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

/// The records in udev's database of the devices that stay.
fn records(from: &Path, kept: &[&Path]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut record = |id: String| found.insert(Path::new("run/udev/data").join(id));
    for path in kept {
        let Ok(below) = path.strip_prefix("sys") else { continue };
        let parts: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["dev", kind, numbers] => drop(record(format!("{}{numbers}", &kind[..1]))),
            ["bus", subsystem, "devices", name] | ["class", subsystem, name] => {
                record(format!("+{subsystem}:{name}"));
                // Files such as bonding_masters are among the interfaces.
                if *subsystem == "net"
                    && let Ok(index) = fs::read_to_string(from.join(path).join("ifindex"))
                {
                    record(format!("n{}", index.trim()));
                }
            }
            _ => {}
        }
    }
    found
}

fn copy_one(from: &Path, to: &Path, path: &Path) -> io::Result<()> {
    let target = to.join(path);
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    if from.join(path).is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from.join(path))?, target)
    } else {
        fs::write(target, fs::read(from.join(path))?)
    }
}

/// Leaves in `usr/share/misc/pci.ids` only what the PCI functions of the host are named by.
fn trim_pci_ids(root: &Path) -> io::Result<()> {
    let file = root.join("usr/share/misc/pci.ids");
    let Ok(content) = fs::read(&file) else { return Ok(()) };
    let mut ids = BTreeSet::new();
    if let Ok(functions) = fs::read_dir(root.join("sys/bus/pci/devices")) {
        for function in functions {
            let read = |name: &str| {
                fs::read_to_string(function.as_ref().map(fs::DirEntry::path).unwrap_or_default().join(name))
            };
            let id = |name: &str| {
                read(name).map(|text| text.trim().trim_start_matches("0x").to_owned()).unwrap_or_default()
            };
            ids.insert((id("vendor"), id("device")));
        }
    }
    let mut out = Vec::new();
    let mut vendor = String::new();
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let id = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
        let stays = if text.starts_with("\t\t") || text.trim().is_empty() || text.starts_with("C ") {
            false
        } else if text.starts_with('#') {
            out.len() < 2000
        } else if let Some(device) = text.strip_prefix('\t') {
            ids.contains(&(vendor.clone(), id(device)))
        } else {
            vendor = id(&text);
            ids.iter().any(|(known, _)| *known == vendor)
        };
        if stays {
            out.extend_from_slice(line);
        }
    }
    fs::write(file, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Host;

    #[test]
    fn only_what_was_asked_for_and_what_is_above_it_stays() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Host::new(100).write(from.path()).unwrap();
        let device = |name: &str| {
            let path = fs::canonicalize(from.path().join("sys").join(name)).unwrap();
            path.strip_prefix(fs::canonicalize(from.path().join("sys")).unwrap()).unwrap().to_owned()
        };
        let mut shrink = Shrink::default();
        for dir in [
            "bus/pci/devices",
            "class/net",
            "bus/scsi/devices",
            "class/scsi_generic",
            "bus/usb/devices",
            "block",
        ] {
            for entry in fs::read_dir(from.path().join("sys").join(dir)).unwrap() {
                shrink
                    .devices
                    .insert(device(&format!("{dir}/{}", entry.unwrap().file_name().to_str().unwrap())));
            }
        }
        shrink.keep.insert(device("block/sda"));
        shrink.copy(from.path(), to.path()).unwrap();

        let names = |dir: &str| {
            let entries = fs::read_dir(to.path().join(dir)).map(|dir| dir.count());
            entries.unwrap_or(0)
        };
        assert_eq!(names("sys/block"), 1);
        assert_eq!(names("sys/bus/pci/devices"), 2);
        assert_eq!(names("sys/bus/scsi/devices"), 3);
        assert_eq!(names("sys/class/net"), 0);
        assert!(to.path().join("sys/block/sda/size").exists());
        assert!(to.path().join("run/udev/data/b8:0").exists());
        // The root port, the adapter, the disk and its two partitions.
        assert_eq!(names("run/udev/data"), 5);
        let ids = fs::read_to_string(to.path().join("usr/share/misc/pci.ids")).unwrap();
        assert!(ids.contains("QLogic") && !ids.contains("NVIDIA"), "{ids}");
        for path in files(to.path()).unwrap() {
            assert!(to.path().join(&path).exists(), "{} leads nowhere", path.display());
        }
    }
}
