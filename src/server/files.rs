//! The pages: from the binary, or from a folder for those who tinker.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::id::RoomName;
use crate::server::App;
use crate::server::api::Problem;

#[derive(RustEmbed)]
#[folder = "web/"]
#[exclude = "*.json"]
#[exclude = "*.d.ts"]
struct Embedded;

/// Where pages come from.
#[derive(Clone, Default)]
pub struct Pages {
    folder: Option<Arc<Path>>,
}

impl Pages {
    /// The copy in the binary, or a folder.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder: folder.map(Into::into),
        }
    }

    /// A file's content and its hash, by its path below the folder.
    async fn read(&self, path: &str) -> Option<(Cow<'static, [u8]>, String)> {
        let plain = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return None;
        }
        match &self.folder {
            None => {
                let EmbeddedFile { data, metadata, .. } = Embedded::get(path)?;
                let hash = metadata.sha256_hash();
                let etag: String = hash[..12].iter().map(|b| format!("{b:02x}")).collect();
                Some((data, etag))
            }
            Some(folder) => {
                let data = tokio::fs::read(folder.join(path)).await.ok()?;
                // Never cached: somebody is changing these files.
                let etag = format!("{:x}", rand::random::<u64>());
                Some((data.into(), etag))
            }
        }
    }

    async fn respond(&self, path: &str, request: &HeaderMap) -> Response {
        let Some((data, etag)) = self.read(path).await else {
            return Problem::not_found("there is no such page").into_response();
        };
        let etag = format!("\"{etag}\"");
        let known = request.get(header::IF_NONE_MATCH);
        if known.is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let kind = match kind.type_() {
            mime_guess::mime::TEXT => format!("{kind}; charset=utf-8"),
            _ => kind.to_string(),
        };
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::ETAG, etag),
            (header::CACHE_CONTROL, "no-cache".to_owned()),
        ];
        (headers, data).into_response()
    }
}

/// `GET /`
pub async fn lobby(State(app): State<App>, headers: HeaderMap) -> Response {
    app.pages.respond("index.html", &headers).await
}

/// `GET /r/{room}`
pub async fn meeting(
    State(app): State<App>,
    UrlPath(room): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let mut page = app.pages.respond("room.html", &headers).await;
    if RoomName::new(&room).is_err() {
        // The page itself says what is wrong with the name, and the way back.
        *page.status_mut() = StatusCode::BAD_REQUEST;
    }
    page
}

/// `GET /static/…`
pub async fn asset(
    State(app): State<App>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    app.pages.respond(&path, &headers).await
}
