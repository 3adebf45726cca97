//! Messages in chunks (section 5.3 of the specification), both ways.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Bytes of a message that a chunk carries, until another size is agreed on.
const FIRST_SIZE: usize = 128;
/// What we send: a picture in a few chunks.
pub const SIZE: u32 = 4096;
/// The largest message that is read; servers say little.
const LARGEST: usize = 64 * 1024;
/// Chunk streams that a server may use.
const STREAMS: usize = 64;
/// Timestamps from here on are written after the header.
const EXTENDED: u32 = 0xff_ffff;

/// Message types (sections 5.4 and 7.1).
pub mod kind {
    #![allow(missing_docs, reason = "the words of the specification")]
    pub const CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW: u8 = 5;
    pub const PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA: u8 = 18;
    pub const COMMAND: u8 = 20;
}

/// A whole message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// One of [`kind`].
    pub kind: u8,
    /// The message stream it belongs to; 0: the connection.
    pub stream: u32,
    /// Milliseconds.
    pub timestamp: u32,
    /// What it says.
    pub body: Bytes,
}

/// What comes is no RTMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than anything we asked for needs.
    #[error("the server sends a message of {0} bytes")]
    TooLarge(usize),
    /// Without end.
    #[error("the server uses too many chunk streams")]
    TooMany,
    /// Continues what never began, or such.
    #[error("the server's chunks make no sense")]
    Broken,
}

/// Writes a message on a chunk stream (2 to 63), in chunks of `size`.
pub fn write(out: &mut Vec<u8>, chunk_stream: u8, size: u32, message: &Message) {
    let Message {
        kind,
        stream,
        timestamp,
        ref body,
    } = *message;
    let extended = timestamp >= EXTENDED;
    out.push(chunk_stream & 63);
    out.extend(&timestamp.min(EXTENDED).to_be_bytes()[1..]);
    out.extend(&(body.len() as u32).to_be_bytes()[1..]);
    out.push(kind);
    out.extend(stream.to_le_bytes());
    let mut pieces = body.chunks(size.max(1) as usize);
    let mut piece = pieces.next().unwrap_or_default();
    loop {
        if extended {
            out.extend(timestamp.to_be_bytes());
        }
        out.extend(piece);
        match pieces.next() {
            Some(next) => piece = next,
            None => return,
        }
        // Goes on where the one before ended.
        out.push(0xc0 | chunk_stream & 63);
    }
}

/// Puts messages together again.
#[derive(Debug)]
pub struct Reader {
    size: usize,
    bytes: Vec<u8>,
    streams: BTreeMap<u32, Stream>,
}

#[derive(Debug, Default, Clone)]
struct Stream {
    /// Of the message that comes or came last.
    kind: u8,
    stream: u32,
    timestamp: u32,
    delta: u32,
    length: usize,
    extended: bool,
    body: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            size: FIRST_SIZE,
            bytes: Vec::new(),
            streams: BTreeMap::new(),
        }
    }
}

impl Reader {
    /// From now on chunks carry so many bytes.
    pub fn set_size(&mut self, size: u32) {
        self.size = (size & 0x7fff_ffff).max(1) as usize;
    }

    /// More bytes came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub fn next_message(&mut self) -> Result<Option<Message>, Error> {
        loop {
            match self.chunk()? {
                None => return Ok(None),
                Some(Some(message)) => return Ok(Some(message)),
                Some(None) => {}
            }
        }
    }

    /// Reads one chunk, if it is there, and answers the message that it completes.
    fn chunk(&mut self) -> Result<Option<Option<Message>>, Error> {
        let mut rest = &self.bytes[..];
        let Some(head) = Head::read(&mut rest) else {
            return Ok(None);
        };
        if self.streams.len() >= STREAMS && !self.streams.contains_key(&head.chunk_stream) {
            return Err(Error::TooMany);
        }
        let known = self.streams.get(&head.chunk_stream);
        let mut stream = match (known, head.format) {
            (Some(stream), _) => stream.clone(),
            (None, 0) => Stream::default(),
            (None, _) => return Err(Error::Broken),
        };
        if let Some(field) = head.timestamp {
            stream.extended = field == EXTENDED;
        }
        let mut time = head.timestamp;
        if stream.extended {
            let Some((read, after)) = rest.split_first_chunk() else {
                return Ok(None);
            };
            (time, rest) = (Some(u32::from_be_bytes(*read)), after);
        }
        if let Some((length, kind)) = head.message {
            (stream.length, stream.kind) = (length, kind);
        }
        if let Some(id) = head.stream {
            stream.stream = id;
        }
        if stream.length > LARGEST {
            return Err(Error::TooLarge(stream.length));
        }
        if stream.body.is_empty() {
            // A message begins.
            match (head.format, time) {
                (0, Some(time)) => (stream.timestamp, stream.delta) = (time, 0),
                (1 | 2, Some(delta)) => {
                    stream.delta = delta;
                    stream.timestamp = stream.timestamp.wrapping_add(delta);
                }
                _ => stream.timestamp = stream.timestamp.wrapping_add(stream.delta),
            }
        } else if head.format != 3 {
            return Err(Error::Broken);
        }
        let length = (stream.length - stream.body.len()).min(self.size);
        let Some((piece, after)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        stream.body.extend_from_slice(piece);
        let read = self.bytes.len() - after.len();
        let whole = stream.body.len() == stream.length;
        let message = whole.then(|| Message {
            kind: stream.kind,
            stream: stream.stream,
            timestamp: stream.timestamp,
            body: std::mem::take(&mut stream.body).into(),
        });
        self.streams.insert(head.chunk_stream, stream);
        self.bytes.drain(..read);
        Ok(Some(message))
    }
}

