use crate::{Changes, Devices, LibvirtCalls, Operations, Result};

/// A source of node devices: this machine, a recording, invented ones, or a daemon. All of them answer libvirt's functions; the rest
/// is asked for, and says so where a source has not got it.
pub trait Driver: Send + Sync {
    /// libvirt's functions.
    fn calls(&self) -> &(dyn LibvirtCalls + 'static);

    /// The devices as values.
    ///
    /// # Errors
    /// [`Error::no_native_view`](crate::Error::no_native_view).
    fn devices(&self) -> Result<&dyn Devices>;

    /// What happens to devices.
    ///
    /// # Errors
    /// [`Error::no_events`](crate::Error::no_events).
    fn changes(&self) -> Result<&dyn Changes>;

    /// What is done to devices beyond libvirt's functions.
    ///
    /// # Errors
    /// [`Error::no_native_call`](crate::Error::no_native_call).
    fn operations(&self) -> Result<&dyn Operations>;
}
