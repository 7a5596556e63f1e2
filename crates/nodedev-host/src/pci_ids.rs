//! Names of PCI vendors and devices, from the system's `pci.ids`.
//!
//! libvirt asks libpciaccess, whose reader takes at most 127 bytes for a line: names are cut after 121 (vendor) or 120
//! (device) bytes, and the rest counts as a line of its own. Without the file there are no names.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

use flate2::read::MultiGzDecoder;
use nodedev_sys::{Root, paths};

use crate::number;

/// Bound of the file; the current one has 1.6 MB.
const LIMIT: usize = 32 << 20;
/// What libpciaccess takes for a line at most, line break included, in bytes.
const LINE: usize = 127;

/// The database, read when the first name is asked for.
#[derive(Debug, Default)]
pub(crate) struct PciIds(OnceLock<Database>);

impl PciIds {
    /// Names of a vendor and of one of its devices. A device is only looked for among its vendor's.
    pub(crate) fn names(&self, root: &Root, vendor: u32, device: u32) -> (Option<&[u8]>, Option<&[u8]>) {
        let database = self.0.get_or_init(|| {
            Database::new(paths::PCI_IDS.iter().find_map(|path| read(root, path)).unwrap_or_default())
        });
        database.names(vendor, device)
    }
}

/// Reads the file at `path`, or the compressed one beside it, which libpciaccess prefers.
fn read(root: &Root, path: &str) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    if let Ok(Some(packed)) = root.read(format!("{path}.gz").as_bytes(), &mut content, LIMIT) {
        let mut text = Vec::new();
        if MultiGzDecoder::new(packed).take(LIMIT as u64).read_to_end(&mut text).is_ok() {
            return Some(text);
        }
    }
    root.read(path.as_bytes(), &mut content, LIMIT).ok()?.map(<[u8]>::to_vec)
}

/// The text of a `pci.ids` file with an index of its vendors; each vendor's devices are indexed on first use.
#[derive(Debug)]
pub struct Database {
    text: Vec<u8>,
    vendors: HashMap<u16, Vendor>,
}

#[derive(Debug)]
struct Vendor {
    name: Range<usize>,
    /// What follows the vendor's line, for each time it has one, up to the next vendor's.
    blocks: Vec<Range<usize>>,
    devices: OnceLock<HashMap<u16, Range<usize>>>,
}

impl Database {
    /// Takes the content of a `pci.ids` file. Lines that are neither vendor nor device are passed over.
    pub fn new(text: Vec<u8>) -> Self {
        let mut vendors: HashMap<u16, Vendor> = HashMap::new();
        let mut current: Option<(u32, Range<usize>, usize)> = None;
        let mut close = |current: Option<(u32, Range<usize>, usize)>, end: usize| {
            if let Some((id, name, start)) = current
                && let Ok(id) = u16::try_from(id)
            {
                let new = || Vendor { name, blocks: Vec::new(), devices: OnceLock::new() };
                vendors.entry(id).or_insert_with(new).blocks.push(start..end);
            }
        };
        for (start, end) in lines(&text, 0..text.len()) {
            // What does not begin with four digits is no vendor: comments, devices, and behind all vendors the classes.
            if let Some(id) = id(&text[start..end]) {
                close(current.take(), start);
                current = Some((id, name(&text, start + 6, end), end));
            }
        }
        close(current, text.len());
        Self { text, vendors }
    }

    /// Names of a vendor and of one of its devices; absent when the database has none.
    pub fn names(&self, vendor: u32, device: u32) -> (Option<&[u8]>, Option<&[u8]>) {
        let number = |id: u32| u16::try_from(id).ok();
        let Some(vendor) = number(vendor).and_then(|id| self.vendors.get(&id)) else { return (None, None) };
        let devices = vendor.devices.get_or_init(|| self.devices(&vendor.blocks));
        let device = number(device).and_then(|id| devices.get(&id));
        let text = |range: &Range<usize>| &self.text[range.clone()];
        (Some(text(&vendor.name)), device.map(text))
    }

    fn devices(&self, blocks: &[Range<usize>]) -> HashMap<u16, Range<usize>> {
        let mut devices = HashMap::new();
        for (start, end) in blocks.iter().flat_map(|block| lines(&self.text, block.clone())) {
            // Two tabs begin a subsystem's line.
            if let [b'\t', rest @ ..] = &self.text[start..end]
                && let Some(id) = id(rest).and_then(|id| u16::try_from(id).ok())
            {
                devices.entry(id).or_insert(name(&self.text, start + 7, end));
            }
        }
        devices
    }
}

