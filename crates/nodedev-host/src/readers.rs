//! Readers of foreign formats that nothing public leads to, for the targets of `fuzz`. They are no part of the interface.

use nodedev_model::{MdevConfig, PciAddress};

use crate::{mdevctl, operations};

/// Reads a definition of mdevctl's: the configuration, and whether it is started with the host.
///
/// # Errors
/// What is wrong with it.
pub fn definition(content: &[u8]) -> Result<(MdevConfig, bool), String> {
    mdevctl::parse(content)
}

/// Reads an entry of the journal of hand-overs about the function at `address`, and writes it again.
///
/// # Errors
/// What is wrong with it.
pub fn journal_entry(content: &[u8], address: PciAddress) -> Result<Vec<u8>, String> {
    operations::read_entry(content, address)
}
