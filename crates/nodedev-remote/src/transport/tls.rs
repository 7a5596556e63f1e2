//! TCP with TLS. After its handshake a libvirt daemon says in one byte whether it takes the client.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nodedev_driver::{Error, RemoteUri, Result};
use nodedev_rpc::Packet;
use nodedev_rpc::bounds::MESSAGE_MAX;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::pki::Files;
use super::{Channel, Socket, tcp};
use crate::failure;

/// Port of libvirt daemons with TLS.
const PORT: u16 = 16_514;
/// The byte that says that the client is welcome.
const WELCOME: u8 = 1;
/// Bytes that are read from the socket at once: one record.
const RECORD: usize = 16_640;

pub(super) fn connect(uri: &RemoteUri) -> Result<Channel> {
    let host = tcp::host(uri);
    let config = config(uri)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        let error = failure::invalid(format!("'{host}' is no name that a certificate can be for"));
        error.with_help("use the name or address that the daemon's certificate has")
    })?;
    let socket = tcp::connect(uri, PORT)?;
    let setup = |error: io::Error| failure::system("Unable to set up the connection", &error);
    socket.set_read_timeout(Some(tcp::PATIENCE)).map_err(setup)?;
    socket.set_write_timeout(Some(tcp::PATIENCE)).map_err(setup)?;
    let mut tls =
        ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error.to_string(), host))?;
    handshake(&mut tls, &socket, host)?;
    socket.set_write_timeout(None).map_err(setup)?;
    let tls = Arc::new(Mutex::new(tls));
    let half = || socket.try_clone().map(Socket::Tcp).map_err(setup);
    Ok(Channel {
        reader: Box::new(Reader { socket: half()?, tls: Arc::clone(&tls), input: Vec::new(), taken: 0 }),
        writer: Box::new(Writer { socket: half()?, tls, output: Vec::new() }),
        socket: Socket::Tcp(socket),
        relay: None,
        waits_for_people: false,
    })
}

/// Agrees on keys, checks each other's certificates and waits to be welcome.
fn handshake(tls: &mut ClientConnection, mut socket: &TcpStream, host: &str) -> Result<()> {
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).map_err(|error| of_handshake(&error, host))?;
    }
    let mut word = [0];
    match rustls::Stream::new(tls, &mut socket).read(&mut word) {
        Ok(1) if word == [WELCOME] => Ok(()),
        Ok(1) => Err(refused("the daemon said so")),
        Ok(_) => Err(refused("it closed the connection")),
        Err(error) => Err(refused(&reason(&error))),
    }
}

/// The daemon does not take this client.
fn refused(why: &str) -> Error {
    failure::tls("server verification (of our certificate or IP address) failed").with_help(format!(
        "{why}: the daemon wants a certificate (clientcert.pem, clientkey.pem) that its authority signed, and may list \
         the names that it accepts in tls_allowed_dn_list"
    ))
}

fn of_handshake(error: &io::Error, host: &str) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(invalid)) => unfit(invalid, host),
        Some(rustls::Error::AlertReceived(alert)) => refused(&format!("it sent the alert {alert:?}")),
        Some(other) => failed(&other.to_string(), host),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            failed("the daemon closed the connection", host)
        }
        None => failed(&reason(error), host),
    }
}

/// The daemon's certificate is not what it should be.
fn unfit(error: &CertificateError, host: &str) -> Error {
    let help = match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the certificate must have '{host}' as a subject alternative name (dns_name or ip_address for certtool); the \
             common name alone does not count"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "cacert.pem must be the certificate of the authority that signed the daemon's".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "a new certificate has to be made for the daemon".to_owned()
        }
        _ => "docs/remote.md tells how to make certificates; no_verify=1 takes any".to_owned(),
    };
    failure::tls(format!("the certificate of '{host}' is not valid: {error}")).with_help(help)
}

fn failed(why: &str, host: &str) -> Error {
    failure::tls(format!("TLS handshake with '{host}' failed: {why}"))
        .with_help("does a libvirt daemon listen for TLS there? For one without it: nodedev+tcp, nodedev+ssh")
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

fn config(uri: &RemoteUri) -> Result<ClientConfig> {
    let files = Files::of(uri);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| failure::tls(format!("TLS cannot be used: {error}")))?;
    let mut roots = RootCertStore::empty();
    for authority in files.authorities()? {
        roots.add(authority).map_err(|error| {
            failure::tls(format!("Unable to import '{}': {error}", files.ca.display())).with_help(
                "an authority's certificate must be of X.509 version 3; docs/remote.md tells how to make one",
            )
        })?;
    }
    let builder = if uri.no_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TakesAny(provider)))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .with_crls(files.revoked()?)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| failure::tls(format!("Unable to use '{}': {error}", files.crl.display())))?;
        builder.with_webpki_verifier(verifier)
    };
    match files.identity()? {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            failure::tls(format!("Unable to use '{}': {error}", files.cert.display()))
                .with_help("certificate and key must belong together")
        }),
    }
}

/// Takes any certificate (`no_verify=1`); that the daemon has its key is still checked.
#[derive(Debug)]
struct TakesAny(Arc<CryptoProvider>);

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn lock(tls: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reading half. It waits for the socket without the lock, so that the other half can write meanwhile.
struct Reader {
    socket: Socket,
    tls: Arc<Mutex<ClientConnection>>,
    /// Bytes of the socket; those before `taken` were decrypted.
    input: Vec<u8>,
    taken: usize,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            {
                let mut tls = lock(&self.tls);
                loop {
                    match tls.reader().read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        done => return done,
                    }
                    let mut rest = self.input.get(self.taken..).unwrap_or_default();
                    if rest.is_empty() {
                        break;
                    }
                    let before = rest.len();
                    tls.read_tls(&mut rest)?;
                    self.taken += before - rest.len();
                    tls.process_new_packets()
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                }
            }
            self.taken = 0;
            self.input.resize(RECORD, 0);
            let count = self.socket.read(&mut self.input);
            self.input.truncate(*count.as_ref().unwrap_or(&0));
            if count? == 0 {
                // A daemon that closes the connection, having said so first or not.
                return Ok(0);
            }
        }
    }
}

/// The writing half. It is given whole messages, and makes each a record of its own: of a record with several, libvirt's
/// daemons take one, and do not look for the others before the next record comes.
struct Writer {
    socket: Socket,
    tls: Arc<Mutex<ClientConnection>>,
    output: Vec<u8>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.clear();
        let mut rest = bytes;
        {
            let mut tls = lock(&self.tls);
            while !rest.is_empty() {
                let length = Packet::length(rest, MESSAGE_MAX).ok().flatten().unwrap_or(rest.len());
                let (mut message, others) = rest.split_at(length.min(rest.len()));
                while !message.is_empty() {
                    let count = tls.writer().write(message)?;
                    message = message.get(count..).unwrap_or_default();
                    while tls.wants_write() {
                        tls.write_tls(&mut self.output)?;
                    }
                }
                rest = others;
            }
        }
        self.socket.write_all(&self.output)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
