//! All devices of a host as one value, and as the JSON that `nodedev show --json` prints.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::VERSION;
use crate::{Issue, NodeDevice, Text};

/// Devices of a host, and what could not be read of them.
///
/// Looking at a host never fails as a whole: a broken attribute costs one field and is reported in `issues`.
///
/// ```
/// use nodedev_model::document::{self, Inventory};
///
/// let json = br#"{"version":1,"host":"alpha","devices":[],"issues":[]}"#;
/// let inventory: Inventory = document::read(json)?;
/// assert_eq!(inventory.host.unwrap(), "alpha");
/// # Ok::<(), document::DocumentError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "nodedev show --json", description = "What `nodedev show --json` prints.")]
pub struct Inventory {
    /// Version of the format, 1. It grows when a member gets another meaning; what is only added leaves it. A document without
    /// it is of version 1.
    #[serde(default = "current", deserialize_with = "readable")]
    pub version: u32,
    /// Name of the host; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
    /// What `watch --since` takes to go on from the moment before the devices were looked at; absent where nobody follows the
    /// host's changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The devices: all of the host, sorted by name, or those that were asked for.
    pub devices: Vec<NodeDevice>,
    /// What was missing or malformed on the host; absent where not all devices were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issues: Option<Vec<Issue>>,
}

fn current() -> u32 {
    VERSION
}

/// Reads the version, and refuses one whose members may mean something else.
fn readable<'de, D: Deserializer<'de>>(reader: D) -> Result<u32, D::Error> {
    let version = u32::deserialize(reader)?;
    match version {
        0 => Err(D::Error::custom("no document is of version 0")),
        1..=VERSION => Ok(version),
        _ => Err(D::Error::custom(format_args!(
            "the document is of version {version}, and the newest that is known here is {VERSION}"
        ))),
    }
}

impl Default for Inventory {
    fn default() -> Self {
        Self { version: VERSION, host: None, revision: None, devices: Vec::new(), issues: None }
    }
}

impl Inventory {
    /// The devices, in the order of the document.
    pub fn iter(&self) -> std::slice::Iter<'_, NodeDevice> {
        self.devices.iter()
    }

    /// The device with a name. Quick where the devices are sorted by name, as those of a whole host are.
    pub fn get(&self, name: &str) -> Option<&NodeDevice> {
        let sorted = self.devices.binary_search_by(|device| device.name.as_str().cmp(name));
        match sorted {
            Ok(at) => self.devices.get(at),
            Err(_) => self.devices.iter().find(|device| device.name.as_str() == name),
        }
    }

    /// Writes the document as `nodedev show --json` prints it: a device a line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: impl Write) -> io::Result<()> {
        let mut writer = InventoryWriter::new(out, self.host.as_ref(), self.revision.as_deref())?;
        self.devices.iter().try_for_each(|device| writer.device(device))?;
        writer.finish(self.issues.as_deref())
    }
}

impl IntoIterator for Inventory {
    type Item = NodeDevice;
    type IntoIter = std::vec::IntoIter<NodeDevice>;

    fn into_iter(self) -> Self::IntoIter {
        self.devices.into_iter()
    }
}

impl<'a> IntoIterator for &'a Inventory {
    type Item = &'a NodeDevice;
    type IntoIter = std::slice::Iter<'a, NodeDevice>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Writes the JSON of an [`Inventory`] device by device, so that none needs to be kept. Each part goes to the writer in one
/// call.
#[derive(Debug)]
pub struct InventoryWriter<W> {
    out: W,
    /// A part that is put together.
    part: Vec<u8>,
    is_empty: bool,
}

impl<W: Write> InventoryWriter<W> {
    /// Begins a document.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(out: W, host: Option<&Text>, revision: Option<&str>) -> io::Result<Self> {
        let mut part = Vec::with_capacity(4096);
        write!(part, "{{\"version\":{VERSION},")?;
        if let Some(host) = host {
            part.extend_from_slice(b"\"host\":");
            serde_json::to_writer(&mut part, host)?;
            part.push(b',');
        }
        if let Some(revision) = revision {
            part.extend_from_slice(b"\"revision\":");
            serde_json::to_writer(&mut part, revision)?;
            part.push(b',');
        }
        part.extend_from_slice(b"\"devices\":[");
        Ok(Self { out, part, is_empty: true })
    }

    /// Adds a device.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn device(&mut self, device: &NodeDevice) -> io::Result<()> {
        self.item(device)
    }

    fn item(&mut self, item: &impl Serialize) -> io::Result<()> {
        self.part.extend_from_slice(if self.is_empty { b"\n" } else { b",\n" });
        self.is_empty = false;
        serde_json::to_writer(&mut self.part, item)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.part)?;
        self.part.clear();
        Ok(())
    }

    /// Ends the document, with what could not be read if all devices of the host were looked at.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self, issues: Option<&[Issue]>) -> io::Result<()> {
        let end: &[u8] = if self.is_empty { b"]" } else { b"\n]" };
        self.part.extend_from_slice(end);
        if let Some(issues) = issues {
            self.part.extend_from_slice(b",\"issues\":[");
            self.is_empty = true;
            issues.iter().try_for_each(|issue| self.item(issue))?;
            let end: &[u8] = if self.is_empty { b"]" } else { b"\n]" };
            self.part.extend_from_slice(end);
        }
        self.part.extend_from_slice(b"}\n");
        self.flush()
    }
}