/// What stands before a chunk.
struct Head {
    format: u8,
    chunk_stream: u32,
    timestamp: Option<u32>,
    /// Length and type.
    message: Option<(usize, u8)>,
    stream: Option<u32>,
}

impl Head {
    /// None if there is not all of it.
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let mut take = |count: usize| {
            let (taken, after) = rest.split_at_checked(count)?;
            *rest = after;
            Some(taken)
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b));
        let first = take(1)?[0];
        let chunk_stream = match first & 63 {
            0 => 64 + u32::from(take(1)?[0]),
            1 => {
                let two = take(2)?;
                64 + u32::from(two[0]) + 256 * u32::from(two[1])
            }
            id => id.into(),
        };
        let format = first >> 6;
        let mut head = Self {
            format,
            chunk_stream,
            timestamp: None,
            message: None,
            stream: None,
        };
        if format < 3 {
            head.timestamp = Some(number(take(3)?));
        }
        if format < 2 {
            let length = number(take(3)?) as usize;
            head.message = Some((length, take(1)?[0]));
        }
        if format == 0 {
            head.stream = Some(u32::from_le_bytes(*take(4)?.first_chunk()?));
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize, timestamp: u32) -> Message {
        Message {
            kind: kind::VIDEO,
            stream: 1,
            timestamp,
            body: (0..length).map(|n| n as u8).collect(),
        }
    }

    #[test]
    fn messages_come_back_however_they_are_cut() {
        let messages = [
            message(1, 0),
            message(0, 5),
            message(300, 0x1234_5678),
            message(128, 40),
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            write(&mut bytes, 6, 128, message);
        }
        for step in [1, 7, 1000] {
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(step) {
                reader.push(piece);
                while let Some(message) = reader.next_message().unwrap() {
                    read.push(message);
                }
            }
            assert_eq!(read, messages, "in steps of {step}");
        }
    }

    #[test]
    fn short_headers_mean_what_was_said_before() {
        let mut reader = Reader::default();
        reader.push(&[3, 0, 0, 10, 0, 0, 1, 20, 1, 0, 0, 0, b'a']);
        reader.push(&[0x43, 0, 0, 5, 0, 0, 2, 18, b'b', b'c']);
        reader.push(&[0x83, 0, 0, 7, b'd', b'e', 0xc3, b'f', b'g']);
        let mut read = Vec::new();
        while let Some(message) = reader.next_message().unwrap() {
            read.push((message.kind, message.timestamp, message.body));
        }
        let body = |text: &'static str| Bytes::from_static(text.as_bytes());
        let expected = [
            (20, 10, body("a")),
            (18, 15, body("bc")),
            (18, 22, body("de")),
            (18, 29, body("fg")),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn floods_and_nonsense_are_errors() {
        let mut reader = Reader::default();
        reader.push(&[0xc3, 1]);
        assert_eq!(reader.next_message(), Err(Error::Broken));
        let mut reader = Reader::default();
        reader.push(&[3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0]);
        assert_eq!(reader.next_message(), Err(Error::TooLarge(0xff_ffff)));
        let mut reader = Reader::default();
        for id in 0..=64 {
            reader.push(&[0, id, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0]);
        }
        assert_eq!(
            (0..100).find_map(|_| reader.next_message().err()),
            Some(Error::TooMany)
        );
    }
}
