//! Finishes merges of accounts (`admin-user-merge`): what the account that ended had done becomes the
//! survivor's.
//!
//! Every minute it looks for merges that are not finished. Sessions that a request left behind end
//! first; when none has been there for as long as a request may run, nobody writes to the account any
//! more, and its pieces move one by one, each in one transaction. A round that fails or dies is
//! followed by one that goes on, and one merge that cannot be finished keeps no other from it. The
//! address moves last, when the CRM has let go of the account's contact.

use std::sync::Arc;

use rollcall_domain::id::UserId;
use rollcall_domain::limits::ERASURE_SETTLE_SECONDS;
use rollcall_domain::merge;
use rollcall_domain::portfolio::Shelf;
use rollcall_domain::time::{Clock, SignedDuration, after_seconds};
use rollcall_domain::user::User;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::catalog::CatalogReader;
use rollcall_store::merge::{MergeFinisher, Moving, Unfinished};
use rollcall_store::sessions::EverySessionEnder;
use rollcall_store::{Capability, PortError, PortErrorClass};
use serde::de::IgnoredAny;

use crate::settings::{
    OIDC_CLIENT_AUTHENTICATION, OIDC_CLIENT_ID, OIDC_ISSUER, OIDC_PROFILE, OIDC_REDIRECT_URI,
};
use crate::upstream::{self, Upstream};

/// Merges that one round takes up.
const MERGES_MAX: i32 = 10;
/// Records of learning that one transaction moves.
const RECORDS_AT_ONCE_MAX: usize = 20;
/// Transactions of one kind in one round; what is left is the next round's.
const STEPS_MAX: u32 = 500;
/// How often a step is decided anew when the survivor learns something at the same moment.
const ATTEMPTS_MAX: u32 = 10;
/// What a step needs at most: with less time left, the next round goes on.
const STEP_TIMEOUT: SignedDuration = SignedDuration::from_secs(10);

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-merge",
    purpose: "Finishes merges of accounts.",
    triggers: &[Trigger::Schedule { every_minutes: 1 }],
    grants: &[
        MergeFinisher::GRANTS,
        CatalogReader::GRANTS,
        EverySessionEnder::GRANTS,
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
    merges: MergeFinisher,
    catalog: CatalogReader,
    sessions: EverySessionEnder,
    upstream: Upstream,
    clock: Arc<dyn Clock>,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            merges: startup.capability()?,
            catalog: startup.capability()?,
            sessions: startup.capability()?,
            upstream: Upstream::new(startup)?,
            clock: startup.clock(),
        })
    }

    /// Whether there is time for one more step.
    fn has_time(&self, invocation: &Invocation) -> bool {
        invocation.remaining(self.clock.now()) >= STEP_TIMEOUT
    }
}

