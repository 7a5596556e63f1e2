use nodedev_model::Text;

/// Makes World Wide Names for virtual Fibre Channel ports, the way libvirt does: network address authority 5, a
/// vendor's number, and 36 random bits.
pub struct WwnGenerator<'a> {
    oui: u32,
    random: &'a mut dyn FnMut() -> u64,
}

impl<'a> WwnGenerator<'a> {
    /// Vendor's number (OUI) that QEMU's and the node device driver use.
    pub const OUI_QEMU: u32 = 0x00_1a4a;
    /// Vendor's number that the test driver uses.
    pub const OUI_TEST: u32 = 0x10_0000;

    /// A generator with a vendor's number (24 bits) and a source of random numbers.
    pub fn new(oui: u32, random: &'a mut dyn FnMut() -> u64) -> Self {
        Self { oui, random }
    }

    pub(super) fn generate(&mut self) -> Text {
        let serial = (self.random)() & 0xf_ffff_ffff;
        format!("5{:06x}{serial:09x}", self.oui & 0xff_ffff).into()
    }
}

#[cfg(test)]
mod tests {
    use super::WwnGenerator;

    #[test]
    fn names_have_16_lower_case_digits() {
        let mut random = || 0xffff_fffc_def0_1234;
        let name = WwnGenerator::new(WwnGenerator::OUI_QEMU, &mut random).generate();
        assert_eq!(name, "5001a4acdef01234");
    }
}
