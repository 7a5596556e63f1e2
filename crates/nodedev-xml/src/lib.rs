//! libvirt node device XML to and from the nodedev model.

pub mod dom;
mod error;
mod read;
mod schema;
mod write;
pub mod xpath;

pub use error::{ErrorCode, ErrorDomain, XmlError};
pub use read::{Dialect, Mode, NEW_DEVICE, ParseOptions, WwnGenerator, check, parse, parse_document};
pub use schema::{SchemaViolation, validate};
pub use write::{Form, write, write_into};
