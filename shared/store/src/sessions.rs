//! Sessions in the table `edge`. Each is two items, written and removed together:
//!
//! - `session#{hash of the cookie}` / `session`: what every request reads, by one `GetItem`. The
//!   cookie itself is not stored. While the session is to be refreshed it stands in the index
//!   `refreshes`.
//! - `user#{user}` / `session#{session}`: what makes a user's sessions a list, and holds what the
//!   session has at the identity provider (see [`crate::refresh`]).
//!
//! Beside a user's list, `user#{user}` / `changes` counts the sign-ins, so that ending all sessions
//! and a sign-in at the same moment are one after the other: whichever comes second sees the first.
//! What is removed is gone for the next request; nothing else has to be looked up to know it.
//!
//! That item also remembers since when the user's access tokens count. They are the provider's and
//! cannot be removed, so whoever signs out refuses all that were issued before.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, KeysAndAttributes, Put, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::id::{SessionId, UserId};
use rollcall_domain::limits::{SESSION_ABSOLUTE_SECONDS, SESSIONS_LISTED_MAX};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::role::Role;
use rollcall_domain::session::{Session, SessionHash};
use rollcall_domain::time::after_seconds;
use rollcall_resources::table::EXPIRES_AT;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::{corrupt, failed};
use crate::item::{Attributes, from_item, key, number, text, to_item};
use crate::refresh;
use crate::tables::{Tables, capability};
use crate::update::{Applied, ItemUpdate};
use crate::vault::Sealed;

const SESSION: &str = "session";
const CHANGES: &str = "changes";
const TOKENS_NOT_BEFORE: &str = "tokens_not_before_ms";
/// Sessions that one transaction ends: two items each beside the count of sign-ins, of the hundred
/// that DynamoDB allows.
const ENDED_AT_ONCE_MAX: i32 = 49;
/// Transactions that end all sessions of a user, those included that a sign-in overtook.
const END_ROUNDS_MAX: u32 = 100;
/// Items of one `BatchGetItem` (the service's own limit).
const BATCH_ITEMS_MAX: i32 = 100;
/// Pages that one list reads.
const LIST_PAGES_MAX: u32 = 50;
/// How often keys that a batch left out are asked for.
const BATCH_TRIES_MAX: u32 = 5;

#[derive(Debug, Serialize, Deserialize)]
struct SessionItem {
    pk: String,
    sk: String,
    id: SessionId,
    user_id: UserId,
    roles: Vec<Role>,
    signed_in_at: Timestamp,
    last_used_at: Timestamp,
    /// Sessions from before this was stored have not been refreshed since the sign-in.
    #[serde(default)]
    asked_at: Option<Timestamp>,
    epoch: u32,
    expires_at: i64,
    trace_id: String,
}

/// A session in its user's list. Times that conditions compare are milliseconds since the epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ListedItem {
    pk: String,
    sk: String,
    pub(crate) id: SessionId,
    hash: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) refresh_token: Option<Sealed>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) refreshed_at_ms: Option<i64>,
    expires_at: i64,
    trace_id: String,
}

#[derive(Debug, Deserialize)]
struct ChangesItem {
    changes: Option<u64>,
    tokens_not_before_ms: Option<i64>,
}

/// A session that was ended, and what it had at the identity provider.
#[derive(Debug)]
pub struct Ended {
    /// The session.
    pub id: SessionId,
    /// Its user.
    pub user: UserId,
    /// The refresh token that nobody needs any more.
    pub refresh_token: Option<Sealed>,
}

impl From<SessionItem> for Session {
    fn from(item: SessionItem) -> Self {
        let hash = item.pk.strip_prefix("session#").unwrap_or_default();
        Self {
            id: item.id,
            hash: SessionHash::stored(hash.to_owned()),
            user: item.user_id,
            roles: item.roles,
            signed_in_at: item.signed_in_at,
            last_used_at: item.last_used_at,
            asked_at: item.asked_at.unwrap_or(item.signed_in_at),
            epoch: item.epoch,
        }
    }
}

fn session_key(hash: &str) -> String {
    format!("session#{hash}")
}

/// A change of what requests read of a session, if it has not ended.
pub(crate) fn of(session: &Session) -> ItemUpdate {
    ItemUpdate::of(&session_key(session.hash.as_str()), SESSION).only_if("attribute_exists(pk)")
}

