//! The operating system below nodedev: sysfs, the udev database and what interfaces themselves can be asked.
//!
//! Every file of a host is read through a [`Root`], which is this machine or a recording of another. Reading and
//! parsing are apart: this crate gives bytes, and says where on a host things are ([`paths`]); what they mean is for
//! `nodedev-host`. It is the only crate that names `/sys`, `/run/udev`, `/dev` or `/etc`.
//!
//! ```no_run
//! use nodedev_sys::{Root, paths};
//!
//! let root = Root::live()?;
//! let mut buffer = Vec::new();
//! for subsystem in root.names(paths::BUS.as_bytes())? {
//!     println!("{}", String::from_utf8_lossy(&subsystem));
//! }
//! // What is not there is no error.
//! assert_eq!(root.read(b"sys/no/such/file", &mut buffer, 4096)?, None);
//! # Ok::<(), nodedev_sys::SysError>(())
//! ```
//!
//! What changes a host goes through [`HostAccess`], and only this machine can be changed.
//!
//! A recording's files are foreign: an archive of one is read into memory within bounds, and no path or link in it leads
//! to the machine that reads it.

mod access;
mod archive;
mod attribute;
mod attributes;
mod change;
pub mod devlink;
mod dump;
mod error;
pub mod ethtool;
mod folders;
mod ioctl;
pub mod link;
pub mod machine;
pub mod mdevctl;
mod modules;
mod monitor;
mod netlink;
pub mod network;
mod node;
pub mod open_files;
pub mod paths;
pub mod pci_config;
pub mod processes;
mod programs;
mod root;
mod slow_write;
pub mod threads;
mod tree;
pub mod udev;
pub mod uevent;

pub use access::HostAccess;
pub use attribute::{attribute_value, up_to_nul};
pub use change::FileLock;
pub use error::{NO_ENTRY, Operation, SysError};
pub use folders::FolderWatch;
pub use ioctl::give_back_memory;
pub use monitor::{Monitor, News, Waker};
pub use node::{DeviceNode, NodeKind};
pub use root::{Folder, Root, Stamp};
pub use slow_write::PendingWrite;
