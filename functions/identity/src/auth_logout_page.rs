//! Asks a person whether they want to sign out, and signs nobody out: a link that somebody else wrote, or a
//! page that a browser fetches ahead, ends no session (faults S10, S17). The form on the page posts
//! to `auth-logout` with the session's CSRF token and needs no script.

use rollcall_domain::port::PortError;
use rollcall_edge::problem::SESSION_REQUIRED;
use rollcall_edge::session::CSRF_FIELD;
use rollcall_edge::{Caller, Context, Credential, Form, NoInput, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-logout-page",
    purpose: "Asks whether the caller wants to sign out.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/logout" })],
    grants: &[&[Grant::secret(SecretName::CsrfKey)]],
    operation: Operation {
        success_status: 200,
        problems: &[&SESSION_REQUIRED],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::optional(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::OPTIONAL
};

struct Ports {
    csrf_key: SecretReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { csrf_key: startup.secret(SecretName::CsrfKey)? })
    }
}

async fn handle(
    ports: &Ports,
    caller: Option<&Caller>,
    context: &Context,
    _input: NoInput,
) -> Result<Response, LogoutPageError> {
    let session = match caller.map(|caller| &caller.credential) {
        None => return Ok(signed_out()),
        Some(Credential::Token { .. }) => return Err(LogoutPageError::NoSession),
        Some(Credential::Session(session)) => session,
    };
    let keys = ports.csrf_key.keys(context.now).await?;
    let token = session.csrf_token(keys.signing(context.now));
    let form = Form {
        action: "/auth/logout",
        hidden: &[(CSRF_FIELD, &token)],
        choices: &[("everywhere", "On all my devices")],
        button: "Sign out",
    };
    Ok(Response::form_page("Sign out?", "You are signed in in this browser.", &form))
}

fn signed_out() -> Response {
    Response::page(200, "You are signed out", "Nobody is signed in in this browser.")
}

#[derive(Debug, thiserror::Error)]
enum LogoutPageError {
    #[error("a token has no session that could end")]
    NoSession,
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<LogoutPageError> for Problem {
    fn from(error: LogoutPageError) -> Self {
        match error {
            LogoutPageError::NoSession => Self::new(&SESSION_REQUIRED),
            LogoutPageError::Port(error) => Self::port(&error),
        }
    }
}
