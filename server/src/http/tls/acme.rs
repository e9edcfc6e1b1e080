//! A certificate by ACME (RFC 8555): asked for, proven on the port itself (RFC 8737), kept on disk, renewed in time.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::sync::Arc;

use anyhow::Context;
use futures_util::StreamExt as _;
use rustls_acme::AcmeConfig;
use rustls_acme::caches::DirCache;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::ResolvesServerCert;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tracing::{info, warn};

use super::provider;
use crate::config::TlsConfig;

/// Asks for the certificate, and goes on to look after it for as long as the runtime is there. Until there is one,
/// handshakes fail.
pub(super) fn keep(config: &TlsConfig) -> anyhow::Result<(Arc<dyn ResolvesServerCert>, Arc<ServerConfig>)> {
    let cache =
        config.acme_cache.clone().context("tls.acme_cache is set, or the configuration isn't valid")?;
    // Keys will be in it.
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&cache);
    made.with_context(|| format!("tls.acme_cache {}", cache.display()))?;
    if std::fs::metadata(&cache).is_ok_and(|it| it.permissions().mode() & 0o077 != 0) {
        warn!(cache = %cache.display(), "the keys of certificates are kept where others can read them: chmod 700");
    }
    let asked = match &config.acme_authority {
        None => AcmeConfig::new_with_provider(&config.acme, provider()),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_file(file)
                .map_err(anyhow::Error::from)
                .and_then(|it| Ok(roots.add(it)?));
            root.with_context(|| format!("tls.acme_authority {}", file.display()))?;
            let client = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .context("TLS")?
                .with_root_certificates(roots)
                .with_no_client_auth();
            AcmeConfig::new_with_client_config(&config.acme, Arc::new(client))
        }
    };
    let asked =
        asked.contact(&config.acme_contact).directory(&config.acme_directory).cache(DirCache::new(cache));
    let mut state = asked.state();
    let (resolver, challenge) = (state.resolver(), state.challenge_rustls_config_with_provider(provider()));
    let names = config.acme.join(", ");
    tokio::spawn(async move {
        while let Some(event) = state.next().await {
            match event {
                Ok(event) => info!(?event, names, "ACME"),
                // It is tried again, later and later.
                Err(error) => warn!(%error, names, "ACME"),
            }
        }
    });
    Ok((resolver, challenge))
}