/// The session that an item of the table is.
pub(crate) fn from_stored(item: Attributes) -> Result<Session, PortError> {
    Ok(Session::from(from_item::<SessionItem>(item)?))
}

pub(crate) fn list_key(user: &UserId) -> String {
    format!("user#{user}")
}

pub(crate) fn listed_key(session: &SessionId) -> String {
    format!("session#{session}")
}

capability! {
    /// Looks sessions up and stores that they were used.
    SessionReader, Grant::table(Table::Edge, &["dynamodb:GetItem", "dynamodb:UpdateItem"])
}

impl SessionReader {
    /// A session as stored, strongly consistent; the caller decides whether it is still live.
    pub async fn find(&self, hash: &SessionHash) -> Result<Option<Session>, PortError> {
        self.tables.session(hash).await
    }

    /// Since when the user's access tokens count, strongly consistent; `None` when all of them do.
    pub async fn tokens_not_before(&self, user: &UserId) -> Result<Option<Timestamp>, PortError> {
        let seen: Option<ChangesItem> =
            self.tables.get(Table::Edge, &list_key(user), CHANGES).await?;
        let bound_ms = seen.and_then(|seen| seen.tokens_not_before_ms);
        // A time that cannot be read must not let old tokens in.
        Ok(bound_ms.map(|ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)))
    }

    /// Stores that the session was used now, and that it is to be refreshed, if it is (see
    /// [`crate::refresh`]); `Conflict` when the session has ended meanwhile, which it stays.
    pub async fn touch(&self, session: &Session, now: Timestamp) -> Result<(), PortError> {
        let operation = "store the use of a session";
        let used = Session { last_used_at: now, ..session.clone() };
        let update = of(session)
            .set("last_used_at", text(now.to_string()))
            .set(EXPIRES_AT, number(used.ends_at().as_second()));
        let update = if used.needs_refresh(now) { refresh::marked(update, now) } else { update };
        match self.tables.apply(operation, Table::Edge, update).await? {
            Some(_before) => Ok(()),
            None => Err(PortError::new(operation, PortErrorClass::Conflict, "it has ended")),
        }
    }
}

capability! {
    /// Begins sessions.
    SessionStarter, Grant::table(Table::Edge, &["dynamodb:PutItem", "dynamodb:UpdateItem"])
}

impl SessionStarter {
    /// Stores a new session with what it has at the identity provider.
    pub async fn start(
        &self,
        session: &Session,
        refresh_token: Option<&Sealed>,
        trace_id: &str,
    ) -> Result<(), PortError> {
        let forgotten_at = after_seconds(session.signed_in_at, SESSION_ABSOLUTE_SECONDS);
        let item = SessionItem {
            pk: session_key(session.hash.as_str()),
            sk: SESSION.to_owned(),
            id: session.id.clone(),
            user_id: session.user.clone(),
            roles: session.roles.clone(),
            signed_in_at: session.signed_in_at,
            last_used_at: session.last_used_at,
            asked_at: Some(session.asked_at),
            epoch: session.epoch,
            expires_at: session.ends_at().as_second(),
            trace_id: trace_id.to_owned(),
        };
        let listed = ListedItem {
            pk: list_key(&session.user),
            sk: listed_key(&session.id),
            id: session.id.clone(),
            hash: session.hash.as_str().to_owned(),
            refresh_token: refresh_token.cloned(),
            refreshed_at_ms: None,
            expires_at: forgotten_at.as_second(),
            trace_id: trace_id.to_owned(),
        };
        let edge = self.tables.name(Table::Edge);
        let counted = ItemUpdate::of(&list_key(&session.user), CHANGES)
            .set_to(CHANGES, "if_not_exists(#changes, :none) + :one")
            .value("none", number(0))
            .value("one", number(1))
            .set("expires_at", number(forgotten_at.as_second()));
        let parts = vec![
            counted.into_part(edge.clone())?,
            new_part(&edge, &item)?,
            new_part(&edge, &listed)?,
        ];
        let operation = "store a session";
        match self.tables.commit(operation, parts).await? {
            Applied::All => Ok(()),
            Applied::Refused(_) => {
                Err(PortError::new(operation, PortErrorClass::Conflict, "it is stored already"))
            }
        }
    }
}

capability! {
    /// Ends sessions one by one.
    SessionEnder, Grant::table(
        Table::Edge,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:UpdateItem"],
    )
}

