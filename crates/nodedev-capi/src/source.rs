//! Where the devices of a connection come from: this process, or a daemon; and what only the way to a daemon has.

use std::ffi::{CStr, CString};

use nodedev::Connection;
use nodedev_driver::{Error, ErrorCode, ErrorDomain, LibvirtCalls, Result};
use nodedev_remote::{End, Pings, RemoteDriver};
use nodedev_rpc::{Array, Call, Identity, Number, Rpc, Str, TypedParameter, TypedValue, Void, calls};

use crate::function::Function;

/// Where the devices of a connection come from.
pub(crate) enum Source {
    /// This process looks at them itself.
    Local {
        connection: Connection,
        kind: Kind,
    },
    Daemon(Daemon),
}

/// Which of libvirt's drivers one in this process stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The node devices of a host.
    Host,
    /// The invented ones of `test:///`.
    Test,
}

/// A daemon, and how its connection is protected.
pub(crate) struct Daemon {
    pub(crate) driver: RemoteDriver,
    /// Whether the transport encrypts.
    pub(crate) encrypted: bool,
    /// Whether nobody else can read what is sent: it is encrypted, or does not leave the machine.
    pub(crate) secure: bool,
}

impl Daemon {
    /// The connection, unless it has ended: what ended it was told to the calls that waited then. That it is another process's, the
    /// call says.
    fn open(&self) -> Result<&RemoteDriver> {
        match self.driver.is_alive() || self.driver.is_inherited() {
            true => Ok(&self.driver),
            false => Err(Error::internal(ErrorDomain::RPC, "client socket is closed")),
        }
    }

    fn is_secure(&self) -> Result<bool> {
        fn flag<P: for<'a> Rpc<Reply<'a> = Number>>(driver: &RemoteDriver, call: &Call<'_>) -> Result<bool> {
            driver.call::<P, _>(call, |reply| Ok(reply.number != 0))
        }
        flag::<calls::ConnectIsSecure>(self.open()?, &Call::ConnectIsSecure(Void))
    }
}

impl Source {
    /// libvirt's functions.
    pub(crate) fn calls(&self) -> Result<&dyn LibvirtCalls> {
        Ok(match self {
            Self::Local { connection, .. } => &**connection,
            Self::Daemon(daemon) => daemon.open()?,
        })
    }

    /// Whether it is libvirt's test driver, in this process.
    pub(crate) fn is_test(&self) -> bool {
        matches!(self, Self::Local { kind: Kind::Test, .. })
    }

    /// Says on whose behalf calls are made.
    pub(crate) fn set_identity(&self, parameters: &[(CString, Value)], flags: u32) -> Result<()> {
        let Self::Daemon(daemon) = self else {
            return Err(Function::of_connections("virConnectSetIdentity").no_support());
        };
        let parameters: Result<Vec<_>> = parameters
            .iter()
            .map(|(field, value)| Ok(TypedParameter { field: text(field)?, value: value.on_the_wire()? }))
            .collect();
        let parameters = Array::new(parameters?).map_err(|_| {
            Error::new(ErrorDomain::REMOTE, ErrorCode::RPC, "too many parameters for an identity")
        })?;
        let call = Call::ConnectSetIdentity(Identity { parameters, flags });
        daemon.open()?.call::<calls::ConnectSetIdentity, _>(&call, |Void| Ok(()))
    }

    /// Whether nobody can read along.
    pub(crate) fn is_secure(&self) -> Result<bool> {
        match self {
            Self::Local { .. } => Ok(true),
            Self::Daemon(daemon) => Ok(daemon.is_secure()? && daemon.secure),
        }
    }

    /// Whether what is sent is encrypted.
    pub(crate) fn is_encrypted(&self) -> Result<bool> {
        match self {
            Self::Local { .. } => Ok(false),
            Self::Daemon(daemon) => daemon.is_secure().map(|_| daemon.encrypted),
        }
    }

    /// Whether calls can be made.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Local { .. } => true,
            Self::Daemon(daemon) => daemon.driver.is_alive(),
        }
    }

    /// Sets how often a daemon is asked if it is there. `false`: it does not know that question.
    pub(crate) fn set_pings(&self, pings: Option<Pings>) -> Result<bool> {
        match self {
            Self::Local { .. } => Err(Function::of_connections("virConnectSetKeepAlive").no_support()),
            Self::Daemon(daemon) => daemon.driver.set_pings(pings),
        }
    }

    /// Whether it is another process: the connection can end by itself, and pings need an event loop.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Daemon(_))
    }

    /// Has `heir` called when the connection ends.
    pub(crate) fn on_end(&self, heir: impl FnOnce(End) + Send + 'static) {
        if let Self::Daemon(daemon) = self {
            daemon.driver.on_end(heir);
        }
    }
}

/// The value of a typed parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Int(i32),
    Uint(u32),
    Llong(i64),
    Ullong(u64),
    Double(f64),
    Boolean(bool),
    String(CString),
}

impl Value {
    fn on_the_wire(&self) -> Result<TypedValue<'_>> {
        Ok(match self {
            Self::Int(value) => TypedValue::Int(*value),
            Self::Uint(value) => TypedValue::UInt(*value),
            Self::Llong(value) => TypedValue::LLong(*value),
            Self::Ullong(value) => TypedValue::ULLong(*value),
            Self::Double(value) => TypedValue::Double(*value),
            Self::Boolean(value) => TypedValue::Boolean(*value),
            Self::String(value) => TypedValue::String(text(value)?),
        })
    }
}

/// A text as an argument.
fn text(text: &CStr) -> Result<Str<'_>> {
    Str::new(text.to_bytes()).map_err(|error| {
        Error::new(ErrorDomain::RPC, ErrorCode::RPC, "Unable to encode message payload")
            .with_help(error.to_string())
    })
}
