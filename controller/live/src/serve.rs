//! The page over HTTP: embedded files, and snapshots as server-sent events.

use super::state::Snapshot;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HOST, LOCATION,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Router, body::Body, routing::get};
use plot::font;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::net::{IpAddr, SocketAddr};
use std::{convert::Infallible, fmt, sync::Arc};
use subtle::ConstantTimeEq;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Concurrent viewers. Further ones get 503.
const MAX_VIEWERS: usize = 100;
/// The cookie that holds the token.
const COOKIE_NAME: &str = "fleetmark_live";
/// Allows only files of this server: nothing inline, no framing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The address needs a token.
#[derive(Debug, thiserror::Error)]
#[error(
    "anyone could read the live page on `{0}`: pass --web-token-file FILE, or use a loopback address"
)]
pub struct Error(SocketAddr);

/// Who may view the page.
#[derive(Clone)]
pub struct Access(Option<[u8; 32]>);

impl Access {
    /// Holders of the token; without a token, viewers on this machine, and an error unless `address` is loopback.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Result<Self, Error> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(Error(address));
        }
        Ok(Self(token.map(|token| Sha256::digest(token).into())))
    }

    fn is_token(&self, token: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(token).into();
        self.0.is_some_and(|hash| bool::from(hash.ct_eq(&given)))
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if self.0.is_none() {
            // Protects against DNS rebinding: another site could make its own name resolve to this machine.
            return text(HOST).is_some_and(is_loopback_name);
        }
        let bearer = text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let cookies = text(COOKIE).unwrap_or_default().split(';').map(str::trim);
        let mut named = cookies.filter_map(|cookie| cookie.split_once('='));
        let cookie = named.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value);
        bearer.or(cookie).is_some_and(|token| self.is_token(token))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Access(by token)" } else { "Access(this machine)" })
    }
}

fn is_loopback_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The page's current snapshot, as JSON.
#[derive(Debug)]
pub struct Page(watch::Sender<Arc<str>>);

impl Page {
    pub(super) fn publish(&self, snapshot: &Snapshot<'_>) {
        // Numbers, strings and lists always serialize.
        if let Ok(text) = serde_json::to_string(snapshot) {
            self.0.send_replace(Arc::from(text));
        }
    }
}

impl Default for Page {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::from("{}")))
    }
}

#[derive(Clone)]
struct Shared {
    snapshots: watch::Receiver<Arc<str>>,
    access: Access,
    viewers: Arc<Semaphore>,
}

/// Serves the page. Streams of viewers end when `page` is dropped.
pub fn router(page: &Page, access: Access) -> Router {
    let (snapshots, viewers) = (page.0.subscribe(), Arc::new(Semaphore::new(MAX_VIEWERS)));
    let shared = Shared { snapshots, access, viewers };
    let file = |kind: &'static str, bytes: &'static [u8]| {
        get(move || async move { ([(CONTENT_TYPE, kind)], bytes) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_bytes!("page.html")))
        .route("/page.css", file("text/css; charset=utf-8", include_bytes!("page.css")))
        .route("/page.js", file("text/javascript; charset=utf-8", include_bytes!("page.js")))
        .route("/inter.woff2", file("font/woff2", font::WEB))
        // Browsers request one.
        .route("/favicon.ico", get(async || StatusCode::NO_CONTENT))
        .route("/state.json", get(state))
        .route("/events", get(events))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

#[derive(Deserialize)]
struct Asked {
    token: Option<String>,
}

/// Authorizes requests, and sets security headers.
async fn guard(
    State(shared): State<Shared>,
    Query(asked): Query<Asked>,
    uri: Uri,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match asked.token {
        // A token in a URL ends up in histories and logs: it moves to a cookie at once.
        Some(token) if uri.path() == "/" && shared.access.is_token(&token) => {
            let cookie = format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict");
            (StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)])
                .into_response()
        }
        _ if shared.access.allows(request.headers()) => next.run(request).await,
        _ => {
            let hint = "open this page with ?token=TOKEN, or send Authorization: Bearer TOKEN\n";
            (StatusCode::FORBIDDEN, hint).into_response()
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn state(State(shared): State<Shared>) -> Response {
    let text = shared.snapshots.borrow().to_string();
    ([(CONTENT_TYPE, "application/json")], Body::from(text)).into_response()
}

struct Viewer {
    snapshots: watch::Receiver<Arc<str>>,
    is_first: bool,
    _permit: OwnedSemaphorePermit,
}

async fn events(State(shared): State<Shared>) -> Response {
    let Ok(permit) = shared.viewers.try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many viewers\n").into_response();
    };
    let viewer = Viewer { snapshots: shared.snapshots, is_first: true, _permit: permit };
    // A slow viewer skips snapshots and gets the latest one: nothing queues up.
    let snapshots = futures_util::stream::unfold(viewer, |mut viewer| async move {
        if !viewer.is_first && viewer.snapshots.changed().await.is_err() {
            return None;
        }
        viewer.is_first = false;
        let text = viewer.snapshots.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(Event::default().data(text)), viewer))
    });
    Sse::new(snapshots).keep_alive(KeepAlive::default()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_non_loopback_address_needs_a_token() {
        let refused = Access::new(at("0.0.0.0:80"), None).unwrap_err();
        assert!(refused.to_string().contains("--web-token-file"), "{refused}");
        assert!(Access::new(at("127.0.0.1:80"), None).is_ok());
        assert!(Access::new(at("[::1]:80"), None).is_ok());
        assert!(Access::new(at("0.0.0.0:80"), Some("secret")).is_ok());
    }

    #[test]
    fn a_rebound_name_is_refused() {
        let access = Access::new(at("127.0.0.1:80"), None).unwrap();
        for host in ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
            assert!(access.allows(&headers(&[(HOST, host)])), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.evil.example:80",
            "127.1",
            "[::2]",
        ] {
            assert!(!access.allows(&headers(&[(HOST, host)])), "{host}");
        }
        assert!(!access.allows(&HeaderMap::new()));
    }

    #[test]
    fn a_token_is_accepted_as_header_and_cookie_and_never_printed() {
        let access = Access::new(at("0.0.0.0:80"), Some("secret")).unwrap();
        for right in [(AUTHORIZATION, "Bearer secret"), (COOKIE, "a=b; fleetmark_live=secret")] {
            assert!(access.allows(&headers(&[right])));
        }
        for wrong in [(AUTHORIZATION, "Bearer secre"), (COOKIE, "a=secret"), (HOST, "localhost")] {
            assert!(!access.allows(&headers(&[wrong])));
        }
        assert_eq!(format!("{access:?}"), "Access(by token)");
    }
}
