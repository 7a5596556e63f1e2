//! Every device of a virtualization host, as libvirt sees it and as it is.
//!
//! A [`Connection`] is opened on this machine, on a recording of another one, or on libvirt's test driver, in this
//! process and without a daemon; or on a daemon, here or elsewhere. It answers in two views:
//!
//! * libvirt's: [`list`](Driver::list), [`xml`](Driver::xml), [`parent`](Driver::parent) … give the names, documents
//!   and errors of libvirt's node device API, byte for byte;
//! * the native one: [`entries`](Driver::entries), [`device`](Driver::device), [`visit`](Driver::visit) give
//!   [`NodeDevice`] values of every device, also of those that libvirt leaves out. A daemon has only libvirt's view:
//!   values are read from its documents, and ask for [`View::Libvirt`].
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use nodedev::{Capability, Connection, View};
//!
//! let host = Connection::open("nodedev:///system")?;
//! let issues = host.visit(View::Libvirt, &mut |device| {
//!     if let [Capability::Pci(pci)] = device.capabilities.as_slice() {
//!         println!("{} in IOMMU group {:?}", pci.address, pci.iommu_group.as_ref().map(|group| group.number));
//!     }
//!     ControlFlow::Continue(())
//! })?;
//! println!("{} values could not be read", issues.len());
//! # Ok::<(), nodedev::Error>(())
//! ```

mod connection;
mod daemon;

pub use connection::Connection;
pub use daemon::reduce_to_documents;
pub use nodedev_driver::*;
pub use nodedev_host::HostDriver;
pub use nodedev_model::*;
pub use nodedev_remote::{Options, Pings};
pub use nodedev_sys::{Root, SysError};

/// The address of this machine that this process's user is connected to over SSH, also behind `sudo`; `None` if there is no
/// such connection. For [`DetachOptions::connected_at`]: who detaches the card that they are connected through is gone.
pub fn ssh_address() -> Option<std::net::IpAddr> {
    nodedev_sys::processes::ssh_address(&Root::live().ok()?, None)
}

/// Recording a host into an archive that [`Connection::open_root`] opens.
pub mod record {
    pub use nodedev_record::*;
}

/// libvirt's XML of node devices: reading, writing, checking.
pub mod xml {
    pub use nodedev_xml::*;
}
