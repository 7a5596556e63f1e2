//! The machine itself, from DMI.

use nodedev_model::{Capability, Firmware, Hardware, Machine, SystemCapability, Text, Uuid};
use nodedev_sys::{Root, paths};

use super::Describer;
use super::facts::known;
use crate::kernel::{Issues, attribute_value, strip_control_characters};

/// Describes `computer`. libvirt reads DMI on x86 only, and nothing at all where the DMI device does not exist.
pub(super) fn describe(context: &Describer<'_>, issues: &Issues) -> Capability {
    let root = context.root;
    let mut system = SystemCapability::default();
    let is_x86 = is_x86(root);
    if context.is_native && !is_x86 {
        system.machine = known(machine(root, issues)).map(Box::new);
    }
    if is_x86 && root.exists(paths::join(paths::DMI.as_bytes(), b"uevent").as_slice()) {
        let text = |name: &str| dmi_text(root, name, issues);
        system = SystemCapability {
            product: text("product_name"),
            hardware: Hardware {
                vendor: text("sys_vendor"),
                version: text("product_version"),
                serial: text("product_serial"),
                uuid: uuid(root, issues),
            },
            firmware: Firmware {
                vendor: text("bios_vendor"),
                version: text("bios_version"),
                release_date: text("bios_date"),
            },
            machine: None,
        };
    }
    Capability::System(Box::new(system))
}

/// What the firmware says of a machine of another architecture: by SMBIOS, as servers do, or else by the device tree.
fn machine(root: &Root, issues: &Issues) -> Machine {
    if root.exists(paths::join(paths::DMI.as_bytes(), b"uevent").as_slice()) {
        let text = |name: &str| dmi_text(root, name, issues);
        return Machine {
            vendor: text("sys_vendor"),
            model: text("product_name"),
            serial: text("product_serial"),
            uuid: Some(uuid(root, issues)).filter(|uuid| !uuid.is_nil()),
            compatible: None,
        };
    }
    let mut buffer = Vec::new();
    // Texts end with a NUL, also the last one of a list.
    let mut texts = |name: &str| {
        let content =
            root.read(&paths::join(paths::DEVICE_TREE.as_bytes(), name.as_bytes()), &mut buffer, 64 << 10);
        let content = content.unwrap_or_else(|error| {
            issues.error(&error);
            None
        })?;
        let texts: Vec<Text> = content
            .split(|&b| b == 0)
            .map(<[u8]>::trim_ascii)
            .filter(|text| !text.is_empty())
            .map(Text::from)
            .collect();
        (!texts.is_empty()).then_some(texts)
    };
    let mut text = |name: &str| texts(name).and_then(|texts| texts.into_iter().next());
    Machine {
        vendor: None,
        model: text("model"),
        serial: text("serial-number"),
        uuid: None,
        compatible: texts("compatible"),
    }
}

/// The kernel names the processor's architecture in the alias of its driver. Old recordings may lack it: x86 then.
fn is_x86(root: &Root) -> bool {
    if root.is_live() {
        return cfg!(any(target_arch = "x86", target_arch = "x86_64"));
    }
    let mut buffer = Vec::new();
    match root.read(b"sys/devices/system/cpu/modalias".as_slice(), &mut buffer, 64 << 10) {
        Ok(Some(alias)) if alias.starts_with(b"cpu:type:") => alias.starts_with(b"cpu:type:x86"),
        _ => true,
    }
}

fn read(root: &Root, name: &str, issues: &Issues) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    match root.read(&paths::join(paths::DMI.as_bytes(), name.as_bytes()), &mut buffer, 64 << 10) {
        Ok(content) => content.map(|content| attribute_value(content).to_vec()),
        Err(error) => {
            issues.error(&error);
            None
        }
    }
}

fn dmi_text(root: &Root, name: &str, issues: &Issues) -> Option<Text> {
    let mut value = read(root, name, issues)?;
    strip_control_characters(&mut value);
    (!value.is_empty()).then(|| value.into())
}

/// The machine's UUID: the first 36 characters. All zero if there is none, or only root may read it.
fn uuid(root: &Root, issues: &Issues) -> Uuid {
    let Some(value) = read(root, "product_uuid", issues).filter(|value| !value.is_empty()) else {
        return Uuid::default();
    };
    let text = value.get(..36).and_then(|text| std::str::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        issues.push(
            format!("/{}/product_uuid", paths::DMI),
            format!("'{}' is not the UUID of a machine", Text::from(value)),
        );
        Uuid::default()
    })
}
