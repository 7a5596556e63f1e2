//! Vital Product Data of PCI functions.
//!
//! Format: PCI Local Bus Specification 3.0, appendix I. What is accepted follows libvirt, which is stricter in places
//! (an unprintable name spoils all of it) and laxer in others (unknown resources and keywords are passed over).

use std::fmt;

use nodedev_model::{Text, VpdCapability, VpdField};

/// Size of the address space of Vital Product Data: 15 bits.
pub const MAX_LENGTH: usize = 0x8000;

const LARGE: u8 = 0x80;
const TAG_NAME: u8 = 0x82;
const TAG_READ_ONLY: u8 = 0x90;
const TAG_READ_WRITE: u8 = 0x91;
const SMALL_TAG_END: u8 = 0x0f;

/// Why Vital Product Data is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VpdError {
    /// Offset of the resource or field.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for VpdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid Vital Product Data at offset {}: {}", self.offset, self.problem)
    }
}

impl std::error::Error for VpdError {}

fn error(offset: usize, problem: &'static str) -> VpdError {
    VpdError { offset, problem }
}

/// Reads Vital Product Data. What follows the end tag is not looked at.
///
/// # Errors
/// [`VpdError`] for data that libvirt refuses as a whole.
pub fn parse(data: &[u8]) -> Result<VpdCapability, VpdError> {
    let data = &data[..data.len().min(MAX_LENGTH)];
    let mut vpd = VpdCapability::default();
    let mut checksum = 0u8;
    let mut saw_read_only = false;
    let mut at = 0;
    while let Some(&tag) = data.get(at) {
        let header = if tag & LARGE == 0 { 1 } else { 3 };
        let bytes = data.get(at..at + header).ok_or(error(at, "the data ends inside a resource's header"))?;
        checksum = bytes.iter().fold(checksum, |sum, byte| sum.wrapping_add(*byte));
        let length = match bytes {
            [_, low, high] => usize::from(u16::from_le_bytes([*low, *high])),
            _ if tag >> 3 & 0xf == SMALL_TAG_END => {
                return if saw_read_only {
                    Ok(vpd)
                } else {
                    Err(error(at, "it ends without a read-only block"))
                };
            }
            _ => usize::from(tag & 7),
        };
        let start = at + header;
        let content =
            data.get(start..start + length).ok_or(error(at, "a resource that is longer than the data"))?;
        match tag {
            TAG_NAME => {
                sum(&mut checksum, content);
                vpd.name =
                    Some(text(content).ok_or(error(at, "a name with characters that cannot be printed"))?);
            }
            TAG_READ_ONLY => {
                read_only(content, start, &mut vpd, &mut checksum)?;
                saw_read_only = true;
            }
            TAG_READ_WRITE => {
                read_write(content, start, &mut vpd)?;
                sum(&mut checksum, content);
            }
            // The checksum leaves the content of other resources out, as libvirt's does.
            _ => {}
        }
        at = start + length;
    }
    Err(error(at, "it has no end tag"))
}

fn sum(checksum: &mut u8, bytes: &[u8]) {
    *checksum = bytes.iter().fold(*checksum, |sum, byte| sum.wrapping_add(*byte));
}

/// Text without white space around it, up to a NUL. `None` if it has characters that cannot be printed.
fn text(bytes: &[u8]) -> Option<Text> {
    let bytes = bytes.split(|&b| b == 0).next().unwrap_or_default().trim_ascii();
    bytes.iter().all(|b| matches!(b, b' '..=b'~')).then(|| bytes.into())
}

/// One field of a block: its keyword, where its data starts in the block, and the data.
struct Field<'a> {
    keyword: [u8; 2],
    start: usize,
    data: &'a [u8],
}

/// The fields of a block, which they fill.
fn fields(block: &[u8], offset: usize) -> impl Iterator<Item = Result<Field<'_>, VpdError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = block.get(at..).filter(|rest| !rest.is_empty())?;
        let start = at + 3;
        let field = match rest {
            [first, second, length, rest @ ..] => {
                rest.get(..usize::from(*length)).map(|data| Field { keyword: [*first, *second], start, data })
            }
            _ => None,
        };
        let failed = at;
        at = field.as_ref().map_or(block.len(), |field| start + field.data.len());
        Some(field.ok_or(error(offset + failed, "a field that is longer than its block")))
    })
}

