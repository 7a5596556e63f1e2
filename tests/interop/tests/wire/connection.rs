//! A connection to the real daemon that `nodedev-rpc` reads and writes.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nodedev_rpc::{
    Call, Decoder, ErrorObject, Fault, Header, MessageType, Open, Packet, Status, Str, Void, Wire as _,
    encode_message,
};
use nodedev_testkit::peer::Daemon;

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Longer than any answer of an idle daemon takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Arguments of any procedure: empty texts, absent values, empty lists, numbers 0. What is too much is left alone.
const ZEROS: [u8; 512] = [0; 512];

/// A connection that sends and receives whole messages.
pub(crate) struct Wires {
    pub(crate) socket: UnixStream,
    decoder: Decoder,
    pub(crate) serial: u32,
}

impl Wires {
    pub(crate) fn connect(daemon: &Daemon) -> Result<Self, Failure> {
        let path = daemon.uri().split_once("socket=").map(|(_, path)| path).ok_or("a URI with a socket")?;
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, decoder: Decoder::default(), serial: 0 })
    }

    /// Logs in and opens the connection.
    pub(crate) fn open(daemon: &Daemon, flags: u32) -> Result<Self, Failure> {
        let mut wires = Self::connect(daemon)?;
        wires.call(&Call::AuthList(Void))?;
        let open = Call::ConnectOpen(Open { name: Some(Str::new("nodedev:///system")?), flags });
        assert_eq!(wires.call(&open)?.status, Status::Ok);
        Ok(wires)
    }

    /// Sends a call and returns its answer.
    pub(crate) fn call(&mut self, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut out = Vec::new();
        call.encode(self.serial, &mut out)?;
        self.exchange(&out)
    }

    /// Sends a call of any number, with zeros for arguments.
    pub(crate) fn call_number(&mut self, number: i32) -> Result<Answer, Failure> {
        self.send(&Header::call(number, self.serial), &ZEROS)
    }

    /// Sends a message and returns the next answer.
    pub(crate) fn send(&mut self, header: &Header, payload: &[u8]) -> Result<Answer, Failure> {
        self.exchange(&message(header, payload)?)
    }

    fn exchange(&mut self, message: &[u8]) -> Result<Answer, Failure> {
        self.socket.write_all(message)?;
        let serial = self.serial;
        self.serial += 1;
        let answer = self.receive()?;
        assert_eq!(answer.serial, serial);
        Ok(answer)
    }

    /// The next reply.
    pub(crate) fn receive(&mut self) -> Result<Answer, Failure> {
        loop {
            while let Some(packet) = self.decoder.next_packet()? {
                // Also those of other programs, which mean nothing to a real client.
                let Packet { header, payload, .. } = packet;
                if header.kind == MessageType::Reply {
                    let message = message(&header, payload)?;
                    return Ok(Answer { serial: header.serial, status: header.status, message });
                }
            }
            let space = self.decoder.space();
            match self.socket.read(space)? {
                0 => return Err("the daemon closed the connection".into()),
                count => self.decoder.filled(count),
            }
        }
    }
}

/// A message with any payload.
pub(crate) fn message(header: &Header, payload: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    encode_message(&mut out, header, &Void)?;
    out.extend_from_slice(payload);
    let length = u32::try_from(out.len())?;
    out.splice(..4, length.to_be_bytes());
    Ok(out)
}

/// A reply, whole.
pub(crate) struct Answer {
    pub(crate) serial: u32,
    pub(crate) status: Status,
    pub(crate) message: Vec<u8>,
}

impl Answer {
    pub(crate) fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.message).expect("it was a message before")
    }

    pub(crate) fn error(&self) -> Option<ErrorObject<'_>> {
        let packet = self.packet();
        let mut input = nodedev_rpc::Reader::new(packet.payload);
        (self.status == Status::Error).then(|| ErrorObject::decode(&mut input).expect("an error"))
    }

    /// Whether it is this refusal, byte for byte.
    pub(crate) fn is(&self, fault: &Fault) -> bool {
        let mut out = Vec::new();
        fault.object().encode_reply(&self.packet().header, &mut out).expect("short");
        out == self.message
    }

    pub(crate) fn shown(&self) -> String {
        match self.error() {
            Some(error) => format!("{error:?}"),
            None => self.message.escape_ascii().to_string(),
        }
    }
}
