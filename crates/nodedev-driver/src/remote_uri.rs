mod parts;

use std::path::PathBuf;

pub(crate) use parts::Parts;
use parts::{authority, encode, invalid, text, transport, unreadable};

use crate::uri::{decode, to_path};
use crate::{Error, ErrorCode, ErrorDomain, Result};

/// How the bytes get to a daemon, the part of a URI's scheme after `+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A socket of this machine; the default where the URI names no machine.
    Unix,
    /// A plain TCP connection, which anybody on the way can read.
    Tcp,
    /// A TCP connection with TLS; the default where the URI names a machine.
    Tls,
    /// The program `ssh`, which runs a relay on the daemon's machine.
    Ssh,
    /// A program of the user's, which relays its standard input and output.
    Ext,
}

/// Which daemon's socket is meant, parameter `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SocketMode {
    /// The one of node devices if it is there, else the one of all drivers.
    #[default]
    Auto,
    /// The socket of the node device daemon (`virtnodedevd`, `nodedevd`).
    Direct,
    /// The socket of `libvirtd`.
    Legacy,
}

/// What `ssh` runs on the daemon's machine, parameter `proxy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SshProxy {
    /// `virt-ssh-helper` if it is installed there, else netcat.
    Auto,
    /// netcat.
    Netcat,
    /// `virt-ssh-helper`.
    Native,
}

/// A way to log in that a URI insists on, parameter `auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WantedAuth {
    /// polkit.
    Polkit,
    /// SASL, which `nodedev` has not.
    Sasl,
}

/// A URI whose devices a daemon has, as libvirt reads it.
///
/// Parameters have the names of libvirt's, in upper or lower case; of one that is repeated the last counts. Those that
/// are not known are the driver's, and go to the daemon in [`RemoteUri::wire_name`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUri {
    /// How the bytes get there.
    pub transport: Transport,
    /// User on the daemon's machine; for `ssh` only.
    pub user: Option<String>,
    /// The daemon's machine. Absent: this one.
    pub host: Option<String>,
    /// Port there. Absent: the transport's own.
    pub port: Option<u16>,
    /// Whether the path is `/session`: the daemon of the user who calls, if that is not root.
    pub session: bool,
    /// `mode`: which daemon.
    pub mode: SocketMode,
    /// `socket`: path of the daemon's socket, there.
    pub socket: Option<PathBuf>,
    /// `command`: the program of [`Transport::Ext`], or what is run in place of `ssh`.
    pub command: Option<PathBuf>,
    /// `keyfile`: the key that `ssh` logs in with.
    pub keyfile: Option<PathBuf>,
    /// `netcat`: the program that is netcat there.
    pub netcat: Option<String>,
    /// `proxy`: what `ssh` runs there.
    pub proxy: Option<SshProxy>,
    /// `no_tty`: `ssh` may not ask for a password.
    pub no_tty: bool,
    /// `no_verify`: the daemon's certificate or `ssh` host key is taken as it is.
    pub no_verify: bool,
    /// `pkipath`: folder of all certificates of TLS.
    pub pkipath: Option<PathBuf>,
    /// `auth`: the only login that will do.
    pub auth: Option<WantedAuth>,
    /// Parameters that are libvirt's and that mean nothing here.
    pub ignored: Vec<&'static str>,
    scheme: String,
    wire_name: String,
    helper_name: String,
}

/// Parameters that other implementations of the transports have a use for.
const IGNORED: &[&str] = &[
    "authfile",
    "known_hosts",
    "known_hosts_verify",
    "no_sanity",
    "sshauth",
    // GnuTLS's language for ciphers.
    "tls_priority",
];

impl RemoteUri {
    /// What the daemon is asked to open: the URI without transport, machine and the parameters of the connection.
    pub fn wire_name(&self) -> &str {
        &self.wire_name
    }

    /// Which driver is meant: the URI's scheme without the transport, for instance `nodedev`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Reads a URI as one of a daemon, whichever driver it names.
    ///
    /// # Errors
    /// With the texts of libvirt; [`ErrorCode::NO_CONNECT`] if it is no URI.
    pub fn of(uri: &str) -> Result<Self> {
        Self::parse(&Parts::of(uri).ok_or_else(|| Error::no_connect(uri))?)
    }

    /// What `virt-ssh-helper` is asked to connect to: [`RemoteUri::wire_name`] with `mode` and `socket`.
    pub fn helper_name(&self) -> &str {
        &self.helper_name
    }

    /// Whether a URI of the scheme `nodedev` is for a daemon: it names a transport, a machine, or a daemon's socket.
    pub(crate) fn is_meant(parts: &Parts<'_>) -> bool {
        let daemon = |name: &str| ["socket", "mode"].iter().any(|known| name.eq_ignore_ascii_case(known));
        parts.transport.is_some()
            || !parts.authority.is_empty()
            || parts.parameters().any(|(name, _)| daemon(name))
    }

