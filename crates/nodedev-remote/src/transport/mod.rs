//! The ways in which bytes get to a daemon and back.

mod pki;
mod relay;
mod socket;
mod ssh;
mod tcp;
mod tls;
mod unix;

use std::io::{Read, Write};

use nodedev_driver::{RemoteUri, Result, Transport};
pub(crate) use relay::{Relay, Said};
pub(crate) use socket::Socket;

use crate::failure;
use crate::options::Options;

/// A stream to a daemon that is ready for the first message.
pub(crate) struct Channel {
    pub(crate) reader: Box<dyn Read + Send>,
    pub(crate) writer: Box<dyn Write + Send>,
    /// The socket below both, to shut it down.
    pub(crate) socket: Socket,
    /// The program that passes the bytes on.
    pub(crate) relay: Option<Relay>,
    /// Whether somebody may have to type a password before the daemon can answer anything.
    pub(crate) waits_for_people: bool,
}

impl Channel {
    /// A socket that the bytes go through as they are.
    fn plain(socket: Socket) -> Result<Self> {
        let half = || {
            socket.try_clone().map_err(|error| failure::system("Unable to copy a file descriptor", &error))
        };
        let (reader, writer) = (Box::new(half()?), Box::new(half()?));
        Ok(Self { reader, writer, socket, relay: None, waits_for_people: false })
    }

    fn relayed(relay: (Socket, Relay)) -> Result<Self> {
        let (socket, relay) = relay;
        Ok(Self { relay: Some(relay), waits_for_people: true, ..Self::plain(socket)? })
    }
}

/// Connects the way that a URI says.
pub(crate) fn connect(uri: &RemoteUri, options: &Options) -> Result<Channel> {
    match uri.transport {
        Transport::Unix => unix::connect(uri, options).and_then(Channel::plain),
        Transport::Tcp => tcp::connect(uri, tcp::PLAIN_PORT).map(Socket::Tcp).and_then(Channel::plain),
        Transport::Tls => tls::connect(uri),
        Transport::Ssh => ssh::connect(uri, options).and_then(Channel::relayed),
        Transport::Ext => {
            let Some(command) = uri.command.as_deref().filter(|command| !command.as_os_str().is_empty())
            else {
                let error = failure::invalid("remote_open: for 'ext' transport, command is required");
                return Err(error.with_help("for instance nodedev+ext:///system?command=/path/to/program"));
            };
            Relay::start(std::process::Command::new(command)).and_then(Channel::relayed)
        }
    }
}
