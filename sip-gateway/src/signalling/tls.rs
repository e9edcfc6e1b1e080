//! TLS: our certificate for those who come, and what we trust where we go.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{StartError, Tls};

/// For listeners: needs the certificate and its key.
pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, StartError> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Err(StartError::Tls("a TLS listener needs certificate and key".to_owned()));
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, &error))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| wrong(certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// For trunks: their certificates are signed by one of these authorities, or of the system's.
pub(super) fn connector(tls: &Tls) -> Result<TlsConnector, StartError> {
    let mut roots = RootCertStore::empty();
    match &tls.authorities {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| wrong(file, &error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            tracing::debug!(added, "authorities of the system");
        }
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The one that rsipstack brings along anyway.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(file, &error))?;
    if found.is_empty() { Err(wrong(file, &"no certificate in it")) } else { Ok(found) }
}

fn wrong(file: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Tls(format!("{}: {error}", file.display()))
}
