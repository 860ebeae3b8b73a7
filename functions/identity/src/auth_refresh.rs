//! Asks the identity provider again who the caller is and what they may do (OpenID Connect Core §12),
//! without a new sign-in.
//!
//! Refresh tokens work once where the provider rotates them, so of the callers with one session one
//! calls the provider; the others wait and share its answer, as does whoever comes within half a
//! minute after it. When the provider says that the grant is over, the session ends. When it does not
//! answer, the session stays as it is. When it says that the caller may do something else than
//! before, all of the caller's sessions end at once, and this browser gets a new one with the new
//! rights and a new cookie.

use std::sync::Arc;
use std::time::Duration;

use rollcall_domain::limits::SESSION_ABSOLUTE_SECONDS;
use rollcall_domain::random::{Random, token_256};
use rollcall_domain::secret::Secret;
use rollcall_domain::session::Session;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_domain::user::User;
use rollcall_edge::problem::{INTERNAL, UNAUTHENTICATED, UNAVAILABLE};
use rollcall_edge::session::SESSION_COOKIE;
use rollcall_edge::{Context, NoInput, Problem, Response};
use rollcall_oidc::{ErrorClass, OidcError};
use rollcall_runtime::declaration::{Operation, ProblemKind};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::refresh::{SessionRefresher, Turn};
use rollcall_store::sessions::{EverySessionEnder, SessionEnder, SessionStarter};
use rollcall_store::users::UserDirectory;
use rollcall_store::vault::Sealed;
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::account;
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

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
    turns: SessionRefresher,
    starter: SessionStarter,
    ender: SessionEnder,
    every_ender: EverySessionEnder,
    users: UserDirectory,
    upstream: Upstream,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            turns: startup.capability()?,
            starter: startup.capability()?,
            ender: startup.capability()?,
            every_ender: startup.capability()?,
            users: startup.capability()?,
            upstream: Upstream::new(startup)?,
            clock: startup.clock(),
            random: startup.random(),
        })
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
    let holder = token_256(ports.random.as_ref());
    let mut pause = LOOK_AGAIN.0;
    for _look in 0..LOOKS_MAX {
        match ports.turns.take_turn(session, &holder, ports.clock.now()).await? {
            Turn::Ours(sealed) => return our_turn(ports, session, &holder, context, sealed).await,
            Turn::Fresh(refreshed_at) => return Ok(Output::of(refreshed_at)),
            Turn::Ended => return Err(RefreshError::Ended),
            Turn::Theirs => {
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

async fn our_turn(
    ports: &Ports,
    session: &Session,
    holder: &str,
    context: &Context,
    sealed: Option<Sealed>,
) -> Result<Response, RefreshError> {
    let outcome = match renew(ports, session, context, sealed.as_ref()).await {
        Ok(Renewed { user: Some(user), refresh_token }) if user.roles() != session.roles => {
            replace(ports, session, context, (&user, &refresh_token)).await
        }
        Ok(renewed) => keep(ports, session, holder, &renewed.refresh_token).await,
        Err(error) => Err(error),
    };
    match &outcome {
        Ok(_) => {}
        Err(RefreshError::Ended) => {
            drop(ports.ender.end(&session.user, &session.id, context.now).await?);
        }
        Err(_) => ports.turns.give_back(session, holder).await?,
    }
    outcome
}

/// What the provider says now.
struct Renewed {
    /// The caller; `None` when the provider sent no new id token.
    user: Option<User>,
    /// What the provider is asked with the next time.
    refresh_token: Secret,
}

async fn renew(
    ports: &Ports,
    session: &Session,
    context: &Context,
    sealed: Option<&Sealed>,
) -> Result<Renewed, RefreshError> {
    let now = context.now;
    let sealed = sealed.ok_or(RefreshError::NotRefreshable)?;
    let before = ports.upstream.open(sealed, (&session.user, &session.id), now).await?;
    let provider = ports.upstream.provider.get(now).await?;
    let tokens = provider.refresh(&before, now).await?;
    let refresh_token = tokens.refresh_token.unwrap_or(before);
    let Some(id_token) = &tokens.id_token else {
        return Ok(Renewed { user: None, refresh_token });
    };
    let claims = provider.verify_id_token(id_token, None, &tokens.access_token, now).await?;
    let identity = account::identity(claims);
    let user = account::renew(&ports.users, &session.user, &identity, context).await?;
    Ok(Renewed { user: Some(user.ok_or(RefreshError::Ended)?), refresh_token })
}

/// The session goes on as it is.
async fn keep(
    ports: &Ports,
    session: &Session,
    holder: &str,
    refresh_token: &Secret,
) -> Result<Response, RefreshError> {
    let now = ports.clock.now();
    let names = (&session.user, &session.id);
    let random = ports.random.as_ref();
    let sealed = ports.upstream.seal(refresh_token, names, now, random).await?;
    if ports.turns.keep(session, holder, &sealed, now).await? {
        Ok(Output::of(now))
    } else {
        Err(RefreshError::Ended)
    }
}

/// The caller may do something else than before: nothing that was begun with the old rights goes on.
async fn replace(
    ports: &Ports,
    session: &Session,
    context: &Context,
    (user, refresh_token): (&User, &Secret),
) -> Result<Response, RefreshError> {
    let now = ports.clock.now();
    let ended = ports.every_ender.end_all(&session.user, now).await?;
    // Whoever signed out meanwhile stays signed out.
    if !ended.iter().any(|ended| ended.id == session.id) {
        return Err(RefreshError::Ended);
    }
    let random = ports.random.as_ref();
    let (next, cookie) = session.succeed(user.roles(), now, random);
    let names = (&next.user, &next.id);
    let sealed = ports.upstream.seal(refresh_token, names, now, random).await?;
    ports.starter.start(&next, Some(&sealed), &context.trace_id).await?;
    if !account::is_unchanged(&ports.users, user, context).await? {
        drop(ports.ender.end(&next.user, &next.id, now).await?);
        return Err(RefreshError::Ended);
    }
    tracing::info!(user.id = %next.user, "roles changed, all other sessions ended");
    let others = ended.into_iter().filter(|ended| ended.id != session.id);
    ports.upstream.revoke(others, now).await;
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

impl From<OidcError> for RefreshError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::GrantRefused => Self::Ended,
            error => Self::Provider(error),
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
