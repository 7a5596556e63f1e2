//! One client's connection: bytes to messages to steps, and back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nodedev_driver::Error;
use nodedev_rpc::Decoder;
use nodedev_rpc::bounds::MESSAGE_MAX;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::dispatch::Caller;
use crate::hub::Listener;
use crate::identity::Identity;
use crate::lanes::{Lane, guarded};
use crate::ledger::{Incoming, Kind};
use crate::outbox::{Bounds, Chunk, Closed, Outbox};
use crate::pings::Pings;
use crate::service::{Service, Shared};
use crate::session::{Auth, Session, Step, no_login};

/// Larger replies are written by threads of their own.
const LARGE: usize = 64 * 1024;
/// The longest message of a client that has not logged in, or may only look: such have no long calls, and half a message
/// is kept until the rest comes.
const SHORT: usize = 64 * 1024;
/// What a call that waits for its turn costs beside its bytes.
const CALL: usize = 512;

/// Bounds and habits for a client; those of a daemon may change between one client and the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Calls of one client that are taken before it has read the replies (`max_client_requests`); at least 1.
    pub max_requests: usize,
    /// Events that may wait for a client that does not read.
    pub max_queued_events: usize,
    /// Bytes of events that may wait for a client that does not read.
    pub max_queued_event_bytes: usize,
    /// After how much silence a client that wants it is sent a PING; never if absent.
    pub keepalive_interval: Option<Duration>,
    /// How many PINGs a client may leave without any sign of life.
    pub keepalive_count: u32,
    /// How long a client may take before it begins to log in.
    pub login_timeout: Duration,
    /// How long those who decide about its login may take, who may be a person that looks for a password.
    pub decision_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_requests: 5,
            max_queued_events: 100_000,
            max_queued_event_bytes: 8 << 20,
            keepalive_interval: Some(Duration::from_secs(5)),
            keepalive_count: 5,
            login_timeout: Duration::from_secs(60),
            decision_timeout: Duration::from_secs(300),
        }
    }
}

/// What a login decides, as soon as it does.
pub type Decision<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// Decides who may log in where polkit is asked.
pub trait Login: Send + Sync {
    /// Whether a client may log in. May ask the person behind it, and so take minutes.
    ///
    /// The error is the client's.
    fn login<'a>(&'a self, identity: &'a Identity, read_only: bool) -> Decision<'a>;
}

/// Where a client comes from.
#[derive(Clone)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// Whether it may only look, whatever it asks for when it opens the connection.
    pub read_only: bool,
    /// Who decides about its login; nobody has to if absent.
    pub login: Option<Arc<dyn Login>>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity, read_only, login } = self;
        let login = login.is_some();
        f.debug_struct("Peer")
            .field("identity", identity)
            .field("read_only", read_only)
            .field("login", &login)
            .finish()
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The client closed it.
    Closed,
    /// The client has gone without closing it.
    Gone,
    /// The client sent what is no message.
    Malformed(nodedev_rpc::FrameError),
    /// The client left PINGs unanswered.
    Mute,
    /// The client did not read the events that it had asked for.
    TooSlow,
    /// The client did not log in in time.
    NoLogin,
    /// A call ended in a way that leaves no answer, which is a bug.
    Broken,
}

impl From<Closed> for End {
    fn from(reason: Closed) -> Self {
        match reason {
            Closed::Finished => Self::Closed,
            Closed::TooSlow => Self::TooSlow,
            Closed::Broken => Self::Broken,
            Closed::Gone => Self::Gone,
        }
    }
}

