//! The Lambda Runtime API of one process: the loopback server it fetches events from and posts
//! answers to.
//!
//! Followed: "Using the Lambda runtime API for custom runtimes" (version 2018-06-01), as far as
//! programs built on `lambda_runtime` use it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rollcall_local_kit::LocalClock;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::PAYLOAD_BYTES_MAX;
use crate::body::{Unread, read};

/// An event on its way to a process.
pub(super) struct Assignment {
    pub(super) request_id: String,
    pub(super) payload: Bytes,
    pub(super) timeout: Duration,
    pub(super) trace: String,
    /// Told when the process has fetched the event.
    pub(super) taken: oneshot::Sender<()>,
    /// Told what the process answers.
    pub(super) reply: oneshot::Sender<Reply>,
}

/// What a process says about the event it fetched.
pub(super) enum Reply {
    Response(Bytes),
    Error(Diagnostic),
}

/// An error as the function describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diagnostic {
    #[serde(default)]
    pub(super) error_type: String,
    #[serde(default)]
    pub(super) error_message: String,
}

/// The service's end of the Runtime API of one process.
pub(super) struct RuntimeApi {
    function_arn: String,
    clock: LocalClock,
    assignments: tokio::sync::Mutex<mpsc::Receiver<Assignment>>,
    current: Mutex<Option<(String, oneshot::Sender<Reply>)>>,
    init_error: Mutex<Option<Diagnostic>>,
}

impl RuntimeApi {
    pub(super) fn new(
        function_arn: String,
        clock: LocalClock,
        assignments: mpsc::Receiver<Assignment>,
    ) -> Self {
        Self {
            function_arn,
            clock,
            assignments: tokio::sync::Mutex::new(assignments),
            current: Mutex::new(None),
            init_error: Mutex::new(None),
        }
    }

    /// Whether the process has fetched an event that it has not answered.
    pub(super) fn is_handling(&self) -> bool {
        lock(&self.current).is_some()
    }

    /// What the process reported before it fetched its first event.
    pub(super) fn init_error(&self) -> Option<Diagnostic> {
        lock(&self.init_error).clone()
    }

    pub(super) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(self)
    }

    fn answer(&self, request_id: &str, reply: Reply) -> Response {
        let Some((_, sender)) =
            lock(&self.current).take_if(|(current, _)| current.as_str() == request_id)
        else {
            return refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID");
        };
        // The invocation may have timed out just now; then nobody waits and the process is killed.
        drop(sender.send(reply));
        (StatusCode::ACCEPTED, axum::Json(json!({ "status": "OK" }))).into_response()
    }
}

async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    let mut assignments = api.assignments.lock().await;
    let Some(assignment) = assignments.recv().await else {
        return refusal(StatusCode::GONE, "Gone", "the service is stopping");
    };
    let timeout_ms = i64::try_from(assignment.timeout.as_millis()).unwrap_or(i64::MAX);
    let deadline_ms = api.clock.now_ms().saturating_add(timeout_ms);
    let event = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &assignment.request_id)
        .header("lambda-runtime-deadline-ms", deadline_ms)
        .header("lambda-runtime-invoked-function-arn", &api.function_arn)
        .header("lambda-runtime-trace-id", &assignment.trace)
        .body(Body::from(assignment.payload));
    *lock(&api.current) = Some((assignment.request_id, assignment.reply));
    if assignment.taken.send(()).is_err() {
        tracing::debug!("the invocation was given up before the process fetched it");
    }
    event.unwrap_or_else(|error| {
        refusal(StatusCode::INTERNAL_SERVER_ERROR, "InvalidEvent", &error.to_string())
    })
}

async fn response(
    State(api): State<Arc<RuntimeApi>>,
    Path(request_id): Path<String>,
    body: Body,
) -> Response {
    match read(body, PAYLOAD_BYTES_MAX).await {
        Ok(payload) => api.answer(&request_id, Reply::Response(payload)),
        Err(Unread::TooLong) => {
            let error_type = "Function.ResponseSizeTooLarge";
            let error_message = format!(
                "Response payload size exceeded maximum allowed payload size ({PAYLOAD_BYTES_MAX} bytes)."
            );
            let answer = refusal(StatusCode::PAYLOAD_TOO_LARGE, error_type, &error_message);
            api.answer(
                &request_id,
                Reply::Error(Diagnostic { error_type: error_type.to_owned(), error_message }),
            );
            answer
        }
        // The process broke off; its exit will be noticed.
        Err(Unread::BrokenOff) => {
            refusal(StatusCode::BAD_REQUEST, "InvalidBody", "the body broke off")
        }
    }
}

async fn error(
    State(api): State<Arc<RuntimeApi>>,
    Path(request_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    api.answer(&request_id, Reply::Error(diagnostic(&headers, &body)))
}

async fn init_error(
    State(api): State<Arc<RuntimeApi>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    *lock(&api.init_error) = Some(diagnostic(&headers, &body));
    StatusCode::ACCEPTED
}

/// The body's error type, or the one of the header where the body has none.
fn diagnostic(headers: &HeaderMap, body: &[u8]) -> Diagnostic {
    let mut diagnostic = serde_json::from_slice(body).unwrap_or_else(|_| Diagnostic {
        error_type: String::new(),
        error_message: String::from_utf8_lossy(body).into_owned(),
    });
    if diagnostic.error_type.is_empty() {
        headers
            .get("lambda-runtime-function-error-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("Unhandled")
            .clone_into(&mut diagnostic.error_type);
    }
    diagnostic
}

fn refusal(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = json!({ "errorType": error_type, "errorMessage": message });
    (status, axum::Json(body)).into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
