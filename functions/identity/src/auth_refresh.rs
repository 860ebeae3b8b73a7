//! Asks the identity provider again who the caller is and what they may do (OpenID Connect Core §12),
//! without a new sign-in.
//!
//! Of the callers with one session one calls the provider (`renewal.rs` says what its answer means);
//! the others wait and share its answer, as does whoever comes within half a minute after it. When it
//! says that the caller may do something else than before, this browser gets a new session with the
//! new rights and a new cookie, in place of all that the caller had.
//!
//! Nobody has to call this to stay signed in: `session-refresh` asks about everybody who is at work.

use std::time::Duration;

use rollcall_domain::limits::{REFRESH_FRESH_SECONDS, SESSION_ABSOLUTE_SECONDS};
use rollcall_domain::session::Session;
use rollcall_domain::time::Timestamp;
use rollcall_edge::problem::{INTERNAL, UNAUTHENTICATED, UNAVAILABLE};
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_oidc::{ErrorClass, OidcError};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::refresh::SessionRefresher;
use rollcall_store::sessions::{EverySessionEnder, SessionEnder, SessionStarter};
use rollcall_store::users::UserDirectory;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::account;
use crate::renewal::{Renewal, RenewalError, Renewed, Replaced};
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream;

/// Between two looks whether somebody else's call has come back, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(800));
/// Looks, 24 s in all: longer than the lease of whoever calls the provider, and short enough to
/// answer in time.
const LOOKS_MAX: u32 = 32;
/// When to try again, in seconds, after the provider did not answer.
const RETRY_AFTER_SECONDS: u32 = 10;

/// The provider keeps no grant for the session that could be renewed.
static NOT_REFRESHABLE: ProblemKind = ProblemKind {
    code: "not-refreshable",
    status: 409,
    title: "This session cannot be refreshed.",
    advice: "Sign in again.",
};

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "auth-refresh",
    purpose: "Asks the identity provider again who the caller is.",
    triggers: &[Trigger::Http(Route { method: Method::Post, path: "/auth/refresh" })],
    grants: &[
        SessionRefresher::GRANTS,
        SessionStarter::GRANTS,
        SessionEnder::GRANTS,
        EverySessionEnder::GRANTS,
        UserDirectory::GRANTS,
        upstream::GRANTS,
    ],
    settings: &[
        &OIDC_ISSUER,
        &OIDC_CLIENT_ID,
        &OIDC_REDIRECT_URI,
        &OIDC_PROFILE,
        &OIDC_CLIENT_AUTHENTICATION,
    ],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        problems: &[&UNAUTHENTICATED, &NOT_REFRESHABLE, &UNAVAILABLE],
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::in_session(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::IN_SESSION
};

struct Ports {
    renewal: Renewal,
    starter: SessionStarter,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { renewal: Renewal::new(startup)?, starter: startup.capability()? })
    }
}

/// A session that was refreshed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefreshedSession")]
struct Output {
    /// When the provider was asked (RFC 3339, UTC).
    refreshed_at: String,
}

async fn handle(
    ports: &Ports,
    session: &Session,
    context: &Context,
    _input: NoInput,
) -> Result<Response, RefreshError> {
    let mut pause = LOOK_AGAIN.0;
    for _look in 0..LOOKS_MAX {
        let attempt = ports.renewal.attempt(session, REFRESH_FRESH_SECONDS, &context.trace_id);
        match attempt.await? {
            Renewed::Kept(at) | Renewed::Fresh(at) => return Ok(Output::of(at)),
            Renewed::Replaced(replaced) => {
                return succeed(ports, session, context, *replaced).await;
            }
            Renewed::Theirs => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK_AGAIN.1);
            }
        }
    }
    Err(RefreshError::Busy)
}

impl Output {
    fn of(refreshed_at: Timestamp) -> Response {
        Response::json(200, &Self { refreshed_at: refreshed_at.to_string() })
    }
}

/// The browser goes on with a session of the new rights.
async fn succeed(
    ports: &Ports,
    session: &Session,
    context: &Context,
    Replaced { user, refresh_token, others }: Replaced,
) -> Result<Response, RefreshError> {
    let Renewal { upstream, users, ender, clock, random, .. } = &ports.renewal;
    let (now, random) = (clock.now(), random.as_ref());
    let (next, cookie) = session.succeed(user.roles(), now, random);
    let sealed = upstream.seal(&refresh_token, (&next.user, &next.id), now, random).await?;
    ports.starter.start(&next, Some(&sealed), &context.trace_id).await?;
    if !account::is_unchanged(users, &user, context).await? {
        drop(ender.end(&next.user, &next.id, now).await?);
        return Err(RefreshError::Ended);
    }
    tracing::info!(user.id = %next.user, "roles changed, all other sessions ended");
    upstream.revoke(others, now).await;
    Ok(Output::of(now).with_cookie(SESSION_COOKIE, &cookie, SESSION_ABSOLUTE_SECONDS))
}

#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("the session has ended")]
    Ended,
    #[error("the provider keeps no grant for the session")]
    NotRefreshable,
    #[error("somebody else is refreshing the session")]
    Busy,
    #[error(transparent)]
    Provider(OidcError),
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<RenewalError> for RefreshError {
    fn from(error: RenewalError) -> Self {
        match error {
            RenewalError::Ended => Self::Ended,
            RenewalError::NotRefreshable => Self::NotRefreshable,
            RenewalError::Provider(error) => Self::Provider(error),
            RenewalError::Port(error) => Self::Port(error),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        let later =
            || Self { retry_after_seconds: Some(RETRY_AFTER_SECONDS), ..Self::new(&UNAVAILABLE) };
        match error {
            RefreshError::Ended => Self::new(&UNAUTHENTICATED),
            RefreshError::NotRefreshable => Self::new(&NOT_REFRESHABLE),
            RefreshError::Busy => later(),
            RefreshError::Provider(error) => {
                let (class, text) = (error.class(), chain(&error));
                tracing::error!(?class, error = text, "a session cannot be refreshed");
                match class {
                    ErrorClass::ProviderUnavailable => later(),
                    ErrorClass::Caller
                    | ErrorClass::ProviderMisbehaving
                    | ErrorClass::Misconfigured => Self::new(&INTERNAL),
                }
            }
            RefreshError::Port(error) => Self::port(&error),
        }
    }
}
