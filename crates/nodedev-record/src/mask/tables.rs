//! Which attributes and properties tell one thing from all others, which hold a person's choice of words, and which are known
//! to do neither. What is in no table is not recorded, or masked.

/// Attributes whose value identifies one thing in the world. Not all of them are recorded: what they hold may stand elsewhere
/// as well.
pub(super) const ATTRIBUTES: &[&str] = &[
    "address",
    "board_asset_tag",
    "board_serial",
    "chassis_asset_tag",
    "chassis_serial",
    "cid",
    "device/uid",
    "dm/uuid",
    "enclosure_identifier",
    "fabric_name",
    "hostid",
    "hostnqn",
    "hwaddress",
    "id",
    "initiatorname",
    "ipaddress",
    "lld_busid",
    "mac_address",
    "macaddress",
    "md/uuid",
    "nguid",
    "node_guid",
    "node_name",
    "persistent_address",
    "phys_port_id",
    "phys_switch_id",
    "port_guid",
    "port_name",
    "product_serial",
    "product_uuid",
    "sas_address",
    "serial",
    "subsysnqn",
    "sys_image_guid",
    "targetname",
    "unique_id",
    "uuid",
    "wwid",
];

/// Recorded attributes that hold nothing but an identity: whatever is in them is replaced, also what could be a word or a
/// number.
pub(super) const NOTHING_BUT_IDENTITY: &[&str] = &[
    "product_serial",
    "product_uuid",
    "serial",
    "serial-number",
    "subsysnqn",
    "uid",
    "unique_id",
    "uuid",
    "wwid",
];

/// Recorded attributes that hold a person's choice of words. It can be any word, so it is replaced where it stands only.
pub(super) const LABEL_ATTRIBUTES: &[&str] = &["dm/name", "loop/backing_file"];

/// Recorded attributes that hold long numbers which identify nothing.
pub(super) const NUMBERS: &[&str] = &[
    "bytes_transferred",
    "class",
    "local_cpulist",
    "local_cpus",
    "modalias",
    "range",
    "reserved_regions",
    "resource",
    "size",
    "start",
    "version",
    "virtual_size",
];

/// What the names of properties end in, of udev and of `uevent` files, whose value identifies one thing.
const SUFFIXES: &[&[u8]] = &[
    b"ASSET_TAG",
    b"PARTUUID",
    b"SERIAL",
    b"SERIAL_NUMBER",
    b"SERIAL_SHORT",
    b"UNIQ",
    b"UUID",
    b"UUID_ENC",
    b"UUID_SUB",
    b"UUID_SUB_ENC",
    b"WWN",
    b"WWN_VENDOR_EXTENSION",
    b"WWN_WITH_EXTENSION",
];

/// Whether a property's value identifies one thing.
pub(super) fn is_identity_property(name: &[u8]) -> bool {
    // sg3_utils' rules have a dozen of these.
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) || name.starts_with(b"SCSI_IDENT_")
}

/// Properties whose value is a person's choice. It can be any word, so it is replaced where it stands only.
const LABELS: &[&[u8]] = &[
    b"DM_LV_NAME",
    b"DM_NAME",
    b"DM_VG_NAME",
    b"ID_FS_APPLICATION_ID",
    b"ID_FS_BOOT_SYSTEM_ID",
    b"ID_FS_DATA_PREPARER_ID",
    b"ID_FS_LABEL",
    b"ID_FS_LABEL_ENC",
    b"ID_FS_LABEL_FATBOOT",
    b"ID_FS_LABEL_FATBOOT_ENC",
    b"ID_FS_LABEL_SAFE",
    b"ID_FS_LOGICAL_VOLUME_ID",
    b"ID_FS_PUBLISHER_ID",
    b"ID_FS_SYSTEM_ID",
    b"ID_FS_VOLUME_ID",
    b"ID_FS_VOLUME_SET_ID",
    b"ID_LOOP_BACKING_FILENAME",
    b"ID_LOOP_BACKING_FILENAME_ENC",
    b"ID_PART_ENTRY_NAME",
    b"MD_DEVNAME",
    b"MD_NAME",
    b"PARTNAME",
];

/// Whether a property's value is a person's choice.
pub(super) fn is_label(name: &[u8]) -> bool {
    LABELS.binary_search(&name).is_ok()
}

/// Beginnings of links in udev's database that repeat a label.
const LABEL_LINKS: &[&[u8]] = &[
    b"S:disk/by-id/dm-name-",
    b"S:disk/by-id/md-name-",
    b"S:disk/by-label/",
    b"S:disk/by-partlabel/",
    b"S:mapper/",
    b"S:md/",
];

