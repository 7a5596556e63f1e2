//! A device document as a tree: a small strict XML 1.0 parser, and the tree that it makes.
//!
//! Follows Extensible Markup Language 1.0 (fifth edition) and Namespaces in XML 1.0, without document type
//! declarations: those are refused. Mistakes are worded and placed as libxml2 2.9 words and places them, because
//! libvirt hands that text to its callers.
//!
//! Time and memory are linear in the length of the text, which is at most [`MAX_TEXT`] bytes; nothing is recursive.

mod parse;
mod serialize;
mod syntax;
mod tree;

pub(crate) use parse::{Parsed, parse};
pub(crate) use serialize::{new_line, write_attribute};
pub(crate) use syntax::Place;
pub use tree::{Attribute, Document, NodeId, NodeKind};

use crate::XmlError;

/// Longest text that is parsed, in bytes: the longest string that libvirt's protocol carries
/// (`VIR_NET_MESSAGE_STRING_MAX` … `REMOTE_STRING_MAX`, 4 MiB).
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// Deepest nesting of elements below the root (libxml2's `xmlParserMaxDepth`).
pub const MAX_DEPTH: usize = 256;

/// Most mistakes that are collected of one document.
pub const MAX_MISTAKES: usize = 1000;

impl<'a> Document<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// The first mistake, if the text is no well-formed XML, has a document type declaration or is too long.
    pub fn parse(text: &'a [u8]) -> Result<Self, XmlError> {
        let Parsed { document, mut errors } = parse(text, false);
        match document {
            Some(document) if errors.is_empty() => Ok(document),
            _ => Err(errors.swap_remove(0)),
        }
    }
}
