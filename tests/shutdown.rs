//! How a server ends: who is told what, who may still come in, and when it is over.

mod common;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, Socket, program};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The status of `/healthz`.
async fn health(server: &Server) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(server.http)
        .await
        .expect("a connection");
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.expect("to send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer[9..12].parse().expect("a status")
}

async fn goodbye(socket: &mut Socket) {
    assert_eq!(socket.next_of("bye").await["reason"], "shutdown");
    assert_eq!(socket.next().await, None, "the socket closes");
}

#[tokio::test]
async fn a_drained_meeting_goes_on_and_nobody_else_comes_in() {
    let server = Server::start("drain-timeout = 600").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    // He has the page open and has not pressed the button yet.
    let mut bob = server.socket("a").await;
    assert_eq!(health(&server).await, 200);
    server.signal().await;

    let told = ann.next_of("notice").await;
    assert_eq!(told["code"], "draining");
    assert!(
        told["text"]
            .as_str()
            .expect("a text")
            .contains("10 minutes"),
        "{told}"
    );
    assert_eq!(health(&server).await, 503);
    let mut eve = server.socket("b").await;
    for (socket, name) in [(&mut bob, "Bob"), (&mut eve, "Eve")] {
        let refused = socket
            .ask(json!({"id": 1, "type": "join", "name": name}))
            .await;
        assert_eq!(refused["code"], "unavailable", "{refused}");
        assert_eq!(refused["closes"], true);
        assert!(
            refused["text"]
                .as_str()
                .expect("a text")
                .contains("restart"),
            "{refused}"
        );
    }
    let muted = json!({"id": 2, "type": "media", "audio": false, "video": true});
    assert_eq!(ann.ask(muted).await["type"], "ack");
    ann.ask(json!({"id": 3, "type": "leave"})).await;
    server.ended().await;
}

#[tokio::test]
async fn an_empty_server_has_nothing_to_wait_for() {
    let server = Server::start("drain-timeout = 600").await;
    server.signal().await;
    server.ended().await;
}

#[tokio::test]
async fn a_second_signal_cuts_the_drain_short() {
    let server = Server::start("drain-timeout = 600").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    server.signal().await;
    ann.next_of("notice").await;
    server.signal().await;
    goodbye(&mut ann).await;
    server.ended().await;
}

#[tokio::test]
async fn meetings_end_with_the_time_for_the_drain() {
    let server = Server::start("drain-timeout = 1").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    server.signal().await;
    ann.next_of("notice").await;
    goodbye(&mut ann).await;
    server.ended().await;
}

#[tokio::test]
async fn everybody_is_told_whether_they_have_joined_or_not() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let mut bob = server.socket("a").await;
    let stats = server.stats.clone();
    server.signal().await;
    goodbye(&mut ann).await;
    goodbye(&mut bob).await;
    server.ended().await;
    for gauge in ["quilt_rooms 0", "quilt_participants 0"] {
        assert!(
            stats.render().contains(gauge),
            "{gauge} in {}",
            stats.render()
        );
    }
}

/// The program itself, as a service manager sees it.
#[test]
fn a_signal_ends_the_process_and_the_service_manager_knows() {
    let name = format!("quilt-shutdown-{:x}", rand::random::<u64>());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let manager = UnixDatagram::bind_addr(&address).expect("a socket");
    manager
        .set_read_timeout(Some(PATIENCE))
        .expect("a time-out");
    let mut command = program::serve();
    command.env("NOTIFY_SOCKET", format!("@{name}"));
    let (mut quilt, addresses) = program::start(command.env("WATCHDOG_USEC", "60000000"));
    assert_eq!(addresses["tls"], false);
    let hear = || {
        let mut buffer = [0; 256];
        let length = manager
            .recv(&mut buffer)
            .expect("a word to the service manager");
        String::from_utf8(buffer[..length].to_vec()).expect("text")
    };
    assert_eq!(hear(), "READY=1");
    assert_eq!(hear(), "WATCHDOG=1");

    let told = Instant::now();
    // SAFETY: the process is ours and not yet waited for, so its id is still its own.
    unsafe { libc::kill(quilt.id() as i32, libc::SIGTERM) };
    assert!(hear().starts_with("STOPPING=1\n"));
    let status = quilt.wait().expect("an end");
    assert!(status.success(), "{status}");
    assert!(
        told.elapsed() < Duration::from_secs(5),
        "{:?}",
        told.elapsed()
    );
}
