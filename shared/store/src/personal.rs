//! Everything that is kept of one person, by construction: each table that keeps something of users
//! keeps it in the partition `user#{id}` ([`Table::holds_users`] says which tables do), so whoever
//! adds items there has them exported and erased without a further line.
//!
//! What names a user from elsewhere (claims on identities, addresses and usernames) repeats what the
//! user's own items say; it goes with them, in [`crate::erasure`].

use aws_sdk_dynamodb::types::{DeleteRequest, WriteRequest};
use rollcall_domain::id::UserId;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_resources::table::{PARTITION_KEY, SORT_KEY};
use rollcall_resources::{Grant, Table};
use serde_json::{Map, Value};

use crate::error::{corrupt, failed};
use crate::item::{Attributes, text};
use crate::tables::{Tables, capability};

/// Items of one person in one table that an export holds; more is an error and never a silent cut.
const ITEMS_PER_TABLE_MAX: usize = 20_000;
/// Items that one call removes (the service's own limit).
const REMOVED_AT_ONCE_MAX: usize = 25;
/// Pages of keys that one removal reads, of a megabyte of items each. What is left after that is
/// removed by a repetition.
const REMOVAL_PAGES_MAX: u32 = 2_000;
/// How often removals that a call left out are sent again.
const REMOVAL_TRIES_MAX: u32 = 8;
/// What proves something rather than telling it, of no use to the person and of much use to a thief;
/// and answers that are kept for a repetition, which say what the other items say.
const LEFT_OUT: [&str; 4] = ["answer", "hash", "lease", "refresh_token"];

/// The partition of a user, in every table that has one.
pub(crate) fn partition(user: &UserId) -> String {
    format!("user#{user}")
}

/// What one table keeps of a person, as it is stored.
#[derive(Debug)]
pub struct Holding {
    /// The table.
    pub table: Table,
    /// The items, by the name that the table gives them, without what proves who somebody is.
    pub items: Vec<Map<String, Value>>,
}

const QUERY: &[&str] = &["dynamodb:Query"];

capability! {
    /// Reads everything that is kept of one person.
    PersonalReader,
    Grant::table(Table::Users, QUERY),
    Grant::table(Table::Enrollments, QUERY),
    Grant::table(Table::Progress, QUERY),
    Grant::table(Table::Attempts, QUERY),
    Grant::table(Table::Crm, QUERY),
    Grant::table(Table::Edge, QUERY),
    Grant::table(Table::Portfolio, QUERY),
    Grant::table(Table::Badges, QUERY),
    Grant::table(Table::Certificates, QUERY),
}

impl PersonalReader {
    /// Everything, table by table, strongly consistent.
    pub async fn everything(&self, user: &UserId) -> Result<Vec<Holding>, PortError> {
        let mut holdings = Vec::new();
        for table in Table::ALL.into_iter().filter(|table| table.holds_users()) {
            let pk = partition(user);
            let items = self.tables.query(table, &pk, "", ITEMS_PER_TABLE_MAX).await?;
            holdings.push(Holding { table, items: items.into_iter().map(told).collect() });
        }
        Ok(holdings)
    }
}

/// An item for the person it is about.
fn told(mut item: Map<String, Value>) -> Map<String, Value> {
    item.remove(PARTITION_KEY);
    let name = item.remove(SORT_KEY);
    item.retain(|attribute, _| !LEFT_OUT.contains(&attribute.as_str()));
    item.extend(name.map(|name| ("item".to_owned(), name)));
    item
}

impl Tables {
    /// Removes the items of a user's partition whose sort keys `goes` names. A repetition
    /// goes on where a failure stopped.
    pub(crate) async fn remove_personal(
        &self,
        table: Table,
        user: &UserId,
        goes: impl Fn(&str) -> bool,
    ) -> Result<(), PortError> {
        let operation = "list items to remove";
        let (pk, mut start) = (partition(user), None);
        for _page in 0..REMOVAL_PAGES_MAX {
            let page = self
                .client
                .query()
                .table_name(self.name(table))
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(&pk))
                .projection_expression("pk, sk")
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(failed(operation))?;
            let mut keys = page.items.unwrap_or_default();
            keys.retain(|key| {
                key.get(SORT_KEY).and_then(|sk| sk.as_s().ok()).is_some_and(|sk| goes(sk))
            });
            for chunk in keys.chunks(REMOVED_AT_ONCE_MAX) {
                self.remove_all(table, chunk.to_vec()).await?;
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(());
            }
        }
        Err(PortError::new(operation, PortErrorClass::Throttled, "more than one removal takes"))
    }

    async fn remove_all(&self, table: Table, keys: Vec<Attributes>) -> Result<(), PortError> {
        let operation = "remove items";
        let name = self.name(table);
        let request = |key| {
            let delete = DeleteRequest::builder().set_key(Some(key)).build();
            let delete = delete.map_err(corrupt(operation))?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        let mut requests = keys.into_iter().map(request).collect::<Result<Vec<_>, PortError>>()?;
        for _try in 0..REMOVAL_TRIES_MAX {
            let write = self.client.batch_write_item().request_items(&name, requests);
            let answer = write.send().await.map_err(failed(operation))?;
            requests =
                answer.unprocessed_items.unwrap_or_default().remove(&name).unwrap_or_default();
            if requests.is_empty() {
                return Ok(());
            }
        }
        Err(PortError::new(operation, PortErrorClass::Throttled, "items were left out"))
    }
}
