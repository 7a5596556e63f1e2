//! Accepts clients and serves each in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::{PeerCredentials, PeerPidfd};
use nodedev_server::{Identity, Login, Peer, Service, Settings, User, serve};
use nodedev_sys::{Root, processes};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::Auth;
use crate::limits::Limits;
use crate::listeners::Listener;
use crate::places::{Place, Places};
use crate::tls::Gate;
use crate::wire::Wire;

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

/// The threads that serve clients.
#[derive(Clone)]
pub(crate) struct Threads {
    /// For root and the daemon's own user: they go before others of the machine.
    pub(crate) own: Handle,
    /// For everybody else: what they ask for takes its turn like any program's work.
    pub(crate) strangers: Handle,
}

/// Where clients come in.
pub(crate) struct Door {
    service: Service,
    login: Arc<dyn Login>,
    current: watch::Receiver<Current>,
    threads: Threads,
    /// The user as whom the daemon runs.
    user: u32,
    /// What says who clients are.
    host: Option<Root>,
    clients: Places,
    /// Clients that have come and wait until there is a place.
    waiting: Places,
    max_anonymous: usize,
    /// How many there are.
    count: watch::Sender<usize>,
}

/// Somebody who has come, as what the kernel said when that was.
struct Guest {
    came: Came,
    identity: Identity,
    /// Where those wait who have not logged in: each listener has its own.
    anonymous: Arc<Places>,
}

/// A client that is served.
struct Served {
    _place: Place,
    count: watch::Sender<usize>,
}

impl Served {
    fn new(place: Place, count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self { _place: place, count: count.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.count.send_modify(|count| *count -= 1);
    }
}

impl Door {
    pub(crate) fn new(
        service: Service,
        login: Arc<dyn Login>,
        current: watch::Receiver<Current>,
        (threads, user): (Threads, u32),
        limits: Limits,
    ) -> Self {
        Self {
            service,
            login,
            current,
            threads,
            user,
            host: Root::live().ok(),
            clients: Places::new(limits.clients, limits.clients / 8),
            waiting: Places::new(limits.waiting, 0),
            max_anonymous: limits.anonymous,
            count: watch::Sender::new(0),
        }
    }

    /// How many clients there are, now and then.
    pub(crate) fn count(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Accepts clients for ever.
    pub(crate) async fn open(self: Arc<Self>, listener: Listener) -> io::Result<()> {
        let anonymous = Arc::new(Places::new(self.max_anonymous, 0));
        match listener {
            Listener::Unix { socket, read_only } => {
                socket.set_nonblocking(true)?;
                let socket = UnixListener::from_std(socket)?;
                loop {
                    match socket.accept().await.and_then(|(stream, _)| stream.into_std()) {
                        Ok(stream) => {
                            let identity = identity(&stream, self.host.as_ref());
                            let came = Came::Unix { stream, read_only };
                            self.admit(Guest { came, identity, anonymous: Arc::clone(&anonymous) }).await;
                        }
                        Err(error) => failed(&error).await,
                    }
                }
            }
            Listener::Tcp(socket) => self.network(socket, &anonymous, |stream| Came::Tcp { stream }).await,
            Listener::Tls(socket) => self.network(socket, &anonymous, |stream| Came::Tls { stream }).await,
        }
    }

    async fn network(
        self: Arc<Self>,
        socket: std::net::TcpListener,
        anonymous: &Arc<Places>,
        came: fn(std::net::TcpStream) -> Came,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket)?;
        loop {
            let accepted = socket.accept().await;
            match accepted.and_then(|(stream, from)| Ok((stream.into_std()?, from))) {
                Ok((stream, from)) => {
                    // Messages are written whole; waiting for more only delays them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    let identity = of_network(&stream, from);
                    self.admit(Guest { came: came(stream), identity, anonymous: Arc::clone(anonymous) })
                        .await;
                }
                Err(error) => failed(&error).await,
            }
        }
    }

