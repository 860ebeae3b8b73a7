//! The rows that wait, and the index that lists them by the time they are due.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use rollcall_crm::limits::DUE_SHARDS;
use rollcall_crm::pending::{Dirty, Mark, PendingRow, Reason, Reschedule};
use rollcall_crm::port::PendingStore;
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::CRM_DUE;
use serde::Deserialize;

use super::{CrmTable, named, sortable, user_key};
use crate::error::failed;
use crate::item::{Attributes, from_item, key, number, text};
use crate::update::ItemUpdate;

#[derive(Debug, Deserialize)]
pub(super) struct PendingItem {
    user_id: UserId,
    facet: Facet,
    trace_id: Option<String>,
    mark: String,
    reason: String,
    attempts: u32,
    first_at: Timestamp,
    due_at: Timestamp,
    #[serde(default)]
    forced: bool,
}

impl TryFrom<PendingItem> for PendingRow {
    type Error = PortError;

    fn try_from(item: PendingItem) -> Result<Self, PortError> {
        let PendingItem { user_id, facet, trace_id, mark, attempts, first_at, due_at, .. } = item;
        Ok(Self {
            dirty: Dirty { user: user_id, facet, trace_id },
            reason: named(&Reason::ALL, Reason::as_str, &item.reason)?,
            forced: item.forced,
            mark,
            attempts,
            first_at,
            due_at,
        })
    }
}

/// What the sort keys of pending rows begin with.
pub(super) const PREFIX: &str = "pending#";

fn row_key(facet: Facet) -> String {
    format!("{PREFIX}{facet}")
}

fn row(user: &UserId, facet: Facet) -> ItemUpdate {
    ItemUpdate::of(&user_key(user), &row_key(facet))
}

/// The part of the index that lists the rows of a user. The last digit of an id is random.
pub(super) fn shard(user: &UserId) -> String {
    let digit = user.as_str().bytes().last().unwrap_or_default();
    (digit % DUE_SHARDS).to_string()
}

pub(super) fn shards() -> impl Iterator<Item = String> {
    (0..DUE_SHARDS).map(|shard| shard.to_string())
}

/// A new mark on a row, which is made if there is none.
pub(super) fn marked(mark: &Mark) -> ItemUpdate {
    let Dirty { user, facet, trace_id } = &mark.dirty;
    row(user, *facet)
        .set("user_id", text(user.as_str()))
        .set("facet", text(facet.as_str()))
        .put("trace_id", trace_id.as_deref().map(text))
        .set("mark", text(&mark.mark))
        .set("reason", text(mark.reason.as_str()))
        .set_once("attempts", number(mark.attempts))
        .set_once("first_at", text(mark.now.to_string()))
        .set(CRM_DUE.partition_key, text(shard(user)))
        .set(CRM_DUE.sort_key, text(sortable(mark.due_at)))
}

/// A new mark that has everything sent, whatever the ledger says.
pub(super) fn forced(mark: &Mark) -> ItemUpdate {
    marked(mark).set("forced", AttributeValue::Bool(true))
}

impl CrmTable {
    /// Items of a part of the index that are due at `until`, the longest overdue first.
    pub(super) async fn due_of_shard(
        &self,
        shard: String,
        until: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Attributes>, PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_DUE.name)
            .key_condition_expression("#shard = :shard AND #due <= :until")
            .expression_attribute_names("#shard", CRM_DUE.partition_key)
            .expression_attribute_names("#due", CRM_DUE.sort_key)
            .expression_attribute_values(":shard", text(shard))
            .expression_attribute_values(":until", text(sortable(until)))
            .limit(i32::try_from(rows_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("list pending rows"))?;
        Ok(page.items.unwrap_or_default())
    }
}

#[async_trait]
impl PendingStore for CrmTable {
    async fn mark(&self, mark: &Mark) -> Result<(), PortError> {
        let update = marked(mark);
        self.tables.apply("mark a change as pending", Table::Crm, update).await?;
        Ok(())
    }

    async fn reschedule(&self, later: &Reschedule) -> Result<(), PortError> {
        let update = row(&later.user, later.facet)
            .set("reason", text(later.reason.as_str()))
            .set("attempts", number(later.attempts))
            .set(CRM_DUE.sort_key, text(sortable(later.due_at)))
            .name("mark")
            .value("mark", text(&later.mark))
            .only_if("#mark = :mark");
        self.tables.apply("put a pending row off", Table::Crm, update).await?;
        Ok(())
    }

    async fn resolve(&self, user: &UserId, facet: Facet, mark: &str) -> Result<(), PortError> {
        let sent = self
            .tables
            .client
            .delete_item()
            .table_name(self.tables.name(Table::Crm))
            .set_key(Some(key(&user_key(user), &row_key(facet))))
            .condition_expression("#mark = :mark")
            .expression_attribute_names("#mark", "mark")
            .expression_attribute_values(":mark", text(mark))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("remove a pending row")(error)),
            },
        }
    }

    async fn due(&self, now: Timestamp, rows_max: usize) -> Result<Vec<PendingRow>, PortError> {
        let of_shards = shards().map(|shard| self.due_of_shard(shard, now, rows_max));
        let items = try_join_all(of_shards).await?.concat().into_iter();
        let rows = items.map(|item| from_item::<PendingItem>(item).and_then(PendingRow::try_from));
        let mut rows: Vec<PendingRow> = rows.collect::<Result<_, _>>()?;
        rows.sort_by_key(|row| row.due_at);
        rows.truncate(rows_max);
        Ok(rows)
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, PortError> {
        let rows = self.due(Timestamp::MAX, 1).await?;
        Ok(rows.first().map(|row| row.due_at))
    }
}
