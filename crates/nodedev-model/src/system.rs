use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};

use crate::Text;
use crate::lenient::from_text;
use crate::native::facts::facts;

/// The machine: maker, model, serial number and firmware.
///
/// Source: DMI (`/sys/devices/virtual/dmi/id`) on x86. All texts are absent where DMI is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct SystemCapability {
    /// Product name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<Text>,
    /// Maker, version, serial number and UUID.
    pub hardware: Hardware,
    /// BIOS or UEFI.
    pub firmware: Firmware,
    /// What the firmware says of a machine that is no x86, of which libvirt tells nothing. Only the native view has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<Box<Machine>>,
}

facts! {
    /// What the firmware says of a machine that is no x86: by SMBIOS (`/sys/devices/virtual/dmi/id`) or the device tree
    /// (`/sys/firmware/devicetree/base`, Devicetree Specification 2.3).
    Machine {
        /// Maker; absent from a device tree.
        vendor: Text,
        /// Model.
        model: Text,
        /// Serial number; of SMBIOS only root may read it.
        serial: Text,
        /// UUID; absent from a device tree, and only root may read it.
        uuid: Uuid,
        /// What it can be taken for, the most specific first; absent from SMBIOS.
        compatible: Vec<Text>,
    }
}

/// Maker, version, serial number and UUID of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Hardware {
    /// Maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Text>,
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Serial number; only root may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<Text>,
    /// UUID of the machine; all zero (absent in JSON) when it has none or may not be read.
    #[serde(default, skip_serializing_if = "Uuid::is_nil")]
    pub uuid: Uuid,
}

/// The machine's BIOS or UEFI.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Firmware {
    /// Maker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Text>,
    /// Version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
    /// Date, as the firmware writes it (usually `MM/DD/YYYY`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_date: Option<Text>,
}

/// A UUID, printed in lower case with dashes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(
    /// The sixteen bytes in the order they are printed.
    pub [u8; 16],
);

/// Text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID (32 hexadecimal digits)")
    }
}

impl std::error::Error for InvalidUuid {}

impl Uuid {
    /// Whether all bytes are zero, which stands for "no UUID".
    pub fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    /// libvirt's liberal syntax: 32 hexadecimal digits, with blanks before the first and any number of dashes and
    /// blanks between two bytes; nothing but blanks may follow.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut rest = text.as_bytes();
        let mut uuid = [0; 16];
        while let [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, tail @ ..] = rest {
            rest = tail;
        }
        for byte in &mut uuid {
            while let [b'-' | b' ', tail @ ..] = rest {
                rest = tail;
            }
            let [high, low, tail @ ..] = rest else { return Err(InvalidUuid) };
            let digit = |d: u8| char::from(d).to_digit(16).ok_or(InvalidUuid);
            *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
            rest = tail;
        }
        if rest.iter().all(u8::is_ascii_whitespace) { Ok(Self(uuid)) } else { Err(InvalidUuid) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

from_text!(Uuid, |text: &str| text.parse::<Uuid>());

impl JsonSchema for Uuid {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Uuid".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "format": "uuid"})
    }
}

#[cfg(test)]
mod tests {
    use super::Uuid;

    #[test]
    fn liberal_spellings_are_normalised() {
        let want = "4c4c4544-0033-3010-8051-b8c04f4b3032";
        for text in [
            want,
            "4C4C4544003330108051B8C04F4B3032",
            " 4c4c4544 0033 3010 8051 b8c04f4b3032 ",
            "4c-4c-4544--0033-3010-8051-b8c04f4b3032",
        ] {
            assert_eq!(text.parse::<Uuid>().unwrap().to_string(), want, "{text}");
        }
        for text in
            ["", "4c", "4c4c4544-0033-3010-8051-b8c04f4b303", "4c4c4544-0033-3010-8051-b8c04f4b30321", "zz"]
        {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }
}
