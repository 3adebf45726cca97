//! A server of its own for each test, on ports of its own, and a raw WebSocket to it.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod http;
pub mod program;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use quilt::config::{Settings, Written};
use quilt::media::Quality;
use quilt::signalling::Command;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Nothing in a test may take longer than this; waiting is always for an event.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A running server; dropping it stops it.
pub struct Server {
    pub http: SocketAddr,
    pub rtc: SocketAddr,
    pub stats: Arc<quilt::stats::Stats>,
    pub rooms: Arc<quilt::room::registry::Registry>,
    stop: mpsc::Sender<()>,
    task: JoinHandle<anyhow::Result<()>>,
}

/// Settings on free loopback ports, as a file would give them, plus `extra` lines of TOML.
pub fn settings(extra: &str) -> Settings {
    let budget = match extra.contains("cpu-budget") {
        true => "",
        // Whether a small machine has room for the meeting is a question of its own.
        false => "cpu-budget = 64.0",
    };
    let any = "\"127.0.0.1:0\"";
    let text = format!("listen = {any}\nrtc-listen = {any}\n{budget}\n{extra}");
    let written: Written = toml::from_str(&text).expect("test settings");
    written.settle().expect("test settings")
}

/// What somebody says to join who only watches.
pub fn watch() -> Command {
    Command::Join {
        name: None,
        view: true,
        codec: None,
        token: None,
        audio: true,
        video: true,
        portrait: false,
        session: None,
        overlay: false,
        direct: false,
        quality: Quality::Auto,
    }
}

impl Server {
    pub async fn start(extra: &str) -> Self {
        let server = quilt::Server::bind(settings(extra)).await.expect("to bind");
        let (http, rtc, stats) = (server.http(), server.rtc(), server.stats());
        let rooms = server.rooms();
        let (stop, stopped) = mpsc::channel(2);
        let task = tokio::spawn(server.run(stopped));
        Self {
            http,
            rtc,
            stats,
            rooms,
            stop,
            task,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// What a signal does: the first begins the end, the second hastens it.
    pub async fn signal(&self) {
        self.stop.send(()).await.expect("it runs");
    }

    /// Waits until it has ended.
    pub async fn ended(self) {
        let ended = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("to end");
        ended.expect("no panic").expect("no error");
    }

    /// Stops it at once and waits until it has ended.
    pub async fn stop(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        let ended = tokio::time::timeout(PATIENCE, task).await.expect("to end");
        ended.expect("no panic").expect("no error");
    }

    /// Asks over HTTP, with a bearer token or without: the status and the body.
    pub async fn request(&self, verb: &str, path: &str, token: Option<&str>) -> (String, String) {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|b| ("Authorization", b.as_str()))
            .collect();
        let answer = http::ask(self.http, verb, path, &headers, "").await;
        (answer.status.to_string(), answer.text().to_owned())
    }

    pub async fn socket(&self, room: &str) -> Socket {
        let url = format!("ws://{}/api/rooms/{room}/ws", self.http);
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("a socket");
        let (sink, mut stream) = socket.split();
        let (heard, messages) = mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let ends = matches!(message, Message::Close(_));
                if heard.send(message).is_err() || ends {
                    return;
                }
            }
        });
        Socket {
            sink,
            messages,
            reading,
        }
    }

    /// The value of a metric, by its name and labels as written in the text.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.stats.render();
        let line = text.lines().find(|l| l.starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("no metric {name} in\n{text}"));
        line.rsplit(' ')
            .next()
            .and_then(|v| v.parse().ok())
            .expect("a number")
    }

    /// How much of something was dropped.
    pub fn dropped(&self, queue: &str) -> f64 {
        let text = self.stats.render();
        let name = format!("quilt_dropped_total{{queue=\"{queue}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.map_or(0.0, |count| count.parse().expect("a number"))
    }

    /// Waits until a metric has a value.
    pub async fn metric_becomes(&self, name: &str, value: f64) {
        let reached = async {
            while self.metric(name) != value {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{name} is {} and not {value}", self.metric(name));
        }
    }
}

/// A WebSocket that sends any text and reads JSON. Pings are answered however long nobody reads.
pub struct Socket {
    sink: SplitSink<WebSocketStream<MaybeTlsStream<TcpStream>>, Message>,
    messages: mpsc::UnboundedReceiver<Message>,
    reading: JoinHandle<()>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

impl Socket {
    pub async fn send(&mut self, text: impl Into<String>) {
        let text: String = text.into();
        self.send_frame(Message::Text(text.into())).await;
    }

    pub async fn send_frame(&mut self, frame: Message) {
        self.sink.send(frame).await.expect("to send");
    }

    /// The next message; none when the socket was closed.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.messages.recv());
            if let Message::Text(text) = frame.await.expect("a message in time")? {
                return Some(serde_json::from_str(&text).expect("JSON"));
            }
        }
    }

    /// The next message of a type; others are skipped.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            let message = message.unwrap_or_else(|| panic!("closed while waiting for {kind}"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Sends a command and reads its acknowledgement or error.
    pub async fn ask(&mut self, command: Value) -> Value {
        let id = command["id"].clone();
        self.send(command.to_string()).await;
        loop {
            let answer = self.next().await.expect("an answer");
            if answer["id"] == id {
                return answer;
            }
        }
    }

    pub async fn leave(&mut self) {
        let answer = self.ask(serde_json::json!({"id": 2, "type": "leave"}));
        assert_eq!(answer.await["type"], "ack");
    }

    pub async fn join(&mut self, name: &str) -> Value {
        let joined = self
            .ask(serde_json::json!({"id": 1, "type": "join", "name": name}))
            .await;
        assert_eq!(joined["type"], "ack", "{joined}");
        joined
    }
}
