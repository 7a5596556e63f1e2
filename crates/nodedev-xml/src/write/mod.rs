//! Device documents as libvirt prints them: two blanks a level, single quotes, a line break after every line.
//!
//! Everything that comes from a device is escaped, also where libvirt forgets to. Where libvirt would print `(null)`
//! or a number that has wrapped to negative, the line is left out or the number printed as it is.

mod capability;
mod out;
mod pci;

use nodedev_model::NodeDevice;
use out::Out;

/// Which of a device's two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// The device as it is now.
    #[default]
    Live,
    /// Its definition (`VIR_NODE_DEVICE_XML_INACTIVE`): without path, device nodes and kernel driver, and with a
    /// mediated device's defined configuration in place of the active one.
    Inactive,
}

/// The document of a device.
///
/// A [`nodedev_model::Capability::Native`] has no place in libvirt's XML and is left out.
pub fn write(device: &NodeDevice, form: Form) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    write_into(&mut bytes, device, form);
    bytes
}

/// Appends the document of a device to `bytes`, as [`write()`] makes it.
pub fn write_into(bytes: &mut Vec<u8>, device: &NodeDevice, form: Form) {
    write_out(&mut Out::new(bytes), device, form);
}

/// The elements and attributes (`product`, `type/@id`) of the live document of a device that have U+FFFD in the place of bytes
/// that are not UTF-8, which no reader of XML takes. The device itself has the bytes. `scratch` is overwritten.
pub fn replaced_texts(scratch: &mut Vec<u8>, device: &NodeDevice) -> Vec<String> {
    scratch.clear();
    let mut out = Out::new(scratch);
    write_out(&mut out, device, Form::Live);
    out.replaced
}

fn write_out(out: &mut Out<'_>, device: &NodeDevice, form: Form) {
    out.open("device");
    out.text("name", device.name.as_str().as_bytes());
    if form == Form::Live {
        out.optional("path", device.syspath.as_ref());
        let node = device.devnode.iter().map(|path| ("dev", path));
        let links = device.devlinks.iter().map(|path| ("link", path));
        for (kind, path) in node.chain(links) {
            out.start("devnode").attribute("type", kind.as_bytes()).text(path).end("devnode");
        }
    }
    if let Some(parent) = &device.parent {
        out.text("parent", parent.as_str().as_bytes());
    }
    if let Some(driver) = device.kernel_driver.as_ref().filter(|_| form == Form::Live) {
        out.open("driver");
        out.text("name", driver);
        out.close("driver");
    }
    for capability in &device.capabilities {
        if let Some(kind) = capability.kind() {
            out.open_capability(kind.as_str());
            capability::write(out, capability, form);
            out.close("capability");
        }
    }
    out.close("device");
}

#[cfg(test)]
mod tests {
    use nodedev_model::{Capability, DeviceName, NativeCapability, NodeDevice, Text, VdpaCapability};

    use super::{Form, write};

    #[test]
    fn what_only_the_native_view_has_is_left_out() {
        let name = DeviceName::from_parts(b"tpm", b"tpm0", None);
        let device = NodeDevice::new(name, Capability::Native(NativeCapability::default()));
        assert_eq!(write(&device, Form::Live), b"<device>\n  <name>tpm_tpm0</name>\n</device>\n");
    }

    #[test]
    fn what_is_no_utf8_is_replaced_and_named() {
        for (text, want) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"G\xe9n\xe9rik", "G\u{fffd}n\u{fffd}rik"),
            (b"\xe2\x82<", "\u{fffd}&lt;"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            ("\u{fffe}x\u{ffff}".as_bytes(), "\u{fffd}x\u{fffd}"),
            ("\u{fffd}\u{e4}".as_bytes(), "\u{fffd}\u{e4}"),
        ] {
            let capability = Capability::Vdpa(VdpaCapability { chardev: Some(text.into()) });
            let device = NodeDevice::new(DeviceName::from_parts(b"vdpa", b"v", None), capability);
            let document = String::from_utf8(write(&device, Form::Live)).expect("documents are UTF-8");
            assert!(document.contains(&format!("<chardev>{want}</chardev>")), "{document}");
            let is_replaced = !text.starts_with("\u{fffd}".as_bytes());
            let replaced = super::replaced_texts(&mut Vec::new(), &device);
            assert_eq!(replaced, if is_replaced { vec!["chardev".to_owned()] } else { vec![] });
        }
    }

    #[test]
    fn device_text_is_escaped_and_control_bytes_are_dropped() {
        let chardev = Text::from(&b"<a>&\"'\x01\x0b\x1b\xff\tz"[..]);
        let capability = Capability::Vdpa(VdpaCapability { chardev: Some(chardev) });
        let mut device = NodeDevice::new(DeviceName::from_parts(b"vdpa", b"v", None), capability);
        device.devlinks = vec!["/dev/it's".into()];
        let want = b"<device>\n  <name>vdpa_v</name>\n  <devnode type='link'>/dev/it&apos;s</devnode>\n  \
            <capability type='vdpa'>\n    <chardev>&lt;a&gt;&amp;&quot;&apos;\xff\tz</chardev>\n  </capability>\n</device>\n";
        assert_eq!(String::from_utf8_lossy(&write(&device, Form::Live)), String::from_utf8_lossy(want));
    }
}