async fn handle(
    ports: &Ports,
    _event: IgnoredAny,
    invocation: &Invocation,
) -> Result<(), UserMergeError> {
    let mut failures = 0;
    for from in ports.merges.due(ports.clock.now(), MERGES_MAX).await? {
        if !ports.has_time(invocation) {
            break;
        }
        match finish(ports, &from, invocation).await {
            Ok(true) => tracing::info!(user.id = %from, "a merge is finished"),
            Ok(false) => tracing::info!(user.id = %from, "a merge goes on later"),
            Err(error) => {
                tracing::error!(user.id = %from, error = chain(&error), "a merge is not finished");
                failures += 1;
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(UserMergeError::Left(failures)) }
}

/// Goes on with one merge; whether it is finished.
async fn finish(ports: &Ports, from: &UserId, invocation: &Invocation) -> Result<bool, PortError> {
    let now = ports.clock.now();
    let Some(merge) = ports.merges.find(from).await? else { return Ok(true) };
    let ended = ports.sessions.end_all(from, now).await?;
    if !ended.is_empty() {
        ports.upstream.revoke(ended, now).await;
        ports.merges.put_off(&merge, now).await?;
        return Ok(false);
    }
    if now < after_seconds(merge.closed_at, ERASURE_SETTLE_SECONDS) {
        return Ok(false);
    }
    // Whoever is being erased takes along what was merged into them.
    let Some(survivor) = ports.merges.survivor(&merge, now).await? else { return Ok(false) };
    let trace_id = invocation.trace_id.as_str();
    let moving = Moving { from, into: &survivor.id, now, trace_id };
    // Certificates first: what was learned brings the survivor one of their own where there is none.
    let is_moved = certificates(ports, moving, invocation).await?
        && learning(ports, moving, invocation).await?
        && work(ports, moving, invocation).await?;
    if !is_moved {
        return Ok(false);
    }
    ports.merges.move_links(&merge, moving).await?;
    ports.merges.remove_rest(from).await?;
    settle(ports, &merge, moving).await
}

/// Moves certificates; whether all of them are moved.
async fn certificates(
    ports: &Ports,
    moving: Moving<'_>,
    invocation: &Invocation,
) -> Result<bool, PortError> {
    for _step in 0..STEPS_MAX {
        if !ports.has_time(invocation) {
            return Ok(false);
        }
        if !ports.merges.move_certificates(moving).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves what was learned; whether all of it is moved.
async fn learning(
    ports: &Ports,
    moving: Moving<'_>,
    invocation: &Invocation,
) -> Result<bool, PortError> {
    for _step in 0..STEPS_MAX {
        if !ports.has_time(invocation) {
            return Ok(false);
        }
        if !learning_step(ports, moving).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Moves some of what was learned; whether there may be more.
async fn learning_step(ports: &Ports, moving: Moving<'_>) -> Result<bool, PortError> {
    let mut attempt = 1;
    loop {
        let catalog = ports.catalog.load(moving.now).await?;
        let theirs = ports.merges.learner(moving.from).await?;
        if theirs.modules.is_empty()
            && theirs.enrollments.is_empty()
            && theirs.completions.is_empty()
            && theirs.viewed.is_none()
        {
            return Ok(false);
        }
        let part = merge::portion(&theirs, RECORDS_AT_ONCE_MAX);
        let own = ports.merges.learner(moving.into).await?;
        let changes = merge::learning(&own, &part, &catalog, moving.now);
        let has_records = part.modules.len() + part.enrollments.len() + part.completions.len() > 0;
        if changes.is_empty() && !has_records {
            return Ok(false);
        }
        match ports.merges.move_learning(moving, &own, &changes, &part).await {
            Ok(()) => return Ok(true),
            Err(error) if error.class == PortErrorClass::Conflict && attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Moves attempts, badges that were given by hand, and pieces of work; whether all of them are moved.
async fn work(
    ports: &Ports,
    moving: Moving<'_>,
    invocation: &Invocation,
) -> Result<bool, PortError> {
    for _step in 0..STEPS_MAX {
        if !ports.has_time(invocation) {
            return Ok(false);
        }
        let mut more = ports.merges.move_open_attempts(moving).await?;
        more |= ports.merges.move_given_badges(moving).await?;
        more |= ports.merges.move_attempts(moving).await?;
        for shelf in Shelf::ALL {
            more |= ports.merges.move_pieces(moving, shelf).await?;
        }
        if !more {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives the survivor the address, if it is theirs to have, and finishes; whether that was possible.
async fn settle(ports: &Ports, merge: &Unfinished, moving: Moving<'_>) -> Result<bool, PortError> {
    let mut attempt = 1;
    loop {
        let survivor: Option<User> = ports.merges.survivor(merge, moving.now).await?;
        let Some(survivor) = survivor.filter(|user| user.id == *moving.into) else {
            return Ok(false);
        };
        let survivor = match &merge.email {
            Some(_) if !ports.merges.is_out_of_crm(moving.from).await? => return Ok(false),
            Some(email) => merge::with_address(survivor, email),
            None => survivor,
        };
        match ports.merges.finish(merge, &survivor, moving).await {
            Ok(()) => return Ok(true),
            Err(error) if error.class == PortErrorClass::Conflict && attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum UserMergeError {
    #[error("{0} merges could not be finished")]
    Left(u32),
    #[error(transparent)]
    Port(#[from] PortError),
}
