use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Text;
use crate::native::facts::facts;

/// A disk or another block device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageCapability {
    /// Device node, `/dev/sda`.
    pub block: Text,
    /// Bus (udev's `ID_BUS`).
    pub bus: Option<Text>,
    /// Kind of drive: `disk`, `cdrom`, `floppy`, `sd`, `dasd`; other words in the native view.
    pub drive_type: Option<Text>,
    /// Model.
    pub model: Option<Text>,
    /// Vendor.
    pub vendor: Option<Text>,
    /// Serial number (udev's `ID_SERIAL`, or the uid of a DASD).
    pub serial: Option<Text>,
    /// Size, and the medium if the drive takes removable ones.
    pub media: StorageMedia,
    /// The kernel says that the medium can be taken out, or that the drive is one that is plugged in and out (sysfs `removable`):
    /// optical drives, card readers, USB sticks. False in documents, where `media` alone tells.
    pub removable: bool,
    /// The drive can be plugged in and out; only in documents.
    pub hotpluggable: bool,
    /// What a block device of software is made of, under a name of its kind. Only the native view has it.
    pub software: Option<StorageSoftware>,
}

/// What a block device of software is made of, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageSoftware {
    /// A file as a block device.
    Loop(LoopDevice),
    /// A device of the device mapper: a logical volume, an encrypted disk, the paths to a disk.
    DeviceMapper(MappedDevice),
    /// Disks as one (RAID in software).
    Raid(RaidArray),
}

facts! {
    /// A file as a block device (`/sys/block/loop*/loop`).
    LoopDevice {
        /// The file.
        backing_file: Text,
        /// Where in the file it begins, in bytes.
        offset_bytes: u64,
        /// Most of its size; 0: as long as the file.
        limit_bytes: u64,
        /// Whether it goes when nobody has it open any more.
        autoclear: bool,
    }

    /// A device of the device mapper (`/sys/block/dm-*/dm`).
    MappedDevice {
        /// Its name.
        name: Text,
        /// Its UUID, with a prefix that tells whose it is (`LVM-`, `CRYPT-`, `mpath-`).
        uuid: Text,
        /// Whether it is suspended: what is read or written waits.
        suspended: bool,
        /// Names of the block devices that it is made of, sorted.
        members: Vec<Text>,
    }

    /// Disks as one (`/sys/block/md*/md`; md(4)).
    RaidArray {
        /// Level: `raid0`, `raid1`, `raid5`, `linear` …
        level: Text,
        /// How many disks it is made for.
        disks: u32,
        /// State: `clean`, `active`, `inactive`, `readonly` …
        state: Text,
        /// How many disks are missing.
        degraded: u32,
        /// Version of its superblock: `1.2`, `external:imsm`, `none`.
        metadata: Text,
        /// Names of the block devices that it is made of, sorted.
        members: Vec<Text>,
    }
}

/// Size of a drive, or of the medium in it.
///
/// `size` and the block numbers are what libvirt prints: it takes the kernel's count of 512-byte units for a count of
/// logical blocks, so on a disk with 4096-byte blocks its size is eight times too large. The correct number is
/// [`StorageCapability::size_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageMedia {
    /// A drive whose medium stays in it.
    Fixed {
        /// libvirt's size: `num_blocks` × `logical_block_size`, or what a document says.
        size: u64,
        /// Logical block size in bytes; 0 when not known.
        logical_block_size: u64,
        /// Size in units of 512 bytes (sysfs `size`); 0 when not known.
        num_blocks: u64,
    },
    /// A drive that takes removable media.
    Removable(RemovableMedia),
}

/// The medium of a drive that takes removable ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RemovableMedia {
    /// There is a medium in the drive.
    pub available: bool,
    /// libvirt's size of it, as in [`StorageMedia::Fixed`]; 0 without medium.
    pub size: u64,
    /// Label of the file system on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Text>,
    /// Logical block size in bytes; 0 when not known.
    pub logical_block_size: u64,
    /// Size in units of 512 bytes; 0 when not known.
    pub num_blocks: u64,
}

impl Default for StorageMedia {
    fn default() -> Self {
        Self::Fixed { size: 0, logical_block_size: 0, num_blocks: 0 }
    }
}

impl StorageCapability {
    /// Size in bytes of the drive, or of the medium in it. Absent when it is not known or there is none.
    pub fn size_bytes(&self) -> Option<u64> {
        let (size, num_blocks) = match &self.media {
            StorageMedia::Fixed { size, num_blocks, .. } => (*size, *num_blocks),
            StorageMedia::Removable(media) => (media.size, media.num_blocks),
        };
        let bytes = if num_blocks == 0 { size } else { num_blocks.saturating_mul(512) };
        (bytes != 0).then_some(bytes)
    }

    /// Logical block size in bytes. Absent when it is not known.
    pub fn logical_block_size(&self) -> Option<u64> {
        let (StorageMedia::Fixed { logical_block_size: size, .. }
        | StorageMedia::Removable(RemovableMedia { logical_block_size: size, .. })) = &self.media;
        (*size != 0).then_some(*size)
    }
}

