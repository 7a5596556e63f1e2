//! The errors that libvirt's dispatcher itself sends, word for word. Errors of drivers are the server's to translate.

use crate::frame::{Header, encode_message};
use crate::known::{Kind, Known};
use crate::messages::ErrorObject;
use crate::open::Status;
use crate::procedures::Procedure;
use crate::text::Str;
use crate::xdr::TooLong;

// Kinds of failure (virErrorNumber) with the template of their messages, and parts of libvirt (virErrorDomain).
const INTERNAL: (i32, &str) = (1, "internal error: %1$s");
const NO_SUPPORT: (i32, &str) = (3, "this function is not supported by the connection driver: %1$s");
const INVALID_ARGUMENT: (i32, &str) = (8, "invalid argument: %1$s");
const DENIED: (i32, &str) = (29, "operation forbidden: %1$s");
const RPC: (i32, &str) = (39, "%s");
const AUTH_FAILED: (i32, &str) = (45, "authentication failed: %1$s");
const FROM_NONE: i32 = 0;
const FROM_RPC: i32 = 7;
const FROM_REMOTE: i32 = 13;
const FROM_NODEDEV: i32 = 22;
/// `VIR_ERR_ERROR`.
const LEVEL_ERROR: i32 = 2;

/// An error of the dispatcher, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: i32,
    domain: i32,
    template: &'static str,
    detail: String,
    message: String,
}

impl Fault {
    fn new(domain: i32, (code, template): (i32, &'static str), detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let message = if template == "%s" { detail.clone() } else { template.replacen("%1$s", &detail, 1) };
        Self { code, domain, template, detail, message }
    }

    fn rpc(detail: impl Into<String>) -> Self {
        Self::new(FROM_RPC, RPC, detail)
    }

    fn internal(detail: impl Into<String>) -> Self {
        Self::new(FROM_RPC, INTERNAL, detail)
    }

    /// There is no such program, or not in this version. libvirt takes both numbers for signed ones here.
    pub fn unknown_program(program: u32, version: u32) -> Self {
        let (program, version) = (program.cast_signed(), version.cast_signed());
        Self::rpc(format!("Cannot find program {program} version {version}"))
    }

    /// The program has no such procedure. Clients take it for "not supported".
    pub fn unknown_procedure(number: i32) -> Self {
        Self::rpc(format!("unknown procedure: {number}"))
    }

    /// A call does not say that all is well.
    pub fn unexpected_status(status: Status) -> Self {
        Self::rpc(format!("Unexpected message status {}", u32::from(status)))
    }

    /// The arguments are malformed.
    pub fn undecodable() -> Self {
        Self::rpc("Unable to decode message payload")
    }

    /// The reply is longer than a message may be.
    pub fn unencodable() -> Self {
        Self::rpc("Unable to encode message payload")
    }

    /// The client has not logged in.
    pub fn authentication_required() -> Self {
        Self::rpc("authentication required")
    }

    /// The login failed, or was tried in a way that is not offered.
    pub fn authentication_failed() -> Self {
        Self::new(FROM_RPC, AUTH_FAILED, "authentication failed")
    }

    /// The call needs a connection and none is open.
    pub fn connection_not_open() -> Self {
        Self::internal("hypervisor connection not open")
    }

    /// The call needs node devices and no connection is open; `CONNECT_OPEN` without a name says so, too.
    pub fn node_devices_not_open() -> Self {
        Self::internal("connection not open")
    }

    /// A second `CONNECT_OPEN`. libvirt then closes the first.
    pub fn already_open() -> Self {
        Self::internal("connection already open")
    }

    /// A list of less than no names was asked for.
    pub fn negative_max_names() -> Self {
        Self::rpc("maxnames must be non-negative")
    }

    /// A longer list of devices was asked for than the protocol allows.
    pub fn too_many_names_wanted() -> Self {
        Self::rpc("maxnames > REMOTE_NODE_DEVICE_LIST_MAX")
    }

    /// A longer list of capabilities was asked for than the protocol allows.
    pub fn too_many_capabilities_wanted() -> Self {
        Self::rpc("maxnames > REMOTE_NODE_DEVICE_CAPS_LIST_MAX")
    }

    /// There are more devices than the protocol allows in a list.
    pub fn too_many_devices(count: usize) -> Self {
        let limit = crate::bounds::NODE_DEVICE_LIST_MAX;
        Self::rpc(format!("Too many node_devices '{count}' for limit '{limit}'"))
    }

    /// Events of this kind can't be registered for.
    pub fn unsupported_event(id: i32) -> Self {
        Self::internal(format!("unsupported node device event ID {id}"))
    }

    /// The same events were registered for before, for the same device.
    pub fn already_tracked() -> Self {
        Self::new(FROM_NONE, INVALID_ARGUMENT, "event callback already tracked")
    }

    /// There is no registration of this number.
    pub fn not_registered(callback: i32) -> Self {
        Self::internal(format!("node device event callback {callback} not registered"))
    }

    /// A read-only connection may not call this.
    pub fn read_only(procedure: Procedure) -> Self {
        let (function, _) = function(procedure.number());
        Self::new(FROM_NODEDEV, DENIED, format!("read only access prevents {function}"))
    }

    /// The connection's driver lacks this call of libvirt's API, whether or not `nodedev` knows more of it than its
    /// name.
    pub fn no_support(number: i32) -> Self {
        let (function, domain) = function(number);
        if function.is_empty() {
            return Self::unknown_procedure(number);
        }
        Self::new(domain, NO_SUPPORT, function)
    }

    /// The error as it goes over the wire. Texts that are too long for it are cut.
    pub fn object(&self) -> ErrorObject<'_> {
        ErrorObject {
            code: self.code,
            domain: self.domain,
            message: Some(Str::truncated(&self.message)),
            level: LEVEL_ERROR,
            guest: None,
            str1: Some(Str::truncated(self.template)),
            str2: Some(Str::truncated(&self.detail)),
            str3: None,
            int1: -1,
            int2: -1,
            network: None,
        }
    }
}

/// The public function of a call and the part of libvirt that it belongs to.
fn function(number: i32) -> (&'static str, i32) {
    match Known::find(number).map(|known| known.kind) {
        Some(Kind::Call { function, domain }) => (function, domain),
        _ => ("", FROM_NONE),
    }
}

impl ErrorObject<'_> {
    /// Appends the reply that says that the call with header `call` failed.
    ///
    /// # Errors
    /// [`TooLong`] if the message is: five texts of the greatest length don't fit into one message all at once.
    pub fn encode_reply(&self, call: &Header, out: &mut Vec<u8>) -> Result<(), TooLong> {
        encode_message(out, &call.reply(Status::Error), self)
    }

    /// Whether a server says that it lacks the procedure. To its callers, libvirt's client reports code 3 (not
    /// supported) instead.
    pub fn is_unknown_procedure(&self) -> bool {
        let text = self.message.map(Str::as_bytes).unwrap_or_default();
        self.code == RPC.0
            && matches!(self.domain, FROM_RPC | FROM_REMOTE)
            && self.level == LEVEL_ERROR
            && text.starts_with(b"unknown procedure")
    }

    /// Whether a server says that it does not serve the program, as libvirt's daemons do of NODEDEV.
    pub fn is_unknown_program(&self) -> bool {
        let text = self.message.map(Str::as_bytes).unwrap_or_default();
        self.code == RPC.0 && self.domain == FROM_RPC && text.starts_with(b"Cannot find program")
    }
}
