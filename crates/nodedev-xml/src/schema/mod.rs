//! The rules that libvirt's schema has for device documents, which are stricter than its parser.
//!
//! The rules are tables (`rules`, `values`): which children an element may have, in which order and how often, and
//! what its text and attributes look like. One walk over the tree holds a document against them and goes on after a
//! violation, so that it finds all.

mod pattern;
mod rules;
mod values;
mod walk;

use std::fmt;

use crate::dom::Document;
use crate::{ErrorCode, ErrorDomain, XmlError};

/// Something in a document that the schema does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolation {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is not allowed, in one line.
    pub message: String,
}

/// `LINE:COLUMN: what is not allowed`.
impl fmt::Display for SchemaViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Everything in a document that libvirt's schema does not allow, in the order of the places; nothing if it is valid.
/// At most [`crate::dom::MAX_MISTAKES`] violations are found.
///
/// # Errors
/// The first mistake, if the text is not well-formed XML.
pub fn validate(text: &[u8]) -> Result<Vec<SchemaViolation>, XmlError> {
    Ok(walk::violations(text, &Document::parse(text)?))
}

impl XmlError {
    /// The error with which libvirt refuses a document that violates the schema stored at `path`.
    pub fn schema(path: &str, violations: &[SchemaViolation]) -> Self {
        let mut detail = format!("Unable to validate doc against {path}");
        for violation in violations {
            detail.push('\n');
            detail.push_str(&violation.to_string());
        }
        let (line, column) = violations.first().map_or((1, 1), |first| (first.line, first.column));
        Self { domain: ErrorDomain::XML, code: ErrorCode::XML_INVALID_SCHEMA, detail, line, column }
    }
}
