use std::fmt;

use nodedev_model::{DeviceName, ErrorCode, ErrorDomain};
use nodedev_xml::XmlError;

/// Result of a call to a driver.
pub type Result<T> = std::result::Result<T, Error>;

/// How bad an error is (`virErrorLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum ErrorLevel {
    /// No error.
    None = 0,
    /// A warning.
    Warning = 1,
    /// An error.
    #[default]
    Error = 2,
}

/// A failed call, in the shape in which libvirt reports it to its clients (`virError`), so that a daemon and the C
/// library can pass it on unchanged.
///
/// [`Error::help`] is for people at a terminal and no part of that shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Repr>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Repr {
    code: ErrorCode,
    domain: ErrorDomain,
    level: ErrorLevel,
    message: String,
    strings: [Option<String>; 3],
    ints: [i32; 2],
    help: Option<String>,
}

impl Error {
    /// An ordinary error: the code's template filled with a detail.
    ///
    /// ```
    /// use nodedev_driver::{Error, ErrorCode, ErrorDomain};
    /// let error = Error::new(ErrorDomain::NODEDEV, ErrorCode::XML_ERROR, "no such thing");
    /// assert_eq!(error.message(), "XML error: no such thing");
    /// assert_eq!(error.strings(), [Some("XML error: %1$s"), Some("no such thing"), None]);
    /// assert_eq!(error.ints(), [-1, -1]);
    /// ```
    pub fn new(domain: ErrorDomain, code: ErrorCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (message, template) = code.message(&detail);
        Self::raw(domain, code, message).with_strings([Some(template), Some(detail), None])
    }

    /// An error whose message is already complete, with no strings and with both integers -1. For what arrives from
    /// elsewhere: a daemon, or the XML parser.
    pub fn raw(domain: ErrorDomain, code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            code,
            domain,
            level: ErrorLevel::Error,
            message: message.into(),
            strings: [None, None, None],
            ints: [-1, -1],
            help: None,
        }))
    }

    /// An error whose template takes no detail: the message is the first string too.
    pub fn bare(domain: ErrorDomain, code: ErrorCode, message: &str) -> Self {
        Self::raw(domain, code, message).with_strings([Some(message.to_owned()), None, None])
    }

    /// A bad argument: the message stands alone, and the strings name the function and the argument.
    pub fn argument(domain: ErrorDomain, function: &str, argument: &str, message: impl Into<String>) -> Self {
        Self::raw(domain, ErrorCode::INVALID_ARG, message)
            .with_strings([Some(function.to_owned()), Some(argument.to_owned()), None])
            .with_ints([0, 0])
    }

    /// Flags that a function does not know (code 8).
    pub fn unsupported_flags(domain: ErrorDomain, bits: u32, function: &str) -> Self {
        Self::argument(
            domain,
            function,
            "flags",
            format!("unsupported flags (0x{bits:x}) in function {function}"),
        )
    }

    /// There is no device of this name (code 53).
    pub fn no_device(domain: ErrorDomain, name: &str) -> Self {
        let detail = format!("no node device with matching name '{name}'");
        Self::new(domain, ErrorCode::NO_NODE_DEVICE, detail)
    }

    /// The definition of a device that has none was asked for (code 55).
    pub fn not_persistent(domain: ErrorDomain, name: &str) -> Self {
        let detail = format!("node device '{name}' is not persistent");
        Self::new(domain, ErrorCode::OPERATION_INVALID, detail)
    }

    /// The driver lacks a call (code 3); `function` is the name of libvirt's public function.
    pub fn no_support(function: &str) -> Self {
        Self::new(ErrorDomain::NODEDEV, ErrorCode::NO_SUPPORT, function)
    }

    /// The driver has no native view (code 3).
    pub fn no_native_view() -> Self {
        Self::no_support("native view").with_help(
            "a daemon tells libvirt's view of its devices; the native view is that of this machine (nodedev:///system) and of \
             recordings (--root)",
        )
    }

    /// The source does nothing to devices beyond libvirt's functions (code 3).
    pub fn no_native_call() -> Self {
        Self::no_support("native view").with_help(
            "libvirt's calls, with which a daemon is asked, have nothing of this: run the command on the machine of the devices, or \
             on a recording of it (--root)",
        )
    }

    /// The driver lacks a function about connections or machines (code 3).
    pub fn no_support_of_connection(function: &str) -> Self {
        Self::new(ErrorDomain::DOMAIN, ErrorCode::NO_SUPPORT, function)
    }

    /// Nothing tells the driver of changes (code 3).
    pub fn no_events() -> Self {
        Self::no_support("virConnectNodeDeviceEventRegisterAny")
            .with_help("a recording does not change; watch this machine, or a daemon with --connect")
    }

    /// The changes since a revision are not known (code 55): a watcher has to look at all devices again.
    pub fn history_gone(revision: &str) -> Self {
        let detail = format!("the changes since revision {revision} are not known");
        Self::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_INVALID, detail).with_help(
            "they are too many or too old, or the daemon was restarted since; start again without a revision",
        )
    }

    /// A device is of a type that the operation is not for (code 67).
    pub fn unsupported_device_type(domain: ErrorDomain) -> Self {
        Self::new(domain, ErrorCode::CONFIG_UNSUPPORTED, "Unsupported device type")
    }

    /// A call failed and nothing said why (code 1, domain 0).
    pub fn unknown_cause() -> Self {
        let message = "An error occurred, but the cause is unknown";
        Self::raw(ErrorDomain::NONE, ErrorCode::INTERNAL_ERROR, message).with_ints([0, 0])
    }

    /// An internal error (code 1).
    pub fn internal(domain: ErrorDomain, detail: impl Into<String>) -> Self {
        Self::new(domain, ErrorCode::INTERNAL_ERROR, detail)
    }

    /// A system call failed (code 38): what was tried, and the error of the system.
    pub fn system(domain: ErrorDomain, what: impl fmt::Display, error: &std::io::Error) -> Self {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        Self::new(domain, ErrorCode::SYSTEM_ERROR, format!("{what}: {reason}"))
            .with_ints([error.raw_os_error().unwrap_or(-1), -1])
    }

    /// The URI has no driver (code 5).
    pub fn no_connect(uri: &str) -> Self {
        Self::new(ErrorDomain::NONE, ErrorCode::NO_CONNECT, uri)
    }

    /// Replaces the strings.
    #[must_use]
    pub fn with_strings(mut self, strings: [Option<String>; 3]) -> Self {
        self.0.strings = strings;
        self
    }

    /// Replaces the integers.
    #[must_use]
    pub fn with_ints(mut self, ints: [i32; 2]) -> Self {
        self.0.ints = ints;
        self
    }

    /// Replaces the level.
    #[must_use]
    pub fn with_level(mut self, level: ErrorLevel) -> Self {
        self.0.level = level;
        self
    }

    /// Adds what a person can do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the names that were probably meant to [`Error::no_device`].
    #[must_use]
    pub fn with_suggestions(self, near: &[&DeviceName]) -> Self {
        match near {
            [] => self,
            [one] => self.with_help(format!("did you mean '{one}'?")),
            _ => {
                let names: Vec<_> = near.iter().map(|name| format!("'{name}'")).collect();
                self.with_help(format!("did you mean one of {}?", names.join(", ")))
            }
        }
    }

    /// What kind of failure it is.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Part of libvirt it comes from.
    pub fn domain(&self) -> ErrorDomain {
        self.0.domain
    }

    /// How bad it is.
    pub fn level(&self) -> ErrorLevel {
        self.0.level
    }

    /// The complete message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The fields `str1`, `str2` and `str3` of libvirt's error.
    pub fn strings(&self) -> [Option<&str>; 3] {
        let [a, b, c] = &self.0.strings;
        [a.as_deref(), b.as_deref(), c.as_deref()]
    }

    /// The fields `int1` and `int2` of libvirt's error.
    pub fn ints(&self) -> [i32; 2] {
        self.0.ints
    }

    /// What a person can do about it, as one line.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

