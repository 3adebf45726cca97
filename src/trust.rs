//! TLS towards others: whom this system trusts, and that it is they who answer.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A handshake may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not who it should be, or speaks no TLS.
    #[error("TLS: {0}")]
    Handshake(#[from] std::io::Error),
    /// It says nothing.
    #[error("TLS: no answer within {PATIENCE:?}")]
    Silent,
    /// The name is no name.
    #[error("TLS: {0:?} is no name of a server")]
    Name(String),
    /// There is nobody to trust.
    #[error("TLS: {0}")]
    Trust(String),
}

/// A connection, encrypted or not.
pub trait Link: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// Speaks TLS with who must be `host`.
pub async fn tls(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Error> {
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| Error::Name(host.to_owned()))?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    let connected = timeout(PATIENCE, connecting).await;
    Ok(connected.map_err(|_| Error::Silent)??)
}

/// TLS with the certificates that this system trusts, which are read once.
pub fn trusted() -> Result<Arc<ClientConfig>, Error> {
    static CLIENT: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this system trusts no certificate (ca-certificates)".to_owned());
        }
        trusting(roots)
    };
    let client = CLIENT.get_or_init(make).clone();
    client.map_err(Error::Trust)
}

/// TLS with those whom one of these vouches for.
pub fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}
