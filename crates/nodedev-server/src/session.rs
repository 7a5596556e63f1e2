//! What one client has done so far, and so what a message of it means. No I/O: messages in, steps out.

use std::sync::Arc;

use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_rpc::{
    Array, AuthType, AuthTypes, Call, Fault, Feature, FeatureQuestion, Header, Identity as IdentityCall,
    Keepalive, Number, Open, Packet, Procedure, Reader, Reply, Request, Void, Wire as _,
};

use crate::access::denied;
use crate::dispatch::{Caller, Connection, Work, reply};
use crate::failure::Failure;
use crate::identity::Identity;
use crate::lanes::Lane;
use crate::ledger::Incoming;
use crate::native::NativeWork;
use crate::outbox::Frame;
use crate::uri;

/// How a client has to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Auth {
    /// Whoever may connect is in.
    None,
    /// polkit decides, but for root.
    Polkit,
}

/// What is to be done about a message.
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// The client gets this.
    Reply(Frame),
    /// The call is to be run whenever it is its turn; it replies itself.
    Run(Lane, Box<Work>),
    /// The same for a call of program NODEDEV.
    RunNative(Box<NativeWork>),
    /// It is to be run before the next message is looked at, and its result given to [`Session::settle`].
    Settle(Change),
    /// The login is to be done, and its result given to [`Session::login`].
    Login(Header),
    /// The client gets this as its last message.
    Finish(Frame),
}

/// A call that changes what later messages mean.
pub(crate) struct Change {
    header: Header,
    caller: Caller,
    what: What,
}

enum What {
    Open { read_only: bool },
    Identity(Box<Identity>),
}

/// What came of a [`Change`].
pub(crate) struct Settled {
    header: Header,
    result: Result<What, Failure>,
}

impl Change {
    /// Asks access control; may wait.
    pub(crate) fn run(self) -> Settled {
        let Self { header, caller, what } = self;
        let procedure = match &what {
            What::Open { .. } => Procedure::ConnectOpen,
            What::Identity(_) => Procedure::ConnectSetIdentity,
        };
        let result = caller.allowed(procedure, 0, None).map(|()| what).map_err(Failure::from);
        Settled { header, result }
    }
}

/// One client's state.
pub(crate) struct Session {
    caller: Caller,
    auth: Auth,
    is_logged_in: bool,
    /// The client came by the socket for those who only look.
    read_only: bool,
    /// The client asked whether PING is answered: it is sent PINGs from then on.
    wants_pings: bool,
}

impl Session {
    pub(crate) fn new(caller: Caller, auth: Auth, read_only: bool) -> Self {
        Self { caller, auth, is_logged_in: auth == Auth::None, read_only, wants_pings: false }
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.is_logged_in
    }

