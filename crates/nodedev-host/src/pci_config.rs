//! PCI configuration space: header type and the link of PCI Express.
//!
//! Registers: PCI Express Base Specification; offsets as in the kernel's `include/uapi/linux/pci_regs.h`.

use nodedev_model::{PciExpress, PciHeader, PciLink, PcieSpeed};

/// Length of the configuration space of conventional PCI, which every device has.
pub const CONVENTIONAL: usize = 256;
/// How many bytes are read: the conventional space, and as much more as a capability at its very end takes. That it is
/// more also says that there is an extended space.
pub const LENGTH: usize = 0xfe + LINK_STATUS + 2;

/// Length of the configuration space of PCI Express.
pub const EXTENDED: usize = 4096;

/// Length of the header.
pub const HEADER: usize = 64;

const VENDOR: usize = 0x00;
const DEVICE: usize = 0x02;
const REVISION: usize = 8;
const STATUS: usize = 0x06;
const STATUS_CAPABILITIES: u16 = 0x10;
const HEADER_TYPE: usize = 0x0e;
const CAPABILITIES: usize = 0x34;
const CAPABILITY_EXPRESS: u8 = 0x10;
// Offsets from the capability's start.
const EXPRESS_FLAGS: usize = 0x02;
const LINK_CAPABILITIES: usize = 0x0c;
const LINK_STATUS: usize = 0x12;
const PORT_ENDPOINT: u16 = 0x0;
const PORT_LEGACY_ENDPOINT: u16 = 0x1;
const PORT_ROOT: u16 = 0x4;
const PORT_DOWNSTREAM: u16 = 0x6;
const PORT_TO_CONVENTIONAL: u16 = 0x7;
const EXTENDED_ACS: u16 = 0xd;
const ACS_CONTROL: usize = 0x06;
/// Source validation, request and completion redirection, upstream forwarding.
const ACS_NEEDED: u16 = 0x1 | 0x4 | 0x8 | 0x10;
const PORT_INTEGRATED_ENDPOINT: u16 = 0x9;
const PORT_EVENT_COLLECTOR: u16 = 0xa;

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
    /// Whether nobody answers, as [`is_silent`].
    pub is_silent: bool,
}

/// Reads the first [`LENGTH`] bytes of a configuration space of `length` bytes. Registers that are missing count as zero,
/// as in libvirt.
pub fn parse(space: &[u8], length: u64) -> Summary {
    let header = match byte(space, HEADER_TYPE) & 0x7f {
        0 => Some(PciHeader::Endpoint),
        1 => Some(PciHeader::PciBridge),
        2 => Some(PciHeader::CardbusBridge),
        _ => None,
    };
    let express = match find_capability(space, CAPABILITY_EXPRESS) {
        Some(at) => Some(link(space, at)),
        None => (length != CONVENTIONAL as u64).then(PciExpress::default),
    };
    Summary {
        ids: (word(space, VENDOR), word(space, DEVICE)),
        header,
        express,
        revision: byte(space, REVISION),
        is_silent: is_silent(space),
    }
}

/// Whether nobody answers: the whole header reads as ones. Vendor and device alone say nothing, as those of a virtual function
/// always do.
pub fn is_silent(space: &[u8]) -> bool {
    space.len() >= HEADER && space[..HEADER].iter().all(|&byte| byte == 0xff)
}

/// Whether the header is that of an endpoint, and not that of a bridge.
pub fn is_endpoint(space: &[u8]) -> bool {
    byte(space, HEADER_TYPE) & 0x7f == 0
}

/// Whether the function is a card's of PCI Express, and no part of the chipset (an endpoint that is not integrated there).
pub fn is_express_card(space: &[u8]) -> bool {
    let kind =
        find_capability(space, CAPABILITY_EXPRESS).map(|at| word(space, at + EXPRESS_FLAGS) >> 4 & 0xf);
    matches!(kind, Some(PORT_ENDPOINT | PORT_LEGACY_ENDPOINT))
}

/// Whether a bridge keeps the devices below it apart from each other and from those beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Access Control Services are on.
    On,
    /// They are there, and off.
    Off,
    /// They are not there.
    Missing,
    /// Conventional PCI has nothing of the kind.
    Conventional,
    /// It is no place where devices could be kept apart.
    NotNeeded,
    /// It does not answer.
    Silent,
    /// Not enough of configuration space could be read.
    Unknown,
}