fn read_only(
    block: &[u8],
    offset: usize,
    vpd: &mut VpdCapability,
    checksum: &mut u8,
) -> Result<(), VpdError> {
    let mut known = vpd.read_only.is_some();
    let mut parsed = vpd.read_only.take().unwrap_or_default();
    for field in fields(block, offset) {
        let Field { keyword, start, data } = field?;
        match keyword {
            [b'R', b'V'] => {
                let Some(_) = data.first() else {
                    return Err(error(offset + start, "a checksum field without data"));
                };
                sum(checksum, &block[..=start]);
                if *checksum != 0 {
                    return Err(error(offset + start, "the checksum is wrong"));
                }
                if start + data.len() < block.len() {
                    return Err(error(offset + start, "the checksum is not the last field of its block"));
                }
                vpd.read_only = known.then_some(parsed);
                return Ok(());
            }
            [b'R', b'W'] => return Err(error(offset + start, "a read-write field in the read-only block")),
            _ => {}
        }
        // Its value is not looked at: extended capabilities are binary.
        known |= keyword == *b"CP";
        let Some(value) = text(data) else { continue };
        known |= is_known(keyword);
        match keyword {
            [b'E', b'C'] => parsed.change_level = Some(value),
            [b'M', b'N'] => parsed.manufacture_id = Some(value),
            [b'P', b'N'] => parsed.part_number = Some(value),
            [b'S', b'N'] => parsed.serial_number = Some(value),
            [b'V', index] if is_index(index) => set(&mut parsed.vendor_fields, index, value),
            _ => {}
        }
    }
    Err(error(offset, "the read-only block has no checksum"))
}

fn read_write(block: &[u8], offset: usize, vpd: &mut VpdCapability) -> Result<(), VpdError> {
    let mut known = vpd.read_write.is_some();
    let mut parsed = vpd.read_write.take().unwrap_or_default();
    for field in fields(block, offset) {
        let Field { keyword, start, data } = field?;
        match keyword {
            [b'R', b'W'] => {
                if start + data.len() < block.len() {
                    return Err(error(
                        offset + start,
                        "the remaining area is not the last field of its block",
                    ));
                }
                break;
            }
            [b'R', b'V'] => return Err(error(offset + start, "a checksum in the read-write block")),
            _ => {}
        }
        // Its value is not looked at: extended capabilities are binary.
        known |= keyword == *b"CP";
        let Some(value) = text(data) else { continue };
        known |= is_known(keyword);
        match keyword {
            [b'Y', b'A'] => parsed.asset_tag = Some(value),
            [b'V', index] if is_index(index) => set(&mut parsed.vendor_fields, index, value),
            [b'Y', index] if is_index(index) => set(&mut parsed.system_fields, index, value),
            _ => {}
        }
    }
    vpd.read_write = known.then_some(parsed);
    Ok(())
}

/// Whether libvirt knows a keyword. A block with one has fields in its eyes, even where it keeps the value of none.
fn is_known(keyword: [u8; 2]) -> bool {
    match &keyword {
        b"EC" | b"MN" | b"PN" | b"SN" => true,
        [b'V' | b'Y', index] => is_index(*index),
        _ => false,
    }
}

fn is_index(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase()
}

/// The last value of an index counts, at the place of the first.
fn set(list: &mut Vec<VpdField>, index: u8, value: Text) {
    let index = char::from(index);
    match list.iter_mut().find(|field| field.index == index) {
        Some(field) => field.value = value,
        None => list.push(VpdField { index, value }),
    }
}

#[cfg(test)]
mod tests {
    use nodedev_model::{VpdReadOnly, VpdReadWrite};

    use super::*;

    fn field(keyword: &str, data: &[u8]) -> Vec<u8> {
        [keyword.as_bytes(), &[data.len() as u8], data].concat()
    }

