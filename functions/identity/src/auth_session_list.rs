//! Lists where the caller is signed in, so that they can end what they do not know.
//!
//! A session is named by an id that is worth nothing as a cookie. Sessions that have ended, or that
//! were not used for too long, are not shown.

use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::sessions::SessionLister;
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-session-list",
    purpose: "Lists the caller's sessions.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/sessions" })],
    grants: &[SessionLister::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::in_session(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::IN_SESSION_READ
};

struct Ports {
    sessions: SessionLister,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { sessions: startup.capability()? })
    }
}

/// The caller's live sessions, newest first: all of them, or the newest hundred.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sessions")]
struct Output {
    /// The sessions.
    sessions: Vec<SessionView>,
}

/// One signed-in browser.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedSession")]
struct SessionView {
    /// Names the session, to end it.
    id: String,
    /// When it began (RFC 3339, UTC).
    signed_in_at: String,
    /// When it was last used, to within five minutes (RFC 3339, UTC).
    last_used_at: String,
    /// When it ends if it is not used again (RFC 3339, UTC).
    ends_at: String,
    /// Whether this request came with it.
    current: bool,
}

async fn handle(
    ports: &Ports,
    current: &Session,
    context: &Context,
    _input: NoInput,
) -> Result<Response, SessionListError> {
    let sessions = ports.sessions.list(&current.user, context.now).await?;
    let view = |session: &Session| SessionView {
        id: session.id.to_string(),
        signed_in_at: session.signed_in_at.to_string(),
        last_used_at: session.last_used_at.to_string(),
        ends_at: session.ends_at().to_string(),
        current: session.id == current.id,
    };
    Ok(Response::json(200, &Output { sessions: sessions.iter().map(view).collect() }))
}

#[derive(Debug, thiserror::Error)]
enum SessionListError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<SessionListError> for Problem {
    fn from(error: SessionListError) -> Self {
        match error {
            SessionListError::Port(error) => Self::port(&error),
        }
    }
}
