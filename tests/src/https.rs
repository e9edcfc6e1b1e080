//! Certificates of an authority of the test's own, and clients that trust it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// An authority whose certificates lie in a directory.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    /// A new authority.
    ///
    /// # Errors
    /// Its certificate can't be made or written.
    pub fn new(directory: &Path) -> anyhow::Result<Authority> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let authority = Authority { issuer, directory: directory.to_owned() };
        std::fs::write(authority.root(), authority.issuer.pem())?;
        Ok(authority)
    }

    /// Where its own certificate lies.
    pub fn root(&self) -> PathBuf {
        self.directory.join("root.pem")
    }

    /// Writes a certificate for `name` and its key, in place of former ones of that name.
    ///
    /// # Errors
    /// They can't be made or written.
    pub fn issue(&self, name: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
        let paths = (self.directory.join(format!("{name}.pem")), self.directory.join(format!("{name}.key")));
        std::fs::write(&paths.0, made.pem())?;
        std::fs::write(&paths.1, key.serialize_pem())?;
        Ok(paths)
    }
}

/// A connection to a server that shows a certificate for `name`, signed by whom the file names.
///
/// # Errors
/// It shows none, or another.
pub async fn connect(to: SocketAddr, name: &str, root: &Path) -> anyhow::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(connector.connect(ServerName::try_from(name.to_owned())?, stream).await?)
}

/// The certificate that a connection was made with.
///
/// # Errors
/// There is none.
pub fn shown(stream: &TlsStream<TcpStream>) -> anyhow::Result<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().context("a certificate")?;
    Ok(chain.first().context("a certificate")?.to_vec())
}

/// What a GET is answered, head and all.
///
/// # Errors
/// The connection breaks.
pub async fn get(mut stream: TlsStream<TcpStream>, path: &str) -> anyhow::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // The server may end it without TLS's own goodbye.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8(answer)?)
}
