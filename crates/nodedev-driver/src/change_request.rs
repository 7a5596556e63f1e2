//! What is to be done with a device that exists because somebody asked for it.

use crate::{CreateFlags, UpdateFlags};

/// A change that [`plan_change`](crate::Operations::plan_change) is asked about, each as the call of the same name does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeRequest<'a> {
    /// [`create_xml`](crate::LibvirtCalls::create_xml) with this document.
    Create {
        /// The document.
        xml: &'a [u8],
        /// Whether it is checked against the schema.
        flags: CreateFlags,
    },
    /// [`define_xml`](crate::LibvirtCalls::define_xml) with this document.
    Define {
        /// The document.
        xml: &'a [u8],
        /// Whether it is checked against the schema.
        flags: CreateFlags,
    },
    /// [`create`](crate::LibvirtCalls::create) of the device with this name.
    Start(&'a str),
    /// [`destroy`](crate::LibvirtCalls::destroy) of the device with this name.
    Destroy(&'a str),
    /// [`undefine`](crate::LibvirtCalls::undefine) of the device with this name.
    Undefine(&'a str),
    /// [`update`](crate::LibvirtCalls::update).
    Update {
        /// Name of the device.
        name: &'a str,
        /// The document.
        xml: &'a [u8],
        /// What is changed: the device, its definition.
        flags: UpdateFlags,
    },
    /// [`set_autostart`](crate::LibvirtCalls::set_autostart).
    SetAutostart {
        /// Name of the device.
        name: &'a str,
        /// Whether it is to be started with the host.
        autostart: bool,
    },
}
