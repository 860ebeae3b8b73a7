//! Asking the identity provider again about the user of a session (OpenID Connect Core §12), once for
//! any number of callers: what `auth-refresh` and `session-refresh` have in common.
//!
//! Refresh tokens work once where the provider rotates them, so of the callers with one session one
//! calls the provider. When the provider says that the grant is over, the session ends. When it does
//! not answer, the session stays as it is. When it says that the user may do something else than
//! before, all of the user's sessions end at once.

use std::sync::Arc;

use rollcall_domain::random::{Random, token_256};
use rollcall_domain::secret::Secret;
use rollcall_domain::session::Session;
use rollcall_domain::time::{Clock, Timestamp};
use rollcall_domain::user::User;
use rollcall_oidc::OidcError;
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Startup, StartupError};
use rollcall_store::PortError;
use rollcall_store::refresh::{SessionRefresher, Turn};
use rollcall_store::sessions::{Ended, EverySessionEnder, SessionEnder};
use rollcall_store::users::UserDirectory;
use rollcall_store::vault::Sealed;

use crate::account;
use crate::upstream::Upstream;

/// Renews sessions at the provider.
pub(crate) struct Renewal {
    turns: SessionRefresher,
    pub(crate) ender: SessionEnder,
    every_ender: EverySessionEnder,
    pub(crate) users: UserDirectory,
    pub(crate) upstream: Upstream,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// What became of a session that was to be renewed.
pub(crate) enum Renewed {
    /// It goes on as it was; the provider was asked at this time.
    Kept(Timestamp),
    /// It goes on as it was, since the provider was asked a moment ago, at this time.
    Fresh(Timestamp),
    /// Somebody else is asking the provider now.
    Theirs,
    /// It ended with all other sessions of its user, who may do something else than before.
    Replaced(Box<Replaced>),
}

/// The end of all sessions of somebody who may do something else than before.
pub(crate) struct Replaced {
    /// The user, with the new rights.
    pub(crate) user: User,
    /// What the provider is asked with the next time, on behalf of a session that follows.
    pub(crate) refresh_token: Secret,
    /// What the other sessions had at the provider.
    pub(crate) others: Vec<Ended>,
}

/// Why a session was not renewed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    /// The session has ended, be it before or by what the provider said.
    #[error("the session has ended")]
    Ended,
    /// The provider keeps no grant that could be renewed.
    #[error("the provider keeps no grant for the session")]
    NotRefreshable,
    /// The provider did not say anything that could be used.
    #[error(transparent)]
    Provider(OidcError),
    /// Something of ours failed.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<OidcError> for RenewalError {
    fn from(error: OidcError) -> Self {
        match error {
            OidcError::GrantRefused => Self::Ended,
            error => Self::Provider(error),
        }
    }
}

/// What the provider says now.
struct Told {
    /// The user; `None` when the provider sent no new id token.
    user: Option<User>,
    /// What the provider is asked with the next time.
    refresh_token: Secret,
}

impl Renewal {
    /// For the function that starts.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            turns: startup.capability()?,
            ender: startup.capability()?,
            every_ender: startup.capability()?,
            users: startup.capability()?,
            upstream: Upstream::new(startup)?,
            clock: startup.clock(),
            random: startup.random(),
        })
    }

    /// Renews a session, unless that was done in the last `fresh_seconds` or somebody else is at it.
    pub(crate) async fn attempt(
        &self,
        session: &Session,
        fresh_seconds: i64,
        trace_id: &str,
    ) -> Result<Renewed, RenewalError> {
        let now = self.clock.now();
        let holder = token_256(self.random.as_ref());
        match self.turns.take_turn(session, &holder, fresh_seconds, now).await? {
            Turn::Ours(sealed) => self.our_turn(session, &holder, sealed.as_ref(), trace_id).await,
            Turn::Fresh(asked_at) => Ok(Renewed::Fresh(asked_at)),
            Turn::Theirs => Ok(Renewed::Theirs),
            Turn::Ended => Err(RenewalError::Ended),
        }
    }

    async fn our_turn(
        &self,
        session: &Session,
        holder: &str,
        sealed: Option<&Sealed>,
        trace_id: &str,
    ) -> Result<Renewed, RenewalError> {
        let outcome = match self.ask(session, sealed, trace_id).await {
            Ok(Told { user: Some(user), refresh_token }) if user.roles() != session.roles => {
                self.replace(session, user, refresh_token).await
            }
            Ok(told) => self.keep(session, holder, &told.refresh_token).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(_) => {}
            Err(RenewalError::Ended) => {
                drop(self.ender.end(&session.user, &session.id, self.clock.now()).await?);
            }
            Err(
                RenewalError::NotRefreshable | RenewalError::Provider(_) | RenewalError::Port(_),
            ) => self.turns.give_back(session, holder).await?,
        }
        outcome
    }

    async fn ask(
        &self,
        session: &Session,
        sealed: Option<&Sealed>,
        trace_id: &str,
    ) -> Result<Told, RenewalError> {
        let now = self.clock.now();
        let sealed = sealed.ok_or(RenewalError::NotRefreshable)?;
        let before = self.upstream.open(sealed, (&session.user, &session.id), now).await?;
        let provider = self.upstream.provider.get(now).await?;
        let tokens = provider.refresh(&before, now).await?;
        let refresh_token = tokens.refresh_token.unwrap_or(before);
        let Some(id_token) = &tokens.id_token else {
            return Ok(Told { user: None, refresh_token });
        };
        let claims = provider.verify_id_token(id_token, None, &tokens.access_token, now).await?;
        let identity = account::identity(claims);
        let user = account::renew(&self.users, &session.user, &identity, (now, trace_id)).await?;
        Ok(Told { user: Some(user.ok_or(RenewalError::Ended)?), refresh_token })
    }

    /// The session goes on as it is.
    async fn keep(
        &self,
        session: &Session,
        holder: &str,
        refresh_token: &Secret,
    ) -> Result<Renewed, RenewalError> {
        let now = self.clock.now();
        let names = (&session.user, &session.id);
        let sealed = self.upstream.seal(refresh_token, names, now, self.random.as_ref()).await?;
        if !self.turns.keep(session, holder, &sealed, now).await? {
            return Err(RenewalError::Ended);
        }
        // A mark that stays is found again, and found to be done.
        if let Err(error) = self.turns.settle(session, now).await {
            tracing::warn!(error = chain(&error), "a refreshed session stays marked for a while");
        }
        Ok(Renewed::Kept(now))
    }

    /// The user may do something else than before: nothing that was begun with the old rights goes on.
    async fn replace(
        &self,
        session: &Session,
        user: User,
        refresh_token: Secret,
    ) -> Result<Renewed, RenewalError> {
        let mut others = self.every_ender.end_all(&session.user, self.clock.now()).await?;
        let all = others.len();
        others.retain(|ended| ended.id != session.id);
        // Whoever signed out meanwhile stays signed out.
        if others.len() == all {
            return Err(RenewalError::Ended);
        }
        Ok(Renewed::Replaced(Box::new(Replaced { user, refresh_token, others })))
    }

    /// Removes the mark of a session that needs no renewal for now.
    pub(crate) async fn settle(
        &self,
        session: &Session,
        asked_at: Timestamp,
    ) -> Result<(), PortError> {
        self.turns.settle(session, asked_at).await
    }
}
