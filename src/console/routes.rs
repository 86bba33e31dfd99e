//! Requests of browsers: page files, the log-in, and the WebSocket. The last part of the path decides, so that the console
//! works below any path of a reverse proxy, which may or may not strip it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest, Sha256};

use super::client;
use super::hub::Hub;
use super::page_files::{LOGIN, PageFile, page_file};
use super::request::MAX_MESSAGE;

/// Largest log-in form in bytes.
const MAX_FORM: usize = 1 << 10;
/// Wait after a wrong token, so that guessing is slow.
const WRONG_TOKEN_WAIT: Duration = Duration::from_millis(500);

/// Files of the log-in page.
const PUBLIC: [&str; 2] = ["icon.svg", "style.css"];

/// Returns the service for all requests.
pub fn router(hub: Arc<Hub>) -> Router {
    Router::new().fallback(respond).with_state(hub)
}

async fn respond(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let mut response = match hub.access.check_origin(request.headers()) {
        Ok(()) => route(&hub, request).await,
        Err(reason) => {
            tracing::warn!("console: a request is refused: {reason}");
            text(StatusCode::FORBIDDEN, &reason)
        }
    };
    let headers = response.headers_mut();
    let ancestors = if hub.settings.origins.is_empty() { "'none'".to_owned() } else { hub.settings.origins.join(" ") };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: browsers then send the log-in form with the origin `null`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn route(hub: &Arc<Hub>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(token) = query_token(request.uri().query().unwrap_or_default()) {
        return log_in(hub, token).await;
    }
    match (request.method(), name.as_str()) {
        (&Method::POST, "login") => {
            let Ok(form) = to_bytes(request.into_body(), MAX_FORM).await else {
                return text(StatusCode::PAYLOAD_TOO_LARGE, &format!("the form is longer than {MAX_FORM} bytes"));
            };
            log_in(hub, query_token(&String::from_utf8_lossy(&form)).unwrap_or_default()).await
        }
        (&Method::GET, "socket") => connect(hub, request).await,
        (&Method::GET | &Method::HEAD, _) => match page_file(&path) {
            Some(file) if hub.access.role(request.headers()).is_some() || PUBLIC.contains(&file.name) => {
                serve_file(file, request.headers().get(header::IF_NONE_MATCH))
            }
            Some(_) => html(StatusCode::UNAUTHORIZED, &LOGIN.replace("{message}", "")),
            None => text(StatusCode::NOT_FOUND, "the console has no such file: the page ends with a slash"),
        },
        _ => text(StatusCode::METHOD_NOT_ALLOWED, "expected GET, HEAD, or POST of the log-in form"),
    }
}

/// Returns the token of a query or a form. Tokens have no characters that are escaped.
fn query_token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("token="))
}

/// Answers a token: with a cookie and the way to the page, or with the form.
async fn log_in(hub: &Hub, token: &str) -> Response {
    let Some((_, cookie)) = hub.access.log_in(token) else {
        tokio::time::sleep(WRONG_TOKEN_WAIT).await;
        return html(StatusCode::UNAUTHORIZED, &LOGIN.replace("{message}", "This is not the token of the console."));
    };
    // Relative to the page, wherever a reverse proxy has it. The token leaves the address line.
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, "./")]).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Accepts a WebSocket.
async fn connect(hub: &Arc<Hub>, request: Request) -> Response {
    let Some(role) = hub.access.role(request.headers()) else {
        return text(StatusCode::UNAUTHORIZED, "no token: open the page first");
    };
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let Some(place) = hub.take_place() else {
        let most = hub.settings.max_clients;
        tracing::warn!("console: a client is refused: {most} are connected (console.max_clients)");
        return text(StatusCode::SERVICE_UNAVAILABLE, &format!("{most} pages are connected already"));
    };
    let hub = Arc::clone(hub);
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    upgrade.on_upgrade(move |socket| client::serve(socket, hub, role, place))
}

/// Sends a file, unless the browser has it already.
fn serve_file(file: &PageFile, known: Option<&HeaderValue>) -> Response {
    let hash: String = Sha256::digest(file.content).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{hash}\"");
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let (status, body) = match is_known {
        true => (StatusCode::NOT_MODIFIED, Body::empty()),
        false => (StatusCode::OK, Body::from(file.content)),
    };
    // The browser asks each time, so that a page and its modules are always of one version.
    let headers = [(header::CONTENT_TYPE, file.media_type), (header::CACHE_CONTROL, "no-cache"), (header::ETAG, &tag)];
    (status, headers, body).into_response()
}

fn html(status: StatusCode, page: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, page.to_owned()).into_response()
}

fn text(status: StatusCode, message: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{message}\n")).into_response()
}
