//! The newest report of `quilt tradeoff`, for whoever wants to know which way to run a meeting.
//!
//! The command writes it into the data folder, whole or not at all, whether a server runs or not;
//! here it is read when somebody asks, and drawn once.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::server::App;
use crate::server::api::Problem;

/// A run of 2 to 10 people in four topologies and several rounds is some 100 kB.
const MOST: u64 = 8 << 20;

/// Where the report is, and how it is drawn.
pub struct Report {
    folder: PathBuf,
    draw: Draw,
    policy: HeaderValue,
    known: Mutex<Known>,
}

/// Makes a page of the JSON, or says why not.
pub type Draw = fn(&str) -> Result<String, String>;

/// What became of the file that was there last.
#[derive(Default)]
struct Known {
    version: Option<Version>,
    drawn: Option<Result<Arc<str>, String>>,
}

/// A file that was replaced has another: when it was written, its length, and which one it is.
type Version = (SystemTime, u64, u64);

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("there is no report yet; `quilt tradeoff` makes one")]
    None,
    #[error("the newest report cannot be shown: {0}")]
    Unreadable(String),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::None,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl From<Missing> for Problem {
    fn from(missing: Missing) -> Self {
        let status = match missing {
            Missing::None => StatusCode::NOT_FOUND,
            Missing::Unreadable(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, missing.to_string())
    }
}

impl Report {
    /// Reports are in `folder`; pages that `draw` makes need no more than `policy` lets them.
    ///
    /// # Panics
    /// If that is no content security policy.
    pub fn new(folder: PathBuf, draw: Draw, policy: &str) -> Arc<Self> {
        let policy = format!("{policy}; frame-ancestors 'none'");
        Arc::new(Self {
            folder,
            draw,
            policy: policy.parse().expect("a policy is plain text"),
            known: Mutex::default(),
        })
    }

    /// The page; drawn anew when the file is another.
    fn page(&self) -> Result<Arc<str>, Missing> {
        let (mut file, version) = open(&self.folder.join("report.json"))?;
        if let Some(drawn) = self.known().of(version) {
            return drawn.map_err(Missing::Unreadable);
        }
        // Not under the lock: two at once draw it twice, and nobody waits for a slow disk.
        let drawn = match text(&mut file) {
            Ok(json) => (self.draw)(&json).map(Arc::from),
            Err(error) => Err(error.to_string()),
        };
        let mut known = self.known();
        if let Err(why) = &drawn
            && known.of(version).is_none()
        {
            let folder = self.folder.display();
            tracing::warn!("the report of `quilt tradeoff` in {folder} cannot be shown: {why}");
        }
        *known = Known {
            version: Some(version),
            drawn: Some(drawn.clone()),
        };
        drawn.map_err(Missing::Unreadable)
    }

    /// One of the report's files as it is.
    fn file(&self, name: &str) -> Result<String, Missing> {
        let (mut file, _) = open(&self.folder.join(name))?;
        Ok(text(&mut file)?)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn of(&self, version: Version) -> Option<Result<Arc<str>, String>> {
        let same = self.version == Some(version);
        self.drawn.clone().filter(|_| same)
    }
}

fn open(path: &Path) -> io::Result<(File, Version)> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let version = (about.modified()?, about.len(), about.ino());
    Ok((file, version))
}

/// Bounded, whatever it grows to while it is read.
fn text(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    match text.len() as u64 <= MOST {
        true => Ok(text),
        false => Err(io::Error::other(format!("it is larger than {MOST} bytes"))),
    }
}

/// Does what may wait for a disk where that holds up nobody.
async fn off<T: Send + 'static>(
    report: &Arc<Report>,
    act: impl FnOnce(&Report) -> Result<T, Missing> + Send + 'static,
) -> Result<T, Missing> {
    let report = report.clone();
    let done = tokio::task::spawn_blocking(move || act(&report)).await;
    done.unwrap_or_else(|error| Err(Missing::Unreadable(error.to_string())))
}

/// `GET /tradeoff`
pub async fn page(State(app): State<App>, request: HeaderMap) -> Result<Response, Problem> {
    match off(&app.report, Report::page).await {
        Ok(page) => {
            let headers = [
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("text/html; charset=utf-8"),
                ),
                (header::CONTENT_SECURITY_POLICY, app.report.policy.clone()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            ];
            Ok((headers, page.to_string()).into_response())
        }
        Err(Missing::None) => {
            let mut page = app.pages.respond("tradeoff.html", &request).await;
            if page.status() == StatusCode::OK {
                *page.status_mut() = StatusCode::NOT_FOUND;
            }
            Ok(page)
        }
        Err(unreadable) => Err(unreadable.into()),
    }
}

/// `GET /tradeoff.json`
pub async fn json(State(app): State<App>) -> Result<Response, Problem> {
    download(&app, "report.json", "application/json").await
}

/// `GET /tradeoff.csv`
pub async fn csv(State(app): State<App>) -> Result<Response, Problem> {
    download(&app, "report.csv", "text/csv; charset=utf-8").await
}

async fn download(app: &App, name: &'static str, kind: &'static str) -> Result<Response, Problem> {
    let text = off(&app.report, move |report| report.file(name)).await?;
    let saved = format!("attachment; filename=\"tradeoff-{name}\"");
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_DISPOSITION, saved.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, text).into_response())
}
