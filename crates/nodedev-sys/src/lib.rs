//! The operating system below nodedev: sysfs, the udev database and what interfaces themselves can be asked.
//!
//! Every file of a host is read through a [`Root`], which is this machine or a recording of another. Reading and
//! parsing are apart: this crate gives bytes, and says where on a host things are ([`paths`]); what they mean is for
//! `nodedev-host`. It is the only crate that names `/sys`, `/run/udev`, `/dev` or `/etc`.

mod archive;
pub mod devlink;
mod error;
pub mod ethtool;
mod ioctl;
pub mod paths;
mod root;
mod tree;
pub mod udev;

pub use error::{Operation, SysError};
pub use root::{Folder, Root};
