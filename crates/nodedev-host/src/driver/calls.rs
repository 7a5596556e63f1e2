//! libvirt's functions.

use std::borrow::Cow;
use std::sync::PoisonError;

use nodedev_driver::{
    Caller, Changes as _, CreateFlags, DetachOptions, DeviceRef, Error, ErrorDomain, HostInfo,
    LIBVIRT_VERSION, LibvirtCalls, ListFlags, Operations as _, ReattachOptions, ResetOptions, Result, Rules,
    UpdateFlags, View, Watch, XmlFlags, XmlVisitor,
};
use nodedev_model::{CapabilityType, DeviceName, FcHost, NodeDevice, Text};
use nodedev_sys::paths::basename;
use nodedev_xml::Form;

use super::{HostDriver, exhausted};
use crate::classify::Kind;
use crate::describe::scsi;
use crate::host_info;
use crate::kernel::Issues;
use crate::making::{KnownDevices as _, mdev, vhba};
use crate::refuse::{self, Makeable};
use crate::shared::Known;

impl LibvirtCalls for HostDriver {
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        self.select(flags, true)
    }

    fn count(&self, flags: ListFlags) -> Result<usize> {
        Ok(self.select(flags, false)?.len())
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        Ok(self.select(flags, false)?.into_iter().map(|device| device.name).collect())
    }

    fn count_names(&self, capability: Option<&str>, flags: u32) -> Result<usize> {
        no_flags(flags, "nodeNumOfDevices")?;
        with_capability(capability).map_or(Ok(0), |flags| self.count(flags))
    }

    fn names(&self, capability: Option<&str>, most: Option<usize>, flags: u32) -> Result<Vec<DeviceName>> {
        no_flags(flags, "nodeListDevices")?;
        let mut names = with_capability(capability).map_or(Ok(Vec::new()), |flags| self.list_names(flags))?;
        names.truncate(most.unwrap_or(usize::MAX));
        Ok(names)
    }

    fn lookup(&self, name: &str) -> Result<DeviceName> {
        self.with(name, |index, id| index.entry(id).name.clone())
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str, flags: u32) -> Result<DeviceName> {
        no_flags(flags, "nodeDeviceLookupSCSIHostByWWN")?;
        let issues = Issues::default();
        let key = (Text::from(wwnn), Text::from(wwpn));
        let names_of = |path: &[u8]| match scsi::fibre_channel(self.root(), basename(path), &issues).0 {
            Some(FcHost { wwnn: Some(wwnn), wwpn: Some(wwpn), .. }) => Some((wwnn, wwpn)),
            _ => None,
        };
        let mut known = self.by_wwn.lock().unwrap_or_else(PoisonError::into_inner);
        // Names of a port can change, so a hit is looked at again, and a miss looks at all ports.
        if let Some(name) = known.get(&key)
            && let Some(device) = self.shared.known(name)
            && names_of(&device.path).as_ref() == Some(&key)
        {
            return self.lookup(name.as_str());
        }
        known.clear();
        self.complete()?;
        let hosts: Vec<(DeviceName, Box<[u8]>)> = {
            let index = self.shared.index();
            let entries = index.sorted().map(|id| index.entry(id));
            let hosts = entries.filter(|entry| entry.kind == Kind::Libvirt(CapabilityType::ScsiHost));
            hosts.map(|entry| (entry.name.clone(), entry.path.clone())).collect()
        };
        for (name, path) in hosts {
            if let Some(names) = names_of(&path) {
                known.entry(names).or_insert(name);
            }
        }
        if let Some(number) = issues.exhausted() {
            return Err(exhausted(number, "cannot look at all ports of Fibre Channel"));
        }
        let name = known.get(&key).cloned().ok_or_else(Error::unknown_cause)?;
        self.lookup(name.as_str())
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        flags.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
        let device = self.describe(self.with(name, Known::copy)?)?;
        let mut text = Vec::new();
        write_xml(&device, flags, &mut text)?;
        Ok(text)
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        self.with(name, |index, id| {
            index.parent(id, View::Libvirt).map(|parent| index.entry(parent).name.clone())
        })
    }

    fn count_capabilities(&self, name: &str) -> Result<usize> {
        Ok(self.kinds(name)?.len())
    }

    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>> {
        let kinds = self.kinds(name)?.into_iter().take(most.unwrap_or(usize::MAX));
        Ok(kinds.map(|kind| kind.as_str().into()).collect())
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.with(name, |index, id| index.state(id).active)
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.with(name, |index, id| index.state(id).persistent)
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        self.with(name, |index, id| index.state(id).autostart)
    }

    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        xml.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
        self.visit_documents(list, xml, visit)
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        let wanted = refuse::create_xml(self, xml, flags)?;
        self.serves("virNodeDeviceCreateXML")?;
        match wanted {
            (Makeable::Mdev, device) => mdev::start_new(self.maker(), &device),
            (Makeable::Vhba, device) => vhba::create(self.maker(), &device),
        }
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        let wanted = refuse::define_xml(self, xml, flags)?;
        self.serves("virNodeDeviceDefineXML")?;
        mdev::define(self.maker(), &wanted)
    }

    fn destroy(&self, name: &str) -> Result<()> {
        let kind = refuse::destroy(self, name)?;
        self.serves("virNodeDeviceDestroy")?;
        match kind {
            Makeable::Mdev => mdev::stop(self.maker(), name),
            Makeable::Vhba => vhba::delete(self.maker(), name),
        }
    }

    fn undefine(&self, name: &str, flags: u32) -> Result<()> {
        no_flags(flags, "nodeDeviceUndefine")?;
        refuse::undefine(self, name)?;
        self.serves("virNodeDeviceUndefine")?;
        mdev::undefine(self.maker(), name)
    }

    fn create(&self, name: &str, flags: u32) -> Result<()> {
        no_flags(flags, "nodeDeviceCreate")?;
        refuse::create(self, name)?;
        self.serves("virNodeDeviceCreate")?;
        mdev::start(self.maker(), name)
    }

    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()> {
        let wanted = refuse::update(self, name, xml, flags)?;
        self.serves("virNodeDeviceUpdate")?;
        mdev::update(self.maker(), name, &wanted, flags)
    }

    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()> {
        if refuse::set_autostart(self, name, autostart)? {
            self.serves("virNodeDeviceSetAutostart")?;
            mdev::set_autostart(self.maker(), name, autostart)?;
        }
        Ok(())
    }

    fn detach(&self, name: &str) -> Result<()> {
        self.detach_with(name, &for_this_process(None)).map(drop)
    }

    fn detach_flags(&self, name: &str, kernel_driver: Option<&str>, flags: u32) -> Result<()> {
        // None are known.
        if flags != 0 {
            return Err(Error::no_support("virNodeDeviceDetachFlags"));
        }
        self.serves("virNodeDeviceDetachFlags")?;
        self.detach_with(name, &for_this_process(kernel_driver)).map(drop)
    }

    fn reattach(&self, name: &str) -> Result<()> {
        let options = ReattachOptions { rules: Rules::Libvirt, ..ReattachOptions::default() };
        self.reattach_with(name, &options).map(drop)
    }

    fn reset(&self, name: &str) -> Result<()> {
        self.reset_with(name, &ResetOptions { rules: Rules::Libvirt, ..ResetOptions::default() }).map(drop)
    }

    fn events(&self) -> Result<Watch> {
        self.watch(None)
    }

    fn driver_type(&self) -> Result<Text> {
        Ok("nodedev".into())
    }

    fn version(&self) -> Result<u64> {
        Err(Error::no_support_of_connection("virConnectGetVersion"))
    }

    fn library_version(&self) -> Result<u64> {
        Ok(LIBVIRT_VERSION)
    }

    fn host_name(&self) -> Result<Text> {
        let name = host_info::name(self.root());
        name.map(Text::from).ok_or_else(|| Error::no_support_of_connection("virConnectGetHostname"))
    }

    fn host_capabilities(&self) -> Result<Text> {
        Ok(host_info::read(self.root()).capabilities_xml().into())
    }

    fn max_vcpus(&self, _kind: Option<&str>) -> Result<i32> {
        Err(Error::no_support_of_connection("virConnectGetMaxVcpus"))
    }

    fn sysinfo(&self, _flags: u32) -> Result<Text> {
        Err(Error::no_support_of_connection("virConnectGetSysinfo"))
    }

    fn host_info(&self) -> Result<HostInfo> {
        Ok(host_info::read(self.root()))
    }
}

