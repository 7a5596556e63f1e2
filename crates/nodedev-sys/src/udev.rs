//! What the kernel's `uevent` files and udev's database say of a device.
//!
//! Formats: `Documentation/driver-api/driver-model` for `uevent` (lines `KEY=value`); the database has a file for each
//! device in `run/udev/data`, with a letter, a colon and a value on each line (`E:` property, `S:` link below `/dev`).

/// The properties of a device as the kernel states them (`uevent` in sysfs).
#[derive(Debug, Clone, Copy, Default)]
pub struct Uevent<'a>(&'a [u8]);

impl<'a> Uevent<'a> {
    /// Takes the content of a `uevent` file.
    pub fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The value of a property; `None` if it is missing or empty, which udev and libvirt mostly do not tell apart.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.stated(key).filter(|value| !value.is_empty())
    }

    /// The value of a property, even an empty one.
    pub fn stated(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.lines().filter_map(|line| line.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"="))).last()
    }

    /// Whether there is no property at all.
    pub fn is_empty(&self) -> bool {
        !self.lines().any(|line| line.contains(&b'='))
    }

    /// The lines. What follows the last line break is none, as in libudev.
    fn lines(&self) -> impl Iterator<Item = &'a [u8]> {
        let end = self.0.iter().rposition(|&b| is_break(b)).unwrap_or(0);
        self.0[..end].split(|&b| is_break(b))
    }
}

/// A device's record in udev's database.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    /// Takes the content of a file of the database.
    pub fn new(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// Letters and values, the way libudev's reader sees them: it looks for a line's end only behind the first byte of
    /// the value, or the second byte of what is no entry, and leaves out a last line without line break.
    fn entries(self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                let line = &rest[rest.iter().position(|&b| !is_break(b))?..];
                let is_entry = line.get(1) == Some(&b':');
                let head = if is_entry { 3 } else { 2 };
                let end = head + line.get(head..)?.iter().position(|&b| is_break(b))?;
                rest = &line[end..];
                if is_entry {
                    return Some((line[0], &line[2..end]));
                }
            }
        })
    }

    fn values(self, letter: u8) -> impl Iterator<Item = &'a [u8]> {
        self.entries().filter(move |(first, _)| *first == letter).map(|(_, value)| value)
    }

    /// The value of a property; `None` if it is missing or empty.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.entry(key).filter(|value| !value.is_empty())
    }

    /// All properties, name and value, in the order of the record.
    pub fn properties(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.values(b'E').filter_map(|line| {
            let equals = line.iter().position(|&b| b == b'=')?;
            Some((&line[..equals], &line[equals + 1..]))
        })
    }

    /// Whether there is such a property at all, whatever its value, even an empty one.
    pub fn entry(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.values(b'E').filter_map(|line| line.strip_prefix(key)?.strip_prefix(b"=")).last()
    }

    /// Names of the device node other than its own, without `/dev/`, sorted by byte and each once. One that leads out of
    /// `/dev` is left out.
    pub fn links(&self) -> Vec<Vec<u8>> {
        let mut links: Vec<_> = self.values(b'S').filter_map(simplified).collect();
        links.sort_unstable();
        links.dedup();
        links
    }
}

/// A relative path without empty parts and `.`; `None` if it has `..` or nothing in it.
fn simplified(path: &[u8]) -> Option<Vec<u8>> {
    let parts = || path.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let safe = parts().next().is_some() && parts().all(|part| part != b"..");
    safe.then(|| parts().collect::<Vec<_>>().join(&b'/'))
}

