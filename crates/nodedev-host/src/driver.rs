use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, OnceLock, PoisonError};

use nodedev_driver::{
    CreateFlags, DeviceRef, DeviceVisitor, Driver, Entry, Error, ErrorDomain, ListFlags, Result, UpdateFlags,
    View, XmlFlags, XmlVisitor,
};
use nodedev_model::{CapabilityType, DeviceName, FcHost, Issue, NodeDevice, Text, Visibility};
use nodedev_sys::Root;
use nodedev_sys::paths::basename;
use nodedev_xml::Form;

use crate::classify::Kind;
use crate::describe::{Describer, scsi};
use crate::index::{COMPUTER, Id, Index};
use crate::kernel::Issues;
use crate::pci_ids::PciIds;
use crate::refuse;
use crate::scan::{self, Uevents};

/// Types that only a look at the device itself can tell, since they are nested in others.
const NESTED: ListFlags = ListFlags::CAP_FC_HOST
    .union(ListFlags::CAP_VPORTS)
    .union(ListFlags::CAP_MDEV_TYPES)
    .union(ListFlags::CAP_VPD)
    .union(ListFlags::CAP_CCWGROUP_MEMBER);

/// The node devices of a host: this machine, or a recording of one.
#[derive(Debug)]
pub struct HostDriver {
    root: Root,
    /// The index and what could not be read for it, made by the first call that needs it.
    scanned: OnceLock<(Index, Vec<Issue>)>,
    pci_ids: PciIds,
    /// SCSI hosts by their World Wide Names (node, port), as last seen.
    by_wwn: Mutex<HashMap<(Text, Text), Id>>,
}

impl HostDriver {
    /// A driver for a host. The first call reads what names, parents and kinds of all devices need. This index is not
    /// kept up to date with what happens on the host later; descriptions are always fresh.
    pub fn new(root: Root) -> Self {
        Self { root, scanned: OnceLock::new(), pci_ids: PciIds::default(), by_wwn: Mutex::default() }
    }

    /// The root that the host is read through.
    pub fn root(&self) -> &Root {
        &self.root
    }

    fn scanned(&self, uevents: Option<&mut Uevents>) -> &(Index, Vec<Issue>) {
        self.scanned.get_or_init(|| {
            let issues = Issues::default();
            let index = scan::scan(&self.root, &issues, uevents);
            (index, issues.into_inner())
        })
    }

    fn index(&self) -> &Index {
        &self.scanned(None).0
    }

    fn describer(&self) -> Describer<'_> {
        Describer::new(&self.root, self.index(), &self.pci_ids, Uevents::default())
    }

    /// For a pass over all devices: where the host must be looked at first, that look's reading serves the pass too.
    fn describer_of_all(&self) -> Describer<'_> {
        let mut uevents = Uevents::default();
        let (index, _) = self.scanned(Some(&mut uevents));
        Describer::new(&self.root, index, &self.pci_ids, uevents)
    }

    /// The device of a name, in the libvirt view.
    fn find(&self, name: &str) -> Result<Id> {
        self.find_any(name).and_then(|id| match self.index().entry(id).visibility {
            Visibility::Libvirt => Ok(id),
            Visibility::Native => Err(Error::no_device(ErrorDomain::NODEDEV, name)
                .with_help("libvirt does not represent this device; `nodedev show` describes it")),
        })
    }

    fn find_any(&self, name: &str) -> Result<Id> {
        self.index().by_name(name).ok_or_else(|| {
            let names: Vec<&DeviceName> =
                self.index().sorted().map(|id| &self.index().entry(id).name).collect();
            let near = nodedev_driver::near_matches(name, names.iter().copied());
            Error::no_device(ErrorDomain::NODEDEV, name).with_suggestions(&near)
        })
    }

    fn libvirt_devices(&self) -> impl Iterator<Item = Id> {
        self.index().sorted().filter(|&id| self.index().entry(id).visibility == Visibility::Libvirt)
    }

    fn reference(&self, id: Id) -> DeviceRef {
        DeviceRef { name: self.index().entry(id).name.clone(), parent: self.parent_of(id) }
    }

    fn parent_of(&self, id: Id) -> Option<DeviceName> {
        (id != COMPUTER).then(|| self.index().entry(self.index().entry(id).parent).name.clone())
    }

    fn describe(&self, id: Id) -> Result<NodeDevice> {
        self.describer().describe(id, &Issues::default()).ok_or_else(|| {
            Error::no_device(ErrorDomain::NODEDEV, self.index().entry(id).name.as_str())
                .with_help("it is gone by now")
        })
    }

    /// The devices that flags select. Only nested types make it look at the devices themselves.
    fn select(&self, flags: ListFlags) -> Result<Vec<Id>> {
        flags.check(ErrorDomain::NODEDEV, "nodeConnectListAllNodeDevices")?;
        let describer = self.describer();
        let issues = Issues::default();
        let deep = flags.intersects(NESTED);
        Ok(self
            .libvirt_devices()
            .filter(|&id| {
                let entry = self.index().entry(id);
                let Kind::Libvirt(kind) = entry.kind else { return false };
                let mut capabilities = kind.bit();
                if deep && may_nest(kind) {
                    let described = describer.describe(id, &issues);
                    let nested = described.iter().flat_map(|device| device.capability_types());
                    capabilities = nested.fold(capabilities, |bits, kind| bits | kind.bit());
                }
                flags.selects(capabilities, entry.state)
            })
            .collect())
    }
}

