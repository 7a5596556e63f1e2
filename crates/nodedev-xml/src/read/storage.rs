use nodedev_model::{RemovableMedia, StorageCapability, StorageMedia};

use super::reader::{Reader, Step};
use crate::dom::NodeId;

pub(super) fn storage(r: &mut Reader<'_, '_>, node: NodeId) -> Step<StorageCapability> {
    let block = r.string(node, "block");
    if block.is_none() {
        r.internal(node, "no block device path supplied")?;
    }
    let mut disk = StorageCapability {
        block: block.unwrap_or_default(),
        bus: r.optional(node, "bus"),
        drive_type: r.optional(node, "drive_type"),
        model: r.optional(node, "model"),
        vendor: r.optional(node, "vendor"),
        serial: r.optional(node, "serial"),
        ..StorageCapability::default()
    };
    let mut removable = None;
    for nested in r.elements(node, "capability") {
        match r.doc.property(nested, "type") {
            None => r.internal(nested, "missing storage capability type")?,
            Some("hotpluggable") => disk.hotpluggable = true,
            Some("removable") => removable = Some(media(r, nested)?),
            Some(other) => r.internal(nested, format!("unknown storage capability type '{other}'"))?,
        }
    }
    disk.media = match removable {
        Some(media) => StorageMedia::Removable(media),
        None => StorageMedia::Fixed {
            size: r.required_number(node, "size", "size")?,
            logical_block_size: r.extra_number(node, "logical_block_size")?,
            num_blocks: r.extra_number(node, "num_blocks")?,
        },
    };
    Ok(disk)
}

fn media(r: &mut Reader<'_, '_>, node: NodeId) -> Step<RemovableMedia> {
    Ok(RemovableMedia {
        // Nothing but this very text means that there is one.
        available: r.text(node, "media_available").as_deref() == Some("1"),
        label: r.optional(node, "media_label"),
        size: r.required_number(node, "media_size", "removable media size")?,
        logical_block_size: r.extra_number(node, "logical_block_size")?,
        num_blocks: r.extra_number(node, "num_blocks")?,
    })
}
