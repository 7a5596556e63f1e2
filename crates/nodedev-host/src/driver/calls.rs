//! The calls of the trait.

use std::ops::ControlFlow;
use std::sync::PoisonError;

use nodedev_change::{MdevAct, ResetRequest, Survey};
use nodedev_driver::{
    Caller, ChangeRequest, CreateFlags, DetachOptions, DeviceRef, DeviceVisitor, Driver, Entry, Error,
    ErrorDomain, ExplainOptions, HostInfo, ListFlags, ReattachOptions, ResetOptions, Result, Revision,
    Snapshot, UpdateFlags, View, Watch, XmlFlags, XmlVisitor,
};
use nodedev_model::{
    CapabilityType, ChangePlan, DeviceName, Explanation, FcHost, HandoverPlan, Handovers, Issue, NodeDevice,
    Text, Visibility,
};
use nodedev_sys::paths::{self, basename};
use nodedev_xml::Form;

use super::change_error::told;
use super::{HostDriver, exhausted, exhausted_at_host, reference};
use crate::classify::Kind;
use crate::describe::scsi;
use crate::host_info;
use crate::index::{COMPUTER, Index};
use crate::kernel::Issues;
use crate::making::{mdev, vhba};
use crate::refuse::{self, Makeable};
use crate::shared::{Known, view_entry};

