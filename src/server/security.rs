//! What every answer says about itself, and which pages may talk to us.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::server::api::Problem;

/// No inline script, no third party, no frame around us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                      data: blob:; media-src 'self' blob: mediastream:; connect-src 'self'; \
                      manifest-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// Adds the headers that belong on every answer.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A page that needs nothing of ours says so itself.
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(POLICY));
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Sends a browser that came by HTTP to the same place by HTTPS, on the same port. Permanently,
/// because it is true for as long as the port speaks TLS; the method stays what it was.
pub async fn to_https(request: Request) -> Response {
    let host = request.headers().get(header::HOST);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    match host.and_then(|host| host.to_str().ok()) {
        Some(host) => Redirect::permanent(&format!("https://{host}{path}")).into_response(),
        None => Problem::bad_request("use https".into()).into_response(),
    }
}

/// Whether a browser's page may open a WebSocket: its origin must be this very host. Clients that
/// are no browsers send no origin.
pub fn origin_allowed(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let (Ok(origin), Some(host)) = (
        origin.to_str(),
        headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok()),
    ) else {
        return false;
    };
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(origin: Option<&str>, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn http_leads_to_the_same_place_by_https() {
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = "/r/tea?name=Ann".parse().unwrap();
        let refused = to_https(request).await;
        assert_eq!(refused.status(), 400, "no host to send anybody to");
        let mut request = Request::new(axum::body::Body::empty());
        *request.uri_mut() = "/r/tea?name=Ann".parse().unwrap();
        *request.headers_mut() = headers(None, "192.0.2.7:8080");
        let sent = to_https(request).await;
        assert_eq!(sent.status(), 308);
        let to = sent.headers()[header::LOCATION].to_str().unwrap();
        assert_eq!(to, "https://192.0.2.7:8080/r/tea?name=Ann");
    }

    #[test]
    fn only_our_own_page_or_no_page_at_all() {
        let host = "meet.example:8080";
        assert!(origin_allowed(&headers(None, host)));
        assert!(origin_allowed(&headers(
            Some("http://meet.example:8080"),
            host
        )));
        assert!(origin_allowed(&headers(
            Some("https://meet.example:8080"),
            host
        )));
        assert!(!origin_allowed(&headers(Some("http://evil.example"), host)));
        assert!(!origin_allowed(&headers(Some("null"), host)));
        assert!(!origin_allowed(&headers(
            Some("http://meet.example:8080.evil.example"),
            host
        )));
    }
}
