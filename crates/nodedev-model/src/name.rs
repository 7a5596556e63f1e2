use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::lenient::from_text;

/// Name of a node device, such as `pci_0000_02_10_7` or `net_eth0_52_54_00_aa_bb_cc`.
///
/// It is the identity of a device in libvirt's API. Names that libvirt makes consist of ASCII letters, digits and
/// `_` ([`DeviceName::from_parts`]); names in a document may be any non-empty text ([`FromStr`]).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct DeviceName(Box<str>);

/// A device name was empty or held a NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidDeviceName;

impl fmt::Display for InvalidDeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device name must not be empty and must not hold a NUL")
    }
}

impl std::error::Error for InvalidDeviceName {}

impl DeviceName {
    /// Name of the fictional root device of every host.
    pub const COMPUTER: &'static str = "computer";

    /// The name that libvirt gives a device: `subsystem_sysname`, and `_suffix` if there is one, with each *byte*
    /// that is no ASCII letter or digit replaced by `_`.
    ///
    /// ```
    /// use nodedev_model::DeviceName;
    /// assert_eq!(DeviceName::from_parts(b"pci", b"0000:02:10.7", None).as_str(), "pci_0000_02_10_7");
    /// ```
    pub fn from_parts(subsystem: &[u8], sysname: &[u8], suffix: Option<&[u8]>) -> Self {
        let mut name =
            String::with_capacity(subsystem.len() + sysname.len() + 2 + suffix.map_or(0, <[u8]>::len));
        let mut push = |part: &[u8]| {
            name.extend(part.iter().map(|&b| if b.is_ascii_alphanumeric() { b as char } else { '_' }))
        };
        push(subsystem);
        push(b"_");
        push(sysname);
        if let Some(suffix) = suffix {
            push(b"_");
            push(suffix);
        }
        Self(name.into())
    }

    /// Name of the root device, `computer`.
    pub fn computer() -> Self {
        Self(Self::COMPUTER.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceName {
    type Err = InvalidDeviceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.contains('\0') { Err(InvalidDeviceName) } else { Ok(Self(text.into())) }
    }
}

from_text!(DeviceName, |text: &str| text.parse::<DeviceName>());

impl Borrow<str> for DeviceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for DeviceName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[test]
    fn every_byte_that_is_no_letter_or_digit_becomes_an_underscore() {
        for (subsystem, sysname, suffix, want) in [
            ("pci", "0000:00:02.0", None, "pci_0000_00_02_0"),
            ("usb", "1-1.2", None, "usb_1_1_2"),
            ("net", "eth0", Some("52:54:00:aa:bb:cc"), "net_eth0_52_54_00_aa_bb_cc"),
            ("block", "sda", Some("Größe x"), "block_sda_Gr____e_x"),
            ("scsi", "0:0:0:0", None, "scsi_0_0_0_0"),
            ("block", "sdb", Some(""), "block_sdb_"),
        ] {
            let name =
                DeviceName::from_parts(subsystem.as_bytes(), sysname.as_bytes(), suffix.map(str::as_bytes));
            assert_eq!(name.as_str(), want);
        }
    }

    #[test]
    fn empty_names_are_refused() {
        assert!("".parse::<DeviceName>().is_err());
        assert!("a\0b".parse::<DeviceName>().is_err());
        assert!("new device".parse::<DeviceName>().is_ok());
    }
}
