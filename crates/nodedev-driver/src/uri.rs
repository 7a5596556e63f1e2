use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::remote_uri::Parts;
use crate::{Error, ErrorCode, ErrorDomain, RemoteUri, Result};

/// Whose devices a `nodedev:` connection is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The privileged driver, `nodedev:///system`.
    System,
    /// The user's own, `nodedev:///session`.
    Session,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Session => "session",
        })
    }
}

/// What a connection URI asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ConnectUri {
    /// `nodedev:///system` or `nodedev:///session`: the host's devices, looked at in this process.
    Host {
        /// Whose.
        scope: Scope,
        /// `?root=PATH`: a recording, a folder or an archive, in place of this machine.
        root: Option<PathBuf>,
    },
    /// With a transport (`nodedev+ssh://…`), a machine, or one of the parameters `socket` and `mode`: a daemon's devices.
    Remote(Box<RemoteUri>),
    /// `test:///default`: invented devices that are always the same.
    TestDefault,
    /// `test:///PATH`: the devices of a file.
    TestFile(PathBuf),
}

/// What people are told who ask for something else.
const SERVED: &str = "URIs that are served: nodedev:///system, nodedev:///session, both with ?root=PATH for a recording or \
                      ?socket=PATH for a daemon; nodedev+ssh://HOST/system and the like (unix, tcp, tls, ssh, ext) for a daemon; \
                      test:///default and test:///PATH";

impl FromStr for ConnectUri {
    type Err = Error;

    fn from_str(uri: &str) -> Result<Self> {
        let Some(parts) = Parts::of(uri) else {
            return Err(Error::no_connect(uri).with_help(SERVED));
        };
        let is_remote = RemoteUri::is_meant(&parts);
        match parts.scheme {
            "nodedev" if is_remote => RemoteUri::parse(&parts).map(Box::new).map(Self::Remote),
            "nodedev" => host(&parts),
            "test" if !is_remote => test(&parts),
            _ => Err(Error::no_connect(uri).with_help(SERVED)),
        }
    }
}

fn host(parts: &Parts<'_>) -> Result<ConnectUri> {
    let uri = parts.uri;
    let path = decode(parts.path).ok_or_else(|| bad_escape(uri))?;
    let scope = match path.as_slice() {
        b"/system" => Scope::System,
        b"/session" => Scope::Session,
        _ => {
            let path = String::from_utf8_lossy(&path);
            let detail = format!("unexpected nodedev URI path '{path}', try nodedev:///system");
            return Err(Error::internal(ErrorDomain::NODEDEV, detail).with_help(SERVED));
        }
    };
    let mut root = None;
    for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        match (key, value) {
            (_, None) => return Err(bad_escape(uri)),
            ("root", Some(value)) if value.is_empty() || value.contains(&0) => {
                let message = format!("parameter root of URI {uri} is not a path");
                return Err(invalid(message).with_help("write ?root=PATH, the path of a recording"));
            }
            ("root", Some(value)) => root = Some(to_path(value)?),
            _ => {
                let message = format!("unknown parameter {key} in URI {uri}");
                return Err(invalid(message).with_help(
                    "parameters are root, the path of a recording, or what is for a daemon: socket and mode",
                ));
            }
        }
    }
    Ok(ConnectUri::Host { scope, root })
}

fn test(parts: &Parts<'_>) -> Result<ConnectUri> {
    let uri = parts.uri;
    let path = decode(parts.path).ok_or_else(|| bad_escape(uri))?;
    match path.as_slice() {
        _ if !parts.query.is_empty() => {
            Err(invalid(format!("URI {uri} takes no parameters")).with_help("leave out ? and what follows"))
        }
        b"" | b"/" => {
            let detail = "testOpen: supply a path or use test:///default";
            Err(Error::new(ErrorDomain::TEST, ErrorCode::INVALID_ARG, detail).with_help(SERVED))
        }
        b"/default" => Ok(ConnectUri::TestDefault),
        _ => to_path(path).map(ConnectUri::TestFile),
    }
}

fn invalid(message: String) -> Error {
    Error::argument(ErrorDomain::NODEDEV, "virConnectOpen", "uri", message)
}

fn bad_escape(uri: &str) -> Error {
    invalid(format!("URI {uri} has a % without two hexadecimal digits")).with_help("write a plain % as %25")
}

#[cfg(unix)]
pub(crate) fn to_path(bytes: Vec<u8>) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
pub(crate) fn to_path(bytes: Vec<u8>) -> Result<PathBuf> {
    String::from_utf8(bytes).map(PathBuf::from).map_err(|_| invalid("the path is not UTF-8".to_owned()))
}

/// Replaces `%HH` by the byte; `None` if a `%` stands alone.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            (digit()? << 4 | digit()?) as u8
        } else {
            byte
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{ConnectUri, Scope};

    #[test]
    fn served_uris_parse() {
        let host = |scope, root: Option<&str>| ConnectUri::Host { scope, root: root.map(Into::into) };
        for (uri, want) in [
            ("nodedev:///system", host(Scope::System, None)),
            ("nodedev:///session", host(Scope::Session, None)),
            ("nodedev:/system", host(Scope::System, None)),
            ("nodedev:///system?root=/tmp/a", host(Scope::System, Some("/tmp/a"))),
            ("nodedev:///system?root=/a%20b%26c%3f", host(Scope::System, Some("/a b&c?"))),
            ("nodedev:///session?root=rel/ative.tar.gz&", host(Scope::Session, Some("rel/ative.tar.gz"))),
            ("test:///default", ConnectUri::TestDefault),
            ("test:///srv/nodes.xml", ConnectUri::TestFile("/srv/nodes.xml".into())),
            ("test:///a%20b.xml", ConnectUri::TestFile("/a b.xml".into())),
        ] {
            assert_eq!(uri.parse::<ConnectUri>().as_ref(), Ok(&want), "{uri}");
        }
    }

    #[test]
    fn others_are_refused_with_a_reason_and_a_way_out() {
        for (uri, message) in [
            ("", "no connection driver available for "),
            ("qemu:///system", "no connection driver available for qemu:///system"),
            ("system", "no connection driver available for system"),
            ("qemu+ssh://host/system", "no connection driver available for qemu+ssh://host/system"),
            ("test+unix:///default", "no connection driver available for test+unix:///default"),
            ("nodedev:///sys", "internal error: unexpected nodedev URI path '/sys', try nodedev:///system"),
            ("nodedev:///system?rot=/a", "unknown parameter rot in URI nodedev:///system?rot=/a"),
            ("nodedev:///system?root=", "parameter root of URI nodedev:///system?root= is not a path"),
            (
                "nodedev:///system?root=%zz",
                "URI nodedev:///system?root=%zz has a % without two hexadecimal digits",
            ),
            ("test:///default?x=1", "URI test:///default?x=1 takes no parameters"),
            ("test:///", "invalid argument: testOpen: supply a path or use test:///default"),
        ] {
            let error = uri.parse::<ConnectUri>().unwrap_err();
            assert_eq!(error.message(), message);
            assert!(error.help().is_some(), "{uri}");
        }
    }
}
