//! `test:///FILE`: the devices of a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nodedev_model::{DeviceState, NodeDevice};
use nodedev_xml::dom::{Document, NodeId};
use nodedev_xml::{Dialect, Mode, ParseOptions, XmlError};

use super::DOMAIN;
use crate::{Error, ErrorCode, ErrorDomain, Result};

/// Longest file (libvirt's own bound for the test driver's files is 10 MiB too).
const FILE_LIMIT: u64 = 10 << 20;

/// Reads the devices of a file: a root `<node>` with a `<device>` for each, in place or in a file of its own
/// (`<device file='…'/>`, relative to the folder of the first).
pub(super) fn load(path: &Path) -> Result<Vec<NodeDevice>> {
    let text = read(path)?;
    let document = Document::parse(&text).map_err(|error| not_well_formed(path, &error))?;
    let root = document.root_element();
    if document.local_name(root) != "node" {
        let detail = format!("expecting root element of 'node', not '{}'", document.local_name(root));
        return Err(Error::new(ErrorDomain::XML, ErrorCode::XML_ERROR, detail)
            .with_help("a file of devices is <node>, with a <device> for each"));
    }
    let mut devices = Vec::new();
    for element in document.elements_named(root, "device") {
        devices.push(match document.attribute(element, "file") {
            Some(file) => {
                let path = path.parent().unwrap_or(Path::new("")).join(file);
                let text = read(&path)?;
                let document = Document::parse(&text).map_err(|error| not_well_formed(&path, &error))?;
                device(&text, &document, document.root_element(), &path)?
            }
            None => device(&text, &document, element, path)?,
        });
    }
    Ok(devices)
}

/// One device as it exists: active and persistent, the definition of a mediated device being what it runs with.
fn device(text: &[u8], document: &Document<'_>, element: NodeId, path: &Path) -> Result<NodeDevice> {
    let options = ParseOptions { mode: Mode::Existing, dialect: Dialect::Libvirt, wwn_generator: None };
    let mut device = nodedev_xml::parse_document(text, document, element, options)
        .map_err(|error| located(path, error))?;
    device.state = DeviceState { active: true, persistent: true, autostart: false };
    device.activate_definition();
    Ok(device)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let failed = |verb: &str, error: &std::io::Error| {
        Error::system(ErrorDomain::NONE, format_args!("Failed to {verb} file '{name}'"), error)
            .with_help("test:///PATH is the path of a file of devices; test:///default needs none")
    };
    let file = File::open(path).map_err(|error| failed("open", &error))?;
    let mut text = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(|error| failed("read", &error))?;
    if text.len() as u64 > FILE_LIMIT {
        let too_big = std::io::Error::from_raw_os_error(EOVERFLOW);
        return Err(failed("read", &too_big));
    }
    Ok(text)
}

/// What the system calls a file that is longer than its reader takes (asm-generic/errno.h).
const EOVERFLOW: i32 = 75;

/// The error of a file that is no XML, which names the file where that of a document says `at line`.
fn not_well_formed(path: &Path, error: &XmlError) -> Error {
    let place = format!("at line {}: ", error.line);
    let detail = match error.detail.strip_prefix(&place) {
        Some(rest) => format!("{}:{}: {rest}", path.display(), error.line),
        None => error.detail.clone(),
    };
    Error::new(DOMAIN, error.code, detail)
}

fn located(path: &Path, error: XmlError) -> Error {
    let place = format!("the mistake is in {}, line {}, column {}", path.display(), error.line, error.column);
    Error::from(error).with_help(place)
}
