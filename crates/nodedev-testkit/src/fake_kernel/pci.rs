//! The bus PCI, as far as drivers come and go.
//!
//! Source of how the kernel reacts: `drivers/base/bus.c`, `drivers/base/dd.c`, `drivers/pci/pci-driver.c`, `pci-sysfs.c`.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::errno::{EBUSY, ENODEV};
use super::vport;

/// Drivers that serve a device for VFIO have a folder of nodes in it.
const VFIO_DEVICES: &str = "vfio-dev";

#[derive(Debug, Default)]
pub(super) struct Pci {
    /// The kernel's choice for each function.
    pub(super) natural: HashMap<String, String>,
    /// Drivers by the modules on disk that bring them.
    pub(super) modules: HashMap<String, String>,
    /// Drivers whose probe fails.
    pub(super) refusing: HashSet<String>,
    /// Functions in the order in which they were reset.
    pub(super) resets: Vec<String>,
    /// What was written: path and value.
    pub(super) writes: Vec<(String, String)>,
}

impl Pci {
    /// Makes what the kernel has for each driver and each function, where a tree lacks it.
    pub(super) fn bring_to_life(folder: &Path) -> io::Result<Self> {
        let bus = folder.join("sys/bus/pci");
        let mut pci = Self::default();
        fs::create_dir_all(bus.join("drivers"))?;
        fs::create_dir_all(bus.join("devices"))?;
        fs::write(bus.join("drivers_probe"), "")?;
        for entry in fs::read_dir(bus.join("drivers"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            register(folder, &name, None)?;
        }
        for entry in fs::read_dir(bus.join("devices"))? {
            let address = entry?.file_name().to_string_lossy().into_owned();
            let path = device(folder, &address).join("driver_override");
            if !path.exists() {
                fs::write(path, "(null)\n")?;
            }
            if let Some(driver) = bound(folder, &address) {
                pci.natural.insert(address, driver);
            }
        }
        Ok(pci)
    }

    /// What the kernel does when a file is written.
    pub(super) fn write(&mut self, folder: &Path, path: &str, value: &str) -> io::Result<()> {
        let path = folder.join(path);
        // As the kernel does, walk the links first; a file that is not there is an error.
        let path = path.canonicalize()?;
        let address = value.trim_end();
        let (holder, file) = (path.parent().unwrap_or(folder), path.file_name().unwrap_or_default());
        let below = path.strip_prefix(folder.canonicalize()?).unwrap_or(&path);
        self.writes.push((format!("/{}", below.display()), value.to_owned()));
        match file.to_string_lossy().as_ref() {
            "driver_override" => {
                let value = if address.is_empty() { "(null)" } else { address };
                fs::write(&path, format!("{value}\n"))
            }
            "unbind" => {
                let name = holder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if bound(folder, address).as_deref() != Some(&*name) {
                    return Err(io::Error::from_raw_os_error(ENODEV));
                }
                unbind(folder, address)
            }
            "drivers_probe" => self.probe(folder, address),
            name @ ("vport_create" | "vport_delete") => vport::write(folder, holder, name, address),
            "reset" => {
                let address = holder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                self.resets.push(address);
                Ok(())
            }
            _ => fs::write(&path, value),
        }
    }

    fn probe(&self, folder: &Path, address: &str) -> io::Result<()> {
        if !device(folder, address).exists() {
            return Err(io::Error::from_raw_os_error(ENODEV));
        }
        if bound(folder, address).is_some() {
            return Ok(());
        }
        let wanted = fs::read_to_string(device(folder, address).join("driver_override"))?;
        let driver = match wanted.trim_end() {
            "(null)" => self.natural.get(address).cloned(),
            name => Some(name.to_owned()),
        };
        match driver.filter(|name| !self.refusing.contains(name)) {
            Some(driver) if driver_folder(folder, &driver).exists() => bind(folder, address, &driver),
            // No driver fits, or its probe fails: for the kernel that is no failure of the write.
            _ => Ok(()),
        }
    }
}

pub(super) fn device(folder: &Path, address: &str) -> PathBuf {
    folder.join("sys/bus/pci/devices").join(address)
}

fn driver_folder(folder: &Path, name: &str) -> PathBuf {
    folder.join("sys/bus/pci/drivers").join(name)
}

pub(super) fn bound(folder: &Path, address: &str) -> Option<String> {
    let target = fs::read_link(device(folder, address).join("driver")).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

pub(super) fn register(folder: &Path, name: &str, module: Option<&str>) -> io::Result<()> {
    let path = driver_folder(folder, name);
    fs::create_dir_all(&path)?;
    for file in ["bind", "unbind"] {
        fs::write(path.join(file), "")?;
    }
    let Some(module) = module else { return Ok(()) };
    let holder = folder.join("sys/module").join(module);
    fs::create_dir_all(holder.join("drivers"))?;
    for (link, target) in [
        (path.join("module"), format!("../../../../module/{module}")),
        (holder.join("drivers").join(format!("pci:{name}")), format!("../../../bus/pci/drivers/{name}")),
    ] {
        if !link.exists() {
            symlink(target, link)?;
        }
    }
    Ok(())
}

fn bind(folder: &Path, address: &str, driver: &str) -> io::Result<()> {
    let path = device(folder, address).canonicalize()?;
    let depth = path.strip_prefix(folder.canonicalize()?.join("sys")).unwrap_or(&path).components().count();
    symlink(format!("{}bus/pci/drivers/{driver}", "../".repeat(depth)), path.join("driver"))?;
    symlink(format!("../../devices/{address}"), driver_folder(folder, driver).join(address))?;
    if driver.contains("vfio") {
        fs::create_dir_all(path.join(VFIO_DEVICES).join("vfio0"))?;
    }
    Ok(())
}

fn unbind(folder: &Path, address: &str) -> io::Result<()> {
    let Some(driver) = bound(folder, address) else { return Err(io::Error::from_raw_os_error(EBUSY)) };
    let path = device(folder, address);
    fs::remove_file(path.join("driver"))?;
    let entry = driver_folder(folder, &driver).join(address);
    if entry.is_symlink() {
        fs::remove_file(entry)?;
    }
    if path.join(VFIO_DEVICES).exists() {
        fs::remove_dir_all(path.join(VFIO_DEVICES))?;
    }
    Ok(())
}

pub(super) fn unplug(folder: &Path, address: &str) -> io::Result<()> {
    if bound(folder, address).is_some() {
        unbind(folder, address)?;
    }
    let path = device(folder, address);
    fs::remove_dir_all(path.canonicalize()?)?;
    fs::remove_file(path)
}
