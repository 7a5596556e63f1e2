//! Errors of the connection itself, in libvirt's words, and those that a daemon sent.

use std::fmt::Display;
use std::io;

use nodedev_driver::{Error, ErrorCode, ErrorDomain, ErrorLevel};
use nodedev_rpc::{ErrorObject, Header, Str};

/// The error that a daemon sent, as it came. That it lacks a procedure gets the code of "not supported", as libvirt's
/// clients do it.
pub(crate) fn of_daemon(object: &ErrorObject<'_>) -> Error {
    let text = |text: Option<Str<'_>>| text.map(|text| text.to_string_lossy().into_owned());
    let code = match object.is_unknown_procedure() {
        true => ErrorCode::NO_SUPPORT,
        false => ErrorCode(object.code),
    };
    let level = match object.level {
        0 => ErrorLevel::None,
        1 => ErrorLevel::Warning,
        _ => ErrorLevel::Error,
    };
    let message = text(object.message).unwrap_or_else(|| "Unknown error".to_owned());
    let error = Error::raw(ErrorDomain(object.domain), code, message)
        .with_level(level)
        .with_strings([object.str1, object.str2, object.str3].map(text))
        .with_ints([object.int1, object.int2]);
    if object.is_unknown_procedure() {
        return error.with_help("the daemon is older than this call");
    }
    if code == ErrorCode::AUTH_UNAVAILABLE {
        return error.with_help(
            "nobody is there whom polkit could ask: be root or a member of the group libvirt, or start an agent with \
             `pkttyagent --process PID`",
        );
    }
    error
}

/// A system call on the connection failed.
pub(crate) fn system(what: impl Display, error: &io::Error) -> Error {
    Error::system(ErrorDomain::RPC, what, error)
}

/// The daemon closed the connection.
pub(crate) fn end_of_file() -> Error {
    let error = io::Error::from(rustix::io::Errno::IO);
    system("End of file while reading data", &error)
        .with_help("the daemon ended, was restarted, or refused this client; its log tells more")
}

/// The program that relays the bytes ended, and said this before.
pub(crate) fn relay_ended(said: &str) -> Error {
    let error = io::Error::from(rustix::io::Errno::CONNRESET);
    system(format_args!("Cannot recv data: {}", said.trim()), &error)
        .with_help("the program that connects to the daemon ended; try it by hand")
}

/// The daemon says what no daemon says.
pub(crate) fn violation(detail: impl Display) -> Error {
    Error::new(ErrorDomain::RPC, ErrorCode::RPC, format!("the daemon's answer makes no sense: {detail}"))
        .with_help("the connection was closed; is it a libvirt daemon that listens there?")
}

/// What came is nothing that a daemon sends.
pub(crate) fn unexpected(header: &Header) -> Error {
    let Header { program, version, procedure, kind, .. } = header;
    let kind = u32::from(*kind);
    let detail =
        format!("got unexpected RPC call prog {program} vers {version} proc {procedure} type {kind}");
    Error::new(ErrorDomain::RPC, ErrorCode::RPC, detail)
        .with_help("the connection was closed; is it a libvirt daemon that listens there?")
}

/// The daemon answered no ping.
pub(crate) fn silent() -> Error {
    Error::internal(ErrorDomain::RPC, "connection closed due to keepalive timeout")
        .with_help("the daemon, or the network to it, is down")
}

/// A call after the connection was ended by this side.
pub(crate) fn closed() -> Error {
    Error::internal(ErrorDomain::RPC, "client socket is closed")
}

/// A call in a process that is a fork of the one that connected.
pub(crate) fn forked() -> Error {
    Error::internal(ErrorDomain::RPC, "the connection belongs to another process")
        .with_help("connect anew after a fork")
}

/// An argument is longer than the protocol allows.
pub(crate) fn too_long(what: impl Display) -> Error {
    Error::new(ErrorDomain::RPC, ErrorCode::RPC, "Unable to encode message payload")
        .with_help(what.to_string())
}

/// No login will do.
pub(crate) fn login(detail: impl Display, help: &str) -> Error {
    let detail = detail.to_string();
    let message = format!("authentication failed: {detail}");
    Error::raw(ErrorDomain::REMOTE, ErrorCode::AUTH_FAILED, message)
        .with_strings([Some("authentication failed: %1$s".to_owned()), Some(detail), None])
        .with_help(help)
}

/// What is asked of the connection is wrong.
pub(crate) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorDomain::REMOTE, ErrorCode::INVALID_ARG, detail)
}

/// TLS failed.
pub(crate) fn tls(detail: impl Into<String>) -> Error {
    Error::new(ErrorDomain::RPC, ErrorCode::RPC, detail)
}
