//! TLS against a server of the same process, with a certificate that is good for nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{AlertDescription, ServerConfig, ServerConnection};

use super::*;

const CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBizCCATGgAwIBAgIUPXjbsS1y3Tion2JxBOTKetEA4+owCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMzAyMTAxMjlaGA8yMTI2MTEwNjIxMDEy
OVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNC+
ti9D3Amd5I+6I9fBzOFF+Y8V5rmV4pyhcRXhqAnywOKfYx4v4KCKAYBPTCcinkg6
AtDud5/rIjaQq+Ms5FCjaTBnMB0GA1UdDgQWBBTQMJswilQq6zTrGjGFaNOAMwjc
CDAfBgNVHSMEGDAWgBTQMJswilQq6zTrGjGFaNOAMwjcCDAPBgNVHRMBAf8EBTAD
AQH/MBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAKBggqhkjOPQQDAgNIADBFAiBZ0w0F
IgdCIE4iAaSUERadtfk1A6OMtDQycnNwI6OnywIhAMTRONOz5AOddD6ZMk01Swde
Ycc1D1QZ7CwYaqZPcSPm
-----END CERTIFICATE-----
";
const KEY: &[u8] = b"\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+BRBN5y7608zndlm
Lqrqw1iFXC3qJoMVZ9ViZgr9hpKhRANCAATQvrYvQ9wJneSPuiPXwczhRfmPFea5
leKcoXEV4agJ8sDin2MeL+CgigGAT0wnIp5IOgLQ7nef6yI2kKvjLORQ
-----END PRIVATE KEY-----
";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A client that takes any certificate, and what the server gives that does something once both have shaken hands.
fn connected<T: Send + 'static>(
    act: impl FnOnce(ServerConnection, TcpStream) -> T + Send + 'static,
) -> (ClientConnection, TcpStream, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = thread::spawn(move || {
        let certificates = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(KEY).unwrap())
            .unwrap();
        config.send_tls13_tickets = 0;
        let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
        let mut socket = listener.accept().unwrap().0;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).unwrap();
        }
        act(tls, socket)
    });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakesAny(provider())))
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    (tls, socket, server)
}

/// The two halves of a connection, once both sides have shaken hands.
fn halves<T: Send + 'static>(
    act: impl FnOnce(ServerConnection, TcpStream) -> T + Send + 'static,
) -> (Reader, Writer, JoinHandle<T>) {
    let (ready, is_ready) = mpsc::channel();
    let (mut tls, mut socket, server) = connected(move |tls, socket| {
        ready.send(()).unwrap();
        act(tls, socket)
    });
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).unwrap();
    }
    is_ready.recv().unwrap();
    let tls = Arc::new(Mutex::new(tls));
    let half = || Socket::Tcp(socket.try_clone().unwrap());
    let reader = Reader { socket: half(), tls: Arc::clone(&tls), input: Vec::new(), taken: 0 };
    (reader, Writer { socket: half(), tls, output: Vec::new() }, server)
}

fn send(tls: &mut ServerConnection, socket: &mut TcpStream, bytes: &[u8]) {
    rustls::Stream::new(tls, socket).write_all(bytes).unwrap();
}

#[test]
fn a_client_is_in_when_the_daemon_says_so_and_is_told_why_not() {
    type Act = fn(ServerConnection, TcpStream);
    let rows: [(Act, Option<&str>); 4] = [
        (|mut tls, mut socket| send(&mut tls, &mut socket, &[WELCOME]), None),
        (|mut tls, mut socket| send(&mut tls, &mut socket, &[0]), Some("the daemon said so: ")),
        (
            |mut tls, mut socket| {
                tls.send_close_notify();
                tls.complete_io(&mut socket).unwrap();
            },
            Some("it closed the connection: "),
        ),
        // It says nothing until the client is gone.
        (
            |mut tls, mut socket| {
                let _ = rustls::Stream::new(&mut tls, &mut socket).read(&mut [0]);
            },
            Some("no answer in time: "),
        ),
    ];
    for (act, want) in rows {
        let (mut tls, socket, server) = connected(act);
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let done = handshake(&mut tls, &socket, "localhost");
        let help = done.as_ref().err().map(|error| error.help().unwrap_or_default());
        assert_eq!(help.is_some(), want.is_some(), "{done:?}");
        assert!(help.unwrap_or_default().starts_with(want.unwrap_or_default()), "{done:?}");
        drop(socket);
        server.join().unwrap();
    }
}

