//! What a configuration means.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

/// How clients log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    None,
    Polkit,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogOutput {
    /// The journal if standard error is the journal, else standard error.
    Default,
    Stderr,
    Journal,
    File(PathBuf),
}

/// All settings. Absent ones depend on who runs the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) unix: Unix,
    pub(crate) tcp: Tcp,
    pub(crate) tls: Tls,
    /// Address for TCP and TLS; every one if absent.
    pub(crate) listen_addr: Option<IpAddr>,
    /// Whether polkit is asked about each call.
    pub(crate) access_polkit: bool,
    pub(crate) max_clients: usize,
    pub(crate) max_queued_clients: usize,
    pub(crate) max_anonymous_clients: usize,
    pub(crate) max_workers: usize,
    pub(crate) prio_workers: usize,
    pub(crate) max_client_requests: usize,
    pub(crate) max_queued_events: usize,
    pub(crate) max_queued_event_bytes: usize,
    /// Never if absent.
    pub(crate) keepalive_interval: Option<Duration>,
    pub(crate) keepalive_count: u32,
    pub(crate) log: Log,
    /// Keys that do nothing, and why.
    pub(crate) unused: Vec<(String, &'static str)>,
}

/// Unix sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unix {
    pub(crate) group: Option<String>,
    pub(crate) read_only_mode: u32,
    /// By how clients log in if absent.
    pub(crate) mode: Option<u32>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) read_only_auth: Option<Auth>,
    pub(crate) auth: Option<Auth>,
}

/// Plain TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) listen: bool,
    pub(crate) port: u16,
    /// `auth_tcp` is given; its default, SASL, is not there.
    pub(crate) auth_is_set: bool,
}

/// TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) listen: bool,
    pub(crate) port: u16,
    pub(crate) key: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) authority: PathBuf,
    /// The default's file need not be there.
    pub(crate) revoked: Option<PathBuf>,
    /// Clients need no certificate.
    pub(crate) any_client: bool,
    /// Which distinguished names may connect, with `*` and `?`; all if absent.
    pub(crate) allowed_names: Option<Vec<String>>,
}

/// Messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: Option<Level>,
    pub(crate) output: LogOutput,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            unix: Unix {
                group: None,
                read_only_mode: 0o777,
                mode: None,
                dir: None,
                read_only_auth: None,
                auth: None,
            },
            tcp: Tcp { listen: false, port: 16509, auth_is_set: false },
            tls: Tls {
                listen: false,
                port: 16514,
                key: "/etc/pki/libvirt/private/serverkey.pem".into(),
                certificate: "/etc/pki/libvirt/servercert.pem".into(),
                authority: "/etc/pki/CA/cacert.pem".into(),
                revoked: None,
                any_client: false,
                allowed_names: None,
            },
            listen_addr: None,
            access_polkit: false,
            max_clients: 5000,
            max_queued_clients: 1000,
            max_anonymous_clients: 20,
            max_workers: 20,
            prio_workers: 5,
            max_client_requests: 5,
            max_queued_events: 100_000,
            max_queued_event_bytes: 8 << 20,
            keepalive_interval: Some(Duration::from_secs(5)),
            keepalive_count: 5,
            log: Log { level: None, output: LogOutput::Default },
            unused: Vec::new(),
        }
    }
}

impl Config {
    /// What is wrong with the settings together, with what to do.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        if self.max_clients < self.max_anonymous_clients {
            return Err((
                "max_clients",
                format!(
                    "max_clients ({}) must not be less than max_anonymous_clients ({})",
                    self.max_clients, self.max_anonymous_clients
                ),
            ));
        }
        if self.tcp.listen && !self.tcp.auth_is_set {
            return Err((
                "listen_tcp",
                "listen_tcp needs auth_tcp = \"none\": libvirt's default, SASL, is not available; whoever reaches the \
                 port can then do everything, so listen_tls is better"
                    .into(),
            ));
        }
        Ok(())
    }
}

pub(super) fn count(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

pub(super) fn seconds(number: i64) -> Option<Duration> {
    u64::try_from(number).ok().filter(|&seconds| seconds > 0).map(Duration::from_secs)
}

pub(super) fn level(number: i64) -> Level {
    match number {
        1 => Level::DEBUG,
        2 => Level::INFO,
        3 => Level::WARN,
        _ => Level::ERROR,
    }
}

pub(super) fn mode(text: &str) -> Result<u32, String> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(mode),
        _ => Err(format!("\"{text}\" is no mode of a file; write one of octal digits, as in \"0770\"")),
    }
}

pub(super) fn absolute(text: String) -> Result<PathBuf, String> {
    let path = PathBuf::from(&text);
    if path.is_absolute() { Ok(path) } else { Err(format!("\"{text}\" is no path that begins with /")) }
}

pub(super) fn auth(text: &str) -> Result<Auth, String> {
    match text {
        "none" => Ok(Auth::None),
        "polkit" => Ok(Auth::Polkit),
        "sasl" => Err("SASL logins are not available; write \"polkit\" or \"none\"".into()),
        _ => Err(format!("\"{text}\" is no way to log in; write \"polkit\" or \"none\"")),
    }
}

pub(super) fn remote_auth(key: &str, text: &str) -> Result<(), String> {
    match text {
        "none" => Ok(()),
        "sasl" => Err(format!("SASL logins are not available; {key} can only be \"none\"")),
        _ => Err(format!("\"{text}\" is no way to log in over a network; {key} can only be \"none\"")),
    }
}

pub(super) fn access(drivers: &[String]) -> Result<bool, String> {
    match drivers.iter().find(|driver| !matches!(driver.as_str(), "polkit" | "none")) {
        None => Ok(drivers.iter().any(|driver| driver == "polkit")),
        Some(other) => Err(format!("\"{other}\" is no access driver; there are \"polkit\" and \"none\"")),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("\"{text}\" is no port; write a number in quotes, as in \"16514\""))
}

pub(super) fn address(text: &str) -> Result<Option<IpAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let address = text.parse().map(Some);
    address.map_err(|_| format!("\"{text}\" is no IP address; write one, as in \"192.0.2.1\" or \"::1\""))
}

/// One output of libvirt's form `LEVEL:stderr`, `LEVEL:journald` or `LEVEL:file:PATH`; the level is `log_level`'s here.
pub(super) fn log_output(text: &str) -> Result<LogOutput, String> {
    let wanted =
        "write one output: \"1:stderr\", \"1:journald\" or \"1:file:/PATH\"; its level is that of log_level";
    let Some((_, output)) = text.split_once(':') else {
        return if text.is_empty() { Ok(LogOutput::Default) } else { Err(wanted.into()) };
    };
    match output.split_once(':') {
        None if output == "stderr" => Ok(LogOutput::Stderr),
        None if output == "journald" => Ok(LogOutput::Journal),
        Some(("file", path)) if path.starts_with('/') && !path.contains(' ') => {
            Ok(LogOutput::File(path.into()))
        }
        _ => Err(format!("\"{text}\" is not available; {wanted}")),
    }
}
