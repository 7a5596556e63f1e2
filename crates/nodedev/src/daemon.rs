//! Values of a daemon's devices, read from its documents: libvirt's wire has nothing else.

use std::collections::HashMap;
use std::ops::ControlFlow;

use nodedev_driver::{
    Changes, DeviceVisitor, Devices, Driver, Entry, Error, ErrorCode, LibvirtCalls, ListFlags, Operations,
    Result, View, XmlFlags,
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
        capability.put_in_order();
        // A document has one configuration, which is the definition's only where there is one.
        if let Capability::Mdev(mdev) = capability
            && !state.persistent
        {
            mdev.defined = None;
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
        for name in active(&self.0)? {
            states.entry(name).or_insert(inactive).active = true;
        }
        let persistent = persistent(&self.0)?;
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

/// A list, if the daemon knows the flag: libvirt before 7.3 has none for active devices, before 10.1 none for persistent ones.
fn known_list(driver: &dyn LibvirtCalls, flag: ListFlags) -> Result<Option<Vec<DeviceName>>> {
    match driver.list_names(flag) {
        Err(error) if error.code() == ErrorCode::INVALID_ARG => Ok(None),
        names => names.map(Some),
    }
}

fn active(driver: &dyn LibvirtCalls) -> Result<Vec<DeviceName>> {
    match known_list(driver, ListFlags::ACTIVE)? {
        Some(names) => Ok(names),
        // Such a daemon has no others.
        None => driver.list_names(ListFlags::empty()),
    }
}

fn persistent(driver: &dyn LibvirtCalls) -> Result<Vec<DeviceName>> {
    if let Some(names) = known_list(driver, ListFlags::PERSISTENT)? {
        return Ok(names);
    }
    // No other devices can be defined.
    let mut names = driver.list_names(ListFlags::CAP_MDEV)?;
    let mut failed = None;
    names.retain(|name| match driver.is_persistent(name.as_str()) {
        Ok(is_persistent) => is_persistent,
        // One that has vanished is none; nor can a daemon have one that does not know the call.
        Err(error) => {
            if !matches!(error.code(), ErrorCode::NO_NODE_DEVICE | ErrorCode::NO_SUPPORT | ErrorCode::RPC) {
                failed.get_or_insert(error);
            }
            false
        }
    });
    failed.map_or(Ok(names), Err)
}

impl Driver for Daemon {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        &self.0
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Ok(self)
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(&self.0)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Err(Error::no_native_call())
    }
}

impl Devices for Daemon {
    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        if view == View::Native {
            return Ok(self.0.snapshot(view)?.entries);
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

#[cfg(test)]
mod tests {
    use nodedev_driver::ErrorDomain;

    use super::*;

    /// A daemon of libvirt's that knows some flags, and no more.
    struct Old {
        known: ListFlags,
        /// What it says of a call that came with libvirt 7.8.
        persistent: Result<bool>,
    }

    impl LibvirtCalls for Old {
        fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
            let unknown = flags.difference(self.known);
            if !unknown.is_empty() {
                let function = "nodeConnectListAllNodeDevices";
                return Err(Error::unsupported_flags(ErrorDomain::NODEDEV, unknown.bits(), function));
            }
            let names: &[&str] = match flags {
                ListFlags::CAP_MDEV => &["mdev_1", "mdev_2"],
                ListFlags::ACTIVE => &["computer", "mdev_1"],
                _ => &["computer", "mdev_1", "mdev_2"],
            };
            Ok(names.iter().map(|name| name.parse().expect("a name")).collect())
        }

        fn is_persistent(&self, _name: &str) -> Result<bool> {
            self.persistent.clone()
        }

        nodedev_driver::refused_calls!(
            count,
            count_names,
            names,
            lookup,
            lookup_scsi_host_by_wwn,
            xml,
            parent,
            count_capabilities,
            capabilities,
            is_active,
            autostart,
            create_xml,
            define_xml,
            destroy,
            undefine,
            create,
            update,
            set_autostart,
            detach,
            detach_flags,
            reattach,
            reset,
            events,
            driver_type,
            version,
            library_version,
            host_name,
            host_capabilities,
            max_vcpus,
            sysinfo,
            host_info,
        );
    }

    /// As a daemon prints them whose folders give the last first.
    #[test]
    fn members_and_types_are_sorted_whatever_the_order_in_the_document() {
        let group = |of: &str, members: &[&str]| {
            format!(
                "<device><name>x</name><capability type='{of}'>{}</capability></device>",
                members.concat()
            )
        };
        let channels =
            ["cdev10", "cdev2", "cdev0"].map(|name| format!("<ccw_device ref='{name}'>y</ccw_device>"));
        let channels = format!(
            "<cssid>0</cssid><ssid>0</ssid><devno>1</devno><members>{}</members><capability type='qeth_generic'/>",
            channels.concat()
        );
        let mdevs = ["b", "a"].map(|id| {
            format!("<type id='{id}'><deviceAPI>vfio-pci</deviceAPI><availableInstances>1</availableInstances></type>")
        });
        let mdevs = format!("<capability type='mdev_types'>{}</capability>", mdevs.concat());
        let iommu = "<iommuGroup number='1'><address domain='0' bus='0' slot='4' function='0'/>\
                     <address domain='0' bus='0' slot='3' function='0'/></iommuGroup>";
        let pci = "<domain>0</domain><bus>0</bus><slot>3</slot><function>0</function>\
                   <product id='0x1'/><vendor id='0x2'/>";
        let css = "<cssid>0</cssid><ssid>0</ssid><devno>1</devno>";
        let sorted = |document: &str, values: &[&str]| {
            let state = DeviceState { active: true, persistent: false, autostart: false };
            let device = parse(document.as_bytes(), state).expect(document);
            let text = format!("{:?}", device.capabilities);
            let found: Vec<usize> = values
                .iter()
                .map(|value| text.find(value).unwrap_or_else(|| panic!("{value}: {text}")))
                .collect();
            assert!(found.is_sorted(), "{values:?}: {text}");
        };
        sorted(&group("ccwgroup", &[&channels]), &["cdev0", "cdev2", "cdev10"]);
        sorted(&group("css", &[css, &mdevs]), &["id: \"a\"", "id: \"b\""]);
        sorted(&group("ap_matrix", &[&mdevs]), &["id: \"a\"", "id: \"b\""]);
        sorted(&group("pci", &[pci, iommu, &mdevs]), &["id: \"a\"", "id: \"b\""]);
    }

    fn texts(names: Result<Vec<DeviceName>>) -> Vec<String> {
        names.expect("a list").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn daemons_before_the_flags_for_states_are_asked_in_another_way() {
        let mdev = ListFlags::CAP_MDEV;
        // As libvirt 9.0 and 7.0 do.
        let nine = Old { known: mdev | ListFlags::ACTIVE | ListFlags::INACTIVE, persistent: Ok(true) };
        assert_eq!(texts(active(&nine)), ["computer", "mdev_1"]);
        assert_eq!(texts(persistent(&nine)), ["mdev_1", "mdev_2"]);
        let seven = Old { known: mdev, persistent: Err(Error::no_support("virNodeDeviceIsPersistent")) };
        assert_eq!(texts(active(&seven)), ["computer", "mdev_1", "mdev_2"]);
        assert!(texts(persistent(&seven)).is_empty());
        let denied = Error::new(ErrorDomain::ACCESS, ErrorCode::ACCESS_DENIED, "denied");
        let strict = Old { known: mdev, persistent: Err(denied.clone()) };
        assert_eq!(persistent(&strict), Err(denied));
    }
}
