//! Connections: `user#{id}` / `connection#{other}` for each of the two sides, always written and
//! removed together.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, KeysAndAttributes, TransactWriteItem};
use jiff::Timestamp;
use rollcall_domain::connection::{Connection, ConnectionState};
use rollcall_domain::id::UserId;
use rollcall_domain::merge;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::user::User;
use rollcall_resources::table::SORT_KEY;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use super::item::{PROFILE, UserItem, user_key};
use crate::error::{corrupt, failed};
use crate::item::{Attributes, from_item, key, number, text};
use crate::tables::{Tables, capability};
use crate::update::Applied;

/// What the sort key of a connection begins with.
const PREFIX: &str = "connection#";
/// Items of one `BatchGetItem` (the service's own limit).
const BATCH_ITEMS_MAX: usize = 100;
/// How often keys that a batch left out are asked for.
const BATCH_TRIES_MAX: u32 = 5;
/// Connections of one user that an erasure removes.
const CONNECTIONS_MAX: usize = 20_000;
/// Pages of the table that one page of a filtered list reads.
const LIST_PAGES_MAX: u32 = 20;

#[derive(Debug, Serialize, Deserialize)]
struct ConnectionItem {
    pk: String,
    sk: String,
    own_id: UserId,
    other_id: UserId,
    state: String,
    since: Timestamp,
    version: u64,
    updated_at: Timestamp,
    trace_id: String,
}

impl ConnectionItem {
    fn new(connection: &Connection, trace_id: &str) -> Self {
        let Connection { own, other, state, since, version } = connection.clone();
        Self {
            pk: user_key(&own),
            sk: connection_key(&other),
            own_id: own,
            other_id: other,
            state: state.as_str().to_owned(),
            since,
            version,
            updated_at: since,
            trace_id: trace_id.to_owned(),
        }
    }
}

impl TryFrom<ConnectionItem> for Connection {
    type Error = PortError;

    fn try_from(item: ConnectionItem) -> Result<Self, PortError> {
        let ConnectionItem { own_id, other_id, state, since, version, .. } = item;
        let state = ConnectionState::named(&state).ok_or("no such state");
        let state = state.map_err(corrupt("decode a connection"))?;
        Ok(Self { own: own_id, other: other_id, state, since, version })
    }
}

fn connection_key(other: &UserId) -> String {
    format!("{PREFIX}{other}")
}

async fn find(
    tables: &Tables,
    own: &UserId,
    other: &UserId,
) -> Result<Option<Connection>, PortError> {
    let item: Option<ConnectionItem> =
        tables.get(Table::Users, &user_key(own), &connection_key(other)).await?;
    item.map(Connection::try_from).transpose()
}

capability! {
    /// Connects members.
    Connector, Grant::table(Table::Users, &["dynamodb:GetItem", "dynamodb:PutItem"])
}

impl Connector {
    /// One side of a connection, strongly consistent.
    pub async fn find(
        &self,
        own: &UserId,
        other: &UserId,
    ) -> Result<Option<Connection>, PortError> {
        find(&self.tables, own, other).await
    }

    /// Stores both sides; `Conflict`, and nothing is stored, when the other side changed it in between.
    pub async fn store(&self, side: &Connection, trace_id: &str) -> Result<(), PortError> {
        let part = |side: &Connection| {
            let item = ConnectionItem::new(side, trace_id);
            self.tables.put_version_part(Table::Users, &item, side.version)
        };
        let parts = vec![part(side)?, part(&side.mirrored())?];
        self.tables.transact("store a connection", parts).await
    }
}

capability! {
    /// Ends connections.
    Disconnector, Grant::table(Table::Users, &["dynamodb:DeleteItem", "dynamodb:GetItem"])
}

impl Disconnector {
    /// One side of a connection, strongly consistent.
    pub async fn find(
        &self,
        own: &UserId,
        other: &UserId,
    ) -> Result<Option<Connection>, PortError> {
        find(&self.tables, own, other).await
    }

    /// Removes both sides; `Conflict`, and nothing is removed, when the other side changed it in
    /// between.
    pub async fn remove(&self, side: &Connection) -> Result<(), PortError> {
        let operation = "remove a connection";
        let parts = remove_parts(&self.tables, side)?;
        match self.tables.commit(operation, parts).await? {
            Applied::All => Ok(()),
            Applied::Refused(_) => {
                Err(PortError::new(operation, PortErrorClass::Conflict, "it changed meanwhile"))
            }
        }
    }
}

fn remove_parts(tables: &Tables, side: &Connection) -> Result<Vec<TransactWriteItem>, PortError> {
    let part = |side: &Connection| -> Result<TransactWriteItem, PortError> {
        let delete = Delete::builder()
            .table_name(tables.name(Table::Users))
            .set_key(Some(key(&user_key(&side.own), &connection_key(&side.other))))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", number(side.version));
        let delete = delete.build().map_err(corrupt("build a transaction"))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    };
    Ok(vec![part(side)?, part(&side.mirrored())?])
}

/// A page of somebody's connections.
#[derive(Debug)]
pub struct ConnectionPage {
    /// The connections, those first whose other side joined last, each with the other one's account
    /// if there still is one.
    pub connections: Vec<(Connection, Option<User>)>,
    /// Behind which connection the next page begins; none on the last page.
    pub next: Option<UserId>,
}