    /// Reads it.
    ///
    /// # Errors
    /// With the texts of libvirt.
    pub(crate) fn parse(parts: &Parts<'_>) -> Result<Self> {
        let (user, host, port) = authority(parts)?;
        let transport = transport(parts.transport, host.is_some())?;
        if let (Transport::Unix, Some(host)) = (transport, &host) {
            let detail = format!("using unix socket and remote server '{host}' is not supported.");
            return Err(invalid(detail).with_help("leave out +unix, or the name of the machine"));
        }
        let path = decode(parts.path).ok_or_else(|| unreadable(parts.uri))?;
        let mut this = Self {
            transport,
            user,
            host,
            port,
            session: path == b"/session",
            mode: SocketMode::Auto,
            socket: None,
            command: None,
            keyfile: None,
            netcat: None,
            proxy: None,
            no_tty: false,
            no_verify: false,
            pkipath: None,
            auth: None,
            ignored: Vec::new(),
            scheme: parts.scheme.to_owned(),
            wire_name: String::new(),
            helper_name: String::new(),
        };
        let mut name = None;
        let mut queries = [String::new(), String::new()];
        for (key, value) in parts.parameters() {
            let unreadable = || unreadable(parts.uri);
            let key = text(decode(key).ok_or_else(unreadable)?).ok_or_else(unreadable)?;
            let value = decode(value).filter(|value| !value.contains(&0)).ok_or_else(unreadable)?;
            let kept = this.parameter(&key.to_ascii_lowercase(), &value, &mut name)?;
            for query in queries.iter_mut().skip(usize::from(kept == Kept::ForHelper)) {
                if kept != Kept::Nowhere {
                    query.push(if query.is_empty() { '?' } else { '&' });
                    query.push_str(&key);
                    query.push('=');
                    encode(&value, b"-._~", query);
                }
            }
        }
        // A path without / at its start would be read as a machine's name behind //.
        let slashes = if path.is_empty() || path.starts_with(b"/") { "//" } else { "" };
        let mut base = format!("{}:{slashes}", parts.scheme);
        encode(&path, b"-._~/!$&'()*+,;=:@", &mut base);
        let [wire, helper] =
            queries.map(|query| name.clone().unwrap_or_else(|| format!("{base}{query}{}", parts.fragment)));
        (this.wire_name, this.helper_name) = (wire, helper);
        Ok(this)
    }

    /// Takes a parameter, and says who else wants it.
    fn parameter(&mut self, key: &str, value: &[u8], name: &mut Option<String>) -> Result<Kept> {
        let word = || String::from_utf8_lossy(value).into_owned();
        let path = || to_path(value.to_vec()).map(Some);
        match key {
            "socket" => {
                self.socket = path()?;
                return Ok(Kept::ForHelper);
            }
            "mode" => {
                self.mode = match value {
                    b"auto" => SocketMode::Auto,
                    b"direct" => SocketMode::Direct,
                    b"legacy" => SocketMode::Legacy,
                    _ => {
                        let error = invalid(format!("Unknown remote mode '{}'", word()));
                        return Err(error.with_help("the modes are auto, direct and legacy"));
                    }
                };
                return Ok(Kept::ForHelper);
            }
            "name" => *name = Some(word()),
            "command" => self.command = path()?,
            "keyfile" => self.keyfile = path()?,
            "netcat" => self.netcat = Some(word()),
            "proxy" => {
                self.proxy = Some(match value {
                    b"auto" => SshProxy::Auto,
                    b"netcat" => SshProxy::Netcat,
                    b"native" => SshProxy::Native,
                    _ => {
                        let error = invalid(format!("Unknown proxy type '{}'", word()));
                        return Err(error.with_help("the types are auto, netcat and native"));
                    }
                });
            }
            "no_tty" => self.no_tty = flag(key, value)?,
            "no_verify" => self.no_verify = flag(key, value)?,
            "pkipath" => self.pkipath = path()?,
            "auth" => {
                self.auth = Some(match value {
                    b"polkit" => WantedAuth::Polkit,
                    b"sasl" => WantedAuth::Sasl,
                    value if value.starts_with(b"sasl.") => WantedAuth::Sasl,
                    _ => {
                        let message =
                            format!("authentication failed: unknown authentication type {}", word());
                        let error = Error::raw(ErrorDomain::REMOTE, ErrorCode::AUTH_FAILED, message);
                        return Err(error.with_help("the types are polkit and sasl"));
                    }
                });
            }
            "root" => {
                let error = invalid("parameter root names a recording, which a daemon can't open".to_owned());
                return Err(error.with_help("leave out what is for a daemon: nodedev:///system?root=PATH"));
            }
            _ => match IGNORED.iter().find(|known| **known == key) {
                Some(known) => self.ignored.push(known),
                None => return Ok(Kept::ForAll),
            },
        }
        Ok(Kept::Nowhere)
    }
}

/// Who gets a parameter besides the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Nowhere,
    /// Only the relay on the other machine.
    ForHelper,
    /// The daemon.
    ForAll,
}

/// A number that is not 0 means yes.
fn flag(key: &str, value: &[u8]) -> Result<bool> {
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<i32>().ok());
    let error = || invalid(format!("Failed to parse value of URI component {key}")).with_help("write 1 or 0");
    number.map(|number| number != 0).ok_or_else(error)
}

#[cfg(test)]
mod tests;
