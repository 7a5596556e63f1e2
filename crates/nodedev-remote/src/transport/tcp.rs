use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use nodedev_driver::{RemoteUri, Result};

use crate::failure;

/// Port of libvirt daemons without TLS.
pub(super) const PLAIN_PORT: u16 = 16_509;
/// How long one address may take to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The machine that a URI names.
pub(super) fn host(uri: &RemoteUri) -> &str {
    uri.host.as_deref().unwrap_or("localhost")
}

/// Connects to the first address of the machine that answers.
pub(super) fn connect(uri: &RemoteUri, port: u16) -> Result<TcpStream> {
    let host = host(uri);
    let port = uri.port.unwrap_or(port);
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        // The resolver's own words stand behind those of the library.
        let text = error.to_string();
        let reason = text.rsplit(": ").next().unwrap_or_default().to_owned();
        failure::system(
            format_args!("Unable to resolve address '{host}' service '{port}'"),
            &io::Error::other(reason),
        )
        .with_help("is the name of the machine right?")
    })?;
    let mut last = io::Error::from(rustix::io::Errno::HOSTUNREACH);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(socket) => {
                // Calls are small, and each is waited for. A system that can't do it is only slower.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(failure::system(format_args!("unable to connect to server at '{host}:{port}'"), &last)
        .with_help("does a libvirt daemon listen there? nodedev+ssh://HOST/system needs only ssh"))
}
