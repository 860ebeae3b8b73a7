//! Hands out the token that a page of ours sends as `X-CSRF-Token` with every request that changes
//! something. It is bound to the session and stays the same while the session lasts; other sites
//! cannot read this answer.

use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_secrets::SecretReader;
use schemars::JsonSchema;
use serde::Serialize;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-csrf",
    purpose: "Hands out the session's CSRF token.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/auth/csrf" })],
    grants: &[&[Grant::secret(SecretName::CsrfKey)]],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::in_session(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::IN_SESSION_READ
};

struct Ports {
    csrf_key: SecretReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { csrf_key: startup.secret(SecretName::CsrfKey)? })
    }
}

/// The session's CSRF token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CsrfToken")]
struct Output {
    /// What goes into the header `X-CSRF-Token`.
    token: String,
}

async fn handle(
    ports: &Ports,
    session: &Session,
    context: &Context,
    _input: NoInput,
) -> Result<Response, CsrfError> {
    let keys = ports.csrf_key.keys(context.now).await?;
    let token = session.csrf_token(keys.signing(context.now));
    Ok(Response::json(200, &Output { token }))
}

#[derive(Debug, thiserror::Error)]
enum CsrfError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<CsrfError> for Problem {
    fn from(error: CsrfError) -> Self {
        match error {
            CsrfError::Port(error) => Self::port(&error),
        }
    }
}
