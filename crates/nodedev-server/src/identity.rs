//! Who a client is.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nodedev_driver::{Caller, Error, ErrorCode, ErrorDomain};
use nodedev_rpc::{TypedParameter, TypedValue};

/// Who a client is, or says that it acts for. Each part is absent where it is not known.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// User, number.
    pub user_id: Option<u64>,
    /// User, name.
    pub user_name: Option<String>,
    /// Group, number.
    pub group_id: Option<u64>,
    /// Group, name.
    pub group_name: Option<String>,
    /// Process.
    pub process_id: Option<i64>,
    /// When the process started, clock ticks since the machine did: tells it from a later one with the same number.
    pub process_time: Option<u64>,
    /// A handle of the process, which no later one can have.
    pub process: Option<Arc<OwnedFd>>,
    /// User as whom the client logged in with SASL.
    pub sasl_user: Option<String>,
    /// Distinguished name in the client's certificate.
    pub x509_name: Option<String>,
    /// SELinux context.
    pub selinux_context: Option<String>,
    /// Address of this machine that the client is connected to over a network: what the connection leads through is not taken
    /// from the host for it.
    pub connected_at: Option<IpAddr>,
    /// Address of the machine that the client is connected from.
    pub connected_from: Option<IpAddr>,
    /// The client's program, as the process calls itself: for the log, and no proof of anything.
    pub program: Option<String>,
}

/// Whose share of places, threads and memory a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum User {
    /// Root, or the user as whom the server runs.
    Own,
    /// Another user of this machine.
    Id(u64),
    /// Another machine; of IPv6 the first 64 bits, of which one machine can have all addresses.
    Address(IpAddr),
    /// Nobody knows.
    Unknown,
}

/// The parameters of `CONNECT_SET_IDENTITY`, with libvirt's name of the type of each.
const PARAMETERS: &[(&str, &str)] = &[
    ("user-name", "string"),
    ("unix-user-id", "ullong"),
    ("group-name", "string"),
    ("unix-group-id", "ullong"),
    ("process-id", "llong"),
    ("process-time", "ullong"),
    ("sasl-user-name", "string"),
    ("x509-distinguished-name", "string"),
    ("selinux-context", "string"),
    ("system.token", "string"),
];

impl Identity {
    /// Whose share the client uses, where the server runs as the user with the number `own`.
    pub fn user(&self, own: u32) -> User {
        match (self.user_id, self.connected_from) {
            (Some(id), _) if id == 0 || id == u64::from(own) => User::Own,
            (Some(id), _) => User::Id(id),
            (None, Some(IpAddr::V6(address))) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                User::Address(IpAddr::V6(network.into()))
            }
            (None, Some(address)) => User::Address(address),
            (None, None) => User::Unknown,
        }
    }

    /// Whether the client's process runs as root or as `user`: such a one may speak for others.
    pub(crate) fn may_speak_for_others(&self, user: u32) -> bool {
        matches!(self.user_id, Some(id) if id == 0 || id == u64::from(user))
    }

    /// The same for a driver.
    pub(crate) fn caller(&self) -> Caller {
        let process = self.process_id.and_then(|process| u32::try_from(process).ok());
        match (self.connected_at, process) {
            (Some(address), _) => Caller::ConnectedAt(address),
            (None, Some(process)) => Caller::Process(process),
            (None, None) => Caller::Unknown,
        }
    }

    /// Reads the parameters of `CONNECT_SET_IDENTITY`.
    pub(crate) fn of(parameters: &[TypedParameter<'_>]) -> Result<Self, Error> {
        let mut identity = Self::default();
        let mut seen = Vec::new();
        for TypedParameter { field, value } in parameters {
            let name = field.to_string_lossy();
            let name = name.as_ref();
            let Some((known, wanted)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
                let detail = format!("parameter '{name}' not supported");
                return Err(Error::new(ErrorDomain::NONE, ErrorCode::ARGUMENT_UNSUPPORTED, detail));
            };
            if seen.contains(known) {
                let detail = format!("parameter '{name}' occurs multiple times");
                return Err(Error::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, detail));
            }
            seen.push(*known);
            let text = |value: &TypedValue<'_>| match value {
                TypedValue::String(text) => Some(text.to_string_lossy().into_owned()),
                _ => None,
            };
            match (name, *value) {
                ("user-name", TypedValue::String(_)) => identity.user_name = text(value),
                ("unix-user-id", TypedValue::ULLong(id)) => identity.user_id = Some(id),
                ("group-name", TypedValue::String(_)) => identity.group_name = text(value),
                ("unix-group-id", TypedValue::ULLong(id)) => identity.group_id = Some(id),
                ("process-id", TypedValue::LLong(id)) => identity.process_id = Some(id),
                ("process-time", TypedValue::ULLong(time)) => identity.process_time = Some(time),
                ("sasl-user-name", TypedValue::String(_)) => identity.sasl_user = text(value),
                ("x509-distinguished-name", TypedValue::String(_)) => identity.x509_name = text(value),
                ("selinux-context", TypedValue::String(_)) => identity.selinux_context = text(value),
                // A secret by which libvirt's daemons know each other. Who may speak for others is decided by the
                // socket's peer here.
                ("system.token", TypedValue::String(_)) => {}
                _ => {
                    let given = type_name(value);
                    let detail =
                        format!("invalid type '{given}' for parameter '{name}', expected '{wanted}'");
                    return Err(Error::new(ErrorDomain::NONE, ErrorCode::INVALID_ARG, detail));
                }
            }
        }
        Ok(identity)
    }
}

fn type_name(value: &TypedValue<'_>) -> &'static str {
    match value {
        TypedValue::Int(_) => "int",
        TypedValue::UInt(_) => "uint",
        TypedValue::LLong(_) => "llong",
        TypedValue::ULLong(_) => "ullong",
        TypedValue::Double(_) => "double",
        TypedValue::Boolean(_) => "boolean",
        TypedValue::String(_) => "string",
    }
}
