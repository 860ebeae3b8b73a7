//! Asks the identity provider again about everybody who is at work, whichever routes they use: what it
//! said longest ago first.
//!
//! A request that uses a session marks it when the provider was last asked fifty minutes ago; no
//! request waits for the provider. Every minute this function takes what is marked. A session that
//! nobody uses is not marked, and costs the provider nothing. What the provider's answer means is in
//! `renewal.rs`: who may do something else than before signs in anew. While the provider is away,
//! sessions stay as they are and are tried again every few minutes.

use std::cell::Cell;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use rollcall_domain::limits::{REFRESH_DUE_SECONDS, REFRESH_RETRY_SECONDS};
use rollcall_domain::session::Session;
use rollcall_domain::time::{Clock, Timestamp, after_seconds};
use rollcall_oidc::{ErrorClass, OidcError};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::metrics::{Metric, emit};
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::refresh::{RefreshAgenda, SessionRefresher};
use rollcall_store::sessions::{EverySessionEnder, SessionEnder};
use rollcall_store::users::UserDirectory;
use rollcall_store::{Capability, PortError};
use serde::de::IgnoredAny;

use crate::renewal::{Renewal, RenewalError, Renewed};
use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream;

/// Sessions that one round takes up.
const SESSIONS_MAX: i32 = 1_000;
/// Sessions that are under way at a time.
const AT_A_TIME: usize = 16;
/// Before the end of an invocation no more sessions are begun: longer than the provider is waited for.
const RESERVE_SECONDS: i64 = 25;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "session-refresh",
    purpose: "Asks the identity provider again about everybody who is at work.",
    triggers: &[Trigger::Schedule { every_minutes: 1 }],
    grants: &[
        RefreshAgenda::GRANTS,
        SessionRefresher::GRANTS,
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
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

struct Ports {
    agenda: RefreshAgenda,
    renewal: Renewal,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            agenda: startup.capability()?,
            renewal: Renewal::new(startup)?,
            clock: startup.clock(),
        })
    }
}

/// How a round goes.
#[derive(Debug, Default)]
struct Round {
    provider_is_away: Cell<bool>,
    failures: Cell<u32>,
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    invocation: &Invocation,
) -> Result<(), SessionRefreshError> {
    let due = ports.agenda.due(ports.clock.now(), SESSIONS_MAX).await?;
    let (round, last_begin) =
        (Round::default(), after_seconds(invocation.deadline, -RESERVE_SECONDS));
    stream::iter(due)
        .for_each_concurrent(AT_A_TIME, async |session| {
            // What is not taken up stays due.
            if round.provider_is_away.get() || ports.clock.now() >= last_begin {
                return;
            }
            if let Err(error) = refresh(ports, &round, &session, invocation).await {
                let error = chain(&error);
                tracing::error!(session.id = %session.id, error, "a session is not refreshed yet");
                round.failures.set(round.failures.get().saturating_add(1));
            }
        })
        .await;
    match round.failures.get() {
        0 => Ok(()),
        failures => Err(SessionRefreshError::Left(failures)),
    }
}

async fn refresh(
    ports: &Ports,
    round: &Round,
    session: &Session,
    invocation: &Invocation,
) -> Result<(), PortError> {
    let (renewal, now) = (&ports.renewal, ports.clock.now());
    if !session.is_live(now) {
        return renewal.settle(session, session.asked_at).await;
    }
    match renewal.attempt(session, REFRESH_DUE_SECONDS, &invocation.trace_id).await {
        // Whoever holds the turn removes the mark.
        Ok(Renewed::Kept(_) | Renewed::Theirs) => Ok(()),
        Ok(Renewed::Fresh(asked_at)) => renewal.settle(session, asked_at).await,
        Ok(Renewed::Replaced(replaced)) => {
            tracing::info!(user.id = %replaced.user.id, "roles changed, all sessions ended");
            renewal.upstream.revoke_token(&replaced.refresh_token, now).await;
            renewal.upstream.revoke(replaced.others, now).await;
            Ok(())
        }
        Err(RenewalError::Ended) => {
            tracing::info!(user.id = %session.user, "the provider's grant is over, a session ended");
            Ok(())
        }
        // There is nothing to ask the provider with, so it is as if it had said nothing new.
        Err(RenewalError::NotRefreshable) => renewal.settle(session, now).await,
        Err(RenewalError::Provider(error)) => {
            tell(round, &error, now);
            put_off(ports, session, now).await
        }
        Err(RenewalError::Port(error)) => {
            put_off(ports, session, now).await?;
            Err(error)
        }
    }
}

/// A session that cannot be refreshed now keeps no other from it.
async fn put_off(ports: &Ports, session: &Session, now: Timestamp) -> Result<(), PortError> {
    ports.agenda.put_off(session, after_seconds(now, REFRESH_RETRY_SECONDS)).await
}

/// While the provider is away, nobody else is asked for in this round.
fn tell(round: &Round, error: &OidcError, now: Timestamp) {
    emit(now, &[(Metric::RefreshesFailed, 1.0)]);
    let (class, text) = (error.class(), chain(error));
    match class {
        ErrorClass::ProviderUnavailable => {
            round.provider_is_away.set(true);
            tracing::warn!(error = text, "the provider is away, sessions are refreshed later");
        }
        ErrorClass::Caller | ErrorClass::ProviderMisbehaving | ErrorClass::Misconfigured => {
            tracing::error!(?class, error = text, "a session cannot be refreshed");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SessionRefreshError {
    #[error("{0} sessions could not be refreshed")]
    Left(u32),
    #[error(transparent)]
    Port(#[from] PortError),
}
