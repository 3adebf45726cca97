//! Requests over HTTP with all that they have: verb, headers, body.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// Every value of a header.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let name = name.to_owned();
        self.head.lines().skip(1).filter_map(move |line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(&name).then_some(value)
        })
    }

    /// The value of a header that has to be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.all(name).next();
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body, which has to be text.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The body, which has to be JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Checks that it is a refusal which says why.
    #[track_caller]
    pub fn refused(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(!detail.is_empty(), "{self:?}");
    }
}

/// Asks on a connection of its own.
pub async fn ask(
    server: SocketAddr,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    let body = body.as_ref();
    let mut stream = TcpStream::connect(server).await.expect("to connect");
    let more: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n{more}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    // A server that has heard enough may close before all is written.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _ = read.await.expect("an answer in time");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let body = answer.split_off(end.expect("a head") + 4);
    let head = String::from_utf8(answer).expect("text");
    let status = head.split(' ').nth(1).expect("a status");
    Answer {
        status: status.parse().expect("a number"),
        head: head.trim_end().to_owned(),
        body,
    }
}

/// Asks with JSON, and reads the status and the JSON that has to come back (null for 204).
pub async fn ask_json(
    server: SocketAddr,
    verb: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Value) {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let answer = ask(server, verb, path, &headers, body).await;
    let read = match answer.status {
        204 => Value::Null,
        _ => answer.json(),
    };
    (answer.status, read)
}
