//! What a session has at the identity provider, in its item of the user's list (see
//! [`crate::sessions`]): the sealed refresh token, when it was last used, and whose turn it is.
//!
//! A refresh token works once where the provider rotates it, so of any number of callers one may
//! call the provider. That one holds a lease with an end, so that a process that dies blocks nobody
//! for long, and only its holder may store what the provider answered.

use jiff::Timestamp;
use rollcall_domain::limits::{REFRESH_FRESH_SECONDS, REFRESH_LEASE_SECONDS};
use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_domain::time::after_seconds;
use rollcall_resources::{Grant, Table};

use crate::item::{from_item, number, text, to_value};
use crate::sessions::{ListedItem, list_key, listed_key};
use crate::tables::capability;
use crate::update::ItemUpdate;
use crate::vault::Sealed;

/// Whose turn it is to call the provider.
#[derive(Debug)]
pub enum Turn {
    /// The caller's, with what to call it with; `None` when the provider gave nothing to keep.
    Ours(Option<Sealed>),
    /// Nobody's: it was called a moment ago, at this time.
    Fresh(Timestamp),
    /// Somebody else's, who is calling now.
    Theirs,
    /// Nobody's: the session has ended.
    Ended,
}

capability! {
    /// Takes turns in refreshing sessions, and keeps what comes of it.
    SessionRefresher, Grant::table(Table::Edge, &["dynamodb:GetItem", "dynamodb:UpdateItem"])
}

impl SessionRefresher {
    /// Asks for the turn to refresh `session`; `holder` is a random name for whoever asks.
    pub async fn take_turn(
        &self,
        session: &Session,
        holder: &str,
        now: Timestamp,
    ) -> Result<Turn, PortError> {
        let stale_ms = after_seconds(now, -REFRESH_FRESH_SECONDS).as_millisecond();
        let until_ms = after_seconds(now, REFRESH_LEASE_SECONDS).as_millisecond();
        let update = of(session)
            .set("lease", text(holder))
            .set("lease_until_ms", number(until_ms))
            .name("refreshed_at_ms")
            .value("now", number(now.as_millisecond()))
            .value("stale", number(stale_ms))
            .only_if(
                "attribute_exists(pk) \
                 AND (attribute_not_exists(#lease) OR #lease_until_ms <= :now) \
                 AND (attribute_not_exists(#refreshed_at_ms) OR #refreshed_at_ms <= :stale)",
            );
        let operation = "take the turn to refresh a session";
        if let Some(before) = self.tables.apply(operation, Table::Edge, update).await? {
            return Ok(Turn::Ours(from_item::<ListedItem>(before)?.refresh_token));
        }
        let (pk, sk) = (list_key(&session.user), listed_key(&session.id));
        let listed: Option<ListedItem> = self.tables.get(Table::Edge, &pk, &sk).await?;
        Ok(match listed {
            None => Turn::Ended,
            Some(ListedItem { refreshed_at_ms: Some(at_ms), .. }) if at_ms > stale_ms => {
                Turn::Fresh(Timestamp::from_millisecond(at_ms).unwrap_or(now))
            }
            Some(_) => Turn::Theirs,
        })
    }

    /// Ends the holder's turn with success: the session was refreshed `now`, and the next call is made
    /// with `refresh_token`. `false` when the session has ended meanwhile or the lease was lost.
    pub async fn keep(
        &self,
        session: &Session,
        holder: &str,
        refresh_token: &Sealed,
        now: Timestamp,
    ) -> Result<bool, PortError> {
        let update = returned(session, holder)
            .set("refreshed_at_ms", number(now.as_millisecond()))
            .set("refresh_token", to_value(refresh_token)?);
        let kept = self.tables.apply("keep a refreshed session", Table::Edge, update).await?;
        Ok(kept.is_some())
    }

    /// Ends the holder's turn without success: the next may try at once.
    pub async fn give_back(&self, session: &Session, holder: &str) -> Result<(), PortError> {
        let update = returned(session, holder);
        self.tables.apply("give a turn back", Table::Edge, update).await.map(drop)
    }
}

fn of(session: &Session) -> ItemUpdate {
    ItemUpdate::of(&list_key(&session.user), &listed_key(&session.id))
}

fn returned(session: &Session, holder: &str) -> ItemUpdate {
    of(session)
        .remove("lease")
        .remove("lease_until_ms")
        .value("holder", text(holder))
        .only_if("#lease = :holder")
}
