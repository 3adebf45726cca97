//! Recordings whose disk is full, gone or not there: they end and say why, what there is plays, and
//! the meeting does not notice. In a process of its own, whose files have a limit.

mod common;
mod film;
mod taping;

use common::Server;
use film::Film;
use quilt::id::RoomName;
use serde_json::json;
use taping::{Folder, WITNESS, ask, is_over, record, size_reaches, steps, until, witness};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_disk_the_meeting_goes_on_and_something_plays() {
    let folder = Folder::new("disk");
    let server = Server::start(&folder.setting()).await;
    let http = server.http;
    let room = RoomName::new("a").expect("a name");
    let nobody = ask(http, "POST", "/api/rooms/a/recordings", "{}").await;
    assert_eq!(nobody.0, 404, "{nobody:?}");
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let output = server.rooms.output(&room, WITNESS).await;
    let witness = witness(output.expect("an output"));
    for bad in [
        r#"{"name": "../up"}"#,
        r#"{"name": "{host}"}"#,
        r#"{"layout": "circle"}"#,
        r#"{"codec": "av1"}"#,
        "",
    ] {
        let (status, problem) = ask(http, "POST", "/api/rooms/a/recordings", bad).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }

    // Its folder is taken away.
    let path = record(http, json!({"name": "gone"})).await;
    until(http, &path, size_reaches(2_000)).await;
    std::fs::rename(folder.recordings(), folder.0.join("elsewhere")).expect("to take it away");
    let seen = until(http, &path, is_over).await;
    assert_eq!(seen["state"], "failed", "{seen}");
    assert_eq!(seen["reason"], "its file was taken away");
    film::plays(&folder.recordings().join("gone.mp4"));

    // The disk is full: as far as this process can tell, for files of more than so much.
    let path = record(http, json!({"name": "full"})).await;
    let first = until(http, &path, size_reaches(2_000)).await;
    let limit = first["bytes"].as_u64().expect("a number") + 20_000;
    // SAFETY: the arguments are valid, and nothing but ignoring is asked of the signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: libc::RLIM_INFINITY,
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let seen = until(http, &path, |seen| seen["state"] != "recording").await;
    assert_eq!(seen["state"], "failed", "{seen}");
    let reason = seen["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("writing failed: File too large"),
        "{reason}"
    );
    let file = folder
        .recordings()
        .join(seen["file"].as_str().expect("a file"));
    film::plays(&file);
    assert!(Film::read(&file).length >= 1.0);

    // There is no place for it at all.
    std::fs::rename(folder.recordings(), folder.0.join("full")).expect("to take it away");
    std::fs::write(folder.recordings(), b"no folder").expect("to be in the way");
    let (status, problem) = ask(http, "POST", "/api/rooms/a/recordings", "{}").await;
    assert_eq!(status, 507, "{problem}");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("recordings"), "{detail}");
    // Everybody was told of two recordings, and of none that there was not.
    for on in [true, false, true, false] {
        assert_eq!(ann.next_of("recording").await["on"], on);
    }
    ann.send(json!({"id": 9, "type": "ping"}).to_string()).await;
    loop {
        let message = ann.next().await.expect("the meeting goes on");
        assert_ne!(message["type"], "recording", "{message}");
        if message["id"] == 9 {
            break;
        }
    }

    ann.leave().await;
    let [pictures, sounds, came] = witness.await.expect("no panic");
    let longest = steps(&pictures).into_iter().fold(0.0, f64::max);
    println!("{} pictures, longest step {longest} s", pictures.len());
    // A disk that is waited for takes longer; so do not ticks of a busy machine.
    assert!(longest <= 0.25, "{longest}");
    // Whoever hands them on waits for no disk, either.
    let late = steps(&came).into_iter().fold(0.0, f64::max);
    println!("longest step until the next one came {late} s");
    assert!(late <= 0.5, "{late}");
    let longest = steps(&sounds).into_iter().fold(0.0, f64::max);
    assert!(longest <= 0.25, "{longest}");
    server.stop().await;
}
