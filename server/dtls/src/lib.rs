//! str0m's crypto, shared by all peers of a process, and SRTP beside it.
//!
//! str0m's own provider builds a `dimpl::Config` for each peer, and building one runs a self-test
//! of every cipher suite: 1.3 ms, which is most of what a join costs. The configuration has nothing
//! of a peer in it, so this provider builds it once. And str0m makes eight SRTP ciphers a peer, of which one that
//! listens uses hardly any: this provider's are made at their first use.
//!
//! The same place sees the keys that a handshake exports for SRTP: [`exporting`] hands them out, and a
//! [`Sealer`] made of them protects packets as str0m would, without what str0m does around it.

mod association;
mod export;
mod lazy;
mod seal;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsProvider};

use association::Association;
pub use export::{Exported, exporting};
use lazy::LazyCiphers;
pub use seal::Sealer;

/// What all peers of a process share.
#[derive(Clone, Debug)]
pub struct SharedCrypto {
    /// aws-lc-rs, for `RtcConfig::set_crypto_provider`.
    pub provider: Arc<CryptoProvider>,
    /// ECDSA over P-256, for `RtcConfig::set_dtls_cert`.
    pub certificate: DtlsCert,
}

impl SharedCrypto {
    /// A new certificate, good until the process ends.
    ///
    /// # Errors
    /// No key pair could be made.
    pub fn generate() -> Result<SharedCrypto, CryptoError> {
        let provider = CryptoProvider {
            dtls_provider: &SharedConfig,
            srtp_provider: &LazyCiphers,
            ..str0m_aws_lc_rs::default_provider()
        };
        let certificate = provider
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| CryptoError::Other("no DTLS certificate could be made".to_owned()))?;
        Ok(SharedCrypto { provider: Arc::new(provider), certificate })
    }
}

/// A DTLS provider that tests its ciphers once a process instead of once a peer.
#[derive(Debug)]
struct SharedConfig;

impl SharedConfig {
    /// Peers that differ in their MTU take turns; those of one process never do.
    fn of_mtu(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
        static LAST: Mutex<Option<(Option<usize>, Arc<dimpl::Config>)>> = Mutex::new(None);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = last.as_ref().filter(|(of_mtu, _)| *of_mtu == mtu) {
            return Ok(config.clone());
        }
        let mut builder = dimpl::Config::builder()
            .with_crypto_provider(str0m_aws_lc_rs::dimpl_crypto_provider())
            // ICE has verified the address before the first ClientHello: no cookie round trip.
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = builder.build().map_err(|e| CryptoError::Other(format!("DTLS configuration: {e}")))?;
        let config = Arc::new(config);
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
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = SharedConfig::of_mtu(mtu)?;
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate.clone(), now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate.clone(), now),
            _ => dimpl::Dtls::new_auto(config, certificate.clone(), now),
        };
        Ok(Box::new(Association(dtls)))
    }
}
