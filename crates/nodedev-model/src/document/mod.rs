//! Documents: what commands print as JSON, read back as the values that they were made of.
//!
//! Texts come back byte for byte, also those that are no UTF-8 ([`Text`](crate::Text)). Members that this version does not
//! know are ignored, words that it does not know cost their field, and a capability of an unknown type becomes
//! [`Capability::Other`](crate::Capability::Other): a newer program's document can be read.

mod inventory;
mod lines;

use std::fmt;
use std::io::{self, Read};

use serde::de::DeserializeOwned;

pub use inventory::{Inventory, InventoryWriter};
pub use lines::{ListedDevice, WatchLine};

/// Version of the format of documents. It grows when a member gets another meaning; what is only added leaves it.
pub const VERSION: u32 = 1;

/// The longest document that is read, in bytes. That of 50,000 devices has about 25 MB.
pub const LIMIT: usize = 256 << 20;

/// A document that cannot be read.
#[derive(Debug)]
pub enum DocumentError {
    /// It is longer than [`LIMIT`].
    TooLong,
    /// It is no JSON, or that of something else.
    Json(serde_json::Error),
    /// Its source fails.
    Read(io::Error),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the document is longer than {} MiB", LIMIT >> 20),
            Self::Json(error) => write!(f, "not such a document: {error}"),
            Self::Read(error) => write!(f, "the document cannot be read: {error}"),
        }
    }
}

impl std::error::Error for DocumentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooLong => None,
            Self::Json(error) => Some(error),
            Self::Read(error) => Some(error),
        }
    }
}

/// Reads a document: an [`Inventory`], an [`Explanation`](crate::Explanation), a [`WatchLine`] …
///
/// Nesting is bounded by the reader of JSON, at 128.
///
/// # Errors
/// [`DocumentError`].
pub fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, DocumentError> {
    if json.len() > LIMIT {
        return Err(DocumentError::TooLong);
    }
    serde_json::from_slice(json).map_err(DocumentError::Json)
}

/// Reads a document from a file or a stream, no more than [`LIMIT`] bytes of it.
///
/// # Errors
/// [`DocumentError`].
pub fn read_from<T: DeserializeOwned>(source: impl Read) -> Result<T, DocumentError> {
    read(&at_most(source, LIMIT)?)
}

fn at_most(source: impl Read, limit: usize) -> Result<Vec<u8>, DocumentError> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(DocumentError::Read)?;
    if bytes.len() > limit { Err(DocumentError::TooLong) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DocumentError, Inventory, at_most, read};
    use crate::{Capability, Explanation, HandoverPlan, Handovers, NetLinkState};

    fn device(capability: &str) -> String {
        format!(
            r#"{{"version":1,"later":[1],"devices":[{{"name":"a","view":"libvirt","active":true,"persistent":false,
            "autostart":false,"colour":"red","capabilities":[{capability}]}}]}}"#
        )
    }

    #[test]
    fn what_a_newer_program_adds_does_no_harm() {
        let read = |capability: &str| {
            let inventory: Inventory = read(device(capability).as_bytes()).expect(capability);
            inventory.devices[0].capabilities[0].clone()
        };
        let Capability::Other(other) = read(r#"{"type":"quantum","qubits":7}"#) else { panic!() };
        assert_eq!(other.kind, "quantum");
        let written = serde_json::to_value(Capability::Other(other)).unwrap();
        assert_eq!(written, serde_json::json!({"type": "quantum"}));
        let foreign = read(r#"{"type":"drm","drm_type":"hologram"}"#);
        assert!(matches!(foreign, Capability::Other(_)));
        assert_eq!(read(&serde_json::to_string(&foreign).unwrap()), foreign);
        let Capability::Net(net) = read(
            r#"{"type":"net","interface":"eth0","link":{"state":"sideways","speed_mbits":10},
            "features":["rx","telepathy"],"kind":"80299","spin":1}"#,
        ) else {
            panic!()
        };
        assert_eq!((net.link.state, net.link.raw_speed, net.kind), (None::<NetLinkState>, 10, None));
        assert_eq!(net.features.iter().count(), 1);
        let Capability::Pci(pci) = read(
            r#"{"type":"pci","address":"0000:00:01.0","header":"moebius",
            "express":{"status":{"speed_gts":128.0,"width":16}}}"#,
        ) else {
            panic!()
        };
        assert_eq!(pci.header, None);
        let status = pci.express.unwrap().status.unwrap();
        assert_eq!((status.speed, status.width), (None, 16));
    }

    /// Reads a value and writes it again.
    fn again<T: serde::de::DeserializeOwned + serde::Serialize>(
        json: &serde_json::Value,
    ) -> serde_json::Value {
        serde_json::to_value(read::<T>(json.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn documents_of_changes_are_read_back() {
        let finding =
            json!({"kind": "in-use", "effect": "refused", "problem": "it is in use", "remedy": "stop it"});
        let explanation = json!({
            "name": "pci_0000_02_00_0", "address": "0000:02:00.0", "verdict": "impossible",
            "binding": {"kernel_driver": "nvme"}, "guest_driver": "vfio-pci",
            "iommu_group": {"number": 7, "devices": ["0000:02:00.0"]}, "findings": [finding],
        });
        assert_eq!(again::<Explanation>(&explanation), explanation);
        let step = json!({
            "action": "unbind", "device": "0000:02:00.0", "file": "/sys/bus/pci/drivers/nvme/unbind",
            "value": "0000:02:00.0", "before": "nvme",
        });
        let plan = json!({
            "operation": "detach", "outcome": "planned",
            "devices": [{"name": "pci_0000_02_00_0", "address": "0000:02:00.0", "before": {"kernel_driver": "nvme"}}],
            "steps": [step], "undo": [step], "findings": [finding],
        });
        assert_eq!(again::<HandoverPlan>(&plan), plan);
        let entry = json!({
            "name": "pci_0000_02_00_0", "address": "0000:02:00.0", "state": "detached", "pid": 7, "since_seconds": 9,
        });
        let issue = json!({"path": "/run/x", "problem": "no entry"});
        let entries = json!({"entries": [entry], "issues": [issue]});
        assert_eq!(again::<Handovers>(&entries), entries);

        // Of a newer program.
        let mut newer = explanation.clone();
        newer["findings"][0]["kind"] = json!("haunted");
        let read_back = again::<Explanation>(&newer);
        assert_eq!(read_back["findings"][0]["kind"], "unknown");
        newer["verdict"] = json!("perhaps");
        assert!(read::<Explanation>(newer.to_string().as_bytes()).is_err());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for wrong in [
            "",
            "[]",
            "{",
            r#"{"version":2,"devices":[]}"#,
            r#"{"version":0,"devices":[]}"#,
            r#"{"devices":{}}"#,
            &device("{}"),
            &device(r#"{"type":"pci","address":"here"}"#),
            &device(r#"{"type":7}"#),
            &device(&("[".repeat(200) + &"]".repeat(200))),
            r#"{"devices":[{"name":"","view":"libvirt","active":true,"persistent":false,"autostart":false,
            "capabilities":[]}]}"#,
        ] {
            assert!(matches!(read::<Inventory>(wrong.as_bytes()), Err(DocumentError::Json(_))), "{wrong}");
        }
    }

    #[test]
    fn no_more_is_read_than_the_limit() {
        assert!(matches!(at_most(std::io::repeat(b' '), 100), Err(DocumentError::TooLong)));
        assert_eq!(at_most(&[7; 100][..], 100).unwrap(), [7; 100]);
    }
}
