//! Shows the caller who they are, and until when their browser stays signed in.
//!
//! The user is read anew, so what another device changed is seen; an account that is gone has
//! nobody signed in any more.

use rollcall_domain::session::Session;
use rollcall_domain::user::User;
use rollcall_edge::problem::UNAUTHENTICATED;
use rollcall_edge::{Caller, Context, Credential, NoInput, Problem, Response};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::users::UserReader;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-me",
    purpose: "Shows the caller who they are.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/me" })],
    grants: &[UserReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&UNAUTHENTICATED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    users: UserReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { users: startup.capability()? })
    }
}

/// The person who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Me")]
struct Output {
    /// The user.
    user_id: String,
    /// The verified e-mail address, if there is one.
    email: Option<String>,
    /// Given name; may be empty.
    given_name: String,
    /// Family name; may be empty.
    family_name: String,
    /// What the user may do beyond being a member, in this session or with this token.
    roles: Vec<&'static str>,
    /// When the account was made (RFC 3339, UTC).
    joined_at: String,
    /// When the user last signed in (RFC 3339, UTC).
    last_seen_at: String,
    /// This browser's session; null when the request came with an access token.
    session: Option<SessionView>,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
struct SessionView {
    /// When it began (RFC 3339, UTC).
    signed_in_at: String,
    /// When it ends if it is not used again (RFC 3339, UTC).
    ends_at: String,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    _context: &Context,
    _input: NoInput,
) -> Result<Response, MeError> {
    let user = ports.users.find(&caller.user).await?;
    let user = user.ok_or(MeError::Gone)?;
    Ok(Response::json(200, &Output::new(user, caller)))
}

impl Output {
    fn new(user: User, caller: &Caller) -> Self {
        Self {
            user_id: user.id.to_string(),
            email: user.email,
            given_name: user.given_name,
            family_name: user.family_name,
            roles: caller.roles.iter().map(|role| role.as_str()).collect(),
            joined_at: user.joined_at.to_string(),
            last_seen_at: user.last_seen_at.to_string(),
            session: match &caller.credential {
                Credential::Session(session) => Some(SessionView::of(session)),
                Credential::Token { .. } => None,
            },
        }
    }
}

impl SessionView {
    fn of(session: &Session) -> Self {
        Self {
            signed_in_at: session.signed_in_at.to_string(),
            ends_at: session.ends_at().to_string(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum MeError {
    #[error("the account is gone")]
    Gone,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<MeError> for Problem {
    fn from(error: MeError) -> Self {
        match error {
            MeError::Gone => Self::new(&UNAUTHENTICATED),
            MeError::Port(error) => Self::port(&error),
        }
    }
}