impl SessionEnder {
    /// Ends the session that a cookie names, since its browser begins another; `None` when there is
    /// none. The user's access tokens go on.
    pub async fn end_by_cookie(&self, hash: &SessionHash) -> Result<Option<Ended>, PortError> {
        match self.tables.session(hash).await? {
            Some(session) => self.remove(&session.user, &session.id, Vec::new()).await,
            None => Ok(None),
        }
    }

    /// Ends one of a user's sessions, and all access tokens that the user was given before `now`;
    /// `None` when they have no session of that id. Ending it twice is ending it once.
    pub async fn end(
        &self,
        user: &UserId,
        session: &SessionId,
        now: Timestamp,
    ) -> Result<Option<Ended>, PortError> {
        let refuse = refuse_tokens(ItemUpdate::of(&list_key(user), CHANGES), now);
        let refuse = refuse.into_part(self.tables.name(Table::Edge))?;
        self.remove(user, session, vec![refuse]).await
    }

    async fn remove(
        &self,
        user: &UserId,
        session: &SessionId,
        mut parts: Vec<TransactWriteItem>,
    ) -> Result<Option<Ended>, PortError> {
        let (pk, sk) = (list_key(user), listed_key(session));
        let Some(listed) = self.tables.get::<ListedItem>(Table::Edge, &pk, &sk).await? else {
            return Ok(None);
        };
        parts.extend(self.tables.end_parts(&listed)?);
        self.tables.commit("end a session", parts).await?;
        Ok(Some(listed.ended(user)))
    }
}

capability! {
    /// Ends all sessions of a user.
    EverySessionEnder, Grant::table(
        Table::Edge,
        &["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem"],
    )
}

impl EverySessionEnder {
    /// Ends every session that the user has, and all access tokens that the user was given before
    /// `now`; gives what the sessions had at the identity provider.
    ///
    /// Up to 49 sessions end in one write. A sign-in at the same moment either comes before that
    /// write, and ends with the others, or after it, and stays.
    pub async fn end_all(&self, user: &UserId, now: Timestamp) -> Result<Vec<Ended>, PortError> {
        let operation = "end all sessions";
        let pk = list_key(user);
        let mut ended = Vec::new();
        for _round in 0..END_ROUNDS_MAX {
            // Counted before the list is read: a sign-in between the two refuses the write.
            let seen: Option<ChangesItem> = self.tables.get(Table::Edge, &pk, CHANGES).await?;
            let page = self.tables.listed(user, ENDED_AT_ONCE_MAX, None).await?;
            let counted = counted_from(&pk, seen.and_then(|seen| seen.changes));
            let counted = refuse_tokens(counted, now);
            let mut parts = vec![counted.into_part(self.tables.name(Table::Edge))?];
            for listed in &page.items {
                parts.extend(self.tables.end_parts(listed)?);
            }
            if self.tables.commit(operation, parts).await? == Applied::All {
                ended.extend(page.items.into_iter().map(|listed| listed.ended(user)));
                if page.next.is_none() {
                    return Ok(ended);
                }
            }
        }
        Err(PortError::new(operation, PortErrorClass::Throttled, "too many sign-ins meanwhile"))
    }
}

/// Counts once more, if nobody signed in since the count was read.
fn counted_from(pk: &str, seen: Option<u64>) -> ItemUpdate {
    let update = ItemUpdate::of(pk, CHANGES);
    match seen {
        Some(changes) => update
            .set(CHANGES, number(changes + 1))
            .value("seen", number(changes))
            .only_if("#changes = :seen"),
        None => update.set(CHANGES, number(1)).only_if("attribute_not_exists(#changes)"),
    }
}

/// Remembers that access tokens from before `now` count no more, for much longer than any is valid.
fn refuse_tokens(update: ItemUpdate, now: Timestamp) -> ItemUpdate {
    let forgotten_at = after_seconds(now, SESSION_ABSOLUTE_SECONDS);
    update
        .set(TOKENS_NOT_BEFORE, number(now.as_millisecond()))
        .set("expires_at", number(forgotten_at.as_second()))
}

