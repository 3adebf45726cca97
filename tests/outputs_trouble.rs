//! The recorder's disk is full, the receiver of a push takes nothing any more: those in the meeting
//! and those who watch it go on getting their pictures as before.

mod bystanders;
mod common;
mod film;
mod receiver;
mod support;
mod taping;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bystanders::{Call, ROOM};
use quilt::stats::process_cpu_seconds;
use receiver::{accept, listen};
use serde_json::{Value, json};
use taping::{Folder, ask, until};

/// Issue 5: a receiver that takes nothing is found out within this time.
const FOUND_OUT: Duration = Duration::from_secs(30);

/// A small disk of its own, where that may be had.
struct Disk(PathBuf);

impl Disk {
    /// Of so many kilobytes; none where this user may not mount anything.
    fn mount(path: &Path, kilobytes: u32) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={kilobytes}k");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &size, "quilt-test"])
            .arg(path);
        let mounted = mount.status().is_ok_and(|status| status.success());
        mounted.then(|| Self(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// The same for who may not mount: files of this process end there.
fn limit_files(bytes: u64) {
    // SAFETY: the arguments are valid, and nothing but ignoring is asked of the signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_stuck_receiver_take_no_picture_from_anybody() {
    let folder = Folder::new("trouble");
    let disk = Disk::mount(&folder.recordings(), 512);
    if disk.is_none() {
        println!("no mount: files are limited instead");
        limit_files(400_000);
    }
    let setting = format!("{}\noutput-allow = [\"127.0.0.0/8\"]", folder.setting());
    let call = Call::watched(&setting).await;
    let http = call.server.http;
    let recordings = format!("/api/rooms/{ROOM}/recordings");
    let outputs = format!("/api/rooms/{ROOM}/outputs");

    // From its beginning until some seconds after its end.
    let ended = call.unnoticed("a full disk", async {
        let (status, made) = ask(http, "POST", &recordings, "{}").await;
        assert_eq!(status, 201, "{made}");
        let path = format!("{recordings}/{}", made["id"].as_str().expect("an id"));
        let over = |seen: &Value| seen["state"] != "recording";
        let ended = until(http, &path, over).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        ended
    });
    let ended = ended.await;
    println!("{ended}");
    assert_eq!(ended["state"], "failed", "{ended}");
    let reason = ended["reason"].as_str().expect("a reason");
    let full = match &disk {
        Some(_) => "writing failed: No space left on device",
        None => "writing failed: File too large",
    };
    assert!(reason.starts_with(full), "{reason}");
    let file = ended["file"].as_str().expect("a file");
    film::plays(&folder.recordings().join(file));

    let (listener, address) = listen();
    let cpu = process_cpu_seconds();
    let listed = call.unnoticed("a stuck receiver", async {
        let body = json!({"url": format!("rtmp://{address}/live/key")}).to_string();
        let (status, listed) = ask(http, "POST", &outputs, &body).await;
        assert_eq!(status, 201, "{listed}");
        // It says yes, and reads nothing more.
        let _stuck = accept(&listener).await;
        let deadline = Instant::now() + FOUND_OUT;
        loop {
            let (_, listed) = ask(http, "GET", &outputs, "").await;
            if listed["outputs"][0]["state"] == "waiting" {
                return listed;
            }
            assert!(Instant::now() < deadline, "{listed}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    println!(
        "{}, {:.1} s of work",
        listed.await,
        process_cpu_seconds() - cpu
    );
    drop(disk);
}
