//! HTTPS: certificates from files, or one of our own making.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::{self, ServerConfig, crypto::ring};

use crate::config;
use crate::server::self_signed;

/// Why there is no HTTPS; names the setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{key}: cannot read {path}: {source}")]
    Read {
        /// Which setting names the file.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{key}: no {what} in {path}: {reason}")]
    Content {
        /// Which setting names the file.
        key: &'static str,
        /// `PEM certificate` or `PEM private key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The two do not belong together, or the certificate cannot be used.
    #[error("tls-cert and tls-key: {0}")]
    Unusable(#[from] rustls::Error),
    /// A certificate cannot be made, or not be kept.
    #[error("tls: {0}")]
    SelfSigned(#[from] self_signed::Error),
}

/// Reads the certificate, or makes one for the addresses by which clients may come.
pub fn load(
    tls: &config::Tls,
    data_dir: &Path,
    public: &[IpAddr],
    local: &[IpAddr],
) -> Result<Arc<ServerConfig>, Error> {
    let (chain, key) = match tls {
        config::Tls::Files { cert, key } => {
            (read_chain("tls-cert", cert)?, read_key("tls-key", key)?)
        }
        config::Tls::SelfSigned => {
            let made = self_signed::keep(data_dir, public, local)?;
            made.explain();
            (vec![made.certificate], made.key)
        }
    };
    Ok(Arc::new(server(chain, key)?))
}

/// TLS 1.2 and 1.3 with ring, as the media's DTLS has it; HTTP/1.1 only.
pub(super) fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(server)
}

/// The SHA-256 fingerprint as browsers show it.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(certificate) {
        let colon = if text.is_empty() { "" } else { ":" };
        // Writing into a String cannot fail.
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// The leaf first, then whatever leads from it to a root.
fn read_chain(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(key, path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.and_then(|chain| match chain.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(chain),
    });
    chain.map_err(|error| content(key, "PEM certificate", path, &error))
}

fn read_key(key: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(key, path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| content(key, "PEM private key", path, &error))
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read {
        key,
        path: path.into(),
        source,
    })
}

fn content(key: &'static str, what: &'static str, path: &Path, error: &pem::Error) -> Error {
    Error::Content {
        key,
        what,
        path: path.into(),
        reason: error.to_string(),
    }
}