    fn large(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag][..], &(content.len() as u16).to_le_bytes(), content].concat()
    }

    /// A read-only block that makes the sum of everything before it zero.
    fn block(before: &[u8], fields: &[u8]) -> Vec<u8> {
        let mut block = large(TAG_READ_ONLY, &[fields, &field("RV", &[0, 0])].concat());
        let sum = before.iter().chain(&block).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let at = block.len() - 2;
        block[at] = sum.wrapping_neg();
        block
    }

    fn whole(before: &[u8], fields: &[u8], after: &[u8]) -> Vec<u8> {
        [before, &block(before, fields), after, &[0x78]].concat()
    }

    #[test]
    fn name_and_both_blocks_are_read() {
        let name = large(TAG_NAME, b" Card X ");
        let fields = [
            field("PN", b" AB-1 "),
            field("SN", b"S1\0junk"),
            field("V0", b"a"),
            field("V1", b""),
            field("V0", b"b"),
            field("FG", b"x"),
            field("Y1", b"x"),
            field("EC", b"\x01"),
            field("v2", b"x"),
        ]
        .concat();
        let write =
            [field("YA", b"tag"), field("Y5", b"five"), field("V3", b"three"), field("RW", b"")].concat();
        let vpd = parse(&whole(&name, &fields, &large(TAG_READ_WRITE, &write))).unwrap();
        assert_eq!(vpd.name.unwrap(), "Card X");
        let read_only = vpd.read_only.unwrap();
        assert_eq!(read_only.part_number.unwrap(), "AB-1");
        assert_eq!(read_only.serial_number.unwrap(), "S1");
        assert_eq!(read_only.change_level, None);
        let vendor: Vec<_> = read_only.vendor_fields.iter().map(|f| (f.index, f.value.to_string())).collect();
        assert_eq!(vendor, [('0', "b".into()), ('1', String::new())]);
        let read_write = vpd.read_write.unwrap();
        assert_eq!(read_write.asset_tag.unwrap(), "tag");
        assert_eq!((read_write.vendor_fields.len(), read_write.system_fields.len()), (1, 1));
    }

    #[test]
    fn blocks_without_fields_leave_nothing() {
        let vpd = parse(&whole(&[], &[], &large(TAG_READ_WRITE, &[]))).unwrap();
        assert_eq!(vpd, VpdCapability::default());
    }

    #[test]
    fn blocks_with_known_keywords_only_are_there_without_fields() {
        let vpd =
            parse(&whole(&[], &field("CP", b"\xff"), &large(TAG_READ_WRITE, &field("PN", b"x")))).unwrap();
        assert_eq!(vpd.read_only, Some(VpdReadOnly::default()));
        assert_eq!(vpd.read_write, Some(VpdReadWrite::default()));
        for unknown in ["ZZ", "FG", "LC", "PG"] {
            let vpd = parse(&whole(&[], &field(unknown, b"x"), &[])).unwrap();
            assert_eq!(vpd.read_only, None, "{unknown}");
        }
    }

    #[test]
    fn damaged_data_is_refused_as_a_whole() {
        let good = whole(&large(TAG_NAME, b"n"), &field("PN", b"x"), &[]);
        assert!(parse(&good).is_ok());
        for length in 0..good.len() {
            assert!(parse(&good[..length]).is_err(), "cut at {length}");
        }
        let mut wrong_sum = good.clone();
        wrong_sum[3] = b'm';
        assert_eq!(parse(&wrong_sum).unwrap_err().problem, "the checksum is wrong");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let name = large(TAG_NAME, b"name");
        let write = |fields: &[&[u8]]| whole(&name, &[], &large(TAG_READ_WRITE, &fields.concat()));
        let read = |fields: &[&[u8]]| [&name[..], &large(TAG_READ_ONLY, &fields.concat())].concat();
        let (asset, part) = (field("YA", b"tag"), field("PN", b"x"));
        // The name has seven bytes, a block's head three, as a field's; the read-only block of `write` has eight bytes.
        let write_at = 7 + 8 + 3;
        for (bad, offset, want) in [
            (large(TAG_NAME, b"n\x07"), 0, "a name with characters that cannot be printed"),
            (vec![0x78], 0, "without a read-only block"),
            (vec![0x0a, 0, 0], 3, "no end tag"),
            (vec![0x0a, 0, 0, TAG_NAME, 1], 3, "ends inside a resource's header"),
            (vec![0x0a, 0, 0, TAG_NAME, 1, 0], 3, "longer than the data"),
            (read(&[&part]), 10, "no checksum"),
            (read(&[&part, &field("RW", b"x")]), 10 + 4 + 3, "read-write field in the read-only"),
            (read(&[&part, &field("RV", b"")]), 10 + 4 + 3, "a checksum field without data"),
            (read(&[&part, &field("RV", b"x")]), 10 + 4 + 3, "the checksum is wrong"),
            (read(&[&part, b"SN\x09abc"]), 10 + 4, "longer than its block"),
            (write(&[&asset, &field("RV", b"x")]), write_at + 6 + 3, "a checksum in the read-write"),
            (
                write(&[&asset, &field("RW", b"x"), &asset]),
                write_at + 6 + 3,
                "not the last field of its block",
            ),
            (write(&[&asset, b"YA\x20abc"]), write_at + 6, "longer than its block"),
        ] {
            let error = parse(&bad).unwrap_err();
            assert!(error.problem.contains(want), "{error}");
            assert_eq!(error.offset, offset, "{error}");
            let text = format!("invalid Vital Product Data at offset {offset}: {}", error.problem);
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn a_checksum_can_be_a_byte_and_is_the_last_field_of_its_block() {
        let block = |fields: &[u8]| {
            let mut block = large(TAG_READ_ONLY, &[fields, b"RV\x01\0"].concat());
            *block.last_mut().unwrap() = block.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
            block
        };
        let part = field("PN", b"x");
        for fields in [&[][..], &part] {
            assert!(parse(&[&block(fields)[..], &[0x78]].concat()).is_ok(), "{fields:?}");
        }
        // The sum ends with the checksum's first byte, so that what follows it does not change it.
        let mut followed = block(&part);
        followed[1] += part.len() as u8;
        let sum = followed.last_mut().unwrap();
        *sum = sum.wrapping_sub(part.len() as u8);
        let error = parse(&[&followed[..], &part, &[0x78]].concat()).unwrap_err();
        assert_eq!((error.offset, error.problem), (10, "the checksum is not the last field of its block"));
    }

    #[test]
    fn keywords_are_kept_or_passed_over() {
        let read = |keyword: &str| parse(&whole(&[], &field(keyword, b"x"), &[])).unwrap().read_only;
        let write = |keyword: &str| {
            parse(&whole(&[], &[], &large(TAG_READ_WRITE, &field(keyword, b"x")))).unwrap().read_write
        };
        let value = || Some(Text::from(&b"x"[..]));
        let fields = |index: char| vec![VpdField { index, value: Text::from(&b"x"[..]) }];
        let (none, nothing) = (VpdReadOnly::default(), VpdReadWrite::default());
        for (keyword, want) in [
            ("EC", Some(VpdReadOnly { change_level: value(), ..none.clone() })),
            ("MN", Some(VpdReadOnly { manufacture_id: value(), ..none.clone() })),
            ("PN", Some(VpdReadOnly { part_number: value(), ..none.clone() })),
            ("SN", Some(VpdReadOnly { serial_number: value(), ..none.clone() })),
            ("V0", Some(VpdReadOnly { vendor_fields: fields('0'), ..none.clone() })),
            ("VZ", Some(VpdReadOnly { vendor_fields: fields('Z'), ..none.clone() })),
            ("Y0", Some(none.clone())),
            ("CP", Some(none)),
            ("V-", None),
            ("Vz", None),
            ("Y-", None),
            ("ZZ", None),
        ] {
            assert_eq!(read(keyword), want, "{keyword}");
        }
        for (keyword, want) in [
            ("YA", Some(VpdReadWrite { asset_tag: value(), ..nothing.clone() })),
            ("V0", Some(VpdReadWrite { vendor_fields: fields('0'), ..nothing.clone() })),
            ("YZ", Some(VpdReadWrite { system_fields: fields('Z'), ..nothing.clone() })),
            ("EC", Some(nothing.clone())),
            ("CP", Some(nothing)),
            ("V-", None),
            ("Y-", None),
            ("Yz", None),
            ("ZZ", None),
        ] {
            assert_eq!(write(keyword), want, "{keyword}");
        }
        // One that is not kept does not stand in for one that is.
        let both = [field("V0", b"x"), field("V-", b"y")].concat();
        let vpd =
            parse(&whole(&[], &both, &large(TAG_READ_WRITE, &[&both[..], &field("Y-", b"z")].concat())));
        let vpd = vpd.unwrap();
        assert_eq!(vpd.read_only.unwrap().vendor_fields, fields('0'));
        let written = vpd.read_write.unwrap();
        assert_eq!((written.vendor_fields, written.system_fields), (fields('0'), vec![]));
    }

    #[test]
    fn a_read_write_block_in_front_counts_for_the_checksum() {
        let fields = [field("YA", b"tag"), field("RW", &[7, 9])].concat();
        let before = large(TAG_READ_WRITE, &fields);
        let vpd = parse(&whole(&before, &field("PN", b"x"), &[])).unwrap();
        assert_eq!(vpd.read_write.unwrap().asset_tag.unwrap(), "tag");
    }

    #[test]
    fn fields_fill_their_block() {
        let with = |fields: &[u8]| parse(&whole(&[], &[], &large(TAG_READ_WRITE, fields)));
        assert_eq!(with(b"YA\0").unwrap().read_write.unwrap().asset_tag.unwrap(), "");
        for short in [&b"Y"[..], b"YA", b"YA\x01", b"YA\0Y", b"RW", b"RW\x01", b"RV\0"] {
            assert!(with(short).is_err(), "{short:?}");
        }
    }

    #[test]
    fn checksum_leaves_out_the_content_of_skipped_resources_but_not_their_headers() {
        let skipped = large(0x83, &[7, 9]);
        let header_only = &skipped[..3];
        let accepted = [&skipped[..], &block(header_only, &field("PN", b"x")), &[0x78]].concat();
        assert!(parse(&accepted).is_ok());
        assert!(parse(&whole(&skipped, &field("PN", b"x"), &[])).is_err());
    }
}
