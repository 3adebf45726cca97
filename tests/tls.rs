//! HTTPS: clients that trust the certificate get everything over TLS, the WebSocket too.

mod common;

use std::path::PathBuf;
use std::sync::Arc;

use common::{Server, settings};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// A data folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("quilt-tls-{:x}", rand::random::<u64>());
        Self(std::env::temp_dir().join(name))
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Settings that make a certificate here.
    fn self_signed(&self) -> String {
        format!("tls = \"self-signed\"\ndata-dir = {:?}", self.0)
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.0.join("self-signed.crt")).expect("a certificate")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Connects as a client that trusts this certificate and nothing else.
async fn connect(
    server: &Server,
    trusted: Option<CertificateDer<'static>>,
    name: &str,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("known versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.http).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
}

async fn healthz(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> String {
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("to send");
    let mut answer = Vec::new();
    // The end may come without a close_notify.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

#[tokio::test]
async fn a_client_that_trusts_the_self_signed_certificate_gets_in() {
    let folder = Folder::new();
    let server = Server::start(&folder.self_signed()).await;
    for name in ["localhost", "127.0.0.1", "::1"] {
        for version in rustls::ALL_VERSIONS {
            let stream = connect(&server, Some(folder.certificate()), name, &[version]).await;
            let answer = healthz(stream.expect("a handshake")).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(!answer.contains("strict-transport-security"), "{answer}");
        }
    }
    let versions = rustls::ALL_VERSIONS;
    let stranger = connect(
        &server,
        Some(folder.certificate()),
        "evil.example",
        versions,
    )
    .await;
    assert!(stranger.is_err(), "it is not for every name");
    assert!(connect(&server, None, "localhost", versions).await.is_err());
    // Programs on this machine, health checks among them, need not know the certificate.
    let plain = TcpStream::connect(server.http).await.expect("a connection");
    assert!(healthz(plain).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_websocket_is_secure_too() {
    let folder = Folder::new();
    let server = Server::start(&folder.self_signed()).await;
    let versions = rustls::ALL_VERSIONS;
    let stream = connect(&server, Some(folder.certificate()), "localhost", versions).await;
    let mut request = format!("wss://localhost:{}/api/rooms/a/ws", server.http.port())
        .into_client_request()
        .expect("a request");
    let origin = format!("https://localhost:{}", server.http.port());
    request
        .headers_mut()
        .insert("origin", origin.parse().expect("a header"));
    let stream = stream.expect("a handshake");
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .expect("a WebSocket");
    let join = json!({"id": 1, "type": "join", "name": "Ann"}).to_string();
    socket
        .send(Message::Text(join.into()))
        .await
        .expect("to send");
    let joined = loop {
        let frame = socket.next().await.expect("a frame").expect("no error");
        if let Message::Text(text) = frame {
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == 1 {
                break message;
            }
        }
    };
    assert_eq!(joined["type"], "ack", "{joined}");
    let ended = tokio::spawn(server.stop());
    let mut heard = String::new();
    while let Some(Ok(frame)) = socket.next().await {
        heard.push_str(frame.to_text().unwrap_or_default());
    }
    assert!(heard.contains("\"bye\""), "{heard}");
    ended.await.expect("to end");
}

#[tokio::test]
async fn the_certificate_outlives_the_server_and_serves_from_files_too() {
    let folder = Folder::new();
    Server::start(&folder.self_signed()).await.stop().await;
    let first = folder.certificate();
    Server::start(&folder.self_signed()).await.stop().await;
    assert_eq!(folder.certificate(), first);

    let (cert, key) = (
        folder.file("self-signed.crt"),
        folder.file("self-signed.key"),
    );
    let server = Server::start(&format!("tls-cert = {cert:?}\ntls-key = {key:?}")).await;
    let stream = connect(&server, Some(first), "localhost", rustls::ALL_VERSIONS).await;
    let answer = healthz(stream.expect("a handshake")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said_with_the_setting() {
    let (one, other) = (Folder::new(), Folder::new());
    Server::start(&one.self_signed()).await.stop().await;
    Server::start(&other.self_signed()).await.stop().await;
    let refused = async |cert: String, key: String| {
        let extra = format!("tls-cert = {cert:?}\ntls-key = {key:?}");
        let server = quilt::Server::bind(settings(&extra)).await;
        format!("{:#}", server.err().expect("refused"))
    };
    let (cert, key) = (one.file("self-signed.crt"), one.file("self-signed.key"));
    let said = refused(one.file("nothing"), key.clone()).await;
    assert!(said.starts_with("tls-cert: cannot read "), "{said}");
    let said = refused(cert.clone(), one.file("nothing")).await;
    assert!(said.starts_with("tls-key: cannot read "), "{said}");
    let said = refused(key.clone(), key).await;
    assert!(
        said.starts_with("tls-cert: no PEM certificate in "),
        "{said}"
    );
    let said = refused(cert.clone(), cert.clone()).await;
    assert!(
        said.starts_with("tls-key: no PEM private key in "),
        "{said}"
    );
    let said = refused(cert, other.file("self-signed.key")).await;
    assert!(said.starts_with("tls-cert and tls-key: "), "{said}");
}
