//! Ends one of the caller's sessions, such as the one on a device that was lost. It takes effect at
//! the next request; what the session had at the provider is revoked.
//!
//! Another person's session is not there, as is one that does not exist.

use rollcall_domain::id::SessionId;
use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_edge::problem::NOT_FOUND;
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::sessions::SessionEnder;

use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-session-end",
    purpose: "Ends one of the caller's sessions.",
    triggers: &[Trigger::Http(Route { method: Method::Delete, path: "/auth/sessions/{id}" })],
    grants: &[SessionEnder::GRANTS, upstream::GRANTS],
    settings: &[
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
        &OIDC_CLIENT_AUTHENTICATION,
    ],
    operation: Operation { problems: &[&NOT_FOUND], ..Operation::EMPTY },
    start: |startup| rollcall_edge::in_session(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::IN_SESSION
};

struct Ports {
    sessions: SessionEnder,
    upstream: Upstream,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { sessions: startup.capability()?, upstream: Upstream::new(startup)? })
    }
}

struct Input {
    session: SessionId,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        match request.path_parameter("id").parse() {
            Ok(session) => Ok(Self { session }),
            Err(_) => Err(Problem::new(&NOT_FOUND)),
        }
    }
}

async fn handle(
    ports: &Ports,
    session: &Session,
    context: &Context,
    input: Input,
) -> Result<Response, SessionEndError> {
    let ended = ports.sessions.end(&session.user, &input.session, context.now).await?;
    let ended = ended.ok_or(SessionEndError::Unknown)?;
    tracing::info!(user.id = %session.user, "ended a session");
    ports.upstream.revoke([ended], context.now).await;
    let response = Response::no_content();
    let is_current = input.session == session.id;
    Ok(if is_current { response.with_cookie(SESSION_COOKIE, "", 0) } else { response })
}

#[derive(Debug, thiserror::Error)]
enum SessionEndError {
    #[error("the caller has no such session")]
    Unknown,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<SessionEndError> for Problem {
    fn from(error: SessionEndError) -> Self {
        match error {
            SessionEndError::Unknown => Self::new(&NOT_FOUND),
            SessionEndError::Port(error) => Self::port(&error),
        }
    }
}
