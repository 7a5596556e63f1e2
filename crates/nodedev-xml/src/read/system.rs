use nodedev_model::{Firmware, Hardware, SystemCapability, Uuid};

use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn system(r: &mut Reader<'_, '_>, node: NodeId) -> Step<SystemCapability> {
    let product = r.optional(node, "product");
    let hardware = |name| r.optional_below(node, "hardware", name);
    let (vendor, version, serial) = (hardware("vendor"), hardware("version"), hardware("serial"));
    let uuid = hardware("uuid");
    let at =
        r.elements(node, "hardware").find_map(|hardware| r.doc.element(hardware, "uuid")).unwrap_or(node);
    let uuid = uuid.filter(|uuid| !uuid.is_empty());
    let uuid = match uuid.map(|uuid| uuid.as_str().unwrap_or_default().parse::<Uuid>()) {
        Some(Ok(uuid)) => uuid,
        Some(Err(_)) => {
            r.internal(at, "malformed uuid element")?;
            Uuid::default()
        }
        None => {
            r.internal(at, "no system UUID supplied")?;
            Uuid::default()
        }
    };
    let firmware = |name| r.optional_below(node, "firmware", name);
    Ok(SystemCapability {
        product,
        hardware: Hardware { vendor, version, serial, uuid },
        firmware: Firmware {
            vendor: firmware("vendor"),
            version: firmware("version"),
            release_date: firmware("release_date"),
        },
        machine: None,
    })
}
