//! What texts and attributes may look like.

/// Shape of a text or of an attribute's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything.
    Any,
    /// One of some words; blanks around it do not count.
    Word(&'static [&'static str]),
    /// A decimal number of 32 bits, digits only.
    Unsigned,
    /// A decimal number of 64 bits, digits only.
    Size,
    /// A decimal number of 32 bits with an optional sign.
    Integer,
    /// Lower-case hexadecimal digits, with or without `0x`.
    Hex,
    /// `0x` and six hexadecimal digits.
    PciClass,
    /// Digits, perhaps followed by any character and digits.
    Speed,
    /// 16 hexadecimal digits, with or without `0x`.
    WorldWideName,
    /// 32 hexadecimal digits, bare or in groups.
    Uuid,
    /// Six pairs of hexadecimal digits with colons between.
    Mac,
    /// An absolute path of letters, digits and `_+-/%`.
    Path,
    /// Letters, `-` and `_`.
    Feature,
    /// `0x` and so many hexadecimal digits at most, or a decimal number up to a maximum.
    HexOrDecimal(usize, u32),
    /// A channel subsystem's number: up to 254.
    Cssid,
    /// A subchannel set's number: up to 3.
    Ssid,
    /// At most 255 characters in one line.
    VpdText,
    /// A digit or a capital letter.
    VendorIndex,
    /// A digit or a capital letter other than A.
    SystemIndex,
}

impl Value {
    pub(super) fn allows(self, text: &str) -> bool {
        let token = text.trim_matches([' ', '\t', '\n', '\r']);
        let digits = |text: &str, max: u64| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_digit())
                && text.trim_start_matches('0').len() <= 20
                && text.parse::<u64>().is_ok_and(|number| number <= max)
        };
        let integer = |text: &str| {
            let bare = text.strip_prefix(['+', '-']).unwrap_or(text);
            (!bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<i32>().ok())
                .flatten()
        };
        let ranged = |max: u32| integer(token).is_some_and(|n| u32::try_from(n).is_ok_and(|n| n <= max));
        match self {
            Self::Any => true,
            Self::Word(words) => words.contains(&token),
            Self::Unsigned => digits(text, u32::MAX.into()),
            Self::Size => digits(text, u64::MAX),
            Self::Integer => integer(token).is_some(),
            Self::Hex => {
                let hex = text.strip_prefix("0x").unwrap_or(text);
                !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
            }
            Self::PciClass => text.strip_prefix("0x").is_some_and(|hex| is_hex(hex) && hex.len() == 6),
            Self::Speed => {
                let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
                let mut fraction = rest.chars();
                rest.len() < text.len() && (fraction.next().is_none() || digits_only(fraction.as_str()))
            }
            Self::WorldWideName => {
                let hex = text.strip_prefix("0x").unwrap_or(text);
                is_hex(hex) && hex.len() == 16
            }
            Self::Uuid => {
                is_hex(text) && text.len() == 32
                    || text
                        .split('-')
                        .map(|part| if is_hex(part) { part.len() } else { 0 })
                        .eq([8, 4, 4, 4, 12])
            }
            Self::Mac => text.split(':').map(|part| if is_hex(part) { part.len() } else { 0 }).eq([2; 6]),
            Self::Path => {
                text.len() > 1
                    && text.starts_with('/')
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-/%".contains(&b))
            }
            Self::Feature => {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_'))
            }
            Self::HexOrDecimal(width, max) => {
                text.strip_prefix("0x").is_some_and(|hex| is_hex(hex) && hex.len() <= width) || ranged(max)
            }
            Self::Cssid => {
                let number = text.strip_prefix("0x").filter(|hex| is_hex(hex) && hex.len() <= 2);
                number.is_some_and(|hex| !hex.eq_ignore_ascii_case("ff")) || ranged(254)
            }
            Self::Ssid => matches!(text.strip_prefix("0x").unwrap_or(text), "0" | "1" | "2" | "3"),
            Self::VpdText => text.chars().count() <= 255 && !text.contains(['\n', '\r']),
            Self::VendorIndex => matches!(text.as_bytes(), [b'0'..=b'9' | b'A'..=b'Z']),
            Self::SystemIndex => matches!(text.as_bytes(), [b'0'..=b'9' | b'B'..=b'Z']),
        }
    }

    /// What is expected, for messages.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Any => "any text".to_owned(),
            Self::Word(words) => words.join(", "),
            Self::Unsigned => "a decimal number up to 4294967295".to_owned(),
            Self::Size => "a decimal number".to_owned(),
            Self::Integer => "a decimal number, which may be negative".to_owned(),
            Self::Hex => "a hexadecimal number in lower case".to_owned(),
            Self::PciClass => "0x and six hexadecimal digits".to_owned(),
            Self::Speed => "a speed such as 2.5".to_owned(),
            Self::WorldWideName => "16 hexadecimal digits".to_owned(),
            Self::Uuid => "a UUID".to_owned(),
            Self::Mac => "a MAC address of six pairs of hexadecimal digits".to_owned(),
            Self::Path => "an absolute path of letters, digits and _ + - / %".to_owned(),
            Self::Feature => "a name of letters, - and _".to_owned(),
            Self::HexOrDecimal(width, max) => {
                format!("0x and up to {width} hexadecimal digits, or a decimal number up to {max}")
            }
            Self::Cssid => "a number from 0x0 to 0xfe".to_owned(),
            Self::Ssid => "a number from 0x0 to 0x3".to_owned(),
            Self::VpdText => "one line of at most 255 characters".to_owned(),
            Self::VendorIndex => "a digit or a capital letter".to_owned(),
            Self::SystemIndex => "a digit or a capital letter other than A".to_owned(),
        }
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digits_only(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