/// A mistake in a document, with libvirt's number, part and text; the place is in the help.
impl From<XmlError> for Error {
    fn from(error: XmlError) -> Self {
        let (domain, code) = (error.domain, error.code);
        let help = format!("the mistake is in line {}, column {}", error.line, error.column);
        let this = if error.detail.is_empty() {
            Self::bare(domain, code, &error.message())
        } else {
            Self::new(domain, code, error.detail)
        };
        this.with_help(help)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::{Error, ErrorCode, ErrorDomain};

    /// The shapes that the real libvirt 11.3 gave its clients.
    #[test]
    fn shapes_are_those_of_libvirt() {
        let domain = ErrorDomain::TEST;
        for (error, code, domain, message, strings, ints) in [
            (
                Error::no_device(domain, "x"),
                53,
                12,
                "Node device not found: no node device with matching name 'x'",
                [Some("Node device not found: %1$s"), Some("no node device with matching name 'x'"), None],
                [-1, -1],
            ),
            (
                Error::unsupported_flags(domain, 1 << 24, "testConnectListAllNodeDevices"),
                8,
                12,
                "unsupported flags (0x1000000) in function testConnectListAllNodeDevices",
                [Some("testConnectListAllNodeDevices"), Some("flags"), None],
                [0, 0],
            ),
            (
                Error::no_support("virNodeDeviceReset"),
                3,
                22,
                "this function is not supported by the connection driver: virNodeDeviceReset",
                [
                    Some("this function is not supported by the connection driver: %1$s"),
                    Some("virNodeDeviceReset"),
                    None,
                ],
                [-1, -1],
            ),
            (
                Error::new(ErrorDomain::NODEDEV, ErrorCode::XML_DETAIL, "at line 1: 100%s"),
                35,
                22,
                "at line 1: 100%s",
                [Some("%s"), Some("at line 1: 100%s"), None],
                [-1, -1],
            ),
            (
                Error::unknown_cause(),
                1,
                0,
                "An error occurred, but the cause is unknown",
                [None, None, None],
                [0, 0],
            ),
        ] {
            assert_eq!((error.code().0, error.domain().0, error.message()), (code, domain, message));
            assert_eq!((error.strings(), error.ints()), (strings, ints), "{message}");
        }
    }

    #[test]
    fn system_errors_carry_the_number_and_its_text() {
        let error = std::io::Error::from_raw_os_error(13);
        let error = Error::system(ErrorDomain::NODEDEV, "cannot open it", &error);
        assert_eq!(error.message(), "cannot open it: Permission denied");
        assert_eq!(error.ints(), [13, -1]);
    }
}
