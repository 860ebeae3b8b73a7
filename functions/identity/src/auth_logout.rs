//! Signs the caller out, here or everywhere: sessions end at once, the cookie goes, what the sessions
//! had at the provider is revoked, and the answer says where the browser can end the provider's own
//! session as well.
//!
//! Scripts get that URL as JSON; the form of `auth-logout-page` is answered by sending the browser there,
//! or to our site when there is none.
//!
//! The caller is signed out before the provider is asked for anything. When it does not answer, its
//! tokens are left to expire and the answer names no URL.

use futures::future::join;
use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_edge::problem::INVALID;
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Context, FromRequest, HttpRequest, Problem, Response};
use rollcall_runtime::declaration::{Operation, Parameter};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::sessions::{Ended, EverySessionEnder, SessionEnder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
    SITE_URL,
};
use crate::upstream::{self, Upstream};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-logout",
    purpose: "Signs the caller out.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/auth/logout" })],
    grants: &[SessionEnder::GRANTS, EverySessionEnder::GRANTS, upstream::GRANTS],
    settings: &[
        &SITE_URL,
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
        &OIDC_CLIENT_AUTHENTICATION,
    ],
    takes_forms: true,
    operation: Operation {
        query: &[Parameter {
            name: "everywhere",
            description: "true ends every session of the caller, on all devices.",
        }],
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&INVALID],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::in_session(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::IN_SESSION
};

struct Ports {
    sessions: SessionEnder,
    every_session: EverySessionEnder,
    upstream: Upstream,
    site_url: String,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            sessions: startup.capability()?,
            every_session: startup.capability()?,
            upstream: Upstream::new(startup)?,
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

struct Input {
    everywhere: bool,
    is_form: bool,
}

impl FromRequest for Input {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let is_form = request.is_form();
        let asked = request.query_parameter("everywhere");
        let everywhere = match asked.or_else(|| request.form_field("everywhere")).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                let detail = "must be true or false";
                return Err(Problem::invalid("query:everywhere", "invalid", &detail));
            }
        };
        Ok(Self { everywhere, is_form })
    }
}

async fn handle(
    ports: &Ports,
    session: &Session,
    context: &Context,
    input: Input,
) -> Result<Response, LogoutError> {
    let user = &session.user;
    let ended: Vec<Ended> = if input.everywhere {
        ports.every_session.end_all(user, context.now).await?
    } else {
        ports.sessions.end(user, &session.id, context.now).await?.into_iter().collect()
    };
    tracing::info!(user.id = %user, sessions = ended.len(), "signed out");
    let (logout_url, ()) =
        join(logout_url(ports, context), ports.upstream.revoke(ended, context.now)).await;
    let response = if input.is_form {
        Response::redirect(303, logout_url.as_deref().unwrap_or(&ports.site_url))
    } else {
        Response::json(200, &Output { logout_url })
    };
    Ok(response.with_cookie(SESSION_COOKIE, "", 0))
}

async fn logout_url(ports: &Ports, context: &Context) -> Option<String> {
    let provider = ports.upstream.provider.get(context.now).await.inspect_err(|error| {
        tracing::warn!(error = chain(error), "the provider's own session is left open");
    });
    let url = provider.ok()?.logout_url(&ports.site_url, context.now).await;
    let url = url.inspect_err(|error| {
        let (class, text) = (error.class(), chain(error));
        tracing::warn!(?class, error = text, "the provider's own session is left open");
    });
    url.map(String::from).ok()
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
