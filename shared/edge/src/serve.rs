//! The one path of every request: read, admit, count, handle, answer, log, measure.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use futures::future::{FutureExt, LocalBoxFuture, try_join};
use rollcall_domain::limits::BODY_BYTES_MAX;
use rollcall_domain::time::Clock;
use rollcall_runtime::declaration::{
    Access, Function, HTTP_TIMEOUT_SECONDS, Idempotency, RateClass,
};
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Failure, Handler, Invocation, Startup, StartupError};
use serde_json::Value;

use crate::idempotency::Once;
use crate::limits::{Limiter, Refusal, Standing};
use crate::problem::{INTERNAL, Problem, UNAUTHENTICATED};
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
    Function { access: Access::User, rate: RateClass::User, wrapper: session::CHANGING, ..HTTP };

/// What functions for signed-in users have in common whose routes change nothing.
pub const SIGNED_IN_READ: Function = Function { wrapper: session::READING, ..SIGNED_IN };

/// What functions that everybody may call have in common whose routes show more to who is signed in
/// and change nothing.
pub const OPTIONAL: Function = Function { access: Access::Public, ..SIGNED_IN_READ };

type Outcome = Result<Response, Problem>;
/// What became of a request, and where its caller stands with the rate limit.
type Reply = (Outcome, Standing);
type Route = Box<dyn Fn(Rc<HttpRequest>, Context) -> LocalBoxFuture<'static, Reply>>;

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
    takes_no_keys(startup)?;
    let shared = Rc::new((Limiter::new(startup)?, ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let (limiter, ports, handle) = shared.as_ref();
                let work = async {
                    let input = I::from_request(&request)?;
                    handle(ports, &context, input).await.map(Into::into).map_err(Into::into)
                };
                counted(limiter.address(&request, &context), work, false).await
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
    let edge = (Guard::new(startup)?, Limiter::new(startup)?, Once::new(startup)?);
    let shared = Rc::new((edge, ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let ((guard, limiter, once), ports, handle) = shared.as_ref();
                let caller = match guard.admit(&request, &context).await {
                    Ok(caller) => caller,
                    Err(problem) => return turned_away(limiter, &request, &context, problem).await,
                };
                let work = async {
                    let input = I::from_request(&request)?;
                    let done = handle(ports, &caller, &context, input).await;
                    done.map(Into::into).map_err(Into::into)
                };
                let work = async {
                    match once {
                        Some(once) => once.run(&request, &caller.user, &context, work).await,
                        None => work.await,
                    }
                };
                let overlaps = limiter.may_overlap(&request);
                counted(limiter.user(&caller.user, &context), work, overlaps).await
            }
            .boxed_local()
        }),
    ))
}

/// The handler of a route that everybody may call and that shows more to who is signed in. A session
/// that is no more is nobody's.
pub fn optional<P, I, O, E, H>(
    startup: &Startup,
    ports: P,
    handle: H,
) -> Result<Handler, StartupError>
where
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, Option<&Caller>, &Context, I) -> Result<O, E> + 'static,
{
    takes_no_keys(startup)?;
    let shared = Rc::new((Guard::new(startup)?, Limiter::new(startup)?, ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let (guard, limiter, ports, handle) = shared.as_ref();
                let caller = match guard.admit(&request, &context).await {
                    Ok(caller) => Some(caller),
                    Err(problem) if problem.kind == &UNAUTHENTICATED => None,
                    Err(problem) => return (Err(problem), Standing::default()),
                };
                let counting = async {
                    match &caller {
                        Some(caller) => limiter.user(&caller.user, &context).await,
                        None => limiter.stranger(&request, &context).await,
                    }
                };
                let work = async {
                    let input = I::from_request(&request)?;
                    let done = handle(ports, caller.as_ref(), &context, input).await;
                    done.map(Into::into).map_err(Into::into)
                };
                counted(counting, work, limiter.may_overlap(&request)).await
            }
            .boxed_local()
        }),
    ))
}

/// Idempotency keys belong to callers, so a function that may not know its caller takes none.
fn takes_no_keys(startup: &Startup) -> Result<(), StartupError> {
    if startup.function().idempotency == Idempotency::None {
        return Ok(());
    }
    let source = "a route that may not know its caller cannot take idempotency keys".into();
    Err(StartupError::Part { what: "idempotency", source })
}

/// The work's reply, if the caller is admitted. Work that overlaps with counting must change
/// nothing: a refusal drops it where it is.
async fn counted(
    counting: impl Future<Output = Result<Standing, Refusal>>,
    work: impl Future<Output = Outcome>,
    overlaps: bool,
) -> Reply {
    let admitted = if overlaps {
        try_join(counting, work.map(Ok)).await
    } else {
        match counting.await {
            Ok(standing) => Ok((standing, work.await)),
            Err(refusal) => Err(refusal),
        }
    };
    match admitted {
        Ok((standing, outcome)) => (outcome, standing),
        Err((problem, standing)) => (Err(problem), standing),
    }
}

/// The reply to somebody whom the guard did not admit: counted by address, so that nobody tries
/// sessions or tokens without end.
async fn turned_away(
    limiter: &Limiter,
    request: &HttpRequest,
    context: &Context,
    problem: Problem,
) -> Reply {
    if !matches!(problem.kind.status, 401 | 403) {
        return (Err(problem), Standing::default());
    }
    match limiter.stranger(request, context).await {
        Ok(standing) => (Err(problem), standing),
        Err((refused, standing)) => (Err(refused), standing),
    }
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
        deadline: invocation.deadline,
        trace_id: invocation.trace_id.clone(),
    };
    let route_key = event.route_key.clone().unwrap_or_default();
    let (outcome, standing) = match HttpRequest::new(event, body_bytes_max) {
        Err(problem) => (Err(problem), Standing::default()),
        Ok(request) => {
            let handling = AssertUnwindSafe(route(Rc::new(request), context.clone()));
            handling.catch_unwind().await.unwrap_or_else(|panic| {
                let text = panic_text(panic.as_ref());
                tracing::error!(error_type = "HandlerPanic", error = text, "a handler panicked");
                (Err(Problem::new(&INTERNAL)), Standing::default())
            })
        }
    };
    let code = outcome.as_ref().err().map_or("", |problem| problem.kind.code);
    let response = match &outcome {
        Ok(response) => response.clone(),
        Err(problem) => Response::problem(problem, &context.request_id),
    };
    report(clock.as_ref(), &context, &route_key, response.status(), code);
    let answer = standing.tell(response).into_gateway(&context.request_id);
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