/// The JSON of a [`StorageCapability`], with the correct size.
#[derive(Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StorageCapability")]
struct StorageJson<'a> {
    /// Device node.
    block: Cow<'a, Text>,
    /// Bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    bus: Option<Cow<'a, Text>>,
    /// Kind of drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    drive_type: Option<Cow<'a, Text>>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, Text>>,
    /// Vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<Cow<'a, Text>>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<Cow<'a, Text>>,
    /// Size in bytes of the drive, or of the medium in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Logical block size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_block_size: Option<u64>,
    /// The medium can be taken out, or the drive is one that is plugged in and out.
    removable: bool,
    /// There is a medium in the drive; absent for a drive whose medium stays in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_available: Option<bool>,
    /// Label of the file system on the medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    media_label: Option<Cow<'a, Text>>,
    /// What a block device of software is made of.
    #[serde(flatten)]
    software: Option<Cow<'a, StorageSoftware>>,
    /// What libvirt shows of the medium; absent where it follows from the other members.
    #[serde(skip_serializing_if = "Option::is_none")]
    libvirt: Option<LibvirtMedia>,
}

/// What libvirt shows of a drive's medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct LibvirtMedia {
    /// As in [`StorageCapability`].
    removable: bool,
    /// As in [`StorageCapability`].
    hotpluggable: bool,
    /// Size, and the medium if the drive takes removable ones.
    media: StorageMedia,
}

impl StorageJson<'_> {
    /// What libvirt shows of such a drive on a host.
    fn usual(&self) -> LibvirtMedia {
        let takes_media =
            self.drive_type.as_ref().is_some_and(|kind| **kind == "cdrom" || **kind == "floppy");
        let num_blocks = self.size_bytes.unwrap_or(0) / 512;
        let logical_block_size = self.logical_block_size.unwrap_or(0);
        let size = logical_block_size.wrapping_mul(num_blocks);
        let media = if !(self.removable && takes_media) {
            StorageMedia::Fixed { size, logical_block_size, num_blocks }
        } else if self.media_available == Some(true) {
            let label = self.media_label.as_deref().cloned();
            StorageMedia::Removable(RemovableMedia {
                available: true,
                size,
                label,
                logical_block_size,
                num_blocks,
            })
        } else {
            StorageMedia::Removable(RemovableMedia::default())
        };
        LibvirtMedia { removable: self.removable, hotpluggable: false, media }
    }
}

impl Serialize for StorageCapability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let media = match &self.media {
            StorageMedia::Fixed { .. } => None,
            StorageMedia::Removable(media) => Some(media),
        };
        let mut json = StorageJson {
            block: Cow::Borrowed(&self.block),
            bus: self.bus.as_ref().map(Cow::Borrowed),
            drive_type: self.drive_type.as_ref().map(Cow::Borrowed),
            model: self.model.as_ref().map(Cow::Borrowed),
            vendor: self.vendor.as_ref().map(Cow::Borrowed),
            serial: self.serial.as_ref().map(Cow::Borrowed),
            size_bytes: self.size_bytes(),
            logical_block_size: self.logical_block_size(),
            removable: self.removable || media.is_some(),
            media_available: match media {
                Some(media) => Some(media.available),
                // An empty slot of a card reader has no size.
                None => self.removable.then(|| self.size_bytes().is_some()),
            },
            media_label: media.and_then(|media| media.label.as_ref()).map(Cow::Borrowed),
            software: self.software.as_ref().map(Cow::Borrowed),
            libvirt: None,
        };
        let shown = LibvirtMedia {
            removable: self.removable,
            hotpluggable: self.hotpluggable,
            media: self.media.clone(),
        };
        json.libvirt = Some(shown).filter(|shown| *shown != json.usual());
        json.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StorageCapability {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let mut json = StorageJson::deserialize(reader)?;
        let LibvirtMedia { removable, hotpluggable, media } =
            json.libvirt.take().unwrap_or_else(|| json.usual());
        Ok(Self {
            block: json.block.into_owned(),
            bus: json.bus.map(Cow::into_owned),
            drive_type: json.drive_type.map(Cow::into_owned),
            model: json.model.map(Cow::into_owned),
            vendor: json.vendor.map(Cow::into_owned),
            serial: json.serial.map(Cow::into_owned),
            media,
            removable,
            hotpluggable,
            software: json.software.map(Cow::into_owned),
        })
    }
}

impl JsonSchema for StorageCapability {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StorageCapability".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        StorageJson::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::{StorageCapability, StorageMedia};

    #[test]
    fn size_of_a_4kn_disk_is_counted_in_512_byte_units() {
        let disk = StorageCapability {
            media: StorageMedia::Fixed { size: 8 << 40, logical_block_size: 4096, num_blocks: 1 << 31 },
            ..StorageCapability::default()
        };
        assert_eq!(disk.size_bytes(), Some(1 << 40));
    }

    #[test]
    fn size_of_a_document_is_the_one_it_states() {
        let disk = StorageCapability {
            media: StorageMedia::Fixed { size: 123, logical_block_size: 0, num_blocks: 0 },
            ..StorageCapability::default()
        };
        assert_eq!(disk.size_bytes(), Some(123));
        assert_eq!(StorageCapability::default().size_bytes(), None);
    }
}