/// Serves one client until it goes. `logged_in` is called once the client has logged in, or had no need to.
pub async fn serve<S>(
    service: &Service,
    stream: S,
    peer: Peer,
    settings: &Settings,
    logged_in: impl FnOnce() + Send,
) -> End
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let shared = &service.0;
    let id = shared.counters.clients.fetch_add(1, Ordering::Relaxed) + 1;
    let account = shared.ledger.account(peer.identity.user(shared.options.user));
    let bounds = Bounds {
        calls: settings.max_requests,
        events: settings.max_queued_events,
        event_bytes: settings.max_queued_event_bytes,
    };
    let outbox = Arc::new(Outbox::new(bounds, account));
    let listener = Arc::new(Listener::new(id, Arc::clone(&outbox)));
    tracing::debug!(client = id, ?peer, "a client has come");
    let _forget = Forget { service: shared, outbox: &outbox, id };
    let auth = if peer.login.is_some() { Auth::Polkit } else { Auth::None };
    let identity = Arc::new(peer.identity.clone());
    let caller = Caller {
        service: Arc::clone(shared),
        listener,
        peer: Arc::clone(&identity),
        identity,
        connection: None,
    };
    let pings = Pings::new(settings);
    let session = Session::new(caller, auth, peer.read_only);
    let began = Instant::now();
    let (from_client, to_client) = split(stream);
    let reading = Reading {
        service: shared,
        outbox: &outbox,
        pings: &pings,
        peer: &peer,
        session,
        deadline: began + settings.login_timeout,
        last: began + settings.login_timeout + settings.decision_timeout,
        incoming: None,
        logged_in: Some(logged_in),
    };
    let end = tokio::select! {
        end = reading.run(from_client) => end,
        end = write(shared, &outbox, to_client) => end,
        end = pings.run(&outbox) => end,
    };
    match end {
        End::TooSlow => {
            shared.counters.too_slow.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                client = id,
                process = peer.identity.process_id,
                max_queued_events = settings.max_queued_events,
                "a client did not read its events and was disconnected"
            );
        }
        End::Malformed(_) | End::Mute | End::NoLogin | End::Broken => {
            tracing::info!(
                client = id,
                process = peer.identity.process_id,
                ?end,
                "a client was disconnected"
            );
        }
        End::Closed | End::Gone => tracing::debug!(client = id, ?end, "a client has gone"),
    }
    end
}

/// Ends what a client has begun, however its connection ends.
struct Forget<'a> {
    service: &'a Shared,
    outbox: &'a Outbox,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.outbox.close(Closed::Gone);
        self.service.hub.forget(self.id);
    }
}

/// The direction from the client.
struct Reading<'a, F> {
    service: &'a Arc<Shared>,
    outbox: &'a Arc<Outbox>,
    pings: &'a Pings,
    peer: &'a Peer,
    session: Session,
    /// When the client must have logged in, or have asked to.
    deadline: Instant,
    /// And when it must have been decided.
    last: Instant,
    /// What the message counts as that is being collected: its bytes here, and those of the call that it will be.
    incoming: Option<Incoming>,
    logged_in: Option<F>,
}

