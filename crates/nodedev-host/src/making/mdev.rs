//! Mediated devices: started for once, defined, changed, stopped and forgotten. mdevctl does it, so that its callouts run and
//! its files stay its own.

use nodedev_driver::{Devices as _, Error, ErrorCode, ErrorDomain, LibvirtCalls as _, Result, UpdateFlags};
use nodedev_model::{Capability, DeviceName, MdevCapability, MdevConfig, NodeDevice, Text, Uuid};
use nodedev_sys::open_files::{self, OpenFile, OpenFiles, Process};
use nodedev_sys::paths::{DEV_VFIO, basename, join};
use nodedev_sys::{HostAccess, SysError};

use super::mdevctl::{Request, Target};
use super::{APPEARANCE, NOTICE, Waiter};
use crate::HostDriver;

fn mdev(device: &NodeDevice) -> Option<&MdevCapability> {
    device.capabilities.iter().find_map(|capability| match capability {
        Capability::Mdev(mdev) => Some(&**mdev),
        _ => None,
    })
}

fn refused(code: ErrorCode, detail: impl Into<String>) -> Error {
    Error::new(ErrorDomain::NODEDEV, code, detail)
}

fn name_of(uuid: Uuid, parent: &str) -> DeviceName {
    DeviceName::from_parts(b"mdev", uuid.to_string().as_bytes(), Some(parent.as_bytes()))
}

/// A document's mediated device: its parent's address, UUID and configuration.
struct Wanted {
    parent: String,
    uuid: Option<Uuid>,
    config: MdevConfig,
}

impl Wanted {
    fn of(driver: &HostDriver, device: &NodeDevice) -> Result<Self> {
        let mdev = mdev(device).ok_or_else(|| Error::unsupported_device_type(ErrorDomain::NODEDEV))?;
        let parent = device.parent.as_ref().map(DeviceName::as_str).unwrap_or_default();
        Ok(Self {
            parent: address(driver, parent)?,
            uuid: mdev.uuid,
            config: mdev.defined.clone().unwrap_or_default(),
        })
    }

    fn target(&self) -> Target<'_> {
        Target { parent: &self.parent, uuid: self.uuid }
    }

    /// The UUID, which mdevctl has made up if there was none.
    fn final_uuid(&self, said: &str) -> Result<Uuid> {
        match (said.parse(), self.uuid) {
            (Ok(uuid), _) | (Err(_), Some(uuid)) => Ok(uuid),
            (Err(_), None) => {
                Err(Error::internal(ErrorDomain::NODEDEV, format!("mdevctl gave no UUID but '{said}'")))
            }
        }
    }
}

/// The address by which mdevctl knows a parent: the last part of its path, in all of its kinds.
fn address(driver: &HostDriver, parent: &str) -> Result<String> {
    let path = driver.device(parent).ok().and_then(|device| device.syspath);
    path.map(|path| String::from_utf8_lossy(basename(path.as_bytes())).into_owned()).ok_or_else(|| {
        Error::internal(ErrorDomain::NODEDEV, format!("unable to find parent device '{parent}'"))
    })
}

/// A mediated device that exists, active or defined.
struct Known {
    name: String,
    parent: String,
    /// In sysfs; absent where it is not active.
    path: Option<Text>,
    mdev: MdevCapability,
    autostart: bool,
    active: bool,
    persistent: bool,
}

impl Known {
    fn of(driver: &HostDriver, name: &str) -> Result<Self> {
        let device = driver.device(name)?;
        let mdev = mdev(&device).ok_or_else(|| Error::unsupported_device_type(ErrorDomain::NODEDEV))?.clone();
        let parent = mdev.parent_addr.as_ref().map(ToString::to_string).unwrap_or_default();
        let nodedev_model::DeviceState { active, persistent, autostart } = device.state;
        let path = device.syspath.clone();
        Ok(Self { name: name.to_owned(), parent, path, mdev, autostart, active, persistent })
    }

    fn target(&self) -> Target<'_> {
        Target { parent: &self.parent, uuid: self.mdev.uuid }
    }
}

