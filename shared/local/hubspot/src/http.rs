//! HTTP before the portal: bytes to a request, an outcome to bytes or to a closed connection.

use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderName, HeaderValue, StatusCode};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::response::Response;
use serde_json::json;

use crate::emulator::HubSpot;
use crate::wire::{Answer, Refusal, Request};

/// The header that a caller may follow its calls by.
const TRACE_ID: &str = "x-rollcall-trace-id";
/// Largest body of a request.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

pub(crate) fn router(hubspot: HubSpot) -> Router {
    Router::new().fallback(serve).with_state(hubspot)
}

async fn serve(State(hubspot): State<HubSpot>, incoming: HttpRequest) -> Response {
    let (head, body) = incoming.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return respond(&Answer::empty(413), String::new());
    };
    let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let trace_id = head.headers.get(TRACE_ID).and_then(|value| value.to_str().ok());
    let request = Request {
        trace_id: trace_id.map(str::to_owned),
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        authorization: authorization.map(str::to_owned),
        body: body.to_vec(),
    };
    if request.path.starts_with("/_emulator/") {
        let answer = control(&hubspot, &request);
        let text = answer.body.as_ref().map(ToString::to_string);
        return respond(&answer, text.unwrap_or_default());
    }
    let outcome = hubspot.portal().exchange(&request, hubspot.clock().now());
    if request.method != "GET" {
        hubspot.changed();
        hubspot.tell_webhooks();
    }
    if !outcome.delay.is_zero() {
        tokio::time::sleep(outcome.delay).await;
    }
    match outcome.answer {
        Some(answer) => respond(&answer, outcome.text),
        None => dropped(),
    }
}

fn control(hubspot: &HubSpot, request: &Request) -> Answer {
    let result = if request.path == "/_emulator/clock" {
        clock(hubspot, request)
    } else {
        let now = hubspot.clock().now();
        hubspot.portal().control(request, hubspot.initial_settings(), now)
    };
    if request.method != "GET" {
        hubspot.changed();
        hubspot.tell_webhooks();
    }
    match result {
        Ok(body) => Answer::json(200, body),
        Err(refusal) => Answer::json(refusal.status, json!({ "error": refusal.message })),
    }
}

fn clock(hubspot: &HubSpot, request: &Request) -> Result<serde_json::Value, Refusal> {
    if request.method == "POST" {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Advance {
            advance_ms: u64,
        }
        let Advance { advance_ms } = request.json()?;
        hubspot.clock().advance(Duration::from_millis(advance_ms));
    }
    Ok(json!({ "now": hubspot.clock().now() }))
}

fn respond(answer: &Answer, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if answer.body.is_some() {
        let json = HeaderValue::from_static("application/json;charset=utf-8");
        headers.insert(CONTENT_TYPE, json);
    }
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// A response whose body fails at once: the server gives up the connection before it has sent even
/// the status line, so the client sees it close.
fn dropped() -> Response {
    let closed = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let failing = futures::stream::iter([Err::<Bytes, _>(closed)]);
    Response::new(Body::from_stream(failing))
}

#[cfg(test)]
mod tests;