/// The part of a transaction after which a user's access tokens from before `now` count no more.
pub(crate) fn refuse_tokens_part(
    tables: &Tables,
    user: &UserId,
    now: Timestamp,
) -> Result<TransactWriteItem, PortError> {
    let update = refuse_tokens(ItemUpdate::of(&list_key(user), CHANGES), now);
    update.into_part(tables.name(Table::Edge))
}

capability! {
    /// Lists a user's sessions.
    SessionLister, Grant::table(Table::Edge, &["dynamodb:BatchGetItem", "dynamodb:Query"])
}

impl SessionLister {
    /// The user's live sessions, newest first: all of them, or the newest hundred.
    pub async fn list(&self, user: &UserId, now: Timestamp) -> Result<Vec<Session>, PortError> {
        let (mut sessions, mut start) = (Vec::new(), None);
        for _page in 0..LIST_PAGES_MAX {
            let page = self.tables.listed(user, BATCH_ITEMS_MAX, start).await?;
            let mut found = self.tables.sessions(&page.items).await?;
            sessions.extend(
                page.items
                    .iter()
                    .filter_map(|listed| found.remove(&listed.hash))
                    .filter(|session| session.is_live(now)),
            );
            start = page.next;
            if start.is_none() || sessions.len() >= SESSIONS_LISTED_MAX {
                break;
            }
        }
        sessions.truncate(SESSIONS_LISTED_MAX);
        Ok(sessions)
    }
}

/// A part of a user's list, newest first, and where the rest begins.
struct Page {
    items: Vec<ListedItem>,
    next: Option<Attributes>,
}

impl ListedItem {
    fn ended(self, user: &UserId) -> Ended {
        Ended { id: self.id, user: user.clone(), refresh_token: self.refresh_token }
    }
}

impl Tables {
    async fn session(&self, hash: &SessionHash) -> Result<Option<Session>, PortError> {
        let pk = session_key(hash.as_str());
        let item: Option<SessionItem> = self.get(Table::Edge, &pk, SESSION).await?;
        Ok(item.map(Session::from))
    }

    async fn listed(
        &self,
        user: &UserId,
        items_max: i32,
        start: Option<Attributes>,
    ) -> Result<Page, PortError> {
        let answer = self
            .client
            .query()
            .table_name(self.name(Table::Edge))
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(list_key(user)))
            .expression_attribute_values(":prefix", text("session#"))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(items_max)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed("list sessions"))?;
        let items = answer.items.unwrap_or_default().into_iter().map(from_item);
        Ok(Page { items: items.collect::<Result<_, _>>()?, next: answer.last_evaluated_key })
    }

    /// Those of the listed sessions that there still are, by hash.
    async fn sessions(&self, listed: &[ListedItem]) -> Result<HashMap<String, Session>, PortError> {
        let operation = "read sessions";
        let mut found = HashMap::new();
        let mut keys: Vec<Attributes> =
            listed.iter().map(|item| key(&session_key(&item.hash), SESSION)).collect();
        let table = self.name(Table::Edge);
        for _try in 0..BATCH_TRIES_MAX {
            if keys.is_empty() {
                return Ok(found);
            }
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let wanted = wanted.build().map_err(corrupt(operation))?;
            let sent = self.client.batch_get_item().request_items(&table, wanted).send().await;
            let answer = sent.map_err(failed(operation))?;
            for item in answer.responses.unwrap_or_default().remove(&table).unwrap_or_default() {
                let session = Session::from(from_item::<SessionItem>(item)?);
                found.insert(session.hash.as_str().to_owned(), session);
            }
            let left = answer.unprocessed_keys.unwrap_or_default().remove(&table);
            keys = left.map(|left| left.keys).unwrap_or_default();
        }
        Err(PortError::new(operation, PortErrorClass::Throttled, "keys were left out"))
    }

    fn end_parts(&self, listed: &ListedItem) -> Result<[TransactWriteItem; 2], PortError> {
        Ok([
            self.delete_part(key(&session_key(&listed.hash), SESSION))?,
            self.delete_part(key(&listed.pk, &listed.sk))?,
        ])
    }

    fn delete_part(
        &self,
        key: HashMap<String, AttributeValue>,
    ) -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder().table_name(self.name(Table::Edge)).set_key(Some(key));
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }
}

fn new_part<T: Serialize>(table: &str, item: &T) -> Result<TransactWriteItem, PortError> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(to_item(item)?))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(corrupt("build a transaction"))?;
    Ok(TransactWriteItem::builder().put(put).build())
}