impl<F: FnOnce()> Reading<'_, F> {
    async fn run(mut self, mut stream: impl AsyncRead + Unpin) -> End {
        let mut decoder = Decoder::default();
        loop {
            if let Err(end) = self.step(&mut decoder, &mut stream).await {
                return end;
            }
        }
    }

    async fn step(
        &mut self,
        decoder: &mut Decoder,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), End> {
        let step = if self.session.is_logged_in() {
            if let Some(logged_in) = self.logged_in.take() {
                logged_in();
            }
            self.next(decoder, stream).await?
        } else {
            let deadline = self.deadline;
            let next = self.next(decoder, stream);
            tokio::time::timeout_at(deadline, next).await.unwrap_or(Err(End::NoLogin))?
        };
        self.follow(step, decoder, stream).await
    }

    /// Whether there is room for a reply just now; else the call waits for it.
    fn may_be_instant(&self) -> bool {
        self.outbox.account().has_room(Kind::Output)
    }

    /// Waits until another call may be taken, and for it.
    async fn next(
        &mut self,
        decoder: &mut Decoder,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Step, End> {
        self.outbox.room().await;
        let account = self.outbox.account();
        let hold = self.pings.hold();
        account.room_for_replies().await;
        drop(hold);
        let is_trusted = self.session.is_logged_in() && !self.session.is_read_only();
        decoder.set_limit(if is_trusted { MESSAGE_MAX } else { SHORT });
        // The bytes of the message before this one are given back when this one's are made room for.
        self.incoming = None;
        loop {
            if let Some(length) = decoder.expected().filter(|_| self.incoming.is_none()) {
                let _hold = self.pings.hold();
                // Twice: here, and as the call that is made of it.
                self.incoming = Some(account.room_for_message(2 * length + CALL, length > SHORT).await);
            }
            if let Some(packet) = decoder.next_packet().map_err(End::Malformed)? {
                self.pings.heard();
                let length = packet.payload.len();
                let charge = self.incoming.as_mut().map(|incoming| incoming.split(length + CALL));
                return Ok(self.session.take(&packet, charge));
            }
            match stream.read(decoder.space()).await {
                Ok(0) | Err(_) => return Err(End::Gone),
                Ok(count) => decoder.filled(count),
            }
        }
    }

    /// Has somebody decide about the login, as long as the client waits for it.
    async fn decide(
        &mut self,
        decoder: &mut Decoder,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Result<(), Error>, End> {
        let Some(login) = &self.peer.login else { return Ok(Err(no_login())) };
        let decision = login.login(&self.peer.identity, self.session.is_read_only());
        let gone = async {
            // Nothing can be read where there is no room; a client that waits has sent nothing more.
            while !decoder.space().is_empty() {
                match stream.read(decoder.space()).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => decoder.filled(count),
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            decision = decision => Ok(decision),
            () = gone => Err(End::Gone),
        }
    }

    /// Does what a message asks for. Does not return after the last one.
    async fn follow(
        &mut self,
        step: Step,
        decoder: &mut Decoder,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), End> {
        if !matches!(step, Step::Nothing) {
            self.outbox.taken();
        }
        match step {
            Step::Nothing => {}
            Step::Reply(frame) => {
                self.outbox.reply(frame);
                if self.session.wants_pings() {
                    self.pings.begin();
                }
            }
            Step::Run(_, work) if self.may_be_instant() && work.is_instant() => {
                guarded(self.outbox, || work.run());
            }
            Step::Run(lane, work) => {
                if let Some(_leave) = work.leave_to_look().filter(|_| self.may_be_instant()) {
                    guarded(self.outbox, || work.run());
                } else {
                    self.service.lanes.submit(lane, self.outbox, move || work.run());
                }
            }
            Step::RunNative(work) => {
                self.service.lanes.submit(work.lane(), self.outbox, move || work.run());
            }
            Step::Settle(change) => {
                let settled = if self.service.access.allows_all() {
                    change.run()
                } else {
                    let (sender, receiver) = oneshot::channel();
                    self.service.lanes.submit(Lane::Change, self.outbox, move || {
                        // Nobody waits for it if the client has gone.
                        let _ = sender.send(change.run());
                    });
                    let _hold = self.pings.hold();
                    match receiver.await {
                        Ok(settled) => settled,
                        // The queue is closed with the reason, by which the connection ends.
                        Err(_) => return std::future::pending().await,
                    }
                };
                let frame = self.session.settle(settled);
                self.outbox.reply(frame);
            }
            Step::Login(header) => {
                let last = self.last;
                let decision = tokio::time::timeout_at(last, self.decide(decoder, stream)).await;
                let decision = decision.unwrap_or(Err(End::NoLogin))?;
                self.outbox.reply(self.session.login(&header, decision));
                // Who was refused may ask again, but not for ever.
                self.deadline = last;
            }
            Step::Finish(frame) => {
                // The client has said its last: it answers no PING.
                let _hold = self.pings.hold();
                self.outbox.others_answered().await;
                self.outbox.reply(frame);
                self.outbox.close(Closed::Finished);
                return std::future::pending().await;
            }
        }
        Ok(())
    }
}

/// The direction to the client.
async fn write(
    service: &Shared,
    outbox: &Outbox,
    mut stream: impl AsyncWrite + Unpin + Send + 'static,
) -> End {
    loop {
        let chunk = match outbox.next().await {
            Ok(chunk) => chunk,
            Err(reason) => {
                if reason == Closed::Finished {
                    // It may have gone already.
                    let _ = stream.shutdown().await;
                }
                return reason.into();
            }
        };
        if chunk.bytes().len() <= LARGE {
            let written = tokio::select! {
                written = write_whole(&mut stream, &chunk) => written,
                () = outbox.cut_off() => continue,
            };
            if written.is_err() {
                return End::Gone;
            }
            outbox.written(&chunk);
            continue;
        }
        let written = service.bulk.run(async move {
            let written = write_whole(&mut stream, &chunk).await;
            (written, stream, chunk)
        });
        let written = tokio::select! {
            written = written => written,
            () = outbox.cut_off() => return outbox.next().await.err().map_or(End::Broken, End::from),
        };
        match written {
            Some((Ok(()), back, chunk)) => {
                stream = back;
                outbox.written(&chunk);
            }
            Some((Err(_), ..)) => return End::Gone,
            None => return End::Broken,
        }
    }
}

async fn write_whole(stream: &mut (impl AsyncWrite + Unpin), chunk: &Chunk) -> std::io::Result<()> {
    stream.write_all(chunk.bytes()).await?;
    stream.flush().await
}
