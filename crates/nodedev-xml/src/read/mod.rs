//! From a document to the model, with libvirt's rules, order of checks and texts.

mod bus;
mod channel;
mod mediated;
mod net;
mod number;
mod pci;
mod reader;
mod scsi;
mod storage;
mod system;
mod vpd;
mod wwn;

pub use mediated::activate;
use nodedev_model::{
    Capability, CapabilityType, DeviceName, DeviceState, MdevTypesCapability, NodeDevice, ParentSelector,
    Text, VdpaCapability, Visibility,
};
use reader::{Reader, Step};
pub use wwn::WwnGenerator;

use crate::dom::{self, Document, NodeId, Parsed};
use crate::{ErrorCode, ErrorDomain, XmlError};

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It describes a device that exists.
    #[default]
    Existing,
    /// It asks for a new device: its name becomes [`NEW_DEVICE`], and the number of a SCSI host is not read.
    Create,
}

/// Name of a device that is yet to be made.
pub const NEW_DEVICE: &str = "new device";

/// How much of a document is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// What libvirt's parser keeps, and the mistakes it reports.
    #[default]
    Libvirt,
    /// All that libvirt prints, so that each of its documents goes through to the same bytes. On top of
    /// [`Dialect::Libvirt`] these are read: the kernel driver, block sizes of a disk, numbers of virtual ports, the
    /// parent address of a mediated device, Vital Product Data without a name, and the capabilities `scsi_generic`,
    /// `vdpa` and `mdev_types`.
    Lossless,
}

/// How to read a document.
#[derive(Default)]
pub struct ParseOptions<'a> {
    /// What it is for.
    pub mode: Mode,
    /// How much of it is kept.
    pub dialect: Dialect,
    /// Makes the World Wide Names that a Fibre Channel host lacks. Without one, their lack is a mistake.
    pub wwn_generator: Option<WwnGenerator<'a>>,
}

/// Reads a document.
///
/// # Errors
/// The first mistake, in libvirt's order, with its code and text.
pub fn parse(text: &[u8], options: ParseOptions<'_>) -> Result<NodeDevice, XmlError> {
    let document = Document::parse(text)?;
    parse_document(text, &document, document.root_element(), options)
}

/// Reads an element of a larger document, such as a `<device>` of the test driver's file.
///
/// # Errors
/// As [`parse`]; `text` is what the document was made from.
pub fn parse_document(
    text: &[u8],
    document: &Document<'_>,
    element: NodeId,
    options: ParseOptions<'_>,
) -> Result<NodeDevice, XmlError> {
    let mut reader = Reader::new(document, options, false);
    match device(&mut reader, element) {
        Ok(device) if !reader.has_errors() => Ok(device),
        _ => Err(reader.into_errors(text).swap_remove(0)),
    }
}

/// Every mistake of a document, in the order of their places; none if it can be read.
///
/// Markup that is not well-formed is mended where it can be told what was meant, so that mistakes in the content are
/// found too. Mistakes that libvirt only logs are among them. At most [`dom::MAX_MISTAKES`] are found.
pub fn check(text: &[u8], options: ParseOptions<'_>) -> Vec<XmlError> {
    let Parsed { document, mut errors } = dom::parse(text, true);
    if let Some(document) = document {
        let mut reader = Reader::new(&document, options, true);
        // What is wrong is in the reader, whether it came to the end or not.
        let _ = device(&mut reader, document.root_element());
        errors.extend(reader.into_errors(text));
        errors.sort_by_key(|error| (error.line, error.column));
        errors.truncate(dom::MAX_MISTAKES);
    }
    errors
}

/// Reads the `<device>` element.
fn device(r: &mut Reader<'_, '_>, root: NodeId) -> Step<NodeDevice> {
    if r.doc.local_name(root) != "device" {
        let detail = format!("expecting root element of 'device', not '{}'", r.doc.local_name(root));
        return r.stop(root, ErrorDomain::XML, ErrorCode::XML_ERROR, detail);
    }
    let name = device_name(r, root)?;
    let syspath = r.string(root, "path");
    let (mut devnode, mut devlinks) = (None, Vec::new());
    for node in r.elements(root, "devnode") {
        let is_node = r.required_word(node, "type", |word| match word {
            "dev" => Some(true),
            "link" => Some(false),
            _ => None,
        })?;
        let content = Text::from(&*r.doc.text(node));
        match is_node {
            Some(true) => devnode = Some(content),
            Some(false) => devlinks.push(content),
            None => {}
        }
    }
    let kernel_driver = r.extra(r.optional_below(root, "driver", "name"));
    let (parent, parent_selector) = parent(r, root)?;
    let nodes: Vec<_> = r.elements(root, "capability").collect();
    if nodes.is_empty() {
        r.internal(root, "no device capabilities")?;
    }
    let mut capabilities = Vec::with_capacity(nodes.len());
    for node in nodes {
        capabilities.extend(capability(r, node)?);
    }
    Ok(NodeDevice {
        native_parent: None,
        name,
        parent,
        parent_selector,
        visibility: Visibility::default(),
        state: DeviceState::default(),
        subsystem: None,
        syspath,
        devnode,
        devlinks,
        kernel_driver,
        capabilities,
    })
}

