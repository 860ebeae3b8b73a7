//! What a session has at the identity provider, in its item of the user's list (see
//! [`crate::sessions`]): the sealed refresh token, when it was last used, and whose turn it is.
//!
//! A refresh token works once where the provider rotates it, so of any number of callers one may
//! call the provider. That one holds a lease with an end, so that a process that dies blocks nobody
//! for long, and only its holder may store what the provider answered.
//!
//! A session that is used long after the provider was last asked is marked: its item among the
//! sessions stands in the index `refreshes` until it was refreshed. The mark only says where to look;
//! whether the provider is to be asked is decided by the item with the lease. So a mark that comes late,
//! or stays since somebody died before removing it, costs a look and no call.

use jiff::Timestamp;
use rollcall_domain::limits::REFRESH_LEASE_SECONDS;
use rollcall_domain::port::PortError;
use rollcall_domain::session::Session;
use rollcall_domain::time::after_seconds;
use rollcall_resources::table::SESSION_REFRESHES;
use rollcall_resources::{Grant, Table};

use crate::error::failed;
use crate::item::{from_item, number, sortable, text, to_value};
use crate::sessions::{self, ListedItem, list_key, listed_key};
use crate::tables::capability;
use crate::update::ItemUpdate;
use crate::vault::Sealed;

/// The one part of the index: a mark is written at most once in fifty minutes of a session's use.
const SHARD: &str = "refresh";

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
    /// Asks for the turn to refresh `session`, unless that was done in the last `fresh_seconds`;
    /// `holder` is a random name for whoever asks.
    pub async fn take_turn(
        &self,
        session: &Session,
        holder: &str,
        fresh_seconds: i64,
        now: Timestamp,
    ) -> Result<Turn, PortError> {
        let stale_ms = after_seconds(now, -fresh_seconds).as_millisecond();
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

    /// Removes the mark of a session whose user the provider was last asked about at `asked_at`.
    pub async fn settle(&self, session: &Session, asked_at: Timestamp) -> Result<(), PortError> {
        let update = sessions::of(session)
            .set("asked_at", text(asked_at.to_string()))
            .remove(SESSION_REFRESHES.partition_key)
            .remove(SESSION_REFRESHES.sort_key);
        self.tables.apply("settle a refreshed session", Table::Edge, update).await.map(drop)
    }

    /// Ends the holder's turn without success: the next may try at once.
    pub async fn give_back(&self, session: &Session, holder: &str) -> Result<(), PortError> {
        let update = returned(session, holder);
        self.tables.apply("give a turn back", Table::Edge, update).await.map(drop)
    }
}

capability! {
    /// Lists the sessions that are to be refreshed, and puts them off.
    RefreshAgenda,
    Grant::index(Table::Edge, SESSION_REFRESHES.name),
    Grant::table(Table::Edge, &["dynamodb:UpdateItem"]),
}

impl RefreshAgenda {
    /// Sessions that are to be refreshed, the longest due first; the index may be a moment behind.
    pub async fn due(&self, now: Timestamp, sessions_max: i32) -> Result<Vec<Session>, PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Edge))
            .index_name(SESSION_REFRESHES.name)
            .key_condition_expression("#shard = :shard AND #at <= :now")
            .expression_attribute_names("#shard", SESSION_REFRESHES.partition_key)
            .expression_attribute_names("#at", SESSION_REFRESHES.sort_key)
            .expression_attribute_values(":shard", text(SHARD))
            .expression_attribute_values(":now", text(sortable(now)))
            .limit(sessions_max)
            .send()
            .await
            .map_err(failed("list sessions to refresh"))?;
        page.items.unwrap_or_default().into_iter().map(sessions::from_stored).collect()
    }

    /// The session stays to be refreshed, and is not tried before `until`.
    pub async fn put_off(&self, session: &Session, until: Timestamp) -> Result<(), PortError> {
        let update = sessions::of(session)
            .set(SESSION_REFRESHES.sort_key, text(sortable(until)))
            .name(SESSION_REFRESHES.partition_key)
            .only_if("attribute_exists(#refresh_shard)");
        self.tables.apply("put a refresh off", Table::Edge, update).await.map(drop)
    }
}

/// The session is to be refreshed from now on, or from when it was to be already.
pub(crate) fn marked(update: ItemUpdate, now: Timestamp) -> ItemUpdate {
    update
        .set_once(SESSION_REFRESHES.partition_key, text(SHARD))
        .set_once(SESSION_REFRESHES.sort_key, text(sortable(now)))
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
