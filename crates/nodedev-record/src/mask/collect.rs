//! Looks at a host for the values that a masked recording must not have.

use std::ops::ControlFlow;

use nodedev_host::raw::{Issues, KernelDevice, enumerate};
use nodedev_host::vpd;
use nodedev_model::Text;
use nodedev_sys::paths::{self, join};
use nodedev_sys::pci_config;
use nodedev_sys::{Root, up_to_nul};

use super::binary::{express_serial, vital_fields};
use super::identities::Identities;
use super::invent::is_long_number;
use super::place::{InPath, host_of, in_fabric_address, in_path, in_transport_address, ip};
use super::tables::{self, is_identity_property};
use super::udev::{is_vendor_and_model, serial_in};
use super::{properties, unquoted};

/// All values of a host that can be looked for everywhere.
pub(super) fn of_host(root: &Root, issues: &Issues) -> Identities {
    let mut identities = Identities::new();
    let _ = enumerate(root, issues, |_| true, &mut |found| {
        if let Some(device) = KernelDevice::open(root, &found.path, found.subsystem, issues) {
            Collector { device: &device, identities: &mut identities }.device();
        }
        ControlFlow::Continue(())
    });
    let definitions = paths::MDEVCTL.as_bytes();
    for parent in root.names(definitions).unwrap_or_default() {
        for name in root.names(&join(definitions, &parent)).unwrap_or_default() {
            if is_long_number(&name) {
                identities.add(&name, &|| format!("/{}/{}", paths::MDEVCTL, Text::from(&*parent)));
            }
        }
    }
    let mut name = Vec::new();
    if let Ok(Some(name)) = root.read(paths::HOSTNAME.as_bytes(), &mut name, 4096) {
        identities.add_host_name(name.trim_ascii(), &|| format!("/{}", paths::HOSTNAME));
    }
    let mut serial = Vec::new();
    let path = join(paths::DEVICE_TREE.as_bytes(), b"serial-number");
    if let Ok(Some(serial)) = root.read(&path, &mut serial, 4096) {
        identities.add(up_to_nul(serial), &|| format!("/{}", Text::from(&*path)));
    }
    identities
}

struct Collector<'a> {
    device: &'a KernelDevice<'a>,
    identities: &'a mut Identities,
}

impl Collector<'_> {
    fn add(&mut self, what: &dyn std::fmt::Display, value: &[u8]) {
        let path = self.device.path;
        // The serial number of a USB controller's own hub is the name of the controller.
        let is_place = |part: &[u8]| part == value.trim_ascii() && self.device.sysname() != part;
        if path.split(|&b| b == b'/').any(is_place) {
            return;
        }
        self.identities.add(value, &|| format!("{what} of /{}", Text::from(path)));
    }

    fn add_in_path(&mut self, what: &dyn std::fmt::Display, part: InPath<'_>) {
        match part {
            InPath::Machine(machine) => self.add_machine(what, machine),
            InPath::Name(name) => self.add(what, name),
        }
    }

    /// Adds another machine, by its address or its name.
    fn add_machine(&mut self, what: &dyn std::fmt::Display, machine: &[u8]) {
        if ip(machine).is_some() {
            return self.add(what, machine);
        }
        let path = self.device.path;
        self.identities.add_host_name(machine, &|| format!("{what} of /{}", Text::from(path)));
    }

    fn device(&mut self) {
        let device = self.device;
        if matches!(device.subsystem, b"mdev" | b"vmbus") {
            self.add(&"the name", device.sysname());
        }
        self.attributes();
        for (name, value) in properties(device.uevent()) {
            let value = unquoted(value);
            let shown = Text::from(name);
            match name {
                b"NVME_TRADDR" | b"NVME_HOST_TRADDR" => {
                    in_transport_address(value, &mut |part| self.add(&shown, part));
                }
                // Of a Bluetooth device it is the address of the adapter, else a place.
                b"HID_PHYS" | b"PHYS" if !is_long_number(value) => {}
                b"HID_PHYS" | b"PHYS" => self.add(&shown, value),
                _ if is_identity_property(name) => self.add(&shown, value),
                _ => {}
            }
        }
        self.record();
        self.binary();
    }

    fn attributes(&mut self) {
        let device = self.device;
        for name in tables::ATTRIBUTES {
            let Some(value) = device.text(name) else { continue };
            match *name {
                "address" if value.contains(&b'=') => {
                    in_fabric_address(&value, &mut |part| self.add(name, part));
                }
                // Of most devices these are small numbers and kinds.
                "id" if !is_long_number(&value) => {}
                "persistent_address" => self.add_machine(name, host_of(value.trim_ascii())),
                _ => self.add(name, &value),
            }
        }
    }

    fn record(&mut self) {
        let device = self.device;
        let short = device.property("ID_SERIAL_SHORT");
        let record = device.record();
        for (name, value) in record.properties() {
            let shown = Text::from(name);
            match name {
                // Two letters and an `x` before the address.
                b"ID_NET_NAME_MAC" => self.add(&shown, value.get(3..).unwrap_or_default()),
                b"NVME_TRADDR" | b"NVME_HOST_TRADDR" => {
                    in_transport_address(value, &mut |part| self.add(&shown, part));
                }
                b"ID_PATH" | b"ID_SAS_PATH" | b"ID_PATH_ATA_COMPAT" => {
                    in_path(value, &mut |part| self.add_in_path(&shown, part));
                }
                b"DM_UUID" => {
                    let value = value.splitn(2, |&b| b == b'-').nth(1).unwrap_or(value);
                    self.add(&shown, value);
                    // Of a logical volume: the group's, and its own.
                    if value.len() >= 64 {
                        self.add(&shown, &value[..32]);
                        self.add(&shown, &value[32..64]);
                    }
                }
                _ if is_identity_property(name)
                    && serial_in(value, short).is_none()
                    && !is_vendor_and_model(&record, value) =>
                {
                    self.add(&shown, value);
                }
                _ => {}
            }
        }
        for link in record.links() {
            if link.windows(9).any(|part| part == b"/by-path/") {
                in_path(&link, &mut |part| self.add_in_path(&"a link", part));
            }
        }
    }

    fn binary(&mut self) {
        let Some(folder) = self.device.folder() else { return };
        let mut data = Vec::new();
        if let Ok(Some(content)) = folder.read_start(b"vpd", &mut data, vpd::MAX_LENGTH) {
            for field in vital_fields(content) {
                let value = field.value(content);
                if field.is_identity() || is_long_number(value) {
                    self.add(&"vpd", value);
                }
            }
        }
        if self.device.subsystem == b"pci"
            && let Ok(Some(space)) = folder.read_start(b"config", &mut data, pci_config::EXTENDED)
            && let Some((_, serial)) = express_serial(space)
        {
            let path = self.device.path;
            self.identities.add_express_serial(serial, &|| format!("config of /{}", Text::from(path)));
        }
    }
}
