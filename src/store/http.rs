//! How buckets are spoken to: one connection a request, so that none is kept open for the hours
//! between two films, and nothing else than the HTTP and TLS that Quilt has anyway.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Position, Url};

use crate::trust::{self, Link};

/// Connecting may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Who takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(30);
/// A request with its answer may take so long: a part of a film on a line of 250 kbit/s.
const REQUEST: Duration = Duration::from_secs(300);

/// Who answered what to the last request, if it was a refusal: the store, or who gives credentials.
pub type Refusal = Arc<Mutex<Option<(String, StatusCode)>>>;

/// Makes clients, and has them leave word of refusals.
#[derive(Debug, Default)]
pub struct Connector {
    /// Where.
    pub refusal: Refusal,
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Client {
            refusal: self.refusal.clone(),
        }))
    }
}

#[derive(Debug)]
struct Client {
    refusal: Refusal,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("this is no address of a store")]
    Address,
    #[error("cannot connect to {0}: {1}")]
    Connect(String, std::io::Error),
    #[error("{0}: {1}")]
    Tls(String, trust::Error),
    #[error("{0} does not answer")]
    Silent(String),
    #[error("the connection to {0} broke: {1}")]
    Broken(String, hyper::Error),
}

impl From<Trouble> for HttpError {
    fn from(trouble: Trouble) -> Self {
        let kind = match &trouble {
            Trouble::Address => HttpErrorKind::Unknown,
            Trouble::Connect(..) | Trouble::Tls(..) => HttpErrorKind::Connect,
            Trouble::Silent(_) => HttpErrorKind::Timeout,
            Trouble::Broken(..) => HttpErrorKind::Interrupted,
        };
        Self::new(kind, trouble)
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let url: Option<Url> = request.uri().to_string().parse().ok();
        let url = url.filter(Url::has_host).ok_or(Trouble::Address)?;
        // As the signature has it.
        let host = url[Position::BeforeHost..Position::AfterPort].to_owned();
        let answered = timeout(REQUEST, exchange(&url, &host, request)).await;
        let answer = answered.map_err(|_| Trouble::Silent(host.clone()))??;
        let failed = !answer.status().is_success();
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *refusal = failed.then_some((host, answer.status()));
        Ok(answer)
    }
}

async fn exchange(url: &Url, host: &str, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let (mut parts, body) = request.into_parts();
    let value = HeaderValue::from_str(host).map_err(|_| Trouble::Address)?;
    parts.headers.insert(HOST, value);
    // Whoever serves it knows who it is (RFC 9112 section 3.2.1).
    let path = url[Position::BeforePath..Position::AfterQuery].parse();
    parts.uri = path.map_err(|_| Trouble::Address)?;
    let link = TokioIo::new(connect(url, host).await?);
    let broken = |error| Trouble::Broken(host.to_owned(), error);
    let (mut sender, connection) = http1::handshake(link).await.map_err(broken)?;
    // It ends with the answer's body. What goes wrong is said there, too.
    tokio::spawn(connection);
    let request = hyper::Request::from_parts(parts, body);
    let answer = sender.send_request(request).await.map_err(broken)?;
    let host = host.to_owned();
    Ok(answer.map(|body| {
        let broken = move |error| HttpError::from(Trouble::Broken(host.clone(), error));
        HttpResponseBody::new(body.map_err(broken))
    }))
}

async fn connect(url: &Url, host: &str) -> Result<Box<dyn Link>, Trouble> {
    let port = url.port_or_known_default().ok_or(Trouble::Address)?;
    let name = url.host_str().ok_or(Trouble::Address)?;
    let name = name.trim_matches(['[', ']']);
    let refused = |error| Trouble::Connect(host.to_owned(), error);
    let tcp = timeout(PATIENCE, TcpStream::connect((name, port))).await;
    let tcp = tcp.map_err(|_| Trouble::Silent(host.to_owned()))?;
    let tcp = tcp.map_err(refused)?;
    tcp.set_nodelay(true).map_err(refused)?;
    SockRef::from(&tcp)
        .set_tcp_user_timeout(Some(STUCK))
        .map_err(refused)?;
    if url.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    let untrusted = |error| Trouble::Tls(host.to_owned(), error);
    let trusted = trust::trusted().map_err(untrusted)?;
    let tls = trust::tls(tcp, name, trusted).await;
    Ok(Box::new(tls.map_err(untrusted)?))
}

/// Our own words for why there is no answer, if they are in an error's chain.
pub fn words(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(trouble) = error.downcast_ref::<Trouble>() {
            return Some(trouble.to_string());
        }
        next = error.source();
    }
    None
}
