//! The one path of every request: read, admit, count, handle, answer, log, measure.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use futures::future::{FutureExt, LocalBoxFuture, join, try_join};
use rollcall_domain::limits::BODY_BYTES_MAX;
use rollcall_domain::role::Role;
use rollcall_domain::scope::Scope;
use rollcall_domain::session::Session;
use rollcall_domain::time::Clock;
use rollcall_runtime::declaration::{
    Access, Function, HTTP_TIMEOUT_SECONDS, Idempotency, RateClass,
};
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Failure, Handler, Invocation, Startup, StartupError};
use serde_json::Value;

use crate::caller::{Caller, Operator};
use crate::doors::Doors;
use crate::gate::{self, Browsers, Gate, Open, Operators, Users, Visitors};
use crate::idempotency::Once;
use crate::limits::{Limiter, Refusal, Standing};
use crate::problem::{CLOSED, INTERNAL, INVALID_TOKEN, Problem};
use crate::request::{BodyRules, Context, FromRequest, HttpRequest};
use crate::response::Response;

/// What functions behind the HTTP API have in common.
pub const HTTP: Function = Function {
    timeout_seconds: HTTP_TIMEOUT_SECONDS,
    body_bytes_max: BODY_BYTES_MAX,
    ..Function::EVENT
};

/// What functions that everybody may call have in common.
pub const PUBLIC: Function = Function { access: Access::Public, ..HTTP };

/// What functions for users have in common.
pub const SIGNED_IN: Function =
    Function { access: Access::User, rate: RateClass::User, wrapper: gate::CHANGING, ..HTTP };

/// What functions for users have in common whose routes change nothing.
pub const SIGNED_IN_READ: Function = Function { wrapper: gate::READING, ..SIGNED_IN };

/// What functions have in common that are about a browser's session.
pub const IN_SESSION: Function =
    Function { access: Access::Session, wrapper: gate::SESSION_CHANGING, ..SIGNED_IN };

/// What functions have in common that are about a browser's session and whose routes change nothing.
pub const IN_SESSION_READ: Function = Function { wrapper: gate::SESSION_READING, ..IN_SESSION };

/// What functions for operators have in common.
pub const OPERATED: Function =
    Function { access: Access::Operator { role: Role::Admin, scope: Scope::Operate }, ..SIGNED_IN };

/// What functions for operators have in common whose routes change nothing.
pub const OPERATED_READ: Function = Function { wrapper: gate::READING, ..OPERATED };

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
    let handle = async move |ports: &P, (): &(), context: &Context, input: I| {
        handle(ports, context, input).await
    };
    gated::<Open, _, _, _, _, _>(startup, ports, handle)
}

/// The handler of a route that everybody may call and that shows more to users. A session that is no
/// more is nobody's.
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
    let handle = async move |ports: &P, caller: &Option<Caller>, context: &Context, input: I| {
        handle(ports, caller.as_ref(), context, input).await
    };
    gated::<Visitors, _, _, _, _, _>(startup, ports, handle)
}

/// The handler of a route for users, whatever they prove it with; the function's access may ask for
/// a role as well.
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
    gated::<Users, _, _, _, _, _>(startup, ports, handle)
}

/// The handler of a route that is about the session of the browser that calls.
pub fn in_session<P, I, O, E, H>(
    startup: &Startup,
    ports: P,
    handle: H,
) -> Result<Handler, StartupError>
where
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, &Session, &Context, I) -> Result<O, E> + 'static,
{
    gated::<Browsers, _, _, _, _, _>(startup, ports, handle)
}

/// The handler of a route for operators: users with a role, machines with a scope.
pub fn operated<P, I, O, E, H>(
    startup: &Startup,
    ports: P,
    handle: H,
) -> Result<Handler, StartupError>
where
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, &Operator, &Context, I) -> Result<O, E> + 'static,
{
    gated::<Operators, _, _, _, _, _>(startup, ports, handle)
}

