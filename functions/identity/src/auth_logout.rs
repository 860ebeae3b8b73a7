//! Signs the caller out: the session ends at once, the cookie goes, and the answer says where the
//! browser can end the provider's own session as well.
//!
//! The provider is not waited for: when it cannot be found, the caller is signed out here all the
//! same, and the answer names no URL.

use rollcall_domain::port::PortError;
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_oidc::Client;
use rollcall_runtime::declaration::Operation;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::sessions::SessionEnder;
use schemars::JsonSchema;
use serde::Serialize;

use crate::provider::public_client;
use crate::settings::{OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI, SITE_URL};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-logout",
    purpose: "Signs the caller out.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/auth/logout" })],
    grants: &[SessionEnder::GRANTS],
    settings: &[&SITE_URL, &OIDC_ISSUER, &OIDC_CLIENT_ID, &OIDC_REDIRECT_URI, &OIDC_PROFILE],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN
};

struct Ports {
    sessions: SessionEnder,
    provider: Client,
    site_url: String,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            sessions: startup.capability()?,
            provider: public_client(startup)?,
            site_url: startup.setting(&SITE_URL)?.to_owned(),
        })
    }
}

/// What is left to do after signing out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SignedOut")]
struct Output {
    /// Where the browser ends the provider's own session and comes back to the site; null when the
    /// provider has no such page or does not answer.
    logout_url: Option<String>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, LogoutError> {
    ports.sessions.end(&caller.session.hash).await?;
    let logout_url = ports
        .provider
        .logout_url(&ports.site_url, context.now)
        .await
        .map(String::from)
        .inspect_err(|error| {
            let (class, text) = (error.class(), chain(error));
            tracing::warn!(?class, error = text, "the provider's own session is left open");
        })
        .ok();
    tracing::info!(user.id = %caller.user, "signed out");
    Ok(Response::json(200, &Output { logout_url }).with_cookie(SESSION_COOKIE, "", 0))
}

#[derive(Debug, thiserror::Error)]
enum LogoutError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<LogoutError> for Problem {
    fn from(error: LogoutError) -> Self {
        match error {
            LogoutError::Port(error) => Self::port(&error),
        }
    }
}
