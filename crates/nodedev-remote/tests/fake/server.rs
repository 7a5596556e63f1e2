//! A daemon of which each test writes the answers.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nodedev_driver::{ConnectUri, RemoteUri, Result};
use nodedev_remote::{Options, RemoteDriver};
use nodedev_rpc::{
    Array, AuthType, AuthTypes, Call, Callback, Decoder, ErrorObject, Event, Fault, Header, Keepalive,
    NativeProcedure, Number, Packet, Procedure, Reply, Request, Void,
};

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon for one connection.
pub(crate) struct Server {
    uri: RemoteUri,
    thread: Option<JoinHandle<()>>,
    ended: Receiver<()>,
    _dir: tempfile::TempDir,
}

impl Server {
    /// Starts it; `serve` gets the connection of the first client.
    pub(crate) fn start(serve: impl FnOnce(Peer) + Send + 'static) -> Self {
        Self::start_with("", serve)
    }

    /// Starts it for a URI with more parameters.
    pub(crate) fn start_with(parameters: &str, serve: impl FnOnce(Peer) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let _end = end;
            let (socket, _) = listener.accept().expect("a client");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            serve(Peer { socket, decoder: Decoder::default() });
        });
        let uri = format!("nodedev:///system?socket={}{parameters}", path.display());
        let Ok(ConnectUri::Remote(uri)) = uri.parse() else { panic!("{uri}") };
        Self { uri: *uri, thread: Some(thread), ended, _dir: dir }
    }

    /// Connects without pings.
    pub(crate) fn open(&self) -> Result<RemoteDriver> {
        self.open_with(&Options { pings: None, ..Options::default() })
    }

    pub(crate) fn open_with(&self, options: &Options) -> Result<RemoteDriver> {
        RemoteDriver::open(&self.uri, options)
    }

    /// Waits for the end of the connection; what the daemon's side found wrong fails the test.
    pub(crate) fn join(mut self) {
        let ended = self.ended.recv_timeout(PATIENCE);
        assert_ne!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout), "the daemon's side ends");
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The daemon's end of a connection.
pub(crate) struct Peer {
    pub(crate) socket: UnixStream,
    decoder: Decoder,
}

/// A message of the client.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) header: Header,
    payload: Vec<u8>,
}

impl Received {
    pub(crate) fn call(&self) -> Call<'_> {
        let Request::Call(procedure) = Request::of(&self.header) else { panic!("a call: {self:?}") };
        Call::decode(procedure, &self.payload).expect("arguments")
    }

    pub(crate) fn is_ping(&self) -> bool {
        Keepalive::from_header(&self.header) == Some(Keepalive::Ping)
    }

    pub(crate) fn is_pong(&self) -> bool {
        Keepalive::from_header(&self.header) == Some(Keepalive::Pong)
    }
}

impl Peer {
    /// The next message, or `None` at the end, and when nothing comes. Calls of program NODEDEV are refused, as libvirt's
    /// daemons do it.
    pub(crate) fn receive(&mut self) -> Option<Received> {
        loop {
            let received = self.receive_any()?;
            let header = &received.header;
            if !matches!(Request::of(header), Request::Native(_)) {
                return Some(received);
            }
            let mut out = Vec::new();
            let refusal = Fault::unknown_program(header.program, header.version);
            refusal.object().encode_reply(header, &mut out).expect("short");
            self.send(&out);
        }
    }

    /// The next message of any program.
    pub(crate) fn receive_any(&mut self) -> Option<Received> {
        loop {
            if let Some(Packet { header, payload, .. }) = self.decoder.next_packet().expect("messages") {
                return Some(Received { header, payload: payload.to_vec() });
            }
            let count = match self.socket.read(self.decoder.space()) {
                Err(error) => match error.kind() {
                    io::ErrorKind::ConnectionReset | io::ErrorKind::WouldBlock => 0,
                    _ => panic!("{error}"),
                },
                Ok(count) => count,
            };
            if count == 0 {
                return None;
            }
            self.decoder.filled(count);
        }
    }

    /// The next call of program NODEDEV; other calls are answered as by a daemon where all is well.
    pub(crate) fn expect_native(&mut self, procedure: NativeProcedure) -> Option<Received> {
        loop {
            let received = self.receive_any()?;
            match Request::of(&received.header) {
                Request::Native(found) => {
                    assert_eq!(found, procedure);
                    return Some(received);
                }
                Request::Call(Procedure::NodeDeviceIsActive) => {
                    self.reply(&received, &Reply::NodeDeviceIsActive(Number { number: 1 }));
                }
                other => assert!(matches!(other, Request::Call(Procedure::ConnectClose)), "{other:?}"),
            }
        }
    }

    /// The next call of this procedure.
    pub(crate) fn expect(&mut self, procedure: Procedure) -> Received {
        let received = self.receive().expect("a call");
        assert_eq!(received.call().procedure(), procedure);
        received
    }

    /// Bytes; that the client has gone is its own business.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes);
    }

    pub(crate) fn reply(&mut self, to: &Received, reply: &Reply<'_>) {
        let mut out = Vec::new();
        reply.encode(to.header.serial, &mut out).expect("short");
        self.send(&out);
    }

    pub(crate) fn refuse(&mut self, call: &Received, error: &ErrorObject<'_>) {
        let mut out = Vec::new();
        error.encode_reply(&call.header, &mut out).expect("short");
        self.send(&out);
    }

    pub(crate) fn event(&mut self, event: &Event<'_>) {
        let mut out = Vec::new();
        event.encode(&mut out).expect("short");
        self.send(&out);
    }

    /// Answers the calls that open a connection of a client without pings.
    pub(crate) fn welcome(&mut self) {
        self.offer(AuthType::None);
        let open = self.expect(Procedure::ConnectOpen);
        self.reply(&open, &Reply::ConnectOpen(Void));
    }

    /// Says how to log in.
    pub(crate) fn offer(&mut self, kind: AuthType) {
        let asked = self.expect(Procedure::AuthList);
        let types = Array::new(vec![kind]).expect("one");
        self.reply(&asked, &Reply::AuthList(AuthTypes { types }));
    }

    /// Takes the registrations for events.
    pub(crate) fn register(&mut self, count: i32) {
        for callback in 0..count {
            let asked = self.expect(Procedure::ConnectNodeDeviceEventRegisterAny);
            self.reply(&asked, &Reply::ConnectNodeDeviceEventRegisterAny(Callback { callback }));
        }
    }

    /// Answers calls whose reply is a number until the client goes.
    pub(crate) fn answer_numbers(&mut self) {
        while let Some(call) = self.receive() {
            let number = Number { number: 1 };
            match call.call().procedure() {
                Procedure::ConnectClose => self.reply(&call, &Reply::ConnectClose(Void)),
                Procedure::NodeDeviceIsActive => self.reply(&call, &Reply::NodeDeviceIsActive(number)),
                other => panic!("{other:?} is no call of this test"),
            }
        }
    }
}
