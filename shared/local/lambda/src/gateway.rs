//! API Gateway as an HTTP API: routes, limits, CORS, and Lambda proxy integrations with payload
//! format 2.0.
//!
//! Errors carry the statuses and texts of the service. The source address of a request is the one
//! of its socket; what a client claims in headers is passed on but never believed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use rollcall_local_kit::LocalClock;
use serde_json::json;

use crate::body::{Unread, read};
use crate::function::{InvokeError, Lambda, Outcome};
use crate::unguessable;
pub use cors::Cors;
pub use route::RouteSpec;
pub use throttle::Throttle;

mod answer;
mod cors;
mod event;
mod route;
mod throttle;

/// "Total combined size of request line and header values" in the quotas of HTTP APIs.
pub const HEADER_BYTES_MAX: usize = 10_240;
/// "Payload size" in the quotas of HTTP APIs.
pub const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;
/// "Maximum integration timeout" in the quotas of HTTP APIs.
pub const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// What an API is made of.
#[derive(Clone)]
pub struct GatewayOptions {
    /// Where the functions are.
    pub lambda: Lambda,
    /// The clock requests are dated by.
    pub clock: LocalClock,
    /// All routes.
    pub routes: Vec<RouteSpec>,
    /// CORS; `None` leaves it to the functions.
    pub cors: Option<Cors>,
    /// The rate limit of the stage, if it has one.
    pub throttle: Option<Throttle>,
    /// What functions see as the API's host, with the port: `localhost:9000`.
    pub domain_name: String,
    /// How long a function may take; [`INTEGRATION_TIMEOUT`] unless a test cannot wait.
    pub integration_timeout: Duration,
}

struct Gateway {
    options: GatewayOptions,
    bucket: Option<throttle::Bucket>,
}

/// An HTTP API. Serve it with the socket's address as connect info, as `Server` of the kit does.
pub fn router(options: GatewayOptions) -> Router {
    let gateway = Gateway { bucket: options.throttle.map(throttle::Bucket::new), options };
    Router::new().fallback(serve).with_state(Arc::new(gateway))
}

/// A request that the gateway answers itself.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    BadRequest,
    NotFound,
    BodyTooLarge,
    HeadersTooLarge,
    TooManyRequests,
    /// The function failed or its answer cannot be understood.
    Internal,
    /// The function is throttled or takes too long.
    Unavailable,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large")
            }
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        };
        (status, axum::Json(json!({ "message": message }))).into_response()
    }
}

async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let request_id = STANDARD.encode(unguessable::bytes());
    let origin = request.headers().get(ORIGIN).cloned();
    let cors = gateway.options.cors.as_ref();
    let preflight = cors.is_some() && cors::is_preflight(&request);
    let mut response = if preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        gateway.integrate(request, &request_id).await.unwrap_or_else(Refusal::into_response)
    };
    let headers = response.headers_mut();
    if let Some(cors) = cors {
        cors.apply(origin.as_ref(), preflight, headers);
    }
    if let Ok(request_id) = HeaderValue::from_str(&request_id) {
        headers.insert("apigw-requestid", request_id);
    }
    response
}

impl Gateway {
    async fn integrate(&self, request: Request, request_id: &str) -> Result<Response, Refusal> {
        let options = &self.options;
        if self.bucket.as_ref().is_some_and(|bucket| !bucket.admits()) {
            return Err(Refusal::TooManyRequests);
        }
        let (parts, body) = request.into_parts();
        if head_bytes(&parts) > HEADER_BYTES_MAX {
            return Err(Refusal::HeadersTooLarge);
        }
        let path = event::decoded_path(parts.uri.path());
        let (route, path_parameters) =
            route::find(&options.routes, parts.method.as_str(), &path).ok_or(Refusal::NotFound)?;
        let body = read(body, BODY_BYTES_MAX).await.map_err(|unread| match unread {
            Unread::TooLong => Refusal::BodyTooLarge,
            Unread::BrokenOff => Refusal::BadRequest,
        })?;
        let trace = trace(&parts.headers, &options.clock);
        let event = event::build(
            &parts,
            &body,
            &event::Received {
                request_id,
                route_key: &route.key(),
                path_parameters,
                domain_name: &options.domain_name,
                source: source(&parts),
                trace: &trace,
                at: options.clock.now(),
            },
        );
        self.invoke(&route.function, event.to_string().into(), trace).await
    }

    async fn invoke(
        &self,
        function: &str,
        event: Bytes,
        trace: String,
    ) -> Result<Response, Refusal> {
        let invoking = self.options.lambda.invoke(function, event, Some(trace));
        let Ok(invoked) = tokio::time::timeout(self.options.integration_timeout, invoking).await
        else {
            return Err(Refusal::Unavailable);
        };
        match invoked {
            Ok(invocation) => match invocation.outcome {
                Outcome::Response(payload) => answer::translate(&payload).ok_or_else(|| {
                    tracing::warn!(function, "the answer is malformed");
                    Refusal::Internal
                }),
                Outcome::FunctionError { error_type, .. } => {
                    tracing::warn!(function, error_type, "the function failed");
                    Err(Refusal::Internal)
                }
            },
            Err(InvokeError::PayloadTooLarge(_)) => Err(Refusal::BodyTooLarge),
            Err(InvokeError::Throttled(_) | InvokeError::Stopped) => Err(Refusal::Unavailable),
            Err(error @ InvokeError::UnknownFunction(_)) => {
                tracing::error!(%error, "a route leads nowhere");
                Err(Refusal::Internal)
            }
        }
    }
}

/// The size of the request line and the header values.
fn head_bytes(parts: &Parts) -> usize {
    let line = parts.method.as_str().len() + parts.uri.to_string().len() + " HTTP/1.1 ".len();
    parts.headers.values().map(HeaderValue::len).fold(line, usize::saturating_add)
}

/// The client's trace when it looks like one, else a new one.
fn trace(headers: &HeaderMap, clock: &LocalClock) -> String {
    headers
        .get("x-amzn-trace-id")
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.starts_with("Root=1-"))
        .map_or_else(|| unguessable::trace_header(clock.now_ms()), str::to_owned)
}

fn source(parts: &Parts) -> IpAddr {
    parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(address)| address.ip())
}

/// Headers of one connection, which a gateway does not pass on (RFC 9110, section 7.6.1).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
    .contains(&name.as_str())
}
