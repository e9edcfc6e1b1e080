//! str0m's crypto with one DTLS configuration for all peers.
//!
//! str0m's own provider builds a `dimpl::Config` for each peer, and building one runs a self-test
//! of every cipher suite: more than a millisecond, which is most of what a join costs. The
//! configuration has nothing of a peer in it, so this provider builds it once.
//!
//! DTLS 1.2 only: with 1.3 or the automatic choice str0m 0.25 settles on AES-CM-SHA1 with Chromium,
//! with 1.2 on AES-256-GCM.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

/// What all peers of the node share: ciphers, and the certificate (ECDSA, P-256) that the node shows.
#[derive(Clone)]
pub(crate) struct SharedCrypto {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) certificate: DtlsCert,
}

impl SharedCrypto {
    /// A new certificate, good until the process ends.
    pub(crate) fn generate() -> anyhow::Result<SharedCrypto> {
        let mut provider = str0m_aws_lc_rs::default_provider();
        provider.dtls_provider = &SHARED_CONFIG_PROVIDER;
        let certificate = provider
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| anyhow::anyhow!("could not generate a DTLS certificate"))?;
        Ok(SharedCrypto { provider: Arc::new(provider), certificate })
    }
}

static SHARED_CONFIG_PROVIDER: SharedConfigProvider = SharedConfigProvider;

#[derive(Debug)]
struct SharedConfigProvider;

impl DtlsProvider for SharedConfigProvider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m_aws_lc_rs::default_provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = dimpl::Dtls::new_12(shared_config(mtu), certificate.clone(), now);
        Ok(Box::new(Dtls12(dtls)))
    }
}

/// Every peer of the process has the same MTU, so the first one's configuration is everybody's.
fn shared_config(mtu: Option<usize>) -> Arc<dimpl::Config> {
    static CONFIG: OnceLock<Arc<dimpl::Config>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        // ICE has verified the address before the first ClientHello: no cookie round trip.
        let builder = dimpl::Config::builder()
            .with_crypto_provider(str0m_aws_lc_rs::dimpl_crypto_provider())
            .use_server_cookie(false);
        let builder = match mtu {
            Some(mtu) => builder.mtu(mtu),
            None => builder,
        };
        Arc::new(builder.build().expect("the built-in cipher suites pass their self-test"))
    });
    config.clone()
}

struct Dtls12(dimpl::Dtls);

impl std::fmt::Debug for Dtls12 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dtls12")
    }
}

impl DtlsInstance for Dtls12 {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }
    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }
    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }
    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }
    fn is_active(&self) -> bool {
        self.0.is_active()
    }
    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }
    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }
    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