/// The definition of a device, if it has one.
fn definition(driver: &HostDriver, name: &DeviceName) -> Option<MdevConfig> {
    mdev(&driver.device(name.as_str()).ok()?)?.defined.clone()
}

pub(crate) fn start_new(driver: &HostDriver, device: &NodeDevice) -> Result<DeviceName> {
    let wanted = Wanted::of(driver, device)?;
    let waiter = Waiter::new(driver)?;
    let said = Request::StartNew(&wanted.config).run(driver.root(), wanted.target(), "new device")?;
    let uuid = wanted.final_uuid(&said)?;
    let name = name_of(uuid, &wanted.parent);
    let active = |driver: &HostDriver| {
        driver
            .is_active(name.as_str())
            .is_ok_and(|active| active)
            .then(|| driver.lookup(name.as_str()).ok())?
    };
    waiter.wait(APPEARANCE, active).ok_or_else(|| {
        let target = Target { parent: &wanted.parent, uuid: Some(uuid) };
        let undone = match Request::Stop.run(driver.root(), target, name.as_str()) {
            Ok(_) => "it was stopped again".to_owned(),
            Err(error) => format!("and it could not be stopped again: {error}"),
        };
        let detail = format!("mediated device '{uuid}' was started and did not appear; {undone}");
        Error::internal(ErrorDomain::NODEDEV, detail)
    })
}

pub(crate) fn define(driver: &HostDriver, device: &NodeDevice) -> Result<DeviceName> {
    let wanted = Wanted::of(driver, device)?;
    let waiter = Waiter::new(driver)?;
    let known = wanted.uuid.map(|uuid| name_of(uuid, &wanted.parent));
    let known = known.and_then(|name| Known::of(driver, name.as_str()).ok());
    let config = &wanted.config;
    let request = match &known {
        // Whether it is started with the host is no part of a document, and stays as it is.
        Some(Known { persistent: true, autostart, .. }) => {
            Request::Modify { config, autostart: *autostart, defined: true, live: false }
        }
        _ => Request::Define { config, autostart: false },
    };
    let said = request.run(driver.root(), wanted.target(), "new device")?;
    let name = name_of(wanted.final_uuid(&said)?, &wanted.parent);
    let defined = |driver: &HostDriver| {
        definition(driver, &name)
            .is_some_and(|found| found == *config)
            .then(|| driver.lookup(name.as_str()).ok())?
    };
    // It is defined, whether or not that has been noticed.
    Ok(waiter.wait(NOTICE, defined).unwrap_or(name.clone()))
}

pub(crate) fn start(driver: &HostDriver, name: &str) -> Result<()> {
    let known = Known::of(driver, name)?;
    let waiter = Waiter::new(driver)?;
    Request::StartDefined.run(driver.root(), known.target(), name)?;
    let _ = waiter.wait(NOTICE, |driver| driver.is_active(name).is_ok_and(|active| active).then_some(()));
    Ok(())
}

pub(crate) fn stop(driver: &HostDriver, name: &str) -> Result<()> {
    let known = Known::of(driver, name)?;
    if let Some(holder) = in_use(driver, &known)? {
        let error =
            Error::internal(ErrorDomain::NODEDEV, format!("Unable to destroy '{name}': device in use"));
        return Err(error.with_help(format!("process {} ({}) has it", holder.pid, holder.command)));
    }
    let waiter = Waiter::new(driver)?;
    Request::Stop.run(driver.root(), known.target(), name)?;
    let _ = waiter.wait(NOTICE, |driver| match driver.is_active(name) {
        Ok(true) => None,
        Ok(false) | Err(_) => Some(()),
    });
    Ok(())
}

