//! One DTLS certificate and one DTLS configuration for all peers of the process.
//!
//! str0m's own provider builds a `dimpl::Config` for each `Rtc`, and each build runs a self-test of
//! all cipher suites: 1.3 ms of CPU a peer, which a load tester would spend instead of the server.

use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

/// The crypto provider of every peer: aws-lc-rs, with [`SharedConfig`] for DTLS.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider { dtls_provider: &SharedConfig, ..str0m_aws_lc_rs::default_provider() })
    });
    PROVIDER.clone()
}

/// The certificate of every peer. They are all clients of one tester: nobody has to tell them apart.
pub(crate) fn certificate() -> DtlsCert {
    static CERTIFICATE: LazyLock<DtlsCert> =
        LazyLock::new(|| SharedConfig.generate_certificate().expect("aws-lc-rs makes a P-256 key pair"));
    CERTIFICATE.clone()
}

/// A DTLS provider that validates its crypto once a process instead of once a peer.
#[derive(Debug)]
struct SharedConfig;

impl SharedConfig {
    fn config(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
        static LAST: Mutex<Option<(Option<usize>, Arc<dimpl::Config>)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = last.as_ref().filter(|(of_mtu, _)| *of_mtu == mtu) {
            return Ok(config.clone());
        }
        let mut builder = dimpl::Config::builder()
            .with_crypto_provider(str0m_aws_lc_rs::dimpl_crypto_provider())
            // ICE has verified the address before DTLS starts.
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config =
            Arc::new(builder.build().map_err(|e| CryptoError::Other(format!("DTLS configuration: {e}")))?);
        *last = Some((mtu, config.clone()));
        Ok(config)
    }
}

impl DtlsProvider for SharedConfig {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        str0m_aws_lc_rs::default_provider().dtls_provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = SharedConfig::config(mtu)?;
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, cert.clone(), now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, cert.clone(), now),
            _ => dimpl::Dtls::new_auto(config, cert.clone(), now),
        };
        Ok(Box::new(Association(dtls)))
    }
}

/// One DTLS association. str0m keeps its own wrapper private, so here is another.
struct Association(dimpl::Dtls);

impl fmt::Debug for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Association")
    }
}

impl DtlsInstance for Association {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
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