/// Whether devices of this type can have nested types.
fn may_nest(kind: CapabilityType) -> bool {
    use CapabilityType as T;
    matches!(kind, T::Pci | T::ScsiHost | T::Css | T::ApMatrix | T::Ccw)
}

impl Driver for HostDriver {
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        Ok(self.select(flags)?.into_iter().map(|id| self.reference(id)).collect())
    }

    fn names(&self, capability: Option<&str>) -> Result<Vec<DeviceName>> {
        let flags = match capability.map(str::parse::<CapabilityType>) {
            None => ListFlags::empty(),
            Some(Ok(kind)) => ListFlags::capability(kind),
            Some(Err(_)) => return Ok(Vec::new()),
        };
        Ok(self.select(flags)?.into_iter().map(|id| self.index().entry(id).name.clone()).collect())
    }

    fn lookup(&self, name: &str) -> Result<DeviceRef> {
        self.find(name).map(|id| self.reference(id))
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str) -> Result<DeviceRef> {
        let issues = Issues::default();
        let key = (Text::from(wwnn), Text::from(wwpn));
        let names_of =
            |id: Id| match scsi::fibre_channel(&self.root, basename(&self.index().entry(id).path), &issues).0
            {
                Some(FcHost { wwnn: Some(wwnn), wwpn: Some(wwpn), .. }) => Some((wwnn, wwpn)),
                _ => None,
            };
        let mut known = self.by_wwn.lock().unwrap_or_else(PoisonError::into_inner);
        // Names of a port can change, so a hit is looked at again, and a miss looks at all ports.
        if let Some(&id) = known.get(&key)
            && names_of(id).as_ref() == Some(&key)
        {
            return Ok(self.reference(id));
        }
        known.clear();
        for id in self.libvirt_devices() {
            if self.index().entry(id).kind == Kind::Libvirt(CapabilityType::ScsiHost)
                && let Some(names) = names_of(id)
            {
                known.entry(names).or_insert(id);
            }
        }
        known.get(&key).map(|&id| self.reference(id)).ok_or_else(Error::unknown_cause)
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        flags.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
        let id = self.find(name)?;
        let device = self.describe(id)?;
        let mut text = Vec::new();
        write_xml(&device, flags, &mut text)?;
        Ok(text)
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        self.find(name).map(|id| self.parent_of(id))
    }

    fn capabilities(&self, name: &str) -> Result<Vec<CapabilityType>> {
        Ok(self.describe(self.find(name)?)?.capability_types().collect())
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.find(name).map(|id| self.index().entry(id).state.active)
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.find(name).map(|id| self.index().entry(id).state.persistent)
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        self.find(name).map(|id| self.index().entry(id).state.autostart)
    }

    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        xml.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
        let describer = self.describer_of_all();
        let mut text = Vec::new();
        for id in self.select(list)? {
            let issues = Issues::default();
            let Some(device) = describer.describe(id, &issues) else { continue };
            text.clear();
            let written = write_xml(&device, xml, &mut text);
            if visit(&device.name, written.map(|()| text.as_slice())).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
        refuse::create_xml(self, xml, flags)?;
        Err(Error::no_support("virNodeDeviceCreateXML"))
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
        refuse::define_xml(self, xml, flags)?;
        Err(Error::no_support("virNodeDeviceDefineXML"))
    }

    fn destroy(&self, name: &str) -> Result<()> {
        refuse::destroy(self, name)?;
        Err(Error::no_support("virNodeDeviceDestroy"))
    }

    fn undefine(&self, name: &str) -> Result<()> {
        refuse::undefine(self, name)?;
        Err(Error::no_support("virNodeDeviceUndefine"))
    }

    fn create(&self, name: &str) -> Result<()> {
        refuse::create(self, name)?;
        Err(Error::no_support("virNodeDeviceCreate"))
    }

    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()> {
        refuse::update(self, name, xml, flags)?;
        Err(Error::no_support("virNodeDeviceUpdate"))
    }

    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()> {
        if refuse::set_autostart(self, name, autostart)? {
            return Err(Error::no_support("virNodeDeviceSetAutostart"));
        }
        Ok(())
    }

    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        Ok(self
            .index()
            .sorted()
            .filter(|&id| view == View::Native || self.index().entry(id).visibility == Visibility::Libvirt)
            .map(|id| {
                let entry = self.index().entry(id);
                let parent = match view {
                    View::Libvirt => entry.parent,
                    View::Native => entry.native_parent,
                };
                Entry {
                    name: entry.name.clone(),
                    parent: (id != COMPUTER).then(|| self.index().entry(parent).name.clone()),
                    kind: Cow::Borrowed(match entry.kind {
                        Kind::Libvirt(kind) => kind.as_str(),
                        Kind::Native(class) => class.word,
                    }),
                    visibility: entry.visibility,
                    state: entry.state,
                }
            })
            .collect())
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        self.describe(self.find_any(name)?)
    }

    fn visit(&self, view: View, visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>> {
        let issues = Issues::default();
        let describer = self.describer_of_all();
        for id in self.index().sorted() {
            if view == View::Libvirt && self.index().entry(id).visibility == Visibility::Native {
                continue;
            }
            let Some(device) = describer.describe(id, &issues) else { continue };
            if visit(&device).is_break() {
                break;
            }
        }
        let mut all = self.scanned(None).1.clone();
        all.extend(issues.into_inner());
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn issues(&self) -> Result<Vec<Issue>> {
        self.visit(View::Native, &mut |_| ControlFlow::Continue(()))
    }
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