/// Who has the device open, through its VFIO group or its own node. mdevctl would wait for them in the kernel.
fn in_use(driver: &HostDriver, known: &Known) -> Result<Option<Process>> {
    let failed = |error: SysError| Error::internal(ErrorDomain::NODEDEV, error.to_string());
    let mut nodes = Vec::new();
    if known.mdev.iommu_group != 0 {
        nodes.push(format!("/{DEV_VFIO}/{}", known.mdev.iommu_group));
    }
    if let Some(path) = &known.path {
        let folder = join(path.as_bytes(), b"vfio-dev");
        let folder = folder.strip_prefix(b"/").unwrap_or(&folder);
        let names = HostAccess::names(driver.root(), folder).map_err(failed)?.unwrap_or_default();
        let node = |name: &[u8]| format!("/{DEV_VFIO}/devices/{}", String::from_utf8_lossy(name));
        nodes.extend(names.iter().map(|name| node(name)));
    }
    if nodes.is_empty() {
        return Ok(None);
    }
    let open = OpenFiles::of(driver.root()).map_err(failed)?;
    let has_it = |file: &OpenFile| {
        open_files::vfio_node(driver.root(), file).is_some_and(|node| nodes.contains(&node))
    };
    Ok(open.processes.into_iter().find(|process| process.files.iter().any(has_it)))
}

pub(crate) fn undefine(driver: &HostDriver, name: &str) -> Result<()> {
    let known = Known::of(driver, name)?;
    let waiter = Waiter::new(driver)?;
    Request::Undefine.run(driver.root(), known.target(), name)?;
    let _ = waiter.wait(NOTICE, |driver| match driver.is_persistent(name) {
        Ok(true) => None,
        Ok(false) | Err(_) => Some(()),
    });
    Ok(())
}

pub(crate) fn set_autostart(driver: &HostDriver, name: &str, autostart: bool) -> Result<()> {
    let known = Known::of(driver, name)?;
    let waiter = Waiter::new(driver)?;
    Request::SetAutostart(autostart).run(driver.root(), known.target(), name)?;
    let _ =
        waiter.wait(NOTICE, |driver| driver.autostart(name).is_ok_and(|now| now == autostart).then_some(()));
    Ok(())
}

pub(crate) fn update(
    driver: &HostDriver,
    name: &str,
    document: &NodeDevice,
    flags: UpdateFlags,
) -> Result<()> {
    let known = Known::of(driver, name)?;
    let wanted = Wanted::of(driver, document)?;
    let (live, defined) = match (flags.contains(UpdateFlags::LIVE), flags.contains(UpdateFlags::CONFIG)) {
        (false, false) => (known.active, !known.active),
        both => both,
    };
    if live && !known.active {
        return Err(refused(ErrorCode::OPERATION_INVALID, "node device is not active"));
    }
    if defined && !known.persistent {
        let detail = "transient node devices do not have any persistent config";
        return Err(refused(ErrorCode::OPERATION_INVALID, detail));
    }
    compatible(&known, &wanted, live)?;
    let waiter = Waiter::new(driver)?;
    let config = &wanted.config;
    let request = Request::Modify { config, autostart: known.autostart, defined, live };
    request.run(driver.root(), known.target(), name)?;
    if defined {
        let name: DeviceName = name.parse().map_err(|_| Error::no_device(ErrorDomain::NODEDEV, name))?;
        let is_so = |driver: &HostDriver| definition(driver, &name).filter(|found| found == config);
        let _ = waiter.wait(NOTICE, is_so);
    }
    Ok(())
}

/// Refuses a document that is another device's, in libvirt's words (the missing quote is libvirt's).
fn compatible(known: &Known, wanted: &Wanted, live: bool) -> Result<()> {
    let name = &known.name;
    let mismatch = |what: &str, current: &str| {
        let detail = format!("Cannot update device '{name}, {what} mismatch (current {what} '{current}')");
        Err(refused(ErrorCode::CONFIG_UNSUPPORTED, detail))
    };
    if wanted.uuid != known.mdev.uuid {
        let uuid = known.mdev.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
        return mismatch("uuid", &uuid);
    }
    if let (true, Some(active)) = (live, &known.mdev.active)
        && active.type_id != wanted.config.type_id
    {
        return mismatch("type", &active.type_id.to_string());
    }
    if wanted.parent != known.parent {
        return mismatch("parent address", &known.parent);
    }
    Ok(())
}