/// Whether the bridge with this configuration space keeps devices apart, as the kernel wants it for IOMMU groups of their own.
pub fn isolation(space: &[u8]) -> Isolation {
    if is_silent(space) {
        return Isolation::Silent;
    }
    let Some(express) = find_capability(space, CAPABILITY_EXPRESS) else {
        return if space.len() < CONVENTIONAL { Isolation::Unknown } else { Isolation::Conventional };
    };
    match word(space, express + EXPRESS_FLAGS) >> 4 & 0xf {
        PORT_ROOT | PORT_DOWNSTREAM if space.len() < EXTENDED => Isolation::Unknown,
        PORT_ROOT | PORT_DOWNSTREAM => match find_extended(space, EXTENDED_ACS) {
            None => Isolation::Missing,
            Some(at) if word(space, at + ACS_CONTROL) & ACS_NEEDED == ACS_NEEDED => Isolation::On,
            Some(_) => Isolation::Off,
        },
        PORT_TO_CONVENTIONAL => Isolation::Conventional,
        _ => Isolation::NotNeeded,
    }
}

/// Walks the list of extended capabilities. A list that loops ends after as many steps as it can have members.
pub(crate) fn find_extended(space: &[u8], wanted: u16) -> Option<usize> {
    let mut at = CONVENTIONAL;
    for _ in 0..(EXTENDED - CONVENTIONAL) / 8 {
        let next = usize::from(word(space, at + 2) >> 4 & !3);
        if word(space, at) == wanted {
            return Some(at);
        }
        if next < CONVENTIONAL {
            return None;
        }
        at = next;
    }
    None
}

/// Walks the list of capabilities. A list that loops ends after as many steps as it can have members.
fn find_capability(space: &[u8], wanted: u8) -> Option<usize> {
    if word(space, STATUS) & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let mut at = usize::from(byte(space, CAPABILITIES));
    for _ in 0x40..CONVENTIONAL {
        if at < 0x40 || at == 0xff {
            return None;
        }
        if byte(space, at) == wanted {
            return Some(at);
        }
        at = usize::from(byte(space, at + 1));
    }
    None
}

fn link(space: &[u8], at: usize) -> PciExpress {
    let flags = word(space, at + EXPRESS_FLAGS);
    if matches!(flags >> 4 & 0xf, PORT_INTEGRATED_ENDPOINT | PORT_EVENT_COLLECTOR) {
        return PciExpress::default();
    }
    let (low, high) = match space.get(at + LINK_CAPABILITIES..at + LINK_CAPABILITIES + 4) {
        Some(_) => (word(space, at + LINK_CAPABILITIES), word(space, at + LINK_CAPABILITIES + 2)),
        None => (0, 0),
    };
    let status = word(space, at + LINK_STATUS);
    let speed_and_width = |register: u16| PciLink {
        port: None,
        speed: PcieSpeed::from_code((register & 0xf) as u8),
        width: u32::from(register >> 4 & 0x3f),
    };
    PciExpress {
        capability: Some(PciLink { port: Some(u32::from(high >> 8)), ..speed_and_width(low) }),
        status: Some(speed_and_width(status)),
    }
}

/// A little-endian word.
fn word(space: &[u8], at: usize) -> u16 {
    space.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn byte(space: &[u8], at: usize) -> u8 {
    space.get(at).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn bridges_keep_devices_apart_with_all_the_services_the_kernel_wants() {
        let port = |kind: u8, services: Option<u16>| {
            let mut space = space(EXTENDED);
            express(&mut space, 0x40, kind);
            // Advanced Error Reporting first, then ACS at 0x148.
            space[0x100..0x104].copy_from_slice(&0x1482_0001_u32.to_le_bytes());
            if let Some(control) = services {
                space[0x148..0x14c].copy_from_slice(&0x0001_000d_u32.to_le_bytes());
                space[0x14e..0x150].copy_from_slice(&control.to_le_bytes());
            }
            space
        };
        for (space, want) in [
            (port(4, Some(0x1d)), Isolation::On),
            (port(6, Some(0x5f)), Isolation::On),
            (port(4, Some(0x15)), Isolation::Off),
            (port(4, None), Isolation::Missing),
            (port(5, None), Isolation::NotNeeded),
            (port(7, None), Isolation::Conventional),
            (port(4, Some(0x1d))[..256].to_vec(), Isolation::Unknown),
            (vec![0; 256], Isolation::Conventional),
            (vec![0; 64], Isolation::Unknown),
            (vec![0xff; 4096], Isolation::Silent),
        ] {
            assert_eq!(isolation(&space), want);
        }
        let mut looping = port(4, None);
        looping[0x100..0x104].copy_from_slice(&0x1002_0001_u32.to_le_bytes());
        assert_eq!(isolation(&looping), Isolation::Missing);
    }

    #[test]
    fn a_space_that_may_not_be_read_to_its_end_goes_by_its_length() {
        let start = &space(256)[..64];
        assert_eq!(super::parse(start, 256).express, None);
        assert_eq!(super::parse(start, 4096).express, Some(PciExpress::default()));
    }
}
