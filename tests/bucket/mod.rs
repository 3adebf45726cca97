//! A small store that speaks like S3: it checks that requests are signed and bodies are what was
//! signed, and says no as often as it is told to.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const KEY: &str = "AKIAQUILTTEST";
pub const SECRET: &str = "quilt-test-secret-that-nobody-may-see";

/// What came.
#[derive(Debug, Clone)]
pub struct Request {
    pub verb: String,
    /// With its query.
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug, Default)]
struct Inside {
    requests: Vec<Request>,
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<u32, Vec<u8>>,
    refusals: VecDeque<(u16, &'static str)>,
}

/// The store. It ends with the test's runtime.
#[derive(Debug, Clone)]
pub struct Bucket {
    pub address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Bucket {
    pub async fn open() -> Self {
        Self::with(None).await
    }

    /// The same over TLS, as `localhost`.
    pub async fn encrypted(acceptor: TlsAcceptor) -> Self {
        Self::with(Some(acceptor)).await
    }

    async fn with(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let bucket = Self {
            address: listener.local_addr().expect("an address"),
            inside: Arc::default(),
        };
        let inside = bucket.inside.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inside) = (acceptor.clone(), inside.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, inside).await,
                        Some(acceptor) => {
                            // An error: who came does not trust us.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, inside).await;
                            }
                        }
                    }
                });
            }
        });
        bucket
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next so many requests are refused so.
    pub fn refuse(&self, times: usize, status: u16, code: &'static str) {
        let mut inside = self.inside.lock().expect("no panic");
        inside.refusals.extend(vec![(status, code); times]);
    }

    pub fn object(&self, path: &str) -> Option<Vec<u8>> {
        let inside = self.inside.lock().expect("no panic");
        inside.objects.get(path).cloned()
    }

    pub fn objects(&self) -> Vec<String> {
        let inside = self.inside.lock().expect("no panic");
        inside.objects.keys().cloned().collect()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.inside.lock().expect("no panic").requests.clone()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, inside: Arc<Mutex<Inside>>) {
    while let Some(request) = read(&mut stream).await {
        let answer = answer(&request, &mut inside.lock().expect("no panic"));
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
    let mut lines = head.split("\r\n");
    let mut first = lines.next().expect("a line").split(' ');
    let (verb, path) = (first.next(), first.next());
    let pairs = lines.filter_map(|line| line.split_once(": "));
    let headers = pairs.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<_, _> = headers.collect();
    let length = headers.get("content-length");
    let length = length.map_or(0, |length| length.parse().expect("a number"));
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Request {
        verb: verb.expect("a verb").to_owned(),
        path: path.expect("a path").to_owned(),
        headers,
        body,
    })
}

fn answer(request: &Request, inside: &mut Inside) -> String {
    inside.requests.push(request.clone());
    if let Some((status, code)) = inside.refusals.pop_front() {
        // As S3 does, with more in it than anybody should repeat.
        let text =
            format!("<Error><Code>{code}</Code><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>");
        return say(status, "", &text);
    }
    let said = |name: &str| request.headers.get(name).map_or("", String::as_str);
    let signed = said("authorization");
    let credential = format!("AWS4-HMAC-SHA256 Credential={KEY}/");
    let hash: String = {
        let hash = Sha256::digest(&request.body);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let whole = signed.starts_with(&credential)
        && signed.contains("Signature=")
        && signed.contains("SignedHeaders=")
        && signed.contains("host;")
        && said("x-amz-content-sha256") == hash
        && !said("host").is_empty();
    if !whole {
        return say(403, "", "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    match (request.verb.as_str(), query.get("partNumber")) {
        ("PUT", None) => {
            inside.objects.insert(path.to_owned(), request.body.clone());
            say(200, "ETag: \"whole\"\r\n", "")
        }
        ("PUT", Some(number)) => {
            let number = number.parse().expect("a number");
            inside.parts.insert(number, request.body.clone());
            say(200, &format!("ETag: \"part{number}\"\r\n"), "")
        }
        ("POST", _) if query.contains_key("uploads") => say(
            200,
            "",
            "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>",
        ),
        ("POST", _) if query.contains_key("uploadId") => {
            let parts = std::mem::take(&mut inside.parts);
            let whole = parts.into_values().flatten().collect();
            inside.objects.insert(path.to_owned(), whole);
            say(
                200,
                "",
                "<CompleteMultipartUploadResult><ETag>\"all\"</ETag></CompleteMultipartUploadResult>",
            )
        }
        ("DELETE", _) => {
            inside.parts.clear();
            say(204, "", "")
        }
        _ => say(405, "", "<Error><Code>MethodNotAllowed</Code></Error>"),
    }
}

fn say(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}
