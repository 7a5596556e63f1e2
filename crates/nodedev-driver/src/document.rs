//! Documents that callers give to drivers: libvirt's checks of them, in its order and with its errors.

use std::hash::{BuildHasher, Hasher, RandomState};

use nodedev_model::NodeDevice;
use nodedev_xml::dom::Document;
use nodedev_xml::{Dialect, Mode, ParseOptions, WwnGenerator, XmlError};

use crate::Result;

/// Where libvirt's schema is on the machines that have it; its error names the file.
const SCHEMA: &str = "/usr/share/libvirt/schemas/nodedev.rng";

/// Reads the document of a device: well-formed first, then the schema if `validate` asks for that, then the content. A
/// new Fibre Channel host without World Wide Names gets random ones with this vendor's number
/// ([`WwnGenerator::OUI_QEMU`], [`WwnGenerator::OUI_TEST`]).
///
/// # Errors
/// Those of the document.
pub fn parse_document(xml: &[u8], mode: Mode, validate: bool, oui: u32) -> Result<NodeDevice> {
    let document = Document::parse(xml)?;
    // What is no device at all is refused as such, before any schema is looked at.
    if validate && document.local_name(document.root_element()) == "device" {
        let mistakes = nodedev_xml::validate(xml)?;
        if !mistakes.is_empty() {
            return Err(XmlError::schema(SCHEMA, &mistakes).into());
        }
    }
    let mut random = || RandomState::new().build_hasher().finish();
    let options = ParseOptions {
        mode,
        dialect: Dialect::Libvirt,
        wwn_generator: (mode == Mode::Create).then(|| WwnGenerator::new(oui, &mut random)),
    };
    Ok(nodedev_xml::parse_document(xml, &document, document.root_element(), options)?)
}