    pub(crate) fn wants_pings(&self) -> bool {
        self.wants_pings
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Looks at a message. What it counts as, the call that is made of it goes on to count as.
    pub(crate) fn take(&mut self, packet: &Packet<'_>, charge: Option<Incoming>) -> Step {
        let header = &packet.header;
        let answered = match Request::of(header) {
            Request::Keepalive(Keepalive::Ping) => {
                let mut pong = Vec::new();
                Keepalive::Pong.encode(&mut pong);
                return Step::Reply(pong.into());
            }
            Request::Keepalive(Keepalive::Pong) | Request::Ignored => return Step::Nothing,
            Request::Native(_) if !self.is_logged_in => Err(Fault::authentication_required().into()),
            Request::Native(_) if self.caller.connection.is_none() => {
                Err(Fault::node_devices_not_open().into())
            }
            Request::Native(procedure) => {
                let (payload, caller) = (packet.payload.to_vec(), self.caller.clone());
                Ok(Step::RunNative(Box::new(NativeWork {
                    header: *header,
                    procedure,
                    payload,
                    caller,
                    _charge: charge,
                })))
            }
            Request::Refused(fault) => Err(fault.into()),
            Request::Foreign(_) if !self.is_logged_in => Err(Fault::authentication_required().into()),
            Request::Foreign(_) if self.caller.connection.is_none() => {
                Err(Fault::connection_not_open().into())
            }
            Request::Foreign(known) => Err(Fault::no_support(known.number).into()),
            Request::Call(procedure) => self.call(procedure, packet, charge),
        };
        answered.unwrap_or_else(|failure| Step::Reply(failure.encode(header).into()))
    }

    fn call(
        &mut self,
        procedure: Procedure,
        packet: &Packet<'_>,
        charge: Option<Incoming>,
    ) -> Result<Step, Failure> {
        let header = packet.header;
        if !self.is_logged_in && !procedure.is_login() {
            return Err(Fault::authentication_required().into());
        }
        match procedure {
            Procedure::ConnectOpen
            | Procedure::ConnectClose
            | Procedure::AuthList
            | Procedure::AuthPolkit
            | Procedure::AuthSaslInit
            | Procedure::AuthSaslStart
            | Procedure::AuthSaslStep
            | Procedure::ConnectSetIdentity => {
                let call = Call::decode(procedure, packet.payload).map_err(|_| Fault::undecodable())?;
                self.own_call(header, call)
            }
            Procedure::ConnectSupportsFeature if asks_for_pings(packet.payload) => {
                self.wants_pings = true;
                let answer = Reply::ConnectSupportsFeature(Number { number: 1 });
                Ok(Step::Reply(reply(&header, &answer)?.unwrap_or_default()))
            }
            _ => {
                let caller = self.caller.clone();
                let work =
                    Work { header, procedure, payload: packet.payload.to_vec(), caller, _charge: charge };
                Ok(Step::Run(Lane::of(procedure.cost()), Box::new(work)))
            }
        }
    }

    /// A call that is about the session itself.
    fn own_call(&mut self, header: Header, call: Call<'_>) -> Result<Step, Failure> {
        let answer = match call {
            Call::AuthList(Void) => {
                // root need not ask polkit, but has to ask how to log in.
                let is_root = self.caller.peer.user_id == Some(0);
                self.is_logged_in |= is_root;
                let auth = if self.is_logged_in { AuthType::None } else { AuthType::Polkit };
                let types = Array::new(vec![auth]).unwrap_or_default();
                Reply::AuthList(AuthTypes { types })
            }
            Call::AuthPolkit(Void) if self.auth == Auth::Polkit && !self.is_logged_in => {
                return Ok(Step::Login(header));
            }
            Call::AuthPolkit(_) | Call::AuthSaslInit(_) | Call::AuthSaslStart(_) | Call::AuthSaslStep(_) => {
                return Err(Fault::authentication_failed().into());
            }
            Call::ConnectOpen(open) => return self.open(header, &open),
            Call::ConnectClose(Void) => {
                let frame = reply(&header, &Reply::ConnectClose(Void))?.unwrap_or_default();
                return Ok(Step::Finish(frame));
            }
            Call::ConnectSetIdentity(identity) => return self.set_identity(header, &identity),
            // Only those above are given to this function.
            other => return Err(Fault::no_support(other.procedure().number()).into()),
        };
        Ok(Step::Reply(reply(&header, &answer)?.unwrap_or_default()))
    }

    fn open(&mut self, header: Header, open: &Open<'_>) -> Result<Step, Failure> {
        if self.caller.connection.is_some() {
            // As libvirt does: the connection that was open is gone, too.
            self.caller.connection = None;
            return Err(Fault::already_open().into());
        }
        let name = open.name.ok_or_else(Fault::node_devices_not_open)?;
        uri::check(name, self.caller.service.options.scope)?;
        let read_only = self.read_only || open.flags & 1 != 0;
        Ok(Step::Settle(Change { header, caller: self.caller.clone(), what: What::Open { read_only } }))
    }

    fn set_identity(&mut self, header: Header, call: &IdentityCall<'_>) -> Result<Step, Failure> {
        if self.caller.connection.is_none() {
            return Err(Fault::connection_not_open().into());
        }
        let identity = Identity::of(&call.parameters)?;
        if !self.caller.peer.may_speak_for_others(self.caller.service.options.user) {
            return Err(denied().into());
        }
        let what = What::Identity(Box::new(identity));
        Ok(Step::Settle(Change { header, caller: self.caller.clone(), what }))
    }

    /// Takes over what came of a change, and returns the reply.
    pub(crate) fn settle(&mut self, settled: Settled) -> Frame {
        let Settled { header, result } = settled;
        let answer = match result {
            Ok(What::Open { read_only }) => {
                self.caller.connection = Some(Connection { read_only });
                reply(&header, &Reply::ConnectOpen(Void))
            }
            Ok(What::Identity(identity)) => {
                // Whom it speaks for is not where it is connected.
                let connected_at = self.caller.peer.connected_at;
                self.caller.identity = Arc::new(Identity { connected_at, ..*identity });
                reply(&header, &Reply::ConnectSetIdentity(Void))
            }
            Err(failure) => Err(failure),
        };
        finish(&header, answer)
    }

    /// Takes over how the login went, and returns the reply.
    pub(crate) fn login(&mut self, header: &Header, result: Result<(), Error>) -> Frame {
        let answer = match result {
            Ok(()) => {
                self.is_logged_in = true;
                reply(header, &Reply::AuthPolkit(Number { number: 1 }))
            }
            Err(error) => Err(Failure::from(error)),
        };
        finish(header, answer)
    }
}

/// Whether the arguments of `CONNECT_SUPPORTS_FEATURE` ask whether PING is answered.
fn asks_for_pings(payload: &[u8]) -> bool {
    let question = FeatureQuestion::decode(&mut Reader::new(payload));
    question.is_ok_and(|question| question.feature == Feature::Keepalive)
}

fn finish(header: &Header, answer: Result<Option<Frame>, Failure>) -> Frame {
    match answer {
        Ok(frame) => frame.unwrap_or_default(),
        Err(failure) => failure.encode(header).into(),
    }
}

/// The error of a login for which nobody is there to decide.
pub(crate) fn no_login() -> Error {
    Error::new(ErrorDomain::RPC, ErrorCode::AUTH_FAILED, "authentication failed")
}
