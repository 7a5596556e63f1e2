//! The binary contents of PCI functions: configuration space and vital product data that a decoder accepts.

/// Place and width of a PCI Express function's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Express {
    /// Device/port type of the PCI Express capability: 0 endpoint, 4 root port …
    pub port_type: u8,
    /// Number of the link, printed by libvirt as the port.
    pub port: u8,
    /// Highest speed: 1 is 2.5 GT/s, 2 is 5, 3 is 8, 4 is 16, 5 is 32.
    pub max_speed: u8,
    /// Highest width in lanes.
    pub max_width: u8,
    /// Negotiated speed, in the same numbers.
    pub speed: u8,
    /// Negotiated width in lanes.
    pub width: u8,
}

/// What a configuration space is to say.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Class, subclass and programming interface.
    pub class: u32,
    /// Header type: 0 endpoint, 1 bridge.
    pub header_type: u8,
    /// PCI Express capability, for functions that have one; the space then has 4096 bytes instead of 256.
    pub express: Option<Express>,
}

// include/uapi/linux/pci_regs.h
const PCI_STATUS_CAP_LIST: u16 = 0x10;
const PCI_CAPABILITY_LIST: usize = 0x34;
const PCI_CAP_ID_PM: u8 = 0x01;
const PCI_CAP_ID_EXP: u8 = 0x10;

impl Config {
    /// The bytes, as the file `config` has them for root.
    pub fn to_bytes(self) -> Vec<u8> {
        const POWER_MANAGEMENT: usize = 0x40;
        const EXPRESS: usize = 0x60;
        let mut space = vec![0; if self.express.is_some() { 4096 } else { 256 }];
        let mut put = |at: usize, bytes: &[u8]| space[at..at + bytes.len()].copy_from_slice(bytes);
        put(0x00, &self.vendor.to_le_bytes());
        put(0x02, &self.device.to_le_bytes());
        put(0x04, &0x0406u16.to_le_bytes());
        put(0x06, &PCI_STATUS_CAP_LIST.to_le_bytes());
        put(0x08, &[1]);
        put(0x09, &self.class.to_le_bytes()[..3]);
        put(0x0e, &[self.header_type]);
        put(PCI_CAPABILITY_LIST, &[0x40]);
        let next = if self.express.is_some() { 0x60 } else { 0 };
        put(POWER_MANAGEMENT, &[PCI_CAP_ID_PM, next, 0x03, 0x00]);
        if let Some(link) = self.express {
            let link_capabilities =
                u32::from(link.max_speed) | u32::from(link.max_width) << 4 | u32::from(link.port) << 24;
            let link_status = u16::from(link.speed) | u16::from(link.width) << 4;
            put(EXPRESS, &[PCI_CAP_ID_EXP, 0]);
            put(EXPRESS + 0x02, &(2 | u16::from(link.port_type) << 4).to_le_bytes());
            put(EXPRESS + 0x04, &0x1000_8fe1_u32.to_le_bytes());
            put(EXPRESS + 0x0c, &link_capabilities.to_le_bytes());
            put(EXPRESS + 0x12, &link_status.to_le_bytes());
        }
        space
    }
}

/// Vital product data: the name, read-only keywords with the checksum after them, and read-write keywords.
///
/// Layout: PCI Local Bus Specification 3.0, appendix I.
pub fn vpd(name: &str, read_only: &[(&str, &str)], read_write: &[(&str, &str)]) -> Vec<u8> {
    const NAME: u8 = 0x82;
    const READ_ONLY: u8 = 0x90;
    const READ_WRITE: u8 = 0x91;
    const END: u8 = 0x78;
    fn large(out: &mut Vec<u8>, tag: u8, length: usize) {
        out.push(tag);
        out.extend((u16::try_from(length).unwrap_or(u16::MAX)).to_le_bytes());
    }
    fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
        let field = |(key, value): &(&str, &str)| {
            let length = [u8::try_from(value.len()).unwrap_or(u8::MAX)];
            [key.as_bytes(), &length, value.as_bytes()].concat()
        };
        fields.iter().flat_map(field).collect()
    }
    let mut out = Vec::new();
    large(&mut out, NAME, name.len());
    out.extend(name.as_bytes());
    let keywords = fields(read_only);
    large(&mut out, READ_ONLY, keywords.len() + 4);
    out.extend(keywords);
    out.extend(b"RV\x01");
    let sum = out.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    out.push(sum.wrapping_neg());
    if !read_write.is_empty() {
        let keywords = fields(read_write);
        large(&mut out, READ_WRITE, keywords.len());
        out.extend(keywords);
    }
    out.push(END);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vpd_sums_to_zero_up_to_the_checksum() {
        let bytes = vpd("Card", &[("PN", "ABC-1"), ("SN", "0001")], &[("YA", "tag")]);
        let checksum = bytes.windows(3).position(|window| window == b"RV\x01").unwrap() + 3;
        assert_eq!(bytes[..=checksum].iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        assert_eq!(bytes.last(), Some(&0x78));
    }

    #[test]
    fn config_space_has_the_capabilities_it_points_at() {
        let link = Express { port_type: 0, port: 7, max_speed: 4, max_width: 16, speed: 3, width: 8 };
        let space =
            Config { vendor: 0x8086, device: 0x1572, class: 0x02_0000, header_type: 0, express: Some(link) }
                .to_bytes();
        assert_eq!(space.len(), 4096);
        let first = usize::from(space[0x34]);
        let second = usize::from(space[first + 1]);
        assert_eq!((space[first], space[second], space[second + 1]), (1, 0x10, 0));
        assert_eq!(&space[second + 0x0c..second + 0x10], &[0x04, 0x01, 0x00, 0x07]);
        assert_eq!(&space[0x09..0x0c], &[0x00, 0x00, 0x02]);
    }
}
