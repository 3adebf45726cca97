//! A server that takes a push by RTMP, as far as it has to be one.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;

use quilt::stream::rtmp::amf::Value as Amf;
use quilt::stream::rtmp::chunk::{self, Message, Reader, kind};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Says yes to whoever comes and publishes, and then does as the test likes.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().await.unwrap();
    greet(stream).await
}

/// Says yes to who publishes by this connection.
pub async fn greet<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> S {
    let mut hello = [0; 1537];
    stream.read_exact(&mut hello).await.unwrap();
    stream
        .write_all(&[&[3; 1][..], &[0; 1536], &hello[1..]].concat())
        .await
        .unwrap();
    let mut echo = [0; 1536];
    stream.read_exact(&mut echo).await.unwrap();
    let mut reader = Reader::default();
    let mut bytes = [0; 4096];
    loop {
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "it hung up");
        reader.push(&bytes[..count]);
        while let Some(message) = reader.next_message().unwrap() {
            if message.kind == kind::CHUNK_SIZE {
                reader.set_size(chunk::SIZE);
            }
            let values = Amf::read_all(&message.body).unwrap_or_default();
            let (name, number) = match &values[..] {
                [Amf::String(name), Amf::Number(number), ..] => (name.as_str(), *number),
                _ => continue,
            };
            let status = |code: &str| Amf::Object(vec![("code".into(), Amf::text(code))]);
            let answer = match name {
                "connect" => ("_result", number, Amf::Null),
                "createStream" => ("_result", number, Amf::Number(1.0)),
                "publish" => ("onStatus", 0.0, status("NetStream.Publish.Start")),
                _ => continue,
            };
            let mut body = Vec::new();
            for value in [
                Amf::text(answer.0),
                Amf::Number(answer.1),
                Amf::Null,
                answer.2,
            ] {
                value.write(&mut body);
            }
            let message = Message {
                kind: kind::COMMAND,
                body: body.into(),
                ..Message::default()
            };
            let mut out = Vec::new();
            chunk::write(&mut out, 3, 128, &message);
            stream.write_all(&out).await.unwrap();
            if name == "publish" {
                return stream;
            }
        }
    }
}

/// Listens where little is kept for who does not read.
pub fn listen() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(8).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
