//! Mediated devices: started for once, defined, changed, stopped and forgotten.

use std::ops::Not as _;

use nodedev_change::{Mdev, MdevAct, OpsError};
use nodedev_driver::{Error, ErrorCode, ErrorDomain, Result, UpdateFlags};
use nodedev_model::{Capability, ChangePlan, DeviceName, MdevCapability, MdevConfig, NodeDevice, Uuid};
use nodedev_sys::paths::basename;

use super::{APPEARANCE, Devices, Maker, NOTICE, Waiter};
use crate::driver::told;

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
    fn of(devices: &Devices<'_>, device: &NodeDevice) -> Result<Self> {
        let mdev = mdev(device).ok_or_else(|| Error::unsupported_device_type(ErrorDomain::NODEDEV))?;
        let parent = device.parent.as_ref().map(DeviceName::as_str).unwrap_or_default();
        Ok(Self {
            parent: address(devices, parent)?,
            uuid: mdev.uuid,
            config: mdev.defined.clone().unwrap_or_default(),
        })
    }

    /// The device; one without a UUID gets a new one.
    fn mdev(&self, maker: Maker<'_>) -> Result<Mdev> {
        let uuid = match self.uuid {
            Some(uuid) => uuid,
            None => maker.engine.new_uuid().map_err(told)?,
        };
        Ok(Mdev { parent: self.parent.clone(), uuid })
    }
}

/// The address by which mdevctl knows a parent: the last part of its path, in all of its kinds.
fn address(devices: &Devices<'_>, parent: &str) -> Result<String> {
    let path = devices.device(parent).ok().and_then(|device| device.syspath);
    path.map(|path| String::from_utf8_lossy(basename(path.as_bytes())).into_owned()).ok_or_else(|| {
        Error::internal(ErrorDomain::NODEDEV, format!("unable to find parent device '{parent}'"))
    })
}

/// A mediated device that exists, active or defined.
struct Known {
    name: String,
    parent: String,
    mdev: MdevCapability,
    active: bool,
    persistent: bool,
}

impl Known {
    fn of(devices: &Devices<'_>, name: &str) -> Result<Self> {
        let device = devices.device(name)?;
        let mdev = mdev(&device).ok_or_else(|| Error::unsupported_device_type(ErrorDomain::NODEDEV))?.clone();
        let parent = mdev.parent_addr.as_ref().map(ToString::to_string).unwrap_or_default();
        let nodedev_model::DeviceState { active, persistent, .. } = device.state;
        Ok(Self { name: name.to_owned(), parent, mdev, active, persistent })
    }

    fn mdev(&self) -> Result<Mdev> {
        let uuid = self.mdev.uuid.ok_or_else(|| Error::no_device(ErrorDomain::NODEDEV, &self.name))?;
        Ok(Mdev { parent: self.parent.clone(), uuid })
    }
}

/// The definition of a device, if it has one.
fn definition(devices: &Devices<'_>, name: &DeviceName) -> Option<MdevConfig> {
    mdev(&devices.device(name.as_str()).ok()?)?.defined.clone()
}

/// What would be done, and nothing is.
fn plan(maker: Maker<'_>, mdev: &Mdev, act: &MdevAct<'_>) -> Result<ChangePlan> {
    maker.engine.change_mdev(mdev, act, true).map_err(told)
}

fn act(maker: Maker<'_>, mdev: &Mdev, act: &MdevAct<'_>) -> Result<()> {
    maker.engine.change_mdev(mdev, act, false).map(drop).map_err(told)
}

pub(crate) fn plan_new(maker: Maker<'_>, device: &NodeDevice) -> Result<ChangePlan> {
    let wanted = Wanted::of(maker.devices, device)?;
    plan(maker, &wanted.mdev(maker)?, &MdevAct::Create(&wanted.config))
}

pub(crate) fn start_new(maker: Maker<'_>, device: &NodeDevice) -> Result<DeviceName> {
    let wanted = Wanted::of(maker.devices, device)?;
    let waiter = Waiter::new(maker.devices)?;
    let mdev = wanted.mdev(maker)?;
    let Mdev { uuid, parent } = &mdev;
    let done = maker.engine.change_mdev(&mdev, &MdevAct::Create(&wanted.config), false);
    let lost = |undone: String| {
        let detail = format!("mediated device '{uuid}' was started and did not appear; {undone}");
        Error::internal(ErrorDomain::NODEDEV, detail)
    };
    let stopped = || "it was stopped again".to_owned();
    match done {
        Ok(_) => {}
        // The kernel has no such device although mdevctl says so: that was undone.
        Err(OpsError::ChangeNotReached { .. }) => return Err(lost(stopped())),
        Err(error) => return Err(told(error)),
    }
    let name = name_of(*uuid, parent);
    let active = |devices: &Devices<'_>| {
        let is_active = devices.is_active(name.as_str()).is_ok_and(|active| active);
        is_active.then(|| devices.lookup(name.as_str()).ok())?
    };
    waiter.wait(APPEARANCE, active).ok_or_else(|| {
        lost(match act(maker, &mdev, &MdevAct::Destroy) {
            Ok(()) => stopped(),
            Err(error) => format!("and it could not be stopped again: {error}"),
        })
    })
}

