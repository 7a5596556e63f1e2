//! Which drivers serve devices for VFIO, whatever they are called.
//!
//! A driver that does has a folder `vfio-dev` in each device (Linux 6.1). Besides `vfio-pci` and the drivers that are made for
//! some devices, which an override has to name, drivers of the host can do so of themselves: that of NVIDIA's graphics
//! cards serves virtual functions to guests, and these are lost if it lets go of them.

use nodedev_sys::paths::MODULE;

use crate::kernel_driver::{Chosen, Drivers, VFIO_PCI};
use crate::{PciFunction, Result};

/// The module that all drivers for VFIO of PCI but the oldest build upon.
const CORE: &str = "vfio_pci_core";

impl Drivers<'_> {
    /// A driver that is bound to a function and serves it for VFIO, if it does so of itself.
    pub(crate) fn provides_of_itself(
        &self,
        function: &PciFunction,
        driver: String,
    ) -> Result<Option<String>> {
        if function.driver_override(self.host)?.as_deref() == Some(&driver) {
            return Ok(None);
        }
        let modalias = function.attribute(self.host, "modalias")?.unwrap_or_default();
        let is_variant = self.is_variant(&self.module_of(&driver)?, Some(&modalias))?;
        Ok((!is_variant).then_some(driver))
    }

    /// Whether a driver that is chosen is made for VFIO: its module builds upon VFIO's for PCI, or has an alias that says so.
    pub(crate) fn is_made_for_vfio(&self, chosen: &Chosen) -> Result<bool> {
        if chosen.driver == VFIO_PCI {
            return Ok(true);
        }
        let module = match &chosen.module {
            Some(module) => module.clone(),
            None => self.module_of(&chosen.driver)?,
        };
        let users = self.host.names(format!("{MODULE}/{CORE}/holders").as_bytes())?.unwrap_or_default();
        Ok(users.iter().any(|user| **user == *module.as_bytes()) || self.is_variant(&module, None)?)
    }
}
