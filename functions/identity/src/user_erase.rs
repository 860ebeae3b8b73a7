//! Erases whoever asked for it and did not call it off within the grace time: from every table, and
//! from the CRM. What their sessions had at the identity provider is revoked there.
//!
//! Every ten minutes it looks for accounts whose time is over. The first round closes one: its
//! sessions end, and nobody signs in with it any more. A later round removes what is kept, when no
//! request that came in before can be running. A round that fails or dies is followed by one that goes
//! on, and one account that cannot be erased keeps no other from it.

use std::sync::Arc;

use rollcall_domain::audit::{Action, Actor, Entry, Subject};
use rollcall_domain::id::UserId;
use rollcall_domain::limits::ERASURE_SETTLE_SECONDS;
use rollcall_domain::random::Random;
use rollcall_domain::time::{Clock, Timestamp, after_seconds};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::erasure::UserEraser;
use rollcall_store::sessions::EverySessionEnder;
use rollcall_store::{Capability, PortError};
use serde::de::IgnoredAny;

use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// Accounts that one round takes up.
const ACCOUNTS_MAX: i32 = 25;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-erase",
    purpose: "Erases people whose grace time is over.",
    triggers: &[Trigger::Schedule { every_minutes: 10 }],
    grants: &[UserEraser::GRANTS, EverySessionEnder::GRANTS, upstream::GRANTS],
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
    eraser: UserEraser,
    sessions: EverySessionEnder,
    upstream: Upstream,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            eraser: startup.capability()?,
            sessions: startup.capability()?,
            upstream: Upstream::new(startup)?,
            clock: startup.clock(),
            random: startup.random(),
        })
    }
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    invocation: &Invocation,
) -> Result<(), UserEraseError> {
    let now = ports.clock.now();
    let mut failures = 0;
    for user in ports.eraser.due(now, ACCOUNTS_MAX).await? {
        if let Err(error) = erase(ports, &user, invocation, now).await {
            tracing::error!(user.id = %user, error = chain(&error), "an account is not erased yet");
            failures += 1;
        }
    }
    if failures == 0 { Ok(()) } else { Err(UserEraseError::Left(failures)) }
}

async fn erase(
    ports: &Ports,
    user: &UserId,
    invocation: &Invocation,
    now: Timestamp,
) -> Result<(), PortError> {
    let Some(closed) = ports.eraser.close(user, now).await? else { return Ok(()) };
    let ended = ports.sessions.end_all(user, now).await?;
    ports.upstream.revoke(ended, now).await;
    if now < after_seconds(closed.since, ERASURE_SETTLE_SECONDS) {
        return Ok(());
    }
    ports.eraser.remove(user, closed.email.as_deref()).await?;
    let random = ports.random.as_ref();
    let what = (Actor::Function(FUNCTION.name), Action::UserErased, Subject::User(user.clone()));
    let entry = Entry::new(what, &invocation.trace_id, now, random);
    ports.eraser.forget(user, closed.email, &entry, random).await?;
    tracing::info!(user.id = %user, "erased an account");
    Ok(())
}

#[derive(Debug, thiserror::Error)]
enum UserEraseError {
    #[error("{0} accounts could not be erased")]
    Left(u32),
    #[error(transparent)]
    Port(#[from] PortError),
}