#[test]
fn failures_of_the_handshake_are_told_with_what_helps() {
    let name = || ServerName::try_from("other").unwrap();
    let invalid =
        |error| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::InvalidCertificate(error));
    let time = UnixTime::since_unix_epoch(Duration::ZERO);
    let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let (unfit, failed) = ("the certificate of 'host' is not valid: ", "TLS handshake with 'host' failed: ");
    for (error, message, help) in [
        (invalid(CertificateError::NotValidForName), unfit.to_owned(), "must have 'host' as a subject"),
        (
            invalid(CertificateError::NotValidForNameContext { expected: name(), presented: Vec::new() }),
            unfit.to_owned(),
            "must have 'host' as a subject alternative name",
        ),
        (invalid(CertificateError::UnknownIssuer), unfit.to_owned(), "cacert.pem must be"),
        (invalid(CertificateError::BadSignature), unfit.to_owned(), "cacert.pem must be"),
        (invalid(CertificateError::Expired), unfit.to_owned(), "a new certificate"),
        (
            invalid(CertificateError::ExpiredContext { time, not_after: time }),
            unfit.to_owned(),
            "a new certificate",
        ),
        (invalid(CertificateError::Revoked), unfit.to_owned(), "docs/remote.md"),
        (
            tls(rustls::Error::AlertReceived(AlertDescription::BadCertificate)),
            "server verification (of our certificate or IP address) failed".to_owned(),
            "it sent the alert BadCertificate: ",
        ),
        (
            tls(rustls::Error::NoCertificatesPresented),
            format!("{failed}{}", rustls::Error::NoCertificatesPresented),
            "does a libvirt daemon listen",
        ),
        (
            io::ErrorKind::UnexpectedEof.into(),
            format!("{failed}the daemon closed the connection"),
            "does a libvirt daemon listen",
        ),
        (io::ErrorKind::TimedOut.into(), format!("{failed}no answer in time"), "does a libvirt"),
        (io::ErrorKind::WouldBlock.into(), format!("{failed}no answer in time"), "does a libvirt"),
        (io::ErrorKind::ConnectionReset.into(), format!("{failed}connection reset"), "does a libvirt"),
    ] {
        let error = of_handshake(&error, "host");
        assert!(error.message().contains(&message), "{error:?} for {message}");
        assert!(error.help().is_some_and(|text| text.contains(help)), "{error:?} for {help}");
    }
}

#[test]
fn what_a_daemon_sends_is_read_to_its_end_however_it_ends() {
    let sent: Vec<u8> = (0..100_000u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    for says_goodbye in [true, false] {
        let content = sent.clone();
        let (mut reader, _writer, server) = halves(move |mut tls, mut socket| {
            for part in content.chunks(30_000) {
                send(&mut tls, &mut socket, part);
            }
            if says_goodbye {
                tls.send_close_notify();
                tls.complete_io(&mut socket).unwrap();
            }
        });
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == sent, "{} bytes of {}", read.len(), sent.len());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        server.join().unwrap();
    }
    // What is no TLS is an error, and no end.
    let (mut reader, _writer, server) = halves(|_, mut socket| socket.write_all(&[0xff; 64]).unwrap());
    assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    server.join().unwrap();
}

#[test]
fn each_message_is_a_record_of_its_own_and_a_large_one_some() {
    let message = |length: u32| [&length.to_be_bytes()[..], &vec![7; length as usize - 4]].concat();
    for (bytes, records) in [
        (message(28), 1),
        ([message(28), message(100), message(28)].concat(), 3),
        (message(40_000), 3),
        ([message(40_000), message(28)].concat(), 4),
        // Half of a message, and what is none, go as they are.
        (message(28)[..20].to_vec(), 1),
        (vec![0xff; 100], 1),
        (Vec::new(), 0),
    ] {
        let (reader, mut writer, server) = halves(|mut tls, mut socket| {
            let (mut raw, mut plain) = (Vec::new(), Vec::new());
            socket.read_to_end(&mut raw).unwrap();
            let (mut rest, mut records) = (&raw[..], 0);
            while let [_, _, _, high, low, ..] = rest {
                let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
                records += 1;
                let mut record = &rest[..length];
                while !record.is_empty() {
                    tls.read_tls(&mut record).unwrap();
                    tls.process_new_packets().unwrap();
                    let _ = tls.reader().read_to_end(&mut plain);
                }
                rest = &rest[length..];
            }
            (records, plain)
        });
        assert_eq!(writer.write(&bytes).unwrap(), bytes.len());
        drop((reader, writer));
        let (found, plain) = server.join().unwrap();
        assert_eq!((found, plain.len()), (records, bytes.len()));
        assert!(plain == bytes, "{} bytes", bytes.len());
    }
}
