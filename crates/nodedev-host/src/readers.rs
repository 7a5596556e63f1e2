//! Readers of foreign formats that nothing public leads to, for the targets of `fuzz`. They are no part of the interface.

use nodedev_model::MdevConfig;

use crate::mdevctl;

/// Reads a definition of mdevctl's: the configuration, and whether it is started with the host.
///
/// # Errors
/// What is wrong with it.
pub fn definition(content: &[u8]) -> Result<(MdevConfig, bool), String> {
    mdevctl::parse(content)
}