    /// Serves a client as soon as there is a place for it. Where there are as many as there may be of a user, those behind it
    /// are not kept waiting.
    async fn admit(self: &Arc<Self>, guest: Guest) {
        let user = guest.identity.user(self.user);
        let (threads, place) = match user {
            // Until then nobody else is accepted: the kernel keeps who has come.
            User::Own => (&self.threads.own, Some(self.clients.enter(user).await)),
            user => (&self.threads.strangers, self.clients.try_enter(user)),
        };
        let door = Arc::clone(self);
        if let Some(place) = place {
            let served = Served::new(place, &self.count);
            threads.spawn(async move { door.serve(guest, user, served).await });
        } else if let Some(waits) = self.waiting.try_enter(user) {
            threads.spawn(async move {
                let place = door.clients.enter(user).await;
                drop(waits);
                let served = Served::new(place, &door.count);
                door.serve(guest, user, served).await;
            });
        } else {
            tracing::debug!(
                ?user,
                "a client was turned away: there are as many as there may be, and more wait"
            );
        }
    }

    async fn serve(&self, guest: Guest, user: User, _served: Served) {
        let Guest { came, identity, anonymous } = guest;
        let current = self.current.borrow().clone();
        let anonymous = match user {
            User::Own => None,
            user => match tokio::time::timeout(current.settings.login_timeout, anonymous.enter(user)).await {
                Ok(place) => Some(place),
                Err(_) => return tracing::debug!(?user, "a client was turned away: too many log in"),
            },
        };
        if let Err(error) = self.talk(came, identity, &current, || drop(anonymous)).await {
            tracing::warn!(%error, ?user, "a client was not let in");
        }
    }

    async fn talk(
        &self,
        came: Came,
        identity: Identity,
        current: &Current,
        logged_in: impl FnOnce() + Send,
    ) -> io::Result<()> {
        let settings = &current.settings;
        match came {
            Came::Unix { stream, read_only } => {
                let stream = Wire(tokio::net::UnixStream::from_std(stream)?);
                let auth = if read_only { current.read_only_auth } else { current.auth };
                let login = (auth == Auth::Polkit).then(|| Arc::clone(&self.login));
                let peer = Peer { identity, read_only, login };
                serve(&self.service, stream, peer, settings, logged_in).await;
            }
            Came::Tcp { stream } => {
                let stream = TcpStream::from_std(stream)?;
                let peer = Peer { identity, read_only: false, login: None };
                serve(&self.service, stream, peer, settings, logged_in).await;
            }
            Came::Tls { stream } => {
                let Some(gate) = &current.gate else { return Ok(()) };
                let entered = tokio::time::timeout(HANDSHAKE, gate.enter(TcpStream::from_std(stream)?)).await;
                let (stream, x509_name) = entered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
                let identity = Identity { x509_name, ..identity };
                let peer = Peer { identity, read_only: false, login: None };
                serve(&self.service, stream, peer, settings, logged_in).await;
            }
        }
        Ok(())
    }
}

/// A client that was accepted.
enum Came {
    Unix { stream: UnixStream, read_only: bool },
    Tcp { stream: std::net::TcpStream },
    Tls { stream: std::net::TcpStream },
}

async fn failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a client");
    tokio::time::sleep(PAUSE).await;
}

/// Where somebody of another machine has come in, and from where.
fn of_network(stream: &std::net::TcpStream, from: SocketAddr) -> Identity {
    let connected_at = stream.local_addr().ok().map(|address| address.ip().to_canonical());
    let connected_from = Some(from.ip().to_canonical());
    Identity { connected_at, connected_from, ..Identity::default() }
}

/// Who is at the other end of a Unix socket, as the kernel says. It is asked at once: later the process can have gone, and
/// another one have its number.
fn identity(stream: &UnixStream, host: Option<&Root>) -> Identity {
    let mut identity = Identity::default();
    if let Ok(peer) = getsockopt(stream, PeerCredentials) {
        identity.user_id = Some(peer.uid().into());
        identity.group_id = Some(peer.gid().into());
        identity.process_id = Some(peer.pid().into()).filter(|process| *process > 0);
    }
    // Since Linux 6.5.
    let process = getsockopt(stream, PeerPidfd);
    let may_live = matches!(process, Ok(_) | Err(Errno::ENOPROTOOPT));
    identity.process = process.ok().map(Arc::new);
    let number = identity.process_id.filter(|_| may_live).and_then(|number| u32::try_from(number).ok());
    let process = number.zip(host).and_then(|(number, host)| processes::start_and_program(host, number));
    (identity.process_time, identity.program) = process.unzip();
    // Without its time, whoever has the number later would be taken for it.
    identity.process_id = identity.process_id.filter(|_| identity.process_time.is_some());
    identity
}