capability! {
    /// Lists connections.
    ConnectionLister,
    Grant::table(Table::Users, &["dynamodb:BatchGetItem", "dynamodb:Query"]),
}

impl ConnectionLister {
    /// The connections of a user behind `after`, strongly consistent: those in `state`, or all.
    pub async fn list(
        &self,
        own: &UserId,
        state: Option<ConnectionState>,
        after: Option<&UserId>,
        entries_max: usize,
    ) -> Result<ConnectionPage, PortError> {
        let mut found: Vec<Connection> = Vec::new();
        let mut start = after.map(|after| key(&user_key(own), &connection_key(after)));
        for _page in 0..LIST_PAGES_MAX {
            let (page, next) = self.page(own, start).await?;
            let wanted = |side: &Connection| state.is_none_or(|state| state == side.state);
            found.extend(page.into_iter().filter(wanted));
            start = next;
            if start.is_none() || found.len() > entries_max {
                break;
            }
        }
        let next = if found.len() > entries_max {
            found.truncate(entries_max);
            found.last().map(|side| side.other.clone())
        } else {
            start.as_ref().and_then(other_of)
        };
        let others: Vec<UserId> = found.iter().map(|side| side.other.clone()).collect();
        let mut accounts = accounts(&self.tables, &others).await?;
        let connections = found.into_iter().map(|side| {
            let account = accounts.remove(&side.other);
            (side, account)
        });
        Ok(ConnectionPage { connections: connections.collect(), next })
    }

    async fn page(
        &self,
        own: &UserId,
        start: Option<Attributes>,
    ) -> Result<(Vec<Connection>, Option<Attributes>), PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Users))
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(user_key(own)))
            .expression_attribute_values(":prefix", text(PREFIX))
            .consistent_read(true)
            .scan_index_forward(false)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(failed("list connections"))?;
        let items = page.items.unwrap_or_default().into_iter();
        let sides = items.map(|item| from_item::<ConnectionItem>(item)?.try_into());
        Ok((sides.collect::<Result<_, _>>()?, page.last_evaluated_key))
    }
}

/// Behind whom a page of the table ended.
fn other_of(start: &Attributes) -> Option<UserId> {
    start.get(SORT_KEY)?.as_s().ok()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Accounts by their ids, strongly consistent; who is gone is left out.
pub(super) async fn accounts(
    tables: &Tables,
    users: &[UserId],
) -> Result<HashMap<UserId, User>, PortError> {
    let operation = "read users";
    let table = tables.name(Table::Users);
    let mut found = HashMap::new();
    for chunk in users.chunks(BATCH_ITEMS_MAX) {
        let mut keys: Vec<HashMap<String, AttributeValue>> =
            chunk.iter().map(|user| key(&user_key(user), PROFILE)).collect();
        for attempt in 0..=BATCH_TRIES_MAX {
            if keys.is_empty() {
                break;
            }
            if attempt == BATCH_TRIES_MAX {
                let text = "keys were left out";
                return Err(PortError::new(operation, PortErrorClass::Throttled, text));
            }
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let wanted = wanted.build().map_err(corrupt(operation))?;
            let sent = tables.client.batch_get_item().request_items(&table, wanted).send().await;
            let answer = sent.map_err(failed(operation))?;
            for item in answer.responses.unwrap_or_default().remove(&table).unwrap_or_default() {
                let user = User::from(from_item::<UserItem>(item)?);
                found.insert(user.id.clone(), user);
            }
            let left = answer.unprocessed_keys.unwrap_or_default().remove(&table);
            keys = left.map(|left| left.keys).unwrap_or_default();
        }
    }
    Ok(found)
}

/// Ends every connection of a user who is erased, on both sides.
pub(crate) async fn end_connections(tables: &Tables, user: &UserId) -> Result<(), PortError> {
    let items: Vec<ConnectionItem> =
        tables.query(Table::Users, &user_key(user), PREFIX, CONNECTIONS_MAX).await?;
    let operation = "end a connection";
    for item in items {
        let side = Connection::try_from(item)?;
        if tables.commit(operation, remove_parts(tables, &side)?).await? != Applied::All {
            let text = "the other side changed it meanwhile";
            return Err(PortError::new(operation, PortErrorClass::Conflict, text));
        }
    }
    Ok(())
}

/// Makes the connections of a user who was merged into another the other one's.
pub(crate) async fn move_connections(
    tables: &Tables,
    (from, into): (&UserId, &UserId),
    (now, trace_id): (Timestamp, &str),
) -> Result<(), PortError> {
    let items: Vec<ConnectionItem> =
        tables.query(Table::Users, &user_key(from), PREFIX, CONNECTIONS_MAX).await?;
    for item in items {
        let theirs = Connection::try_from(item)?;
        let mut parts = remove_parts(tables, &theirs)?;
        // Nobody is connected to themselves, or to somebody who is being erased.
        let other = super::find(tables, &theirs.other).await?;
        let other = other.filter(|other| other.standing.erase_at().is_none_or(|at| at > now));
        if other.is_some_and(|other| other.id != *into) {
            let own = find(tables, into, &theirs.other).await?;
            if let Some(side) = merge::connection(into, own.as_ref(), &theirs) {
                for side in [side.mirrored(), side] {
                    let item = ConnectionItem::new(&side, trace_id);
                    parts.push(tables.put_version_part(Table::Users, &item, side.version)?);
                }
            }
        }
        tables.transact("move a connection", parts).await?;
    }
    Ok(())
}