fn device_name(r: &mut Reader<'_, '_>, root: NodeId) -> Step<DeviceName> {
    let text = match r.options.mode {
        Mode::Create => Some(NEW_DEVICE.into()),
        Mode::Existing => r.text(root, "name"),
    };
    let name = text.as_deref().and_then(|text| text.parse::<DeviceName>().ok());
    if name.is_none() {
        r.mistake(root, ErrorDomain::NODEDEV, ErrorCode::NO_NAME, "")?;
    }
    // Only where mistakes are collected does a device without name get this far; then there is no device in the end.
    r.set_name(name.as_ref().map_or("(no name)", DeviceName::as_str));
    Ok(name.unwrap_or_else(DeviceName::computer))
}

fn parent(r: &mut Reader<'_, '_>, root: NodeId) -> Step<(Option<DeviceName>, ParentSelector)> {
    let Some(node) = r.doc.element(root, "parent") else { return Ok((None, ParentSelector::default())) };
    let name = r.content(node).and_then(|name| name.parse().ok());
    let world_wide_name = |name| r.attribute(node, name).map(Text::from);
    let selector = ParentSelector {
        wwnn: world_wide_name("wwnn"),
        wwpn: world_wide_name("wwpn"),
        fabric_wwn: world_wide_name("fabric_wwn"),
    };
    let lone = match (&selector.wwnn, &selector.wwpn) {
        (Some(wwnn), None) => Some(("wwnn", wwnn, "wwpn")),
        (None, Some(wwpn)) => Some(("wwpn", wwpn, "wwnn")),
        _ => None,
    };
    if let Some((given, value, missing)) = lone {
        r.xml(node, format!("when providing parent {given}='{value}', the {missing} must also be provided"))?;
    }
    Ok((name, selector))
}

/// Reads a top-level `<capability>`. `None`: a mistake was collected.
fn capability(r: &mut Reader<'_, '_>, node: NodeId) -> Step<Option<Capability>> {
    use CapabilityType as T;
    let Some(kind) = r.required_word(node, "type", |word| word.parse::<T>().ok())? else { return Ok(None) };
    Ok(Some(match kind {
        T::System => Capability::System(system::system(r, node)?.into()),
        T::Pci => Capability::Pci(pci::pci(r, node)?.into()),
        T::UsbDevice => Capability::UsbDevice(bus::usb_device(r, node)?.into()),
        T::Usb => Capability::Usb(bus::usb_interface(r, node)?.into()),
        T::Net => Capability::Net(net::net(r, node)?.into()),
        T::ScsiHost => Capability::ScsiHost(scsi::host(r, node)?.into()),
        T::ScsiTarget => Capability::ScsiTarget(scsi::target(r, node)?.into()),
        T::Scsi => Capability::Scsi(scsi::unit(r, node)?.into()),
        T::Storage => Capability::Storage(storage::storage(r, node)?.into()),
        T::Drm => match bus::drm(r, node)? {
            Some(drm) => Capability::Drm(drm),
            None => return Ok(None),
        },
        T::Mdev => Capability::Mdev(mediated::device(r, node)?.into()),
        T::Ccw => Capability::Ccw(channel::ccw(r, node)?),
        T::Css => Capability::Css(channel::css(r, node)?),
        T::ApCard => Capability::ApCard(channel::ap_card(r, node)?),
        T::ApQueue => Capability::ApQueue(channel::ap_queue(r, node)?),
        T::ApMatrix => Capability::ApMatrix(channel::ap_matrix(r, node)?),
        T::Ccwgroup => Capability::Ccwgroup(channel::ccwgroup(r, node)?.into()),
        T::ScsiGeneric if r.lossless() => Capability::ScsiGeneric(scsi::generic(r, node)?),
        T::Vdpa if r.lossless() => Capability::Vdpa(VdpaCapability { chardev: r.optional(node, "chardev") }),
        T::MdevTypes if r.lossless() => {
            Capability::MdevTypes(MdevTypesCapability { types: mediated::nested_types(r, node)? })
        }
        _ => {
            r.internal(node, format!("unknown capability type '{}'", kind.number()))?;
            return Ok(None);
        }
    }))
}
