//! TLS before HTTP: a connection in, the same one sealed out. Where certificates come from is below: files, or ACME.

mod acme;
mod files;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls_acme::is_tls_alpn_challenge;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::server::{Acceptor, ResolvesServerCert};
use tokio_rustls::server::TlsStream;

use crate::config::TlsConfig;

/// How long a client may take for its handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// What the clients that WebSockets need speak.
const HTTP_1_1: &[u8] = b"http/1.1";

/// How connections are sealed.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// For those by which an authority looks whether we are whom we say (RFC 8737).
    challenge: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads what is configured; a certificate that can't be used is an error. What is to be looked after goes on in a task.
    pub(crate) fn start(config: &TlsConfig) -> anyhow::Result<Option<Tls>> {
        if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
            let resolver = files::keep(certificate.clone(), key.clone())?;
            return Ok(Some(Tls { config: server_config(resolver)?, challenge: None }));
        }
        if config.acme.is_empty() {
            return Ok(None);
        }
        let (resolver, challenge) = acme::keep(config)?;
        Ok(Some(Tls { config: server_config(resolver)?, challenge: Some(challenge) }))
    }

    /// Shakes hands. `None` if it was an authority that looked.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        timeout(HANDSHAKE_WITHIN, self.shake_hands(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        match &self.challenge {
            Some(challenge) if is_tls_alpn_challenge(&hello.client_hello()) => {
                hello.into_stream(challenge.clone()).await?.shutdown().await?;
                Ok(None)
            }
            _ => hello.into_stream(self.config.clone()).await.map(Some),
        }
    }
}

fn server_config(resolver: Arc<dyn ResolvesServerCert>) -> anyhow::Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("TLS")?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    Ok(Arc::new(config))
}

/// The one that seals media, too.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