/// The handler of a route behind a gate.
fn gated<G, P, I, O, E, H>(startup: &Startup, ports: P, handle: H) -> Result<Handler, StartupError>
where
    G: Gate,
    P: 'static,
    I: FromRequest + 'static,
    O: Into<Response> + 'static,
    E: Into<Problem> + 'static,
    H: AsyncFn(&P, &G::Who, &Context, I) -> Result<O, E> + 'static,
{
    if !G::NAMES_ALL && startup.function().idempotency != Idempotency::None {
        let source = "a route that may not know its caller cannot take idempotency keys".into();
        return Err(StartupError::Part { what: "idempotency", source });
    }
    let edge =
        (G::new(startup)?, Limiter::new(startup)?, Once::new(startup)?, Doors::new(startup)?);
    let shared = Rc::new((edge, ports, handle));
    Ok(route(
        startup,
        Box::new(move |request, context| {
            let shared = Rc::clone(&shared);
            async move {
                let ((gate, limiter, once, doors), ports, handle) = shared.as_ref();
                let (open, who) =
                    join(doors.pass(context.now), gate.admit(&request, &context)).await;
                if let Err(closed) = open {
                    return (Err(closed), Standing::default());
                }
                let who = match who {
                    Ok(who) => who,
                    Err(problem) => return turned_away(limiter, &request, &context, problem).await,
                };
                let name = G::name(&who);
                let work = async {
                    let input = I::from_request(&request)?;
                    let done = handle(ports, &who, &context, input).await;
                    done.map(Into::into).map_err(Into::into)
                };
                let work = async {
                    match (once, name) {
                        (Some(once), Some(name)) => once.run(&request, name, &context, work).await,
                        _ => work.await,
                    }
                };
                let overlaps = G::OVERLAPS && limiter.may_overlap(&request);
                counted(limiter.admitted(name, &request, &context), work, overlaps).await
            }
            .boxed_local()
        }),
    ))
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
    if !matches!(problem.kind.status, 400 | 401 | 403) {
        return (Err(problem), Standing::default());
    }
    match limiter.stranger(request, context).await {
        Ok(standing) => (Err(problem), standing),
        Err((refused, standing)) => (Err(refused), standing),
    }
}

fn route(startup: &Startup, route: Route) -> Handler {
    let Function { body_bytes_max, takes_forms, .. } = *startup.function();
    let rules = BodyRules { bytes_max: body_bytes_max, takes_forms };
    let shared = Rc::new((startup.clock(), route));
    Box::new(move |payload, invocation| {
        let shared = Rc::clone(&shared);
        async move {
            let (clock, route) = shared.as_ref();
            answer(clock, route, rules, payload, &invocation).await
        }
        .boxed_local()
    })
}

async fn answer(
    clock: &Arc<dyn Clock>,
    route: &Route,
    rules: BodyRules,
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
    let is_get = event.request_context.http.method == http::Method::GET;
    let if_none_match = event.headers.get(http::header::IF_NONE_MATCH).cloned();
    let (outcome, standing) = match HttpRequest::new(event, rules) {
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
    let known = if_none_match.as_ref().and_then(|tags| tags.to_str().ok());
    let response = match &outcome {
        Ok(response) => response.clone().validated(is_get, known),
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
    // Closed by an operator is no failure, though a status of 5xx.
    let failed = status >= 500 && code != CLOSED.code;
    match status {
        500.. if failed => tracing::error!(
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
    let server_errors = if failed { 1.0 } else { 0.0 };
    let mut values = vec![
        (Metric::Requests, 1.0),
        (Metric::ServerErrors, server_errors),
        (Metric::Duration, duration),
    ];
    if code == INVALID_TOKEN.code {
        values.push((Metric::TokensInvalid, 1.0));
    } else if matches!(status, 401 | 403) {
        values.push((Metric::SessionsRefused, 1.0));
    }
    emit(now, &values);
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    panic.downcast_ref::<String>().map_or("a panic without a text", String::as_str)
}
