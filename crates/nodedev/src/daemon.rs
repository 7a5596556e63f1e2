//! Values of a daemon's devices, read from its documents: libvirt's wire has nothing else.

use std::collections::HashMap;
use std::ops::ControlFlow;

use nodedev_driver::{
    CreateFlags, DeviceRef, DeviceVisitor, Driver, Entry, Error, ErrorCode, HostInfo, ListFlags, Result,
    Revision, Snapshot, UpdateFlags, View, Watch, XmlFlags, XmlVisitor,
};
use nodedev_model::{Capability, CapabilityType, DeviceName, DeviceState, Issue, NodeDevice, Visibility};
use nodedev_remote::RemoteDriver;
use nodedev_xml::{Dialect, Form, ParseOptions, XmlError};

/// A daemon's devices, also as values of libvirt's view.
pub(crate) struct Daemon(RemoteDriver);

/// What a device's document tells of it: the device as a daemon would show it.
///
/// For comparing devices of this machine or of a recording with those of a daemon.
///
/// # Errors
/// If what the device says of itself cannot be read from XML again.
pub fn reduce_to_documents(device: &NodeDevice) -> std::result::Result<NodeDevice, XmlError> {
    let form = if device.state.active { Form::Live } else { Form::Inactive };
    parse(&nodedev_xml::write(device, form), device.state)
}

fn parse(document: &[u8], state: DeviceState) -> std::result::Result<NodeDevice, XmlError> {
    let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
    // What devices say of themselves need not be UTF-8; what is not is replaced, as in JSON.
    let mut device = match std::str::from_utf8(document) {
        Ok(_) => nodedev_xml::parse(document, options)?,
        Err(_) => nodedev_xml::parse(String::from_utf8_lossy(document).as_bytes(), options)?,
    };
    device.state = state;
    if state.active {
        device.activate_definition();
    }
    for capability in &mut device.capabilities {
        match capability {
            // A document has one configuration, which is the definition's only where there is one.
            Capability::Mdev(mdev) if !state.persistent => mdev.defined = None,
            // libvirt has them in the order of the folder in sysfs, which is arbitrary.
            Capability::Pci(pci) => {
                pci.iommu_group.iter_mut().for_each(|group| group.devices.sort_unstable())
            }
            _ => {}
        }
    }
    Ok(device)
}

impl Daemon {
    pub(crate) fn new(driver: RemoteDriver) -> Self {
        Self(driver)
    }

    /// Life of every device, in a few calls however many there are.
    fn states(&self) -> Result<HashMap<DeviceName, DeviceState>> {
        let mut states = HashMap::new();
        let inactive = DeviceState { active: false, persistent: false, autostart: false };
        for name in self.0.list_names(ListFlags::ACTIVE)? {
            states.entry(name).or_insert(inactive).active = true;
        }
        let persistent = self.0.list_names(ListFlags::PERSISTENT)?;
        for name in &persistent {
            states.entry(name.clone()).or_insert(inactive).persistent = true;
        }
        let autostarts = match self.0.autostarts(&persistent) {
            Err(error) if error.code() == ErrorCode::NO_SUPPORT => Vec::new(),
            autostarts => autostarts?,
        };
        for (name, autostart) in autostarts {
            states.entry(name).or_insert(inactive).autostart = autostart;
        }
        Ok(states)
    }

    fn state(&self, name: &str) -> Result<DeviceState> {
        let persistent = self.0.is_persistent(name)?;
        let autostart = match self.0.autostart(name) {
            _ if !persistent => false,
            Err(error) if error.code() == ErrorCode::NO_SUPPORT => false,
            autostart => autostart?,
        };
        Ok(DeviceState { active: self.0.is_active(name)?, persistent, autostart })
    }
}

/// Calls that the wire has as they are.
macro_rules! passed_on {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> Result<$result> {
            self.0.$name($($argument),*)
        })*
    };
}

impl Driver for Daemon {
    passed_on! {
        list(flags: ListFlags) -> Vec<DeviceRef>;
        list_names(flags: ListFlags) -> Vec<DeviceName>;
        names(capability: Option<&str>) -> Vec<DeviceName>;
        lookup(name: &str) -> DeviceRef;
        lookup_scsi_host_by_wwn(wwnn: &str, wwpn: &str) -> DeviceRef;
        xml(name: &str, flags: XmlFlags) -> Vec<u8>;
        parent(name: &str) -> Option<DeviceName>;
        capabilities(name: &str) -> Vec<CapabilityType>;
        is_active(name: &str) -> bool;
        is_persistent(name: &str) -> bool;
        autostart(name: &str) -> bool;
        visit_xml(list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> ();
        create_xml(xml: &[u8], flags: CreateFlags) -> DeviceRef;
        define_xml(xml: &[u8], flags: CreateFlags) -> DeviceRef;
        destroy(name: &str) -> ();
        undefine(name: &str) -> ();
        create(name: &str) -> ();
        update(name: &str, xml: &[u8], flags: UpdateFlags) -> ();
        set_autostart(name: &str, autostart: bool) -> ();
        detach(name: &str, kernel_driver: Option<&str>) -> ();
        reattach(name: &str) -> ();
        reset(name: &str) -> ();
        snapshot(view: View) -> Snapshot;
        watch(since: Option<Revision>) -> Watch;
        host_info() -> HostInfo;
    }

    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        if view == View::Native {
            return self.0.entries(view);
        }
        let mut entries = Vec::new();
        self.visit(view, &mut |device| {
            entries.push(Entry {
                name: device.name.clone(),
                parent: device.parent.clone(),
                kind: device.capability_types().next().map_or("", CapabilityType::as_str).into(),
                visibility: Visibility::Libvirt,
                state: device.state,
            });
            ControlFlow::Continue(())
        })?;
        Ok(entries)
    }

    fn device(&self, name: &str) -> Result<NodeDevice> {
        let document = self.0.xml(name, XmlFlags::empty())?;
        Ok(parse(&document, self.state(name)?)?)
    }

    /// What could not be read are documents that make no sense, and devices that the daemon could not describe.
    fn visit(&self, view: View, visit: &mut DeviceVisitor<'_>) -> Result<Vec<Issue>> {
        if view == View::Native {
            return Err(Error::no_native_view());
        }
        let states = self.states()?;
        let mut issues = Vec::new();
        self.0.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |name, document| {
            let state = states.get(name).copied().unwrap_or_default();
            let device = document.and_then(|document| parse(document, state).map_err(Error::from));
            match device {
                Ok(device) => visit(&device),
                Err(error) => {
                    let (path, problem) = ("document".to_owned(), error.to_string());
                    issues.push(Issue { device: Some(name.clone()), path, problem });
                    ControlFlow::Continue(())
                }
            }
        })?;
        Ok(issues)
    }
}