impl Driver for HostDriver {
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        self.select(flags, true)
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        Ok(self.select(flags, false)?.into_iter().map(|device| device.name).collect())
    }

    fn names(&self, capability: Option<&str>) -> Result<Vec<DeviceName>> {
        let flags = match capability.map(str::parse::<CapabilityType>) {
            None => ListFlags::empty(),
            Some(Ok(kind)) => ListFlags::capability(kind),
            Some(Err(_)) => return Ok(Vec::new()),
        };
        self.list_names(flags)
    }

    fn lookup(&self, name: &str) -> Result<DeviceRef> {
        self.with(name, |index, id| reference(index, id, index.parent(id, View::Libvirt)))
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str) -> Result<DeviceRef> {
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

    fn capabilities(&self, name: &str) -> Result<Vec<CapabilityType>> {
        Ok(self.describe(self.with(name, Known::copy)?)?.capability_types().collect())
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
        let describer = self.describer_of_all()?;
        let mut text = Vec::new();
        for name in self.list_names(list)? {
            let issues = Issues::default();
            let known = self.shared.known(&name).filter(|known| known.visibility == Visibility::Libvirt);
            let device = known.and_then(|known| describer.describe(known, &issues));
            if let Some(number) = issues.exhausted() {
                let error = exhausted(number, format_args!("cannot look at '{name}'"));
                if visit(&name, Err(error)).is_break() {
                    break;
                }
                continue;
            }
            let Some(device) = device else { continue };
            text.clear();
            let written = write_xml(&device, xml, &mut text);
            if visit(&device.name, written.map(|()| text.as_slice())).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
        let wanted = refuse::create_xml(self, xml, flags)?;
        self.serves("virNodeDeviceCreateXML")?;
        match wanted {
            (Makeable::Mdev, device) => mdev::start_new(self.maker(), &device),
            (Makeable::Vhba, device) => vhba::create(self.maker(), &device),
        }
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
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

    fn undefine(&self, name: &str) -> Result<()> {
        refuse::undefine(self, name)?;
        self.serves("virNodeDeviceUndefine")?;
        mdev::undefine(self.maker(), name)
    }

    fn create(&self, name: &str) -> Result<()> {
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

    fn detach(&self, name: &str, kernel_driver: Option<&str>) -> Result<()> {
        self.detach_for(name, kernel_driver, Caller::Unknown)
    }

    fn detach_for(&self, name: &str, kernel_driver: Option<&str>, caller: Caller) -> Result<()> {
        let with_flags = kernel_driver.is_some();
        self.serves(if with_flags { "virNodeDeviceDetachFlags" } else { "virNodeDeviceDettach" })?;
        self.detach_for_libvirt(name, kernel_driver, caller)
    }

    fn reattach(&self, name: &str) -> Result<()> {
        self.serves("virNodeDeviceReAttach")?;
        self.reattach_for_libvirt(name)
    }

    fn reset(&self, name: &str) -> Result<()> {
        self.serves("virNodeDeviceReset")?;
        let request = ResetRequest { as_libvirt: true, ..ResetRequest::default() };
        self.reset_device(name, &request).map(drop)
    }

    fn reset_with(&self, name: &str, options: &ResetOptions) -> Result<HandoverPlan> {
        let ResetOptions { force, dry_run } = *options;
        self.reset_device(name, &ResetRequest { force, dry_run, as_libvirt: false })
    }

    fn plan_change(&self, request: &ChangeRequest<'_>) -> Result<ChangePlan> {
        let maker = self.maker();
        match *request {
            ChangeRequest::Create { xml, flags } => match refuse::create_xml(self, xml, flags)? {
                (Makeable::Mdev, device) => mdev::plan_new(maker, &device),
                (Makeable::Vhba, device) => vhba::plan_new(maker, &device),
            },
            ChangeRequest::Define { xml, flags } => {
                mdev::plan_definition(maker, &refuse::define_xml(self, xml, flags)?)
            }
            ChangeRequest::Start(name) => {
                refuse::create(self, name)?;
                mdev::plan_act(maker, name, &MdevAct::Start)
            }
            ChangeRequest::Destroy(name) => match refuse::destroy(self, name)? {
                Makeable::Mdev => mdev::plan_act(maker, name, &MdevAct::Destroy),
                Makeable::Vhba => vhba::plan_delete(maker, name),
            },
            ChangeRequest::Undefine(name) => {
                refuse::undefine(self, name)?;
                mdev::plan_act(maker, name, &MdevAct::Undefine)
            }
            ChangeRequest::Update { name, xml, flags } => {
                mdev::plan_update(maker, name, &refuse::update(self, name, xml, flags)?, flags)
            }
            ChangeRequest::SetAutostart { name, autostart } => {
                let is_change = refuse::set_autostart(self, name, autostart)?;
                let plan = mdev::plan_act(maker, name, &MdevAct::SetAutostart(autostart))?;
                Ok(if is_change { plan } else { plan.unchanged() })
            }
        }
    }

    fn explain(&self, name: &str, options: &ExplainOptions) -> Result<Explanation> {
        self.explain_seen(&Survey::at(self.operations(), options.connected_at), name, options)
    }

    fn explain_each(
        &self,
        names: &[&str],
        options: &ExplainOptions,
        tell: &mut dyn FnMut(&str, Result<Explanation>) -> ControlFlow<()>,
    ) {
        let survey = Survey::at(self.operations(), options.connected_at);
        for name in names {
            if tell(name, self.explain_seen(&survey, name, options)).is_break() {
                break;
            }
        }
    }

    fn detach_each(
        &self,
        names: &[&str],
        options: &DetachOptions,
        tell: &mut dyn FnMut(&str, Result<HandoverPlan>) -> ControlFlow<()>,
    ) {
        // What one device is detached of is not what was seen before any more.
        let survey = options.dry_run.then(|| Survey::at(self.operations(), options.connected_at));
        for name in names {
            if tell(name, self.detach_device(name, options, survey.as_ref())).is_break() {
                break;
            }
        }
    }

    fn detach_with(&self, name: &str, options: &DetachOptions) -> Result<HandoverPlan> {
        self.detach_device(name, options, None)
    }

    fn reattach_with(&self, name: &str, options: &ReattachOptions) -> Result<HandoverPlan> {
        self.reattach_device(name, options)
    }

    fn handovers(&self) -> Result<Handovers> {
        self.operations().handovers().map_err(told)
    }

    fn forget_handover(&self, name: &str) -> Result<bool> {
        self.forget(name)
    }

    fn recover_handovers(&self) -> Result<Vec<Issue>> {
        self.operations().recover().map_err(told)
    }

    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        self.complete()?;
        Ok(entries(&self.shared.index(), view))
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        self.describe_by(&self.describer().natively(), self.with_any(name, Known::copy)?)
    }

    fn visit(&self, view: View, visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>> {
        let issues = Issues::default();
        let describer = self.describer_of_all()?.natively();
        let mut scratch = Vec::new();
        for name in self.all_names(view)? {
            let Some(known) = self.shared.known(&name) else { continue };
            let Some(device) = describer.describe(known, &issues) else { continue };
            report_replaced(&device, &mut scratch, &issues);
            if visit(&device).is_break() {
                break;
            }
        }
        if let Some(number) = issues.exhausted() {
            return Err(exhausted_at_host(number));
        }
        let mut all = self.shared.all_issues();
        all.extend(issues.into_inner());
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn snapshot(&self, view: View) -> Result<Snapshot> {
        self.follow()?;
        // Changes come into the index and into the history together, while nobody else has the index.
        let index = self.shared.index();
        Ok(Snapshot { revision: self.shared.log.revision(), entries: entries(&index, view) })
    }

    fn revision(&self) -> Option<Revision> {
        let is_followed = self.shared.is_followed() && !self.shared.log.has_ended();
        is_followed.then(|| self.shared.log.revision())
    }

    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        self.follow()?;
        self.shared.log.watch(since)
    }

    fn host_info(&self) -> Result<HostInfo> {
        Ok(host_info::read(self.root()))
    }

    fn issues(&self) -> Result<Vec<Issue>> {
        self.visit(View::Native, &mut |_| ControlFlow::Continue(()))
    }
}

fn entries(index: &Index, view: View) -> Vec<Entry> {
    let parents = index.parents(view);
    let shown = index.sorted().filter(|&id| index.shows(id, view));
    shown
        .map(|id| view_entry(index, id, parents.get(id as usize).copied().filter(|_| id != COMPUTER)))
        .collect()
}

/// Reports texts of a device that are not UTF-8: its document has something else in their places.
fn report_replaced(device: &NodeDevice, scratch: &mut Vec<u8>, issues: &Issues) {
    if device.visibility == Visibility::Native {
        return;
    }
    let before = issues.len();
    for element in nodedev_xml::replaced_texts(scratch, device) {
        let path = device.syspath.as_ref().map_or_else(|| format!("/{}", paths::DMI), ToString::to_string);
        issues.push(
            path,
            format!("the text of '{element}' is not UTF-8; XML has U+FFFD in the place of its bytes"),
        );
    }
    issues.attribute(before, &device.name);
}

/// Writes a device as its state asks for: an inactive one is described by its definition.
fn write_xml(device: &NodeDevice, flags: XmlFlags, text: &mut Vec<u8>) -> Result<()> {
    let inactive = flags.contains(XmlFlags::INACTIVE);
    if inactive && !device.state.persistent {
        return Err(Error::not_persistent(ErrorDomain::NODEDEV, device.name.as_str()));
    }
    let form = if inactive || !device.state.active { Form::Inactive } else { Form::Live };
    nodedev_xml::write_into(text, device, form);
    Ok(())
}
