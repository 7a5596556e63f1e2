//! What is to be done with a device that exists because somebody asked for it.

use crate::{CreateFlags, UpdateFlags};

/// A change that [`Driver::plan_change`](crate::Driver::plan_change) is asked about, each as the call of the same name does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRequest<'a> {
    /// [`Driver::create_xml`](crate::Driver::create_xml) with this document.
    Create {
        /// The document.
        xml: &'a [u8],
        /// Whether it is checked against the schema.
        flags: CreateFlags,
    },
    /// [`Driver::define_xml`](crate::Driver::define_xml) with this document.
    Define {
        /// The document.
        xml: &'a [u8],
        /// Whether it is checked against the schema.
        flags: CreateFlags,
    },
    /// [`Driver::create`](crate::Driver::create) of the device with this name.
    Start(&'a str),
    /// [`Driver::destroy`](crate::Driver::destroy) of the device with this name.
    Destroy(&'a str),
    /// [`Driver::undefine`](crate::Driver::undefine) of the device with this name.
    Undefine(&'a str),
    /// [`Driver::update`](crate::Driver::update).
    Update {
        /// Name of the device.
        name: &'a str,
        /// The document.
        xml: &'a [u8],
        /// What is changed: the device, its definition.
        flags: UpdateFlags,
    },
    /// [`Driver::set_autostart`](crate::Driver::set_autostart).
    SetAutostart {
        /// Name of the device.
        name: &'a str,
        /// Whether it is to be started with the host.
        autostart: bool,
    },
}
