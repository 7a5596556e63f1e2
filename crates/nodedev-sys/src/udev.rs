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

    /// The value of a property; `None` if it is missing or empty, which udev and libvirt do not tell apart.
    pub fn get(&self, key: &[u8]) -> Option<&'a [u8]> {
        let mut found = None;
        for line in self.0.split(|&b| b == b'\n') {
            if let Some(value) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(b"=")) {
                found = Some(value);
            }
        }
        found.filter(|value| !value.is_empty())
    }
}

/// A device's record in udev's database.
#[derive(Debug, Clone, Copy, Default)]
pub struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    /// Takes the content of a file of the database. A last line without line break is left out, as in libudev.
    pub fn new(content: &'a [u8]) -> Self {
        let end = content.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        Self(&content[..end])
    }

    fn values(self, letter: u8) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|&b| b == b'\n').filter_map(move |line| match line {
            [first, b':', value @ ..] if *first == letter => Some(value),
            _ => None,
        })
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
    fn entry(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.values(b'E').filter_map(|line| line.strip_prefix(key)?.strip_prefix(b"=")).last()
    }

    /// Names of the device node other than its own, without `/dev/`, sorted by byte and each once.
    pub fn links(&self) -> Vec<&'a [u8]> {
        let mut links: Vec<_> = self.values(b'S').filter(|link| !link.is_empty()).collect();
        links.sort_unstable();
        links.dedup();
        links
    }
}

/// The file of the database that a device's record is in: by device number, else by interface index, else by subsystem
/// and name.
pub fn record_name(uevent: Uevent<'_>, subsystem: &[u8], sysname: &[u8]) -> Vec<u8> {
    let number = |key: &[u8]| uevent.get(key).filter(|value| value.iter().all(u8::is_ascii_digit));
    if let (Some(major), Some(minor)) = (number(b"MAJOR"), number(b"MINOR")) {
        let letter: &[u8] = if subsystem == b"block" { b"b" } else { b"c" };
        [letter, major, b":", minor].concat()
    } else if let Some(index) = number(b"IFINDEX") {
        [b"n", index].concat()
    } else {
        [b"+", subsystem, b":", sysname].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, Uevent, record_name};

    #[test]
    fn properties_are_read_the_last_one_counts_and_empty_ones_are_missing() {
        let uevent = Uevent::new(b"MAJOR=8\nMINOR=0\nDEVNAME=sda\nEMPTY=\nA=1\nA=2\nXA=3");
        assert_eq!(uevent.get(b"MAJOR"), Some(&b"8"[..]));
        assert_eq!(uevent.get(b"A"), Some(&b"2"[..]));
        assert_eq!(uevent.get(b"EMPTY"), None);
        assert_eq!(uevent.get(b"MAJO"), None);
        assert_eq!(uevent.get(b"XA"), Some(&b"3"[..]));
    }

    #[test]
    fn records_give_properties_and_sorted_links_and_lose_an_unfinished_line() {
        let record = Record::new(
            b"S:disk/by-id/b\nS:disk/by-id/a\nS:disk/by-id/b\nE:ID_BUS=scsi\nE:ID_X=\nI:1\nE:ID_Y=cut",
        );
        assert_eq!(record.links(), [&b"disk/by-id/a"[..], b"disk/by-id/b"]);
        assert_eq!(record.get(b"ID_BUS"), Some(&b"scsi"[..]));
        assert_eq!(record.get(b"ID_X"), None);
        assert_eq!(record.get(b"ID_Y"), None);
        assert_eq!(Record::new(b"E:ID_BUS=x").get(b"ID_BUS"), None);
    }

    #[test]
    fn record_is_named_by_number_then_interface_then_subsystem() {
        for (uevent, subsystem, sysname, want) in [
            (&b"MAJOR=8\nMINOR=16\n"[..], "block", "sdb", "b8:16"),
            (b"MAJOR=189\nMINOR=3\nIFINDEX=2\n", "usb", "1-1", "c189:3"),
            (b"INTERFACE=eth0\nIFINDEX=2\n", "net", "eth0", "n2"),
            (b"PCI_CLASS=20000\n", "pci", "0000:00:02.0", "+pci:0000:00:02.0"),
            (b"MAJOR=../../x\nMINOR=1\n", "block", "sda", "+block:sda"),
        ] {
            let name = record_name(Uevent::new(uevent), subsystem.as_bytes(), sysname.as_bytes());
            assert_eq!(name, want.as_bytes());
        }
    }
}
