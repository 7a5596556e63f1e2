use std::fmt;

/// Kind of a mistake in a document, with libvirt's error number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorCode {
    /// A value is missing or malformed (`VIR_ERR_INTERNAL_ERROR`).
    Internal = 1,
    /// The device has no name (`VIR_ERR_NO_NAME`).
    NoName = 21,
    /// The document is well-formed and says something impossible (`VIR_ERR_XML_ERROR`).
    Xml = 27,
    /// The text is not well-formed XML (`VIR_ERR_XML_DETAIL`).
    NotWellFormed = 35,
    /// A value is one that is not supported (`VIR_ERR_CONFIG_UNSUPPORTED`).
    Unsupported = 67,
    /// The document breaks a rule of the schema (`VIR_ERR_XML_INVALID_SCHEMA`).
    Schema = 92,
}

impl ErrorCode {
    /// libvirt's number (`virErrorNumber`).
    pub fn number(self) -> i32 {
        self as i32
    }

    /// Text before the detail in libvirt's message.
    fn prefix(self) -> &'static str {
        match self {
            Self::Internal => "internal error: ",
            Self::NoName => "missing name information in ",
            Self::Xml => "XML error: ",
            Self::NotWellFormed => "",
            Self::Unsupported => "unsupported configuration: ",
            Self::Schema => "XML document failed to validate against schema: ",
        }
    }
}

/// Part of libvirt that reports a mistake, with its number (`virErrorDomain`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorDomain {
    /// No part in particular: addresses out of range.
    None = 0,
    /// Helpers for attributes.
    Xml = 5,
    /// Node devices.
    NodeDevice = 22,
}

impl ErrorDomain {
    /// libvirt's number (`virErrorDomain`).
    pub fn number(self) -> i32 {
        self as i32
    }
}

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
            (ErrorCode::NoName, "") => "missing name information".to_owned(),
            (code, detail) => format!("{}{detail}", code.prefix()),
        }
    }

    /// The mistake in one line, for a reader who is told line and column.
    pub fn summary(&self) -> &str {
        match self.code {
            ErrorCode::NoName => "missing name information",
            ErrorCode::NotWellFormed => {
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