/// Starts and ends of the lines in a part of the text; an end is where the line break is.
fn lines(text: &[u8], part: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    let mut next = part.start;
    std::iter::from_fn(move || {
        if next >= part.end {
            return None;
        }
        let start = next;
        let longest = part.end.min(start + LINE);
        let end = text[start..longest].iter().position(|&b| b == b'\n').map(|at| start + at);
        next = end.map_or(longest, |end| end + 1);
        Some((start, end.unwrap_or(longest)))
    })
}

/// The number at the start of a line, of at least four hexadecimal digits. One that does not fit is the largest.
fn id(line: &[u8]) -> Option<u32> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    (digits >= 4).then(|| number::leading_u32(&line[..digits], 16).unwrap_or(u32::MAX))
}

/// The name at a fixed place of a line, which ends at a NUL.
fn name(text: &[u8], start: usize, end: usize) -> Range<usize> {
    let start = start.min(end);
    start..text[start..end].iter().position(|&b| b == 0).map_or(end, |at| start + at)
}

#[cfg(test)]
mod tests {
    use super::Database;

    #[test]
    fn names_of_vendors_and_their_devices_are_found() {
        let database = Database::new(
            b"# comment\n\n8086  Intel Corporation\n\t1237  440FX - 82441FX PMC [Natoma]\n\t\t1af4 1100  Qemu virtual machine\n\
              \t7000  82371SB PIIX3 ISA [Natoma/Triton II]\n10de  NVIDIA Corporation\n\t1eb8  TU104GL [Tesla T4]\nC 02  Network controller\n\t00  Ethernet controller\n"
                .to_vec(),
        );
        let names = |vendor, device| {
            let (vendor, device) = database.names(vendor, device);
            let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            (vendor.map(text), device.map(text))
        };
        assert_eq!(names(0x8086, 0x7000).1.as_deref(), Some("82371SB PIIX3 ISA [Natoma/Triton II]"));
        assert_eq!(names(0x10de, 0x1eb8).0.as_deref(), Some("NVIDIA Corporation"));
        assert_eq!(names(0x10de, 0x1237), (Some("NVIDIA Corporation".into()), None));
        assert_eq!(names(0x1af4, 0x1100), (None, None));
        assert_eq!(names(0x1_8086, 0x7000), (None, None));
    }

    #[test]
    fn the_rest_of_a_long_line_is_another_line() {
        let text = format!("8086  {}10de  Second\n\t1237  x\n", "v".repeat(121));
        let database = Database::new(text.into_bytes());
        assert_eq!(database.names(0x8086, 0x1237).1, None);
        assert_eq!(database.names(0x10de, 0x1237), (Some(&b"Second"[..]), Some(&b"x"[..])));
    }

    #[test]
    fn a_vendor_that_comes_twice_has_its_first_name_and_all_its_devices() {
        let text = b"8086  I\r\n\t0001  a\0b\n10de  N\nC 01  x\n\t0001  n\n8086  J\n\t0001  c\n\t0002  d\n";
        let database = Database::new(text.to_vec());
        assert_eq!(database.names(0x8086, 1), (Some(&b"I\r"[..]), Some(&b"a"[..])));
        assert_eq!(database.names(0x8086, 2).1, Some(&b"d"[..]));
        assert_eq!(database.names(0x10de, 1).1, Some(&b"n"[..]));
    }

    #[test]
    fn names_are_cut_where_libpciaccess_cuts_them() {
        let long = "x".repeat(300);
        let database = Database::new(format!("8086  {long}\n\t1237  {long}").into_bytes());
        let (vendor, device) = database.names(0x8086, 0x1237);
        assert_eq!((vendor.unwrap().len(), device.unwrap().len()), (121, 120));
        assert_eq!(Database::new(Vec::new()).names(1, 1), (None, None));
        assert_eq!(Database::new(b"8086".to_vec()).names(0x8086, 1), (Some(&b""[..]), None));
        assert_eq!(Database::new(b"808\n80860  x\n".to_vec()).names(0x8086, 1), (None, None));
        assert_eq!(Database::new(b"8086 \n\t1".to_vec()).names(0x8086, 1), (Some(&b""[..]), None));
    }
}
