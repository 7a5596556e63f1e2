//! What the daemon listens at: sockets that it makes, or that systemd made for it.

use std::env;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use crate::config::Config;
use crate::exit::{Exit, Fatal};
use crate::files::Folder;
use crate::sockets::{self, SocketFile};

/// One place to listen at.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A Unix socket.
    Unix {
        socket: UnixListener,
        /// Its clients may only look.
        read_only: bool,
    },
    /// Plain TCP.
    Tcp(TcpListener),
    /// TLS over TCP.
    Tls(TcpListener),
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    pub(crate) all: Vec<Listener>,
    /// Files to remove at the end.
    pub(crate) files: Vec<SocketFile>,
    /// systemd made them.
    pub(crate) are_given: bool,
}

/// Takes the Unix sockets that systemd gives, or makes them, and those for other machines that the configuration wants.
pub(crate) fn open(config: &Config, unix: UnixSockets<'_>) -> Result<Listeners, Fatal> {
    let mut listeners = match given()? {
        Some(given) => given,
        None => make(config, unix)?,
    };
    if config.tcp.listen {
        listeners.all.push(Listener::Tcp(internet(config, config.tcp.port)?));
    }
    if config.tls.listen {
        listeners.all.push(Listener::Tls(internet(config, config.tls.port)?));
    }
    Ok(listeners)
}

/// Takes what systemd gives, if it gives anything.
fn given() -> Result<Option<Listeners>, Fatal> {
    let names = env::var("LISTEN_FDNAMES").ok();
    let mut given = ListenFd::from_env();
    if given.len() == 0 {
        return Ok(None);
    }
    let unusable = |what: String| {
        Fatal::new(Exit::Config, what)
            .help("use the socket units that come with nodedevd, or start it without socket activation")
    };
    let names =
        names.ok_or_else(|| unusable("systemd gives sockets without names (LISTEN_FDNAMES)".into()))?;
    let names: Vec<&str> = names.split(':').collect();
    if names.len() != given.len() {
        return Err(unusable(format!("systemd gives {} socket(s) and {} name(s)", given.len(), names.len())));
    }
    let mut listeners = Listeners { are_given: true, ..Listeners::default() };
    for (index, name) in names.into_iter().enumerate() {
        let read_only = match name {
            "virtnodedevd.socket" | "nodedevd.socket" => false,
            "virtnodedevd-ro.socket" | "nodedevd-ro.socket" => true,
            "virtnodedevd-admin.socket" => {
                tracing::warn!(name, "there is no administration socket; nobody will answer there");
                continue;
            }
            other => {
                return Err(unusable(format!(
                    "systemd gives a socket {other}; nodedevd knows virtnodedevd.socket and virtnodedevd-ro.socket"
                )));
            }
        };
        // A connection passes for a listening socket until somebody asks the kernel.
        let socket = given.take_unix_listener(index).ok().flatten();
        let socket = socket.filter(|socket| rustix::net::sockopt::socket_acceptconn(socket) == Ok(true));
        let socket = socket.ok_or_else(|| unusable(format!("{name} is not a listening Unix socket")))?;
        listeners.all.push(Listener::Unix { socket, read_only });
    }
    if listeners.all.is_empty() {
        return Err(unusable("systemd gives no socket that nodedevd can serve".into()));
    }
    Ok(Some(listeners))
}

/// How the Unix sockets are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnixSockets<'a> {
    pub(crate) dir: &'a Folder,
    pub(crate) mode: u32,
    /// There is one for those who only look.
    pub(crate) read_only: bool,
}

/// Makes the Unix sockets.
fn make(config: &Config, unix: UnixSockets<'_>) -> Result<Listeners, Fatal> {
    let group = config.unix.group.as_deref().map(group).transpose()?;
    let mut listeners = Listeners::default();
    let mut add = |name: &str, mode: u32, read_only: bool| {
        let (socket, file) = sockets::listen(unix.dir, name, mode, group, config.max_queued_clients)?;
        listeners.all.push(Listener::Unix { socket, read_only });
        listeners.files.push(file);
        Ok::<_, Fatal>(())
    };
    add(sockets::READ_WRITE, unix.mode, false)?;
    if unix.read_only {
        add(sockets::READ_ONLY, config.unix.read_only_mode, true)?;
    }
    Ok(listeners)
}

/// The number of a group that is given by its name or number.
fn group(name: &str) -> Result<u32, Fatal> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => {
            Err(Fatal::new(Exit::Config, format!("there is no group {name}, which unix_sock_group names"))
                .help(format!("make it (groupadd --system {name}), or change unix_sock_group")))
        }
        Err(error) => Err(Fatal::system(format_args!("look up the group {name}"), &error.into())),
    }
}

fn internet(config: &Config, port: u16) -> Result<TcpListener, Fatal> {
    let addresses: Vec<std::net::SocketAddr> = match config.listen_addr {
        Some(address) => vec![(address, port).into()],
        // Where there is no IPv6.
        None => vec![
            (std::net::Ipv6Addr::UNSPECIFIED, port).into(),
            (std::net::Ipv4Addr::UNSPECIFIED, port).into(),
        ],
    };
    let listen = || {
        let listener = TcpListener::bind(addresses.as_slice())?;
        // Again, for the queue that is wanted.
        rustix::net::listen(&listener, sockets::backlog(config.max_queued_clients))?;
        Ok(listener)
    };
    listen().map_err(|error: std::io::Error| {
        let shown = addresses.first().map(ToString::to_string).unwrap_or_default();
        let exit = match error.kind() {
            std::io::ErrorKind::AddrInUse => Exit::Unavailable,
            std::io::ErrorKind::PermissionDenied => Exit::NoPermission,
            _ => Exit::System,
        };
        Fatal::new(exit, format!("cannot listen at {shown}: {error}"))
            .help("check listen_addr, tcp_port and tls_port, and what listens there: ss -ltnp")
    })
}
