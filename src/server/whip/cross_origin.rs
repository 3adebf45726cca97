//! Which pages of other sites may send and watch, and how browsers are told (CORS).

use axum::extract::{Request, State};
use axum::http::header;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::server::api::Problem;
use crate::server::{App, security};

/// How long a browser remembers, seconds.
const REMEMBERED: &str = "600";

/// Lets pages of other sites in where they need a token, and nowhere else; see the module above.
/// No cookie is ever looked at, so whoever they are to the browser is of no use to them.
pub async fn rule(State(app): State<App>, request: Request, next: Next) -> Response {
    let keyed = app.authority.keyed();
    // What a preflight is told is what the answer does not say.
    let harmless = request.method() == Method::OPTIONS;
    if !keyed && !harmless && !security::origin_allowed(request.headers()) {
        let detail = "pages of other sites may not, where no API key is set".to_owned();
        return Problem::new(StatusCode::FORBIDDEN, detail).into_response();
    }
    let mut response = next.run(request).await;
    if keyed {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "authorization, content-type, if-match, link",
            ),
            (
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                "location, etag, link, accept-patch, accept-post, retry-after, quilt-participant",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        ] {
            let headers = response.headers_mut();
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