/// Whether libudev takes a byte for the end of a line.
fn is_break(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// The file of the database that a device's record is in: by device number, else by interface index, else by subsystem
/// and name.
pub fn record_name(uevent: Uevent<'_>, subsystem: &[u8], sysname: &[u8]) -> Vec<u8> {
    let number =
        |key: &[u8]| std::str::from_utf8(uevent.get(key)?.trim_ascii_start()).ok()?.parse::<u32>().ok();
    if let (Some(major @ 1..), Some(minor)) = (number(b"MAJOR"), number(b"MINOR")) {
        let letter = if subsystem == b"block" { 'b' } else { 'c' };
        format!("{letter}{major}:{minor}").into_bytes()
    } else if let Some(index @ 1..) = number(b"IFINDEX") {
        format!("n{index}").into_bytes()
    } else {
        [b"+", subsystem, b":", sysname].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, Uevent, record_name};

    #[test]
    fn properties_are_read_the_last_one_counts_and_empty_ones_are_missing() {
        let uevent = Uevent::new(b"MAJOR=8\nMINOR=0\nDEVNAME=sda\r\nEMPTY=\nA=1\nA=2\nXA=3\0\nCUT=4");
        assert_eq!(uevent.get(b"MAJOR"), Some(&b"8"[..]));
        assert_eq!(uevent.get(b"A"), Some(&b"2"[..]));
        assert_eq!(uevent.get(b"EMPTY"), None);
        assert_eq!(uevent.get(b"MAJO"), None);
        assert_eq!(uevent.get(b"XA"), Some(&b"3"[..]));
        assert_eq!(uevent.get(b"DEVNAME"), Some(&b"sda"[..]));
        assert_eq!(uevent.stated(b"EMPTY"), Some(&b""[..]));
        assert_eq!(uevent.stated(b"CUT"), None);
        assert!(!uevent.is_empty());
        assert!(Uevent::new(b"A=1").is_empty() && Uevent::new(b"A\n\n").is_empty());
    }

    #[test]
    fn records_give_properties_and_sorted_links_and_lose_an_unfinished_line() {
        let record = Record::new(
            b"S:disk/by-id/b\nS:disk/by-id/a\nS:disk/by-id/b\nE:ID_BUS=scsi\nE:ID_X=\nI:1\nE:ID_Y=cut",
        );
        assert_eq!(record.links(), [&b"disk/by-id/a"[..], b"disk/by-id/b"]);
        assert_eq!(Record::new(b"S:/x//y\nS:../z\nS:./w\nS:/\n").links(), [&b"w"[..], b"x/y"]);
        assert_eq!(record.get(b"ID_BUS"), Some(&b"scsi"[..]));
        assert_eq!(record.get(b"ID_X"), None);
        assert_eq!(record.get(b"ID_Y"), None);
        assert_eq!(Record::new(b"E:ID_BUS=x").get(b"ID_BUS"), None);
    }

    #[test]
    fn lines_that_are_no_entries_can_take_the_next_one_with_them() {
        for (content, want) in [
            (&b"E:A=1\n\r\nE:B=2\r\n"[..], [Some(&b"1"[..]), Some(b"2")]),
            (b"E:A=1\0E:B=2\n", [Some(b"1"), Some(b"2")]),
            (b"E:A=1\njunk\nE:B=2\n", [Some(b"1"), Some(b"2")]),
            (b"E:A=1\nx\nE:B=2\n", [Some(b"1"), None]),
            (b"E:A=1\nE:\nE:B=2\n", [Some(b"1"), None]),
            (b"x", [None, None]),
        ] {
            let record = Record::new(content);
            assert_eq!([record.get(b"A"), record.get(b"B")], want, "{}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn record_is_named_by_number_then_interface_then_subsystem() {
        for (uevent, subsystem, sysname, want) in [
            (&b"MAJOR=8\nMINOR=16\n"[..], "block", "sdb", "b8:16"),
            (b"MAJOR=189\nMINOR=3\nIFINDEX=2\n", "usb", "1-1", "c189:3"),
            (b"INTERFACE=eth0\nIFINDEX=2\n", "net", "eth0", "n2"),
            (b"PCI_CLASS=20000\n", "pci", "0000:00:02.0", "+pci:0000:00:02.0"),
            (b"MAJOR=../../x\nMINOR=1\n", "block", "sda", "+block:sda"),
            (b"MAJOR=0\nMINOR=01\nIFINDEX=0\n", "net", "x", "+net:x"),
            (b"MAJOR= 08\nMINOR=01\n", "block", "x", "b8:1"),
        ] {
            let name = record_name(Uevent::new(uevent), subsystem.as_bytes(), sysname.as_bytes());
            assert_eq!(name, want.as_bytes());
        }
    }
}
