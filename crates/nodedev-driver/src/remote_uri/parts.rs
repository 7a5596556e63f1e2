//! Taking a URI apart.

use super::Transport;
use crate::uri::decode;
use crate::{Error, ErrorCode, ErrorDomain, Result};

/// A URI in its parts, none of which is decoded.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) uri: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) transport: Option<&'a str>,
    /// `user@host:port`.
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// With its `#`.
    pub(crate) fragment: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits a URI; `None` if it has no scheme.
    pub(crate) fn of(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let (scheme, transport) = match scheme.split_once('+') {
            Some((scheme, transport)) => (scheme, Some(transport)),
            None => (scheme, None),
        };
        let (rest, fragment) = rest.split_at(rest.find('#').unwrap_or(rest.len()));
        let (authority, rest) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self { uri, scheme, transport, authority, path, query, fragment })
    }

    /// Names and values of the parameters, in order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.query.split(['&', ';']).filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

pub(super) fn transport(word: Option<&str>, has_host: bool) -> Result<Transport> {
    let Some(word) = word else { return Ok(if has_host { Transport::Tls } else { Transport::Unix }) };
    Ok(match word.to_ascii_lowercase().as_str() {
        "unix" => Transport::Unix,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        "ssh" => Transport::Ssh,
        "ext" => Transport::Ext,
        word @ ("libssh" | "libssh2") => {
            let error = invalid(format!("{word} transport support was not enabled"));
            return Err(error.with_help("+ssh reaches the same daemon with the program ssh"));
        }
        _ => {
            let known = "tls|unix|ssh|ext|tcp|libssh2|libssh";
            let detail = format!("remote_open: transport in URL not recognised (should be {known})");
            return Err(invalid(detail).with_help("for instance nodedev+ssh://host/system"));
        }
    })
}

/// User, host and port. A host in brackets is an IPv6 address; port 0 is the transport's own.
pub(super) fn authority(parts: &Parts<'_>) -> Result<(Option<String>, Option<String>, Option<u16>)> {
    let unreadable = || unreadable(parts.uri);
    let decoded =
        |part: &str| decode(part).filter(|part| !part.contains(&0)).and_then(text).ok_or_else(unreadable);
    let (user, server) = match parts.authority.rsplit_once('@') {
        Some((user, server)) => (Some(decoded(user)?), server),
        None => (None, parts.authority),
    };
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(unreadable)?;
            match (after, after.strip_prefix(':')) {
                ("", _) => (host, ""),
                (_, Some(port)) => (host, port),
                _ => return Err(unreadable()),
            }
        }
        None => server.split_once(':').unwrap_or((server, "")),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            Some(digits.parse::<u16>().map_err(|_| unreadable())?).filter(|port| *port != 0)
        }
        _ => return Err(unreadable()),
    };
    Ok((user, Some(decoded(host)?).filter(|host| !host.is_empty()), port))
}

pub(super) fn text(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok()
}

/// Appends `value`, each byte that is no ASCII letter, digit or one of `plain` as `%HH`.
pub(super) fn encode(value: &[u8], plain: &[u8], out: &mut String) {
    for byte in value {
        if byte.is_ascii_alphanumeric() || plain.contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

pub(super) fn invalid(detail: String) -> Error {
    Error::new(ErrorDomain::REMOTE, ErrorCode::INVALID_ARG, detail)
}

pub(super) fn unreadable(uri: &str) -> Error {
    Error::new(ErrorDomain::URI, ErrorCode::INTERNAL_ERROR, format!("Unable to parse URI {uri}")).with_help(
        "a URI is nodedev+TRANSPORT://USER@HOST:PORT/system?PARAMETER=VALUE; write other characters as %HH",
    )
}
