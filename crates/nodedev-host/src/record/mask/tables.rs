//! Which attributes and properties tell one thing from all others, and which hold a person's choice of words.

/// Attributes whose value identifies one thing in the world.
pub(super) const ATTRIBUTES: &[&str] = &[
    "address",
    "cid",
    "device/uid",
    "fabric_name",
    "macaddress",
    "nguid",
    "node_guid",
    "node_name",
    "phys_port_id",
    "phys_switch_id",
    "port_name",
    "product_serial",
    "product_uuid",
    "serial",
    "subsysnqn",
    "sys_image_guid",
    "unique_id",
    "uuid",
    "wwid",
];

/// Of these, the ones that hold nothing else: whatever is in them is replaced, also what could be a word or a number.
pub(super) const NOTHING_BUT_IDENTITY: &[&str] =
    &["product_serial", "product_uuid", "serial", "subsysnqn", "uid", "wwid"];

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
    b"ID_FS_LABEL",
    b"ID_FS_LABEL_ENC",
    b"ID_FS_LABEL_FATBOOT",
    b"ID_FS_LABEL_FATBOOT_ENC",
    b"ID_FS_LABEL_SAFE",
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
    LABELS.contains(&name)
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

/// Words in the place of a serial number that say there is none.
const PLACEHOLDERS: &[&[u8]] = &[
    b"default string",
    b"n/a",
    b"no asset information",
    b"none",
    b"noserial",
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
