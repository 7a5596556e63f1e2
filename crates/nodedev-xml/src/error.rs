use std::fmt;

use nodedev_model::{ErrorCode, ErrorDomain};

/// A mistake in a document, as libvirt words it, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct XmlError {
    /// Part of libvirt that reports it.
    pub domain: ErrorDomain,
    /// Kind of mistake.
    pub code: ErrorCode,
    /// What is wrong, without the prefix that belongs to the code; empty if the code says it all. For a text that is
    /// not well-formed it has three lines: the mistake, the line of the document, and a pointer into that.
    pub detail: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl XmlError {
    /// libvirt's whole message.
    pub fn message(&self) -> String {
        match (self.code, self.detail.as_str()) {
            (ErrorCode::NO_NAME, "") => "missing name information".to_owned(),
            (code, detail) => code.message(detail).0,
        }
    }

    /// The mistake in one line, for a reader who is told line and column.
    pub fn summary(&self) -> &str {
        match self.code {
            ErrorCode::NO_NAME => "missing name information",
            ErrorCode::XML_DETAIL => {
                let first = self.detail.lines().next().unwrap_or_default();
                first
                    .strip_prefix("at line ")
                    .and_then(|rest| rest.split_once(": "))
                    .map_or(first, |(_, text)| text)
            }
            _ => &self.detail,
        }
    }
}

/// `LINE:COLUMN: what is wrong`.
impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.summary())
    }
}
