//! A certificate in files, which somebody else renews: read again when they change, and on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::provider;

/// How often is looked whether the files have changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The certificate that is shown.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Reads the files, and looks at them again for as long as the runtime is there. What can't be used later is logged, and the
/// former certificate stays.
pub(super) fn keep(certificate: PathBuf, key: PathBuf) -> anyhow::Result<Arc<dyn ResolvesServerCert>> {
    let mut contents = read(&certificate, &key)?;
    let shown = Arc::new(Shown(RwLock::new(usable(&contents, &certificate, &key)?)));
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let resolver = shown.clone();
    tokio::spawn(async move {
        let mut due = tokio::time::interval(LOOK_INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_asked = tokio::select! {
                _ = due.tick() => false,
                Some(()) = hangup.recv() => true,
            };
            let now = match read(&certificate, &key) {
                Ok(now) if now != contents || is_asked => now,
                Ok(_) => continue,
                Err(error) => {
                    warn!(error = format!("{error:#}"), "the former certificate of HTTPS stays");
                    continue;
                }
            };
            match usable(&now, &certificate, &key) {
                Ok(new) => {
                    *shown.0.write().unwrap_or_else(PoisonError::into_inner) = new;
                    info!(file = %certificate.display(), "HTTPS has the certificate that is there now");
                }
                // Of two files one is new before the other.
                Err(error) => warn!(error = format!("{error:#}"), "the former certificate of HTTPS stays"),
            }
            contents = now;
        }
    });
    Ok(resolver)
}

fn read(certificate: &Path, key: &Path) -> anyhow::Result<Contents> {
    let read = |file: &Path| std::fs::read(file).with_context(|| format!("reading {}", file.display()));
    Ok(Contents { certificate: read(certificate)?, key: read(key)? })
}

fn usable(contents: &Contents, certificate: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&contents.certificate)
        .collect::<Result<_, _>>()
        .with_context(|| format!("tls.certificate {} is no PEM file", certificate.display()))?;
    ensure!(!chain.is_empty(), "tls.certificate {} has no certificate in it", certificate.display());
    let private = PrivateKeyDer::from_pem_slice(&contents.key)
        .with_context(|| format!("tls.key {} has no private key in it", key.display()))?;
    let made = CertifiedKey::from_der(chain, private, &provider());
    let made = made.with_context(|| {
        format!(
            "tls.certificate {} and tls.key {} can't be used together",
            certificate.display(),
            key.display()
        )
    })?;
    Ok(Arc::new(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> Contents {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        Contents { certificate: made.cert.pem().into(), key: made.signing_key.serialize_pem().into() }
    }

    fn error(contents: &Contents) -> String {
        format!("{:#}", usable(contents, Path::new("a.pem"), Path::new("a.key")).unwrap_err())
    }

    #[test]
    fn what_is_wrong_with_which_file_is_said() {
        let (one, other) = (pair(), pair());
        usable(&one, Path::new("a.pem"), Path::new("a.key")).unwrap();
        let mixed = Contents { certificate: one.certificate.clone(), key: other.key };
        assert!(
            error(&mixed).contains("a.pem and tls.key a.key can't be used together"),
            "{}",
            error(&mixed)
        );
        let swapped = Contents { certificate: one.key.clone(), key: one.certificate.clone() };
        assert!(error(&swapped).contains("a.pem has no certificate"), "{}", error(&swapped));
        let keyless = Contents { certificate: one.certificate, key: b"-".to_vec() };
        assert!(error(&keyless).contains("a.key has no private key"), "{}", error(&keyless));
        let missing = format!("{:#}", keep("/nowhere/a.pem".into(), "/nowhere/a.key".into()).err().unwrap());
        assert!(missing.contains("/nowhere/a.pem"), "{missing}");
    }
}
