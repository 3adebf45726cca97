//! A connection that publishes: handshake, commands, and then pictures and sound.

use bytes::{Buf, Bytes, BytesMut};

use super::amf::Value;
use super::chunk::{self, Message, Reader, kind};

/// Bytes of each part of the handshake but its version (section 5.2).
const HANDSHAKE: usize = 1536;
/// Chunk streams by what we say on them.
const CONTROL: u8 = 2;
const COMMANDS: u8 = 3;
const DATA: u8 = 5;
const PICTURES: u8 = 6;
const SOUND: u8 = 4;
/// Numbers of the commands that are answered.
const CONNECT: f64 = 1.0;
const CREATE: f64 = 4.0;

/// Where a stream is to go.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// `rtmp://host/app`, as the server knows itself.
    pub url: String,
    /// The application.
    pub app: String,
    /// The stream's name, which whoever knows it may publish as: a secret.
    pub key: String,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.url)
    }
}

/// Why a connection is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No RTMP server.
    #[error("the server answers no RTMP")]
    Handshake,
    /// Its messages.
    #[error(transparent)]
    Chunk(#[from] chunk::Error),
    /// It does not want the stream; in its words.
    #[error("the server refuses the stream: {0}")]
    Refused(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    Connecting,
    Creating,
    Publishing,
    Live,
}

/// See the [module](self).
#[derive(Debug)]
pub struct Publisher {
    target: Target,
    stage: Stage,
    /// Of the handshake.
    early: BytesMut,
    reader: Reader,
    out: Vec<u8>,
    /// The message stream that was created.
    stream: u32,
    /// Bytes after which the server wants to know that they came.
    window: Option<u32>,
    received: u32,
    acknowledged: u32,
}

impl Publisher {
    /// Begins the handshake; `random` fills it.
    pub fn new(target: Target, random: &[u8; HANDSHAKE - 8]) -> Self {
        // Version 3, time 0, zero: the plain handshake.
        let mut out = vec![3, 0, 0, 0, 0, 0, 0, 0, 0];
        out.extend(random);
        Self {
            target,
            stage: Stage::Handshake,
            early: BytesMut::new(),
            reader: Reader::default(),
            out,
            stream: 0,
            window: None,
            received: 0,
            acknowledged: 0,
        }
    }

    /// Whether pictures and sound may be sent.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// What is to be sent.
    pub fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// What came from the server.
    pub fn input(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.received = self.received.wrapping_add(bytes.len() as u32);
        match self.stage {
            Stage::Handshake => {
                self.early.extend_from_slice(bytes);
                if self.early.first().is_some_and(|version| *version != 3) {
                    return Err(Error::Handshake);
                }
                if self.early.len() < 1 + 2 * HANDSHAKE {
                    return Ok(());
                }
                let mut early = std::mem::take(&mut self.early).freeze();
                early.advance(1);
                self.out.extend(&early.split_to(HANDSHAKE));
                early.advance(HANDSHAKE);
                self.reader.push(&early);
                self.connect();
            }
            _ => self.reader.push(bytes),
        }
        while let Some(message) = self.reader.next_message()? {
            self.message(&message)?;
        }
        if let Some(window) = self.window
            && self.received.wrapping_sub(self.acknowledged) >= window
        {
            self.acknowledged = self.received;
            let body = self.received.to_be_bytes();
            self.control(kind::ACKNOWLEDGEMENT, &body);
        }
        Ok(())
    }

    /// Says what the stream is like; once, before all else.
    pub fn metadata(&mut self, values: Vec<(String, Value)>) {
        let values = [
            Value::text("@setDataFrame"),
            Value::text("onMetaData"),
            Value::Object(values),
        ];
        self.send(DATA, kind::DATA, 0, amf(&values));
    }

    /// A picture or its header, `timestamp` in milliseconds.
    pub fn video(&mut self, timestamp: u32, body: Bytes) {
        self.send(PICTURES, kind::VIDEO, timestamp, body);
    }

    /// Sound or its header.
    pub fn audio(&mut self, timestamp: u32, body: Bytes) {
        self.send(SOUND, kind::AUDIO, timestamp, body);
    }

    fn connect(&mut self) {
        self.stage = Stage::Connecting;
        self.control(kind::CHUNK_SIZE, &chunk::SIZE.to_be_bytes());
        let properties = [
            ("app", Value::text(self.target.app.clone())),
            ("type", Value::text("nonprivate")),
            ("flashVer", Value::text("FMLE/3.0 (compatible; Quilt)")),
            ("tcUrl", Value::text(self.target.url.clone())),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value));
        self.command("connect", CONNECT, &[Value::Object(properties.into())]);
    }

    fn message(&mut self, message: &Message) -> Result<(), Error> {
        let number = message.body.first_chunk().map(|n| u32::from_be_bytes(*n));
        match (message.kind, number) {
            (kind::CHUNK_SIZE, Some(size)) => self.reader.set_size(size),
            (kind::WINDOW, Some(window)) => self.window = Some(window.max(1)),
            (kind::PEER_BANDWIDTH, Some(window)) => {
                self.control(kind::WINDOW, &window.to_be_bytes());
            }
            // A ping is to be answered with what it says.
            (kind::USER_CONTROL, _) if message.body.starts_with(&[0, 6]) => {
                let pong = [&[0, 7], &message.body[2..]].concat();
                self.control(kind::USER_CONTROL, &pong);
            }
            (kind::COMMAND, _) => {
                let values = Value::read_all(&message.body).unwrap_or_default();
                self.answer(&values)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, values: &[Value]) -> Result<(), Error> {
        let [Value::String(name), Value::Number(number), rest @ ..] = values else {
            return Ok(());
        };
        match (self.stage, name.as_str()) {
            (Stage::Connecting, "_result") if *number == CONNECT => {
                self.stage = Stage::Creating;
                let key = Value::text(self.target.key.clone());
                // Some servers want the first two; none minds them.
                let named = [Value::Null, key];
                self.command("releaseStream", 2.0, &named);
                self.command("FCPublish", 3.0, &named);
                self.command("createStream", CREATE, &[Value::Null]);
            }
            (Stage::Creating, "_result") if *number == CREATE => {
                if let Some(Value::Number(stream)) = rest.get(1) {
                    self.stream = *stream as u32;
                }
                self.stage = Stage::Publishing;
                let key = Value::text(self.target.key.clone());
                let values = [
                    Value::text("publish"),
                    Value::Number(5.0),
                    Value::Null,
                    key,
                    Value::text("live"),
                ];
                self.send(SOUND, kind::COMMAND, 0, amf(&values));
            }
            // Of what some servers do not know.
            (Stage::Creating, "_error") if *number != CREATE => {}
            (_, "_error" | "close") => return Err(Error::Refused(reason(rest))),
            (_, "onStatus") => {
                let text = |name| rest.get(1).and_then(|v| v.get(name)?.as_text());
                let code = text("code").unwrap_or_default();
                if text("level") == Some("error") || code == "NetStream.Unpublish.Success" {
                    return Err(Error::Refused(reason(rest)));
                }
                if code == "NetStream.Publish.Start" {
                    self.stage = Stage::Live;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn command(&mut self, name: &str, number: f64, more: &[Value]) {
        let begin = [Value::text(name), Value::Number(number)];
        let message = Message {
            kind: kind::COMMAND,
            body: amf(&[&begin, more].concat()),
            ..Message::default()
        };
        chunk::write(&mut self.out, COMMANDS, chunk::SIZE, &message);
    }

    fn control(&mut self, kind: u8, body: &[u8]) {
        let message = Message {
            kind,
            body: Bytes::copy_from_slice(body),
            ..Message::default()
        };
        chunk::write(&mut self.out, CONTROL, chunk::SIZE, &message);
    }

    fn send(&mut self, chunk_stream: u8, kind: u8, timestamp: u32, body: Bytes) {
        let message = Message {
            kind,
            stream: self.stream,
            timestamp,
            body,
        };
        chunk::write(&mut self.out, chunk_stream, chunk::SIZE, &message);
    }
}

fn amf(values: &[Value]) -> Bytes {
    let mut body = Vec::new();
    values.iter().for_each(|value| value.write(&mut body));
    body.into()
}

/// What a server says of why not: its code and words, cut. It never repeats a secret of ours that
/// it was not told, but it was told the key: that is cut out by whoever shows this.
fn reason(values: &[Value]) -> String {
    let text = |name| values.iter().find_map(|v| v.get(name)?.as_text());
    let both = [text("code"), text("description")];
    let words: Vec<_> = both.into_iter().flatten().collect();
    let words = match words.is_empty() {
        true => "it does not say why".to_owned(),
        false => words.join(": "),
    };
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says yes, written from the specification.
    struct Server {
        reader: Reader,
        heard: Vec<Message>,
        shaken: bool,
    }

    impl Server {
        fn new() -> Self {
            Self {
                reader: Reader::default(),
                heard: Vec::new(),
                shaken: false,
            }
        }

        /// Takes what the publisher sent, and answers as `answers` has it.
        fn take(&mut self, publisher: &mut Publisher, answers: &[(&str, Vec<Value>)]) {
            let sent = publisher.output();
            if !self.shaken {
                assert_eq!((sent.len(), sent[0]), (1 + HANDSHAKE, 3));
                self.shaken = true;
                let mut answer = vec![3];
                answer.extend([7; HANDSHAKE]);
                answer.extend(&sent[1..]);
                // In two pieces.
                publisher.input(&answer[..2000]).unwrap();
                publisher.input(&answer[2000..]).unwrap();
                let sent = publisher.output();
                assert_eq!(sent[..HANDSHAKE], [7; HANDSHAKE], "C2 is S1");
                self.reader.push(&sent[HANDSHAKE..]);
            } else {
                self.reader.push(&sent);
            }
            while let Some(message) = self.reader.next_message().unwrap() {
                if message.kind == kind::CHUNK_SIZE {
                    self.reader.set_size(chunk::SIZE);
                }
                let values = Value::read_all(&message.body).unwrap_or_default();
                self.heard.push(message);
                let name = values.first().and_then(Value::as_text);
                let answer = answers.iter().find(|(to, _)| Some(*to) == name);
                if let Some((_, answer)) = answer {
                    publisher.input(&said(answer)).unwrap();
                }
            }
        }
    }

    fn said(values: &[Value]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let message = Message {
            kind: kind::COMMAND,
            body: amf(values),
            ..Message::default()
        };
        chunk::write(&mut bytes, 3, 128, &message);
        bytes
    }

    fn result(number: f64, of: Value) -> Vec<Value> {
        vec![
            Value::text("_result"),
            Value::Number(number),
            Value::Null,
            of,
        ]
    }

    fn status(level: &str, code: &str) -> Vec<Value> {
        let info = [("level", level), ("code", code)];
        let info = info.map(|(name, text)| (name.to_owned(), Value::text(text)));
        vec![
            Value::text("onStatus"),
            Value::Number(0.0),
            Value::Null,
            Value::Object(info.into()),
        ]
    }

    fn target() -> Target {
        Target {
            url: "rtmp://live.example/app".into(),
            app: "app".into(),
            key: "secret".into(),
        }
    }

    fn live() -> (Publisher, Server) {
        let mut publisher = Publisher::new(target(), &[1; HANDSHAKE - 8]);
        let mut server = Server::new();
        let answers = [
            ("connect", result(1.0, Value::Null)),
            ("createStream", result(4.0, Value::Number(9.0))),
            ("publish", status("status", "NetStream.Publish.Start")),
        ];
        for _ in 0..4 {
            server.take(&mut publisher, &answers);
        }
        assert!(publisher.is_live());
        (publisher, server)
    }

    #[test]
    fn a_stream_is_published_as_the_specification_has_it() {
        let (mut publisher, mut server) = live();
        let names = server.heard.iter().filter_map(|message| {
            let values = Value::read_all(&message.body)?;
            values.first()?.as_text().map(str::to_owned)
        });
        let names: Vec<String> = names.collect();
        let expected = [
            "connect",
            "releaseStream",
            "FCPublish",
            "createStream",
            "publish",
        ];
        assert_eq!(names, expected);
        publisher.video(40, Bytes::from(vec![5; 10_000]));
        server.take(&mut publisher, &[]);
        let last = server.heard.last().unwrap();
        assert_eq!(
            (last.kind, last.stream, last.timestamp),
            (kind::VIDEO, 9, 40)
        );
        assert_eq!(last.body, vec![5; 10_000]);
    }

    #[test]
    fn pings_are_answered_and_bytes_acknowledged() {
        let (mut publisher, mut server) = live();
        for (kind, body) in [
            (kind::WINDOW, &[0, 0, 0, 50][..]),
            (kind::USER_CONTROL, &[0, 6, 1, 2, 3, 4]),
            (kind::PEER_BANDWIDTH, &[0, 0, 1, 0, 2]),
        ] {
            let mut bytes = Vec::new();
            let body = Bytes::from_static(body);
            let message = Message {
                kind,
                body,
                ..Message::default()
            };
            chunk::write(&mut bytes, 2, 128, &message);
            publisher.input(&bytes).unwrap();
        }
        server.take(&mut publisher, &[]);
        let heard = |kind| server.heard.iter().rfind(|m| m.kind == kind).unwrap();
        assert_eq!(heard(kind::USER_CONTROL).body[..], [0, 7, 1, 2, 3, 4]);
        assert_eq!(heard(kind::WINDOW).body[..], [0, 0, 1, 0]);
        assert!(heard(kind::ACKNOWLEDGEMENT).body.len() == 4);
    }

    #[test]
    fn a_refusal_says_why_and_never_the_key() {
        let mut publisher = Publisher::new(target(), &[1; HANDSHAKE - 8]);
        let mut server = Server::new();
        server.take(&mut publisher, &[]);
        let refused = publisher.input(&said(&status("error", "NetStream.Publish.BadName")));
        let error = refused.unwrap_err().to_string();
        assert_eq!(
            error,
            "the server refuses the stream: NetStream.Publish.BadName"
        );
        assert!(!format!("{publisher:?}").contains("secret"));
        let mut web = Publisher::new(target(), &[1; HANDSHAKE - 8]);
        assert_eq!(web.input(b"HTTP/1.1 400"), Err(Error::Handshake));
    }
}
