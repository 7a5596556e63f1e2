//! libvirt node device XML to and from the nodedev model.
mod write;
pub use write::{Form, write, write_into};
