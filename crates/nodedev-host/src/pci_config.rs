//! PCI configuration space as descriptions have it: header type and the link of PCI Express.

use nodedev_model::{PciExpress, PciHeader, PciLink, PcieSpeed};
use nodedev_sys::pci_config::{self as registers, Express};

pub use nodedev_sys::pci_config::{CONVENTIONAL, LENGTH};

/// What the description of a device takes from configuration space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Vendor and device.
    pub ids: (u16, u16),
    /// Header type; absent for a type that does not exist.
    pub header: Option<PciHeader>,
    /// PCI Express, with its link. Present without link for a device that has an extended configuration space but no
    /// PCI Express capability, as in libvirt.
    pub express: Option<PciExpress>,
    /// Revision of the function.
    pub revision: u8,
    /// Whether nobody answers, as [`nodedev_sys::pci_config::is_silent`].
    pub is_silent: bool,
}

/// Reads the first [`LENGTH`] bytes of a configuration space of `length` bytes. Registers that are missing count as zero,
/// as in libvirt.
pub fn parse(space: &[u8], length: u64) -> Summary {
    let header = match registers::header_type(space) {
        0 => Some(PciHeader::Endpoint),
        1 => Some(PciHeader::PciBridge),
        2 => Some(PciHeader::CardbusBridge),
        _ => None,
    };
    let express = match registers::express(space) {
        Express::Link(link) => Some(PciExpress {
            capability: Some(PciLink {
                port: Some(link.capabilities >> 24),
                ..speed_and_width(link.capabilities as u16)
            }),
            status: Some(speed_and_width(link.status)),
        }),
        Express::Integrated => Some(PciExpress::default()),
        Express::Missing => (length != CONVENTIONAL as u64).then(PciExpress::default),
    };
    Summary {
        ids: registers::ids(space),
        header,
        express,
        revision: registers::revision(space),
        is_silent: registers::is_silent(space),
    }
}

/// Speed and width, which are in the same bits of both registers.
fn speed_and_width(register: u16) -> PciLink {
    PciLink {
        port: None,
        speed: PcieSpeed::from_code((register & 0xf) as u8),
        width: u32::from(register >> 4 & 0x3f),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: usize = 0x06;
    const STATUS_CAPABILITIES: u16 = 0x10;
    const HEADER_TYPE: usize = 0x0e;
    const CAPABILITIES: usize = 0x34;
    const CAPABILITY_EXPRESS: u8 = 0x10;
    const EXPRESS_FLAGS: usize = 0x02;
    const LINK_CAPABILITIES: usize = 0x0c;
    const LINK_STATUS: usize = 0x12;

    fn parse(space: &[u8]) -> Summary {
        super::parse(space, space.len() as u64)
    }

    fn space(length: usize) -> Vec<u8> {
        let mut space = vec![0; length];
        space[STATUS] = STATUS_CAPABILITIES as u8;
        space[CAPABILITIES] = 0x40;
        space
    }

    fn express(space: &mut [u8], at: usize, kind: u8) {
        space[at] = CAPABILITY_EXPRESS;
        space[at + EXPRESS_FLAGS] = 2 | kind << 4;
        space[at + LINK_CAPABILITIES..at + LINK_CAPABILITIES + 4]
            .copy_from_slice(&0x0543_d104_u32.to_le_bytes());
        space[at + LINK_STATUS..at + LINK_STATUS + 2].copy_from_slice(&0x1083_u16.to_le_bytes());
    }

    #[test]
    fn link_of_an_express_endpoint_behind_another_capability() {
        let mut space = space(257);
        space[0x40] = 1;
        space[0x41] = 0x60;
        express(&mut space, 0x60, 0);
        let summary = parse(&space);
        assert_eq!(summary.header, Some(PciHeader::Endpoint));
        let link = summary.express.unwrap();
        let want = PciLink { port: Some(5), speed: Some(PcieSpeed::Gen4), width: 16 };
        assert_eq!(link.capability, Some(want));
        assert_eq!(link.status, Some(PciLink { port: None, speed: Some(PcieSpeed::Gen3), width: 8 }));
    }

    #[test]
    fn integrated_endpoints_and_extended_spaces_without_capability_have_no_link() {
        for kind in [9, 10] {
            let mut space = space(257);
            express(&mut space, 0x40, kind);
            assert_eq!(parse(&space).express, Some(PciExpress::default()));
        }
        assert_eq!(parse(&vec![0; 257]).express, Some(PciExpress::default()));
        assert_eq!(parse(&vec![0; 256]).express, None);
    }

    #[test]
    fn looping_lists_end_and_missing_registers_are_zero() {
        let mut looping = space(256);
        looping[0x40] = 1;
        looping[0x41] = 0x40;
        assert_eq!(parse(&looping).express, None);
        assert_eq!(parse(&looping[..64]).express, Some(PciExpress::default()));
        assert_eq!(parse(&[]).header, Some(PciHeader::Endpoint));
        let mut at_the_end = space(256);
        at_the_end[CAPABILITIES] = 0xfe;
        at_the_end[0xfe] = CAPABILITY_EXPRESS;
        let nothing = PciLink { port: None, speed: None, width: 0 };
        let link =
            PciExpress { capability: Some(PciLink { port: Some(0), ..nothing }), status: Some(nothing) };
        assert_eq!(parse(&at_the_end).express, Some(link));
        let mut odd = vec![0; 256];
        odd[HEADER_TYPE] = 0x83;
        assert_eq!(parse(&odd).header, None);
    }

    #[test]
    fn a_space_that_may_not_be_read_to_its_end_goes_by_its_length() {
        let start = &space(256)[..64];
        assert_eq!(super::parse(start, 256).express, None);
        assert_eq!(super::parse(start, 4096).express, Some(PciExpress::default()));
    }
}
