//! PCI configuration space: header, capabilities, and what they say of the place of a function among others.
//!
//! Registers: PCI Express Base Specification; offsets as in the kernel's `include/uapi/linux/pci_regs.h`.

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
const REVISION: usize = 0x08;
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

/// Vendor and device. Registers that are missing count as zero, here and below.
pub fn ids(space: &[u8]) -> (u16, u16) {
    (word(space, VENDOR), word(space, DEVICE))
}

/// Revision of the function.
pub fn revision(space: &[u8]) -> u8 {
    byte(space, REVISION)
}

/// Type of the header: 0 of an endpoint, 1 of a bridge, 2 of a bridge to CardBus.
pub fn header_type(space: &[u8]) -> u8 {
    byte(space, HEADER_TYPE) & 0x7f
}

/// Registers of the link of a function of PCI Express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpressLink {
    /// Link Capabilities: speed, width and number of the port. Zero if the space ends before its end.
    pub capabilities: u32,
    /// Link Status: speed and width that were agreed upon.
    pub status: u16,
}

/// What the capability of PCI Express says of a function's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Express {
    /// The function has no such capability.
    Missing,
    /// It is integrated in the chipset, and has no link.
    Integrated,
    /// It has a link.
    Link(ExpressLink),
}

/// The link of a function of PCI Express.
pub fn express(space: &[u8]) -> Express {
    let Some(at) = find_capability(space, CAPABILITY_EXPRESS) else { return Express::Missing };
    if matches!(port_type(space, at), PORT_INTEGRATED_ENDPOINT | PORT_EVENT_COLLECTOR) {
        return Express::Integrated;
    }
    let capabilities = space.get(at + LINK_CAPABILITIES..at + LINK_CAPABILITIES + 4);
    Express::Link(ExpressLink {
        capabilities: capabilities
            .map_or(0, |bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])),
        status: word(space, at + LINK_STATUS),
    })
}

/// Whether nobody answers: the whole header reads as ones. Vendor and device alone say nothing, as those of a virtual function
/// always do.
pub fn is_silent(space: &[u8]) -> bool {
    space.len() >= HEADER && space[..HEADER].iter().all(|&byte| byte == 0xff)
}

/// Whether the header is that of an endpoint, and not that of a bridge.
pub fn is_endpoint(space: &[u8]) -> bool {
    header_type(space) == 0
}

/// Whether the function is a card's of PCI Express, and no part of the chipset (an endpoint that is not integrated there).
pub fn is_express_card(space: &[u8]) -> bool {
    let kind = find_capability(space, CAPABILITY_EXPRESS).map(|at| port_type(space, at));
    matches!(kind, Some(PORT_ENDPOINT | PORT_LEGACY_ENDPOINT))
}

fn port_type(space: &[u8], express: usize) -> u16 {
    word(space, express + EXPRESS_FLAGS) >> 4 & 0xf
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
    match port_type(space, express) {
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

/// Where an extended capability begins. A list that loops ends after as many steps as it can have members.
pub fn find_extended(space: &[u8], wanted: u16) -> Option<usize> {
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
}
