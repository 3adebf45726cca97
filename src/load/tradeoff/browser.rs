//! A real Chromium in the meeting: what it keeps busy, and the pictures it shows. It is spoken with
//! by the DevTools protocol.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::super::content::Content;
use super::super::mark::Mark;
use super::super::picture::Picture;
use super::machine::family_cpu_seconds;
use super::meeting::FPS;

/// Where Debian and others put it.
const PROGRAMS: [&str; 4] = [
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
];
/// Until it has started; it is slow for the first time.
const START: Duration = Duration::from_secs(30);
/// Until it answers a question.
const ANSWER: Duration = Duration::from_secs(10);
/// Length of what its camera shows, pictures.
const CAMERA: u32 = 3 * FPS;
/// The pictures of others that the page shows, and how many there were of each.
const PICTURES: &str = "[...document.querySelectorAll('video')]
    .filter((video) => !['self', 'preview'].includes(video.id) && video.videoWidth > 2 && video.checkVisibility({ visibilityProperty: true }))
    .map((video) => video.getVideoPlaybackQuality().totalVideoFrames)";

/// What a browser needs to take part: the program, and what its camera shows.
pub struct Seat {
    program: PathBuf,
    folder: TempDir,
}

/// A running browser with the meeting's page.
pub struct Browser {
    child: Child,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    page: String,
    asked: u64,
    _profile: TempDir,
}

/// The first of the usual places that has one.
pub fn installed() -> Option<PathBuf> {
    PROGRAMS
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

impl Seat {
    /// Makes what the camera shows: the loop of this source.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(program: &Path, content: &Content, source: u8) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the browser")?;
        let mut file = std::fs::File::create(folder.path().join("camera.y4m"))?;
        let size = content.size();
        writeln!(
            file,
            "YUV4MPEG2 W{} H{} F{FPS}:1 Ip A1:1 C420jpeg",
            size.width, size.height
        )?;
        let mut picture = Picture::new(size);
        for frame in 0..CAMERA.min(content.length()) {
            let frame = frame as u16;
            content.draw(Mark { source, frame }, &mut picture);
            file.write_all(b"FRAME\n")?;
            file.write_all(picture.bytes())?;
        }
        Ok(Self {
            program: program.to_owned(),
            folder,
        })
    }

    /// Its version, as it says itself.
    pub fn version(&self) -> Option<String> {
        let output = Command::new(&self.program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Starts one with this page.
    ///
    /// # Errors
    /// If it does not start, or does not listen.
    pub async fn open(&self, url: &str) -> anyhow::Result<Browser> {
        let profile = tempfile::tempdir_in(self.folder.path())?;
        let camera = self.folder.path().join("camera.y4m");
        let mut child = Command::new(&self.program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                "--autoplay-policy=no-user-gesture-required",
                "--allow-loopback-in-peer-connection",
                "--window-size=1280,720",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!(
                "--use-file-for-fake-video-capture={}",
                camera.display()
            ))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let output = child.stderr.take().context("the browser's output")?;
        let mut ended = Ended(Some(child));
        let (told, address) = oneshot::channel();
        // It says where it listens, and then this and that, which must not fill the pipe.
        std::thread::spawn(move || listen(BufReader::new(output), told));
        let address = tokio::time::timeout(START, address).await;
        let address = address.context("the browser does not start")?;
        let address = address.context("the browser ended")?;
        let (socket, _) = tokio_tungstenite::connect_async(&address).await?;
        let mut browser = Browser {
            child: ended.0.take().context("the browser")?,
            socket,
            page: String::new(),
            asked: 0,
            _profile: profile,
        };
        browser.attach().await?;
        Ok(browser)
    }
}

/// Ends a browser with which nothing came of it.
struct Ended(Option<Child>);

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // An error means that it has ended. Its children end with it.
    let _ = child.kill();
    let _ = child.wait();
}

fn listen(output: impl BufRead, told: oneshot::Sender<String>) {
    let mut told = Some(told);
    for line in output.lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("DevTools listening on ")
            && let Some(told) = told.take()
        {
            // Whoever waited may have given up.
            let _ = told.send(address.trim().to_owned());
        }
    }
}

impl Browser {
    /// CPU seconds that it has taken, with all its processes.
    pub fn cpu_seconds(&self) -> Option<f64> {
        family_cpu_seconds(self.child.id())
    }

    /// How many pictures it has shown of each that it shows.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn pictures(&mut self) -> anyhow::Result<Vec<u64>> {
        let question = json!({ "expression": PICTURES, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", question).await?;
        let pictures = answer.pointer("/result/value").cloned().unwrap_or_default();
        serde_json::from_value(pictures).context("what the page shows")
    }

    async fn attach(&mut self) -> anyhow::Result<()> {
        let targets = self.ask("Target.getTargets", json!({})).await?;
        let targets = targets["targetInfos"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let page = targets.iter().find(|target| target["type"] == "page");
        let page = page.context("the browser has no page")?["targetId"].clone();
        let question = json!({ "targetId": page, "flatten": true });
        let attached = self.ask("Target.attachToTarget", question).await?;
        let session = attached["sessionId"].as_str();
        self.page = session
            .context("the browser's page does not listen")?
            .to_owned();
        Ok(())
    }

    /// Asks the page, or the browser as long as there is none.
    async fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.asked += 1;
        let id = self.asked;
        let mut question = json!({ "id": id, "method": method, "params": params });
        if !self.page.is_empty() {
            question["sessionId"] = self.page.clone().into();
        }
        self.socket.send(Frame::text(question.to_string())).await?;
        let answer = async {
            while let Some(frame) = self.socket.next().await {
                let Frame::Text(text) = frame? else { continue };
                let answer: Value = serde_json::from_str(&text)?;
                if answer["id"] == id {
                    ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                    return Ok(answer["result"].clone());
                }
            }
            bail!("the browser ended")
        };
        let answered = tokio::time::timeout(ANSWER, answer).await;
        answered.with_context(|| format!("{method} is not answered"))?
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