/// Length of a link's beginning behind which a label is. A device-mapper device has a link `GROUP/VOLUME` as well.
pub(super) fn label_link(line: &[u8], of_mapper: bool) -> Option<usize> {
    let known = LABEL_LINKS.iter().find(|prefix| line.starts_with(prefix)).map(|prefix| prefix.len());
    known.or_else(|| (of_mapper && line.starts_with(b"S:") && !line.starts_with(b"S:disk/")).then_some(2))
}

/// Folders of links whose names say where a device is, or which it is by number.
const PLACE_LINKS: &[&[u8]] = &[
    b"S:block/",
    b"S:bus/usb/",
    b"S:char/",
    b"S:disk/by-diskseq/",
    b"S:disk/by-loop-inode/",
    b"S:disk/by-path/",
    b"S:dri/by-path/",
    b"S:input/by-path/",
    b"S:media/by-path/",
    b"S:serial/by-path/",
    b"S:snd/by-path/",
    b"S:v4l/by-path/",
];
/// Links that every machine has.
const COMMON_LINKS: &[&[u8]] = &[
    b"S:btrfs-control",
    b"S:cdrom",
    b"S:cdrw",
    b"S:dvd",
    b"S:dvdrw",
    b"S:fb",
    b"S:floppy",
    b"S:hwrng",
    b"S:rtc",
    b"S:tape",
    b"S:vfio/vfio",
];

/// Whether a link's name tells of no single thing but for the addresses in it.
pub(super) fn is_place_link(line: &[u8]) -> bool {
    PLACE_LINKS.iter().any(|prefix| line.starts_with(prefix)) || COMMON_LINKS.contains(&line.trim_ascii_end())
}

/// Folders of links whose names are made of vendor, model and identity.
const FOLDERS_OF_LINKS: &[&[u8]] = &[
    b"S:disk/by-id/",
    b"S:disk/by-partuuid/",
    b"S:disk/by-uuid/",
    b"S:input/by-id/",
    b"S:media/by-id/",
    b"S:serial/by-id/",
    b"S:snd/by-id/",
    b"S:tape/by-id/",
    b"S:v4l/by-id/",
];

/// Length of a link's beginning that says nothing of the device.
pub(super) fn folder_of_link(line: &[u8]) -> usize {
    FOLDERS_OF_LINKS.iter().find(|folder| line.starts_with(folder)).map_or(2, |folder| folder.len())
}

/// Words in the names of links that tell kinds and buses.
const WORDS_OF_LINKS: &[&[u8]] = &[
    b"0x",
    b"ata",
    b"camera",
    b"card",
    b"ccw",
    b"dm",
    b"edac",
    b"eui",
    b"event",
    b"fc",
    b"google",
    b"ieee1394",
    b"if",
    b"kbd",
    b"lun",
    b"lv",
    b"LVM",
    b"lvm",
    b"md",
    b"memstick",
    b"mmc",
    b"mouse",
    b"mpath",
    b"naa",
    b"name",
    b"nqn",
    b"ns",
    b"nvme",
    b"part",
    b"port",
    b"pv",
    b"sas",
    b"scsi",
    b"uas",
    b"usb",
    b"uuid",
    b"video",
    b"virtio",
    b"vol",
    b"wwn",
    b"xen",
];

/// Whether a word in the name of a link tells a kind, a bus, or a small number.
pub(super) fn is_word_of_links(word: &[u8]) -> bool {
    let bare = &word[..word.iter().rposition(|b| !b.is_ascii_digit()).map_or(0, |at| at + 1)];
    word.len() - bare.len() <= 3
        && (bare.is_empty() || WORDS_OF_LINKS.contains(&bare) || WORDS_OF_LINKS.contains(&word))
}

/// Words in the place of a serial number that say there is none.
const PLACEHOLDERS: &[&[u8]] = &[
    b"(none)",
    b"default string",
    b"n/a",
    b"no asset information",
    b"no asset tag",
    b"none",
    b"noserial",
    b"not applicable",
    b"not available",
    b"not specified",
    b"system serial number",
    b"to be filled by o.e.m.",
    b"unknown",
];

/// Whether a value says that there is none: one of the usual words, or nothing but zeros or another single character.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let digits = value.strip_prefix(b"0x").unwrap_or(value);
    let mut letters = digits.iter().filter(|b| b.is_ascii_alphanumeric());
    let first = letters.next();
    let one_letter =
        letters.all(|letter| Some(letter) == first) && (digits.len() > 1 || first == Some(&b'0'));
    first.is_none() || one_letter || PLACEHOLDERS.contains(&&*value.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_are_searched_are_sorted() {
        assert!(LABELS.is_sorted());
    }

    #[test]
    fn words_of_links_are_kinds_and_small_numbers() {
        for word in ["usb", "nvme", "part1", "ns", "0", "123", "event12", "0x"] {
            assert!(is_word_of_links(word.as_bytes()), "{word}");
        }
        for word in ["jane", "1234", "KQ42Z", "part1234"] {
            assert!(!is_word_of_links(word.as_bytes()), "{word}");
        }
    }
}
