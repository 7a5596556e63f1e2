//! Accepts clients and serves each in a task of its own.

use std::sync::Arc;
use std::time::Duration;

use nodedev_server::{Identity, Login, Peer, Service, Settings, serve};
use nodedev_sys::Root;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::config::Auth;
use crate::listeners::Listener;
use crate::tls::Gate;

/// Pause after a client that could not be accepted, for instance since there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a client may take for the handshake of TLS.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// What may change while the daemon runs.
#[derive(Clone)]
pub(crate) struct Current {
    pub(crate) settings: Settings,
    pub(crate) auth: Auth,
    pub(crate) read_only_auth: Auth,
    /// There if TLS is listened for.
    pub(crate) gate: Option<Gate>,
}

/// Where clients come in.
pub(crate) struct Door {
    service: Service,
    login: Arc<dyn Login>,
    current: watch::Receiver<Current>,
    clients: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
    /// How many there are.
    count: watch::Sender<usize>,
}

/// A client's place.
struct Place {
    _permit: OwnedSemaphorePermit,
    count: watch::Sender<usize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}

impl Door {
    pub(crate) fn new(
        service: Service,
        login: Arc<dyn Login>,
        current: watch::Receiver<Current>,
        (max_clients, max_anonymous): (usize, usize),
    ) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        // As in libvirt, 0 is as many as there may be altogether.
        let max_anonymous = if max_anonymous == 0 { max_clients } else { max_anonymous };
        Self {
            service,
            login,
            current,
            clients: places(max_clients),
            anonymous: places(max_anonymous),
            count: watch::Sender::new(0),
        }
    }

    /// How many clients there are, now and then.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Accepts clients for ever.
    pub(crate) async fn open(self: Arc<Self>, listener: Listener) -> std::io::Result<()> {
        match listener {
            Listener::Unix { socket, read_only } => {
                socket.set_nonblocking(true)?;
                let socket = UnixListener::from_std(socket)?;
                loop {
                    match socket.accept().await {
                        Ok((stream, _)) => self.admit(Came::Unix { stream, read_only }).await,
                        Err(error) => failed(&error).await,
                    }
                }
            }
            Listener::Tcp(socket) => self.network(socket, |stream| Came::Tcp { stream }).await,
            Listener::Tls(socket) => self.network(socket, |stream| Came::Tls { stream }).await,
        }
    }

    async fn network(
        self: Arc<Self>,
        socket: std::net::TcpListener,
        came: fn(TcpStream) -> Came,
    ) -> std::io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        loop {
            match socket.accept().await {
                Ok((stream, _)) => {
                    // Messages are written whole; waiting for more only delays them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    self.admit(came(stream)).await;
                }
                Err(error) => failed(&error).await,
            }
        }
    }

    /// Serves a client as soon as there is a place for it. Until then nobody else is accepted.
    async fn admit(self: &Arc<Self>, came: Came) {
        let Ok(permit) = Arc::clone(&self.clients).acquire_owned().await else { return };
        let Ok(anonymous) = Arc::clone(&self.anonymous).acquire_owned().await else { return };
        self.count.send_modify(|count| *count += 1);
        let place = Place { _permit: permit, count: self.count.clone() };
        let door = Arc::clone(self);
        tokio::spawn(async move {
            door.serve(came, anonymous).await;
            drop(place);
        });
    }

    async fn serve(&self, came: Came, anonymous: OwnedSemaphorePermit) {
        let Current { settings, auth, read_only_auth, gate } = self.current.borrow().clone();
        let logged_in = || drop(anonymous);
        match came {
            Came::Unix { stream, read_only } => {
                let auth = if read_only { read_only_auth } else { auth };
                let login = (auth == Auth::Polkit).then(|| Arc::clone(&self.login));
                let peer = Peer { identity: identity(&stream), read_only, login };
                serve(&self.service, stream, peer, &settings, logged_in).await;
            }
            Came::Tcp { stream } => {
                let peer = Peer { identity: of_network(&stream), read_only: false, login: None };
                serve(&self.service, stream, peer, &settings, logged_in).await;
            }
            Came::Tls { stream } => {
                let Some(gate) = gate else { return };
                let address = stream.peer_addr();
                let identity = of_network(&stream);
                let entered = tokio::time::timeout(HANDSHAKE, gate.enter(stream)).await;
                match entered.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())) {
                    Ok((stream, x509_name)) => {
                        let identity = Identity { x509_name, ..identity };
                        let peer = Peer { identity, read_only: false, login: None };
                        serve(&self.service, stream, peer, &settings, logged_in).await;
                    }
                    Err(error) => tracing::warn!(%error, ?address, "a client was not let in"),
                }
            }
        }
    }
}

/// A client that was accepted.
enum Came {
    Unix { stream: UnixStream, read_only: bool },
    Tcp { stream: TcpStream },
    Tls { stream: TcpStream },
}

async fn failed(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a client");
    tokio::time::sleep(PAUSE).await;
}

/// Where somebody of another machine has come in.
fn of_network(stream: &TcpStream) -> Identity {
    let connected_at = stream.local_addr().ok().map(|address| address.ip().to_canonical());
    Identity { connected_at, ..Identity::default() }
}

/// Who is at the other end of a Unix socket, as the kernel says.
fn identity(stream: &UnixStream) -> Identity {
    let mut identity = Identity::default();
    if let Ok(peer) = stream.peer_cred() {
        identity.user_id = Some(peer.uid().into());
        identity.group_id = Some(peer.gid().into());
        identity.process_id = peer.pid().map(Into::into);
    }
    // Since Linux 6.5.
    let process = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerPidfd);
    identity.process = process.ok().map(Arc::new);
    if identity.process.is_none() {
        // At once, while the process is likely to be the one that connected.
        identity.process_time = start_time(identity.process_id);
    }
    identity
}

fn start_time(process: Option<i64>) -> Option<u64> {
    nodedev_sys::processes::start_time(&Root::live().ok()?, u32::try_from(process?).ok()?)
}
