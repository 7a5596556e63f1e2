//! Every device of a virtualization host, as libvirt sees it and as it is.
//!
//! A [`Connection`] is opened on this machine, on a recording of another one, or on libvirt's test driver, in this
//! process and without a daemon; or on a daemon, here or elsewhere. It answers in two views:
//!
//! * libvirt's: [`LibvirtCalls`] ([`list`](LibvirtCalls::list), [`xml`](LibvirtCalls::xml), [`parent`](LibvirtCalls::parent) …)
//!   give the names, documents and errors of libvirt's node device API, byte for byte;
//! * the native one: [`Connection::devices`] ([`entries`](Devices::entries), [`device`](Devices::device),
//!   [`visit`](Devices::visit)) gives [`NodeDevice`] values of every device, also of those that libvirt leaves out. `nodedevd` tells
//!   the same from afar. Daemons of libvirt have only libvirt's view: values are read from their documents, and ask for
//!   [`View::Libvirt`] ([`Connection::fullest_view`]).
//!
//! [`Connection::changes`] tells what happens to devices, [`Connection::operations`] hands them to guests and back.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use nodedev::{Capability, Connection, View};
//!
//! let host = Connection::open("nodedev:///system")?;
//! let issues = host.devices()?.visit(View::Libvirt, &mut |device| {
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

/// Who runs this process, for [`DetachOptions::caller`]: who is connected over SSH, also behind `sudo`, is not to detach the card that
/// they are connected through.
pub fn caller() -> Caller {
    let connected_at = Root::live().ok().and_then(|root| nodedev_sys::processes::ssh_address(&root, None));
    connected_at.map_or(Caller::Unknown, Caller::ConnectedAt)
}

/// Recording a host into an archive that [`Connection::open_root`] opens.
pub mod record {
    pub use nodedev_record::*;
}

/// libvirt's XML of node devices: reading, writing, checking.
pub mod xml {
    pub use nodedev_xml::*;
}