pub(crate) fn plan_definition(maker: Maker<'_>, device: &NodeDevice) -> Result<ChangePlan> {
    let wanted = Wanted::of(maker.devices, device)?;
    plan(maker, &wanted.mdev(maker)?, &MdevAct::Define(&wanted.config))
}

pub(crate) fn define(maker: Maker<'_>, device: &NodeDevice) -> Result<DeviceName> {
    let wanted = Wanted::of(maker.devices, device)?;
    let waiter = Waiter::new(maker.devices)?;
    let config = &wanted.config;
    let mdev = wanted.mdev(maker)?;
    act(maker, &mdev, &MdevAct::Define(config))?;
    let name = name_of(mdev.uuid, &mdev.parent);
    let defined = |devices: &Devices<'_>| {
        let is_so = definition(devices, &name).is_some_and(|found| found == *config);
        is_so.then(|| devices.lookup(name.as_str()).ok())?
    };
    // It is defined, whether or not that has been noticed.
    Ok(waiter.wait(NOTICE, defined).unwrap_or(name.clone()))
}

/// What is done with a device that exists, by its name alone.
pub(crate) fn plan_act(maker: Maker<'_>, name: &str, what: &MdevAct<'_>) -> Result<ChangePlan> {
    plan(maker, &Known::of(maker.devices, name)?.mdev()?, what)
}

/// Does something with a device that exists, and waits until `is_so`.
fn act_on(
    maker: Maker<'_>,
    name: &str,
    what: &MdevAct<'_>,
    is_so: impl Fn(&Devices<'_>) -> bool,
) -> Result<()> {
    let mdev = Known::of(maker.devices, name)?.mdev()?;
    let waiter = Waiter::new(maker.devices)?;
    act(maker, &mdev, what)?;
    let _ = waiter.wait(NOTICE, |devices| is_so(devices).then_some(()));
    Ok(())
}

pub(crate) fn start(maker: Maker<'_>, name: &str) -> Result<()> {
    act_on(maker, name, &MdevAct::Start, |devices| devices.is_active(name).is_ok_and(|active| active))
}

pub(crate) fn stop(maker: Maker<'_>, name: &str) -> Result<()> {
    act_on(maker, name, &MdevAct::Destroy, |devices| devices.is_active(name).is_ok_and(|active| active).not())
}

pub(crate) fn undefine(maker: Maker<'_>, name: &str) -> Result<()> {
    let is_gone = |devices: &Devices<'_>| devices.is_persistent(name).is_ok_and(|known| known).not();
    act_on(maker, name, &MdevAct::Undefine, is_gone)
}

pub(crate) fn set_autostart(maker: Maker<'_>, name: &str, autostart: bool) -> Result<()> {
    let is_so = |devices: &Devices<'_>| devices.autostart(name).is_ok_and(|now| now == autostart);
    act_on(maker, name, &MdevAct::SetAutostart(autostart), is_so)
}

/// What a document would change of a device.
struct Update {
    mdev: Mdev,
    config: MdevConfig,
    defined: bool,
    live: bool,
}

impl Update {
    fn of(maker: Maker<'_>, name: &str, document: &NodeDevice, flags: UpdateFlags) -> Result<Self> {
        let known = Known::of(maker.devices, name)?;
        let wanted = Wanted::of(maker.devices, document)?;
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
        Ok(Self { mdev: known.mdev()?, config: wanted.config, defined, live })
    }

    fn act(&self) -> MdevAct<'_> {
        MdevAct::Update { config: &self.config, defined: self.defined, live: self.live }
    }
}

pub(crate) fn plan_update(
    maker: Maker<'_>,
    name: &str,
    document: &NodeDevice,
    flags: UpdateFlags,
) -> Result<ChangePlan> {
    let update = Update::of(maker, name, document, flags)?;
    plan(maker, &update.mdev, &update.act())
}

pub(crate) fn update(maker: Maker<'_>, name: &str, document: &NodeDevice, flags: UpdateFlags) -> Result<()> {
    let update = Update::of(maker, name, document, flags)?;
    let waiter = Waiter::new(maker.devices)?;
    act(maker, &update.mdev, &update.act())?;
    if update.defined {
        let name: DeviceName = name.parse().map_err(|_| Error::no_device(ErrorDomain::NODEDEV, name))?;
        let is_so =
            |devices: &Devices<'_>| definition(devices, &name).filter(|found| *found == update.config);
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
