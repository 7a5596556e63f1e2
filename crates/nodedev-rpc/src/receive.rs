//! What to do with a message: the first look at it, on either side.

use crate::event::Event;
use crate::fault::Fault;
use crate::frame::{Header, Packet, program};
use crate::keepalive::Keepalive;
use crate::known::{Kind, Known};
use crate::messages::ErrorObject;
use crate::native::{NativeEvent, NativeProcedure};
use crate::open::{MessageType, Status};
use crate::procedures::{Procedure, Rpc};
use crate::xdr::{Reader, Wire, XdrError};

/// What a server does with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// It is a call that is served: check the login and what else is to be checked, then
    /// [`Call::decode`](crate::Call::decode).
    Call(Procedure),
    /// It is a call of libvirt's API that node devices have no part in: check the login and whether a connection is
    /// open, then answer [`Fault::no_support`].
    Foreign(&'static Known),
    /// It is a call of `nodedevd`'s own: as [`Request::Call`], with [`NativeCall::decode`](crate::NativeCall::decode).
    Native(NativeProcedure),
    /// PING, to be answered with PONG; or PONG.
    Keepalive(Keepalive),
    /// It is answered with an error, whoever asks.
    Refused(Fault),
    /// It means nothing. The connection goes on.
    Ignored,
}

impl Request {
    /// Looks at the header of a message that came to a server.
    pub fn of(header: &Header) -> Self {
        if let Some(keepalive) = Keepalive::from_header(header) {
            return Self::Keepalive(keepalive);
        }
        if !matches!(header.kind, MessageType::Call | MessageType::CallWithDescriptors) {
            return Self::Ignored;
        }
        let known = matches!(header.program, program::REMOTE | program::NODEDEV);
        if !known || header.version != program::VERSION {
            return Self::Refused(Fault::unknown_program(header.program, header.version));
        }
        if header.status != Status::Ok {
            return Self::Refused(Fault::unexpected_status(header.status));
        }
        if header.program == program::NODEDEV {
            let procedure = NativeProcedure::from_number(header.procedure);
            return procedure
                .map_or_else(|| Self::Refused(Fault::unknown_procedure(header.procedure)), Self::Native);
        }
        if let Some(procedure) = Procedure::from_number(header.procedure) {
            return Self::Call(procedure);
        }
        match Known::find(header.procedure) {
            Some(known) if known.kind != Kind::Event => Self::Foreign(known),
            _ => Self::Refused(Fault::unknown_procedure(header.procedure)),
        }
    }
}

/// What a message means to a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Response<'a> {
    /// It answers the call with this [`Header::key`]; [`Packet::reply`] reads it.
    Reply((u32, u32, u32)),
    /// Something happened.
    Event(Event<'a>),
    /// Something happened, as `nodedevd` tells its own clients.
    NativeEvent(NativeEvent<'a>),
    /// PING, to be answered with PONG; or PONG.
    Keepalive(Keepalive),
    /// It means nothing to a client of node devices.
    Ignored,
}

impl<'a> Packet<'a> {
    /// Looks at a message that came to a client.
    ///
    /// # Errors
    /// [`XdrError`] if it is a malformed event.
    pub fn response(&self) -> Result<Response<'a>, XdrError> {
        if let Some(keepalive) = Keepalive::from_header(&self.header) {
            return Ok(Response::Keepalive(keepalive));
        }
        if self.header.version != program::VERSION {
            return Ok(Response::Ignored);
        }
        let (number, payload) = (self.header.procedure, self.payload);
        match (self.header.program, self.header.kind) {
            (program::REMOTE | program::NODEDEV, MessageType::Reply | MessageType::ReplyWithDescriptors) => {
                Ok(Response::Reply(self.header.key()))
            }
            (program::REMOTE, MessageType::Message) => Event::decode(number, payload).map(Response::Event),
            (program::NODEDEV, MessageType::Message) => {
                NativeEvent::decode(number, payload).map(Response::NativeEvent)
            }
            _ => Ok(Response::Ignored),
        }
    }

    /// Reads the reply to a call of procedure `P`: its result, or the server's error.
    ///
    /// # Errors
    /// [`ReplyError`] if the message is no reply to such a call.
    pub fn reply<P: Rpc>(&self) -> Result<Result<P::Reply<'a>, Box<ErrorObject<'a>>>, ReplyError> {
        let input = &mut Reader::new(self.payload);
        if self.header.procedure != P::PROCEDURE.number() {
            return Err(ReplyError::Procedure(self.header.procedure));
        }
        match self.header.status {
            Status::Ok => Ok(Ok(Wire::decode(input)?)),
            Status::Error => Ok(Err(Box::new(Wire::decode(input)?))),
            other => Err(ReplyError::Status(other.into())),
        }
    }
}

/// A reply that can't be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// The result or error is malformed.
    #[error("the reply cannot be read")]
    Malformed(#[from] XdrError),
    /// The reply says that it belongs to another procedure.
    #[error("the reply is to procedure {0}")]
    Procedure(i32),
    /// The reply's status is none of a reply.
    #[error("the reply's status is {0}")]
    Status(u32),
}
