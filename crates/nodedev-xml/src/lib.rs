//! libvirt node device XML to and from the nodedev model, and nothing else.
//!
//! [`parse`] reads a document as libvirt does: what it accepts and what it refuses, with its error numbers and texts,
//! and line and column besides. [`check`] finds every mistake of a document, [`validate`] all that breaks the rules of
//! libvirt's schema. [`write()`] prints a device, byte for byte as libvirt 11.3 does. [`xpath`] prints parts of a document.
//!
//! ```
//! use nodedev_xml::{Form, ParseOptions, parse, write};
//!
//! let text = b"<device><name>drm_card0</name><capability type='drm'><type>primary</type></capability></device>";
//! let device = parse(text, ParseOptions::default())?;
//! assert_eq!(device.name.as_str(), "drm_card0");
//! assert!(write(&device, Form::Live).ends_with(b"    <type>primary</type>\n  </capability>\n</device>\n"));
//!
//! let error = parse(b"<device>\n  <name>a</nam>\n</device>", ParseOptions::default()).unwrap_err();
//! assert_eq!(error.to_string(), "2:10: Opening and ending tag mismatch: name line 2 and nam");
//! # Ok::<(), nodedev_xml::XmlError>(())
//! ```
//!
//! Texts come from outside: whatever they hold, time and memory stay linear in their length, which is bounded
//! ([`dom::MAX_TEXT`]), and recursion does too.

pub mod dom;
mod error;
mod read;
mod schema;
mod write;
pub mod xpath;

pub use error::XmlError;
pub use nodedev_model::{ErrorCode, ErrorDomain};
pub use read::{
    Dialect, Mode, NEW_DEVICE, ParseOptions, WwnGenerator, activate, check, parse, parse_document,
};
pub use schema::{SchemaViolation, validate};
pub use write::{Form, replaced_texts, write, write_into};
