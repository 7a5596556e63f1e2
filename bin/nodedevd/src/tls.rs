//! TLS: the certificates, who may connect with which, and the handshake.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::config::Tls;
use crate::exit::{Exit, Fatal};
use crate::x509_name::{distinguished_name, matches};

/// The default list of revoked certificates; it need not be there.
const REVOKED: &str = "/etc/pki/CA/cacrl.pem";
/// What libvirt's server sends once it has accepted a client's certificate.
const ACCEPTED: u8 = 1;

/// Lets clients in.
#[derive(Clone)]
pub(crate) struct Gate {
    acceptor: TlsAcceptor,
    allowed_names: Option<Arc<Vec<String>>>,
}

impl Gate {
    /// Reads keys and certificates.
    pub(crate) fn new(config: &Tls) -> Result<Self, Fatal> {
        let certificates = certificates(&config.certificate)?;
        let key =
            PrivateKeyDer::from_pem_file(&config.key).map_err(|error| unreadable(&config.key, &error))?;
        let builder = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&config.certificate, &error))?;
        let builder = if config.any_client {
            builder.with_no_client_auth()
        } else {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(&config.authority)? {
                roots.add(authority).map_err(|error| wrong(&config.authority, &error))?;
            }
            // An expired list does not say who was revoked since: GnuTLS lets nobody in with one, either.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .with_crls(revoked(config)?)
                .enforce_revocation_expiration();
            builder.with_client_cert_verifier(verifier.build().map_err(|error| match error {
                VerifierBuilderError::InvalidCrl(_) => wrong(crl(config), &error),
                _ => wrong(&config.authority, &error),
            })?)
        };
        let mut server = builder
            .with_single_cert(certificates, key)
            .map_err(|error| wrong(&config.certificate, &error))?;
        // libvirt's clients read once for the byte below, and give up if a session ticket is what comes first.
        server.send_tls13_tickets = 0;
        let allowed_names = config.allowed_names.clone().map(Arc::new);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), allowed_names })
    }

    /// Shakes hands; returns the stream with the client's distinguished name.
    pub(crate) async fn enter(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<(TlsStream<TcpStream>, Option<String>)> {
        let mut stream = self.acceptor.accept(stream).await?;
        let (_, session) = stream.get_ref();
        let name = session
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| distinguished_name(certificate));
        if let Some(allowed) = &self.allowed_names
            && !name.as_deref().is_some_and(|name| allowed.iter().any(|pattern| matches(pattern, name)))
        {
            let shown = name.unwrap_or_else(|| "(none)".into());
            return Err(std::io::Error::other(format!(
                "the certificate's name {shown} is not in tls_allowed_dn_list"
            )));
        }
        stream.write_all(&[ACCEPTED]).await?;
        stream.flush().await?;
        Ok((stream, name))
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fatal> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable(format!("{} holds no certificate in PEM", path.display())))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Where the list of revoked certificates is.
fn crl(config: &Tls) -> &Path {
    config.revoked.as_deref().unwrap_or(Path::new(REVOKED))
}

fn revoked(config: &Tls) -> Result<Vec<CertificateRevocationListDer<'static>>, Fatal> {
    let path = crl(config);
    let is_there = path.try_exists().map_err(|error| wrong(path, &error))?;
    if !is_there && config.revoked.is_none() {
        return Ok(Vec::new());
    }
    let read =
        CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let lists = read.map_err(|error| unreadable(path, &error))?;
    if lists.is_empty() {
        return Err(unusable(format!("{} holds no list of revoked certificates in PEM", path.display())));
    }
    lists.iter().for_each(|list| warn_of_age(path, list));
    Ok(lists)
}

/// Says so if a list has expired: nobody gets in then.
fn warn_of_age(path: &Path, list: &CertificateRevocationListDer<'_>) {
    let Ok((_, list)) = CertificateRevocationList::from_der(list) else { return };
    if let Some(next) = list.next_update().filter(|next| *next < ASN1Time::now()) {
        tracing::warn!(
            path = %path.display(),
            next = %next,
            "the list of revoked certificates has expired, so nobody gets in over TLS; get a new one from the authority \
             and send SIGHUP"
        );
    }
}

fn unusable(what: String) -> Fatal {
    Fatal::new(Exit::Config, what)
        .help("check cert_file, key_file, ca_file and crl_file, or set listen_tls = 0")
}

fn unreadable(path: &Path, error: &rustls::pki_types::pem::Error) -> Fatal {
    unusable(format!("cannot read {}: {error}", path.display()))
}

fn wrong(path: &Path, error: &dyn std::error::Error) -> Fatal {
    unusable(format!("cannot use {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_certificates_are_named_with_the_keys_to_check() {
        let mut tls = crate::config::Config::default().tls;
        tls.certificate = "/nonexistent/cert.pem".into();
        let Err(fatal) = Gate::new(&tls) else { panic!("made of nothing") };
        let text = fatal.to_string();
        assert!(text.contains("/nonexistent/cert.pem") && text.contains("check cert_file"), "{text}");
        assert_eq!(fatal.exit(), Exit::Config);
    }
}
