//! The pages: from the binary, or from a folder for those who tinker.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path as UrlPath, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::id::RoomName;
use crate::server::App;
use crate::server::api::Problem;
use crate::server::lean::lean;

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

    pub(super) async fn respond(&self, path: &str, request: &HeaderMap) -> Response {
        let Some((mut data, mut etag)) = self.read(path).await else {
            return Problem::not_found("there is no such page").into_response();
        };
        let mut encoding = None;
        if takes_brotli(request)
            && let Cow::Borrowed(plain) = data
            && let Some(compressed) = compressed(path, plain).await
        {
            data = compressed.into();
            etag.push_str("-br");
            encoding = Some([(header::CONTENT_ENCODING, "br")]);
        }
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
            (header::VARY, "accept-encoding".to_owned()),
        ];
        (headers, encoding, data).into_response()
    }
}

/// Browsers do wherever they give a page a camera: over TLS, and from this very machine.
fn takes_brotli(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok()).unwrap_or("");
    accepted.split(',').any(|coding| coding.trim() == "br")
}

/// An embedded file without what only its readers need, compressed as well as can be (RFC 7932).
/// That takes some 10 ms, and is done once in the life of the process.
async fn compressed(path: &str, plain: &'static [u8]) -> Option<&'static [u8]> {
    static KNOWN: Mutex<BTreeMap<String, &'static [u8]>> = Mutex::new(BTreeMap::new());
    let known = |path: &str| {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).copied()
    };
    if let Some(compressed) = known(path) {
        return Some(compressed);
    }
    let code = matches!(path.rsplit_once('.'), Some((_, "js" | "css")));
    let made = tokio::task::spawn_blocking(move || {
        let lean = code
            .then(|| std::str::from_utf8(plain).ok().map(lean))
            .flatten();
        let plain = lean.as_ref().map_or(plain, |lean| lean.as_bytes());
        let mut made = Vec::new();
        let settings = brotli::enc::BrotliEncoderParams::default();
        brotli::BrotliCompress(&mut &plain[..], &mut made, &settings).map(|_| made)
    });
    let made = made.await.ok()?.ok()?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    // Kept as long as the program, as the file itself is; two requests at once make one too many.
    let compressed = known.entry(path.to_owned()).or_insert_with(|| made.leak());
    Some(compressed)
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

/// `GET /help/share`
pub async fn share(State(app): State<App>, headers: HeaderMap) -> Response {
    app.pages.respond("share.html", &headers).await
}

/// `GET /admin`: only where a key is set, which is asked for there.
pub async fn admin(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.authority.keyed() {
        true => app.pages.respond("admin.html", &headers).await,
        false => {
            Problem::not_found("there is no admin page unless an API key is set").into_response()
        }
    }
}

/// `GET /static/…`
pub async fn asset(
    State(app): State<App>,
    UrlPath(path): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    app.pages.respond(&path, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_takes_brotli_gets_the_same_page_smaller() {
        let pages = Pages::default();
        let ask = |encoding: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, encoding.parse().unwrap());
            headers
        };
        let body = async |response: Response| {
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
            body.unwrap()
        };
        let plain = pages.respond("room.html", &ask("gzip")).await;
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        for _ in 0..2 {
            let small = pages.respond("room.html", &ask("gzip, br")).await;
            assert_eq!(small.headers()[header::CONTENT_ENCODING], "br");
            assert_ne!(small.headers()[header::ETAG], plain.headers()[header::ETAG]);
            let (mut read, small) = (Vec::new(), body(small).await);
            brotli::BrotliDecompress(&mut &*small, &mut read).unwrap();
            let page = Embedded::get("room.html").unwrap();
            assert_eq!(read, page.data.as_ref());
            assert!(small.len() * 2 < read.len(), "{} bytes", small.len());
        }
        assert!(!body(plain).await.is_empty());
    }
}