/// Refuses flags of a function that has none.
fn no_flags(flags: u32, function: &str) -> Result<()> {
    if flags == 0 { Ok(()) } else { Err(Error::unsupported_flags(ErrorDomain::NODEDEV, flags, function)) }
}

/// What selects the devices with a capability; nothing where there can be none, as nobody knows it.
fn with_capability(capability: Option<&str>) -> Option<ListFlags> {
    match capability.map(str::parse::<CapabilityType>) {
        None => Some(ListFlags::empty()),
        Some(kind) => kind.ok().map(ListFlags::capability),
    }
}

/// What libvirt's function asks for in a program that calls it in this process.
fn for_this_process(kernel_driver: Option<&str>) -> DetachOptions {
    DetachOptions {
        kernel_driver: kernel_driver.map(str::to_owned),
        caller: Caller::Process(std::process::id()),
        rules: Rules::Libvirt,
        ..DetachOptions::default()
    }
}

/// Writes a device as its state asks for: an inactive one is described by its definition.
pub(super) fn write_xml(device: &NodeDevice, flags: XmlFlags, text: &mut Vec<u8>) -> Result<()> {
    let inactive = flags.contains(XmlFlags::INACTIVE);
    if inactive && !device.state.persistent {
        return Err(Error::not_persistent(ErrorDomain::NODEDEV, device.name.as_str()));
    }
    let form = if inactive || !device.state.active { Form::Inactive } else { Form::Live };
    nodedev_xml::write_into(text, device, form);
    Ok(())
}
