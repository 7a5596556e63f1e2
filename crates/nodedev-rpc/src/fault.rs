//! The errors that libvirt's dispatcher itself sends, word for word. Errors of drivers are the server's to translate.

use nodedev_model::{ErrorCode, ErrorDomain};

use crate::frame::{Header, encode_message};
use crate::known::{Kind, Known};
use crate::messages::ErrorObject;
use crate::open::Status;
use crate::procedures::Procedure;
use crate::text::Str;
use crate::xdr::TooLong;

/// `VIR_ERR_ERROR`.
const LEVEL_ERROR: i32 = 2;

/// An error of the dispatcher, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: ErrorCode,
    domain: ErrorDomain,
    template: String,
    detail: String,
    message: String,
}

impl Fault {
    fn new(domain: ErrorDomain, code: ErrorCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let (message, template) = code.message(&detail);
        Self { code, domain, template, detail, message }
    }

    fn rpc(detail: impl Into<String>) -> Self {
        Self::new(ErrorDomain::RPC, ErrorCode::RPC, detail)
    }

    fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorDomain::RPC, ErrorCode::INTERNAL_ERROR, detail)
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
        Self::new(ErrorDomain::RPC, ErrorCode::AUTH_FAILED, "authentication failed")
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
        Self::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, "event callback already tracked")
    }

    /// There is no registration of this number.
    pub fn not_registered(callback: i32) -> Self {
        Self::internal(format!("node device event callback {callback} not registered"))
    }

    /// A read-only connection may not call this.
    pub fn read_only(procedure: Procedure) -> Self {
        let (function, _) = function(procedure.number());
        Self::new(
            ErrorDomain::NODEDEV,
            ErrorCode::OPERATION_DENIED,
            format!("read only access prevents {function}"),
        )
    }

    /// The connection's driver lacks this call of libvirt's API, whether or not `nodedev` knows more of it than its
    /// name.
    pub fn no_support(number: i32) -> Self {
        let (function, domain) = function(number);
        if function.is_empty() {
            return Self::unknown_procedure(number);
        }
        Self::new(domain, ErrorCode::NO_SUPPORT, function)
    }

    /// The error as it goes over the wire. Texts that are too long for it are cut.
    pub fn object(&self) -> ErrorObject<'_> {
        ErrorObject {
            code: self.code.0,
            domain: self.domain.0,
            message: Some(Str::truncated(&self.message)),
            level: LEVEL_ERROR,
            guest: None,
            str1: Some(Str::truncated(&self.template)),
            str2: Some(Str::truncated(&self.detail)),
            str3: None,
            int1: -1,
            int2: -1,
            network: None,
        }
    }
}

/// The public function of a call and the part of libvirt that it belongs to.
fn function(number: i32) -> (&'static str, ErrorDomain) {
    match Known::find(number).map(|known| known.kind) {
        Some(Kind::Call { function, domain }) => (function, domain),
        _ => ("", ErrorDomain::NONE),
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
        self.code == ErrorCode::RPC.0
            && matches!(ErrorDomain(self.domain), ErrorDomain::RPC | ErrorDomain::REMOTE)
            && self.level == LEVEL_ERROR
            && text.starts_with(b"unknown procedure")
    }

    /// Whether a server says that it does not serve the program, as libvirt's daemons do of NODEDEV.
    pub fn is_unknown_program(&self) -> bool {
        let text = self.message.map(Str::as_bytes).unwrap_or_default();
        self.code == ErrorCode::RPC.0
            && self.domain == ErrorDomain::RPC.0
            && text.starts_with(b"Cannot find program")
    }
}
