//! The one path of every request: read, admit, handle, answer, log, measure.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use futures::future::{FutureExt, LocalBoxFuture};
use rollcall_domain::limits::BODY_BYTES_MAX;
use rollcall_domain::time::Clock;
use rollcall_runtime::declaration::{Access, Function, HTTP_TIMEOUT_SECONDS};
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Failure, Handler, Invocation, Startup, StartupError};
use serde_json::Value;

use crate::problem::{INTERNAL, Problem};
use crate::request::{Context, FromRequest, HttpRequest};
use crate::response::Response;
use crate::session::{self, Caller, Guard};

/// What functions behind the HTTP API have in common.
pub const HTTP: Function = Function {
    timeout_seconds: HTTP_TIMEOUT_SECONDS,
    body_bytes_max: BODY_BYTES_MAX,
    ..Function::EVENT
};

/// What functions that everybody may call have in common.
pub const PUBLIC: Function = Function { access: Access::Public, ..HTTP };

/// What functions for signed-in users have in common.
pub const SIGNED_IN: Function =
    Function { access: Access::User, wrapper: session::CHANGING, ..HTTP };

/// What functions for signed-in users have in common whose routes change nothing.
pub const SIGNED_IN_READ: Function = Function { wrapper: session::READING, ..SIGNED_IN };

type Outcome = Result<Response, Problem>;
type Route = Box<dyn Fn(Rc<HttpRequest>, Context) -> LocalBoxFuture<'static, Outcome>>;

/// The handler of a route that everybody may call.
pub fn public<P, I, O, E, H>(
    startup: &Startup,
    ports: P,
    handle: H,
) -> Result<Handler, StartupError>
where
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, &Context, I) -> Result<O, E> + 'static,
{
    let shared = Rc::new((ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let (ports, handle) = shared.as_ref();
                let input = I::from_request(&request)?;
                handle(ports, &context, input).await.map(Into::into).map_err(Into::into)
            }
            .boxed_local()
        }),
    ))
}

/// The handler of a route for signed-in users; the function's access may ask for a role as well.
pub fn signed_in<P, I, O, E, H>(
    startup: &Startup,
    ports: P,
    handle: H,
) -> Result<Handler, StartupError>
where
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, &Caller, &Context, I) -> Result<O, E> + 'static,
{
    let shared = Rc::new((Guard::new(startup)?, ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let (guard, ports, handle) = shared.as_ref();
                let caller = guard.admit(&request, &context).await?;
                let input = I::from_request(&request)?;
                handle(ports, &caller, &context, input).await.map(Into::into).map_err(Into::into)
            }
            .boxed_local()
        }),
    ))
}

fn route(startup: &Startup, route: Route) -> Handler {
    let (clock, body_bytes_max) = (startup.clock(), startup.function().body_bytes_max);
    let shared = Rc::new((clock, route));
    Box::new(move |payload, invocation| {
        let shared = Rc::clone(&shared);
        async move {
            let (clock, route) = shared.as_ref();
            answer(clock, route, body_bytes_max, payload, &invocation).await
        }
        .boxed_local()
    })
}

async fn answer(
    clock: &Arc<dyn Clock>,
    route: &Route,
    body_bytes_max: usize,
    payload: Value,
    invocation: &Invocation,
) -> Result<Value, Failure> {
    let event: ApiGatewayV2httpRequest =
        serde_json::from_value(payload).map_err(|error| Failure::new("MalformedEvent", &error))?;
    let context = Context {
        request_id: event.request_context.request_id.clone().unwrap_or_default(),
        now: clock.now(),
        trace_id: invocation.trace_id.clone(),
    };
    let route_key = event.route_key.clone().unwrap_or_default();
    let outcome = match HttpRequest::new(event, body_bytes_max) {
        Err(problem) => Err(problem),
        Ok(request) => {
            let handling = AssertUnwindSafe(route(Rc::new(request), context.clone()));
            handling.catch_unwind().await.unwrap_or_else(|panic| {
                let text = panic_text(panic.as_ref());
                tracing::error!(error_type = "HandlerPanic", error = text, "a handler panicked");
                Err(Problem::new(&INTERNAL))
            })
        }
    };
    let code = outcome.as_ref().err().map_or("", |problem| problem.kind.code);
    let response = match &outcome {
        Ok(response) => response.clone(),
        Err(problem) => Response::problem(problem, &context.request_id),
    };
    report(clock.as_ref(), &context, &route_key, response.status(), code);
    let answer = response.into_gateway(&context.request_id);
    serde_json::to_value(answer).map_err(|error| Failure::new("MalformedAnswer", &error))
}

/// One line and one measurement per request. A user's mistake is never an error.
fn report(clock: &dyn Clock, context: &Context, route: &str, status: u16, code: &str) {
    let now = clock.now();
    let duration = now.duration_since(context.now).as_secs_f64() * 1_000.0;
    let request_id = context.request_id.as_str();
    match status {
        500.. => tracing::error!(
            route,
            status,
            code,
            request_id,
            duration_ms = duration,
            "request failed"
        ),
        400.. => tracing::info!(
            route,
            status,
            code,
            request_id,
            duration_ms = duration,
            "request refused"
        ),
        _ => tracing::info!(route, status, request_id, duration_ms = duration, "request answered"),
    }
    let server_errors = if status >= 500 { 1.0 } else { 0.0 };
    emit(
        now,
        &[
            (Metric::Requests, 1.0),
            (Metric::ServerErrors, server_errors),
            (Metric::Duration, duration),
        ],
    );
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("a panic without a text", String::as_str)
}
