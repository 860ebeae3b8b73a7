//! The milestones that wait, in parts of their own of the index that lists what is due.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use futures::future::try_join_all;
use rollcall_crm::limits::DUE_SHARDS;
use rollcall_crm::milestone::{Milestone, MilestoneKind, MilestoneRow};
use rollcall_crm::port::MilestoneStore;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::CRM_DUE;
use serde::Deserialize;

use super::{CrmTable, named, pending, sortable, user_key};
use crate::error::failed;
use crate::item::{from_item, key, number, text};
use crate::update::ItemUpdate;

#[derive(Debug, Deserialize)]
pub(super) struct MilestoneItem {
    user_id: UserId,
    milestone_id: String,
    kind: String,
    at: Timestamp,
    #[serde(default)]
    subject: String,
    attempts: u32,
    first_at: Timestamp,
    due_at: Timestamp,
}

impl TryFrom<MilestoneItem> for MilestoneRow {
    type Error = PortError;

    fn try_from(item: MilestoneItem) -> Result<Self, PortError> {
        let MilestoneItem { user_id, milestone_id, at, subject, attempts, .. } = item;
        let MilestoneItem { first_at, due_at, kind, .. } = item;
        let kind = named(&MilestoneKind::ALL, MilestoneKind::as_str, &kind)?;
        let milestone = Milestone { id: milestone_id, user: user_id, kind, at, subject };
        Ok(Self { milestone, attempts, first_at, due_at })
    }
}

/// What the sort keys of milestones begin with.
pub(super) const PREFIX: &str = "milestone#";

fn sort_key(milestone: &Milestone) -> String {
    format!("{PREFIX}{}", milestone.id)
}

fn row(milestone: &Milestone) -> ItemUpdate {
    ItemUpdate::of(&user_key(&milestone.user), &sort_key(milestone))
}

fn shard(user: &UserId) -> String {
    format!("milestone-{}", pending::shard(user))
}

pub(super) fn shards() -> impl Iterator<Item = String> {
    (0..DUE_SHARDS).map(|shard| format!("milestone-{shard}"))
}

/// A row that is made if there is none.
pub(super) fn kept(new: &MilestoneRow) -> ItemUpdate {
    let Milestone { id, user, kind, at, subject } = &new.milestone;
    row(&new.milestone)
        .set_once("user_id", text(user.as_str()))
        .set_once("milestone_id", text(id))
        .set_once("kind", text(kind.as_str()))
        .set_once("at", text(at.to_string()))
        .set_once("subject", text(subject))
        .set_once("attempts", number(new.attempts))
        .set_once("first_at", text(new.first_at.to_string()))
        .set_once(CRM_DUE.partition_key, text(shard(user)))
        .set_once(CRM_DUE.sort_key, text(sortable(new.due_at)))
}

#[async_trait]
impl MilestoneStore for CrmTable {
    async fn keep(&self, row: &MilestoneRow) -> Result<(), PortError> {
        self.tables.apply("keep a milestone", Table::Crm, kept(row)).await?;
        Ok(())
    }

    async fn milestones_due(
        &self,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<MilestoneRow>, PortError> {
        let of_shards = shards().map(|shard| self.due_of_shard(shard, now, rows_max));
        let items = try_join_all(of_shards).await?.concat().into_iter();
        let rows =
            items.map(|item| from_item::<MilestoneItem>(item).and_then(MilestoneRow::try_from));
        let mut rows: Vec<MilestoneRow> = rows.collect::<Result<_, _>>()?;
        rows.sort_by_key(|row| row.due_at);
        rows.truncate(rows_max);
        Ok(rows)
    }

    async fn next_milestone_due(&self) -> Result<Option<Timestamp>, PortError> {
        let rows = self.milestones_due(Timestamp::MAX, 1).await?;
        Ok(rows.first().map(|row| row.due_at))
    }

    async fn put_off(&self, later: &MilestoneRow) -> Result<(), PortError> {
        let update = row(&later.milestone)
            .set("attempts", number(later.attempts))
            .set(CRM_DUE.sort_key, text(sortable(later.due_at)))
            .only_if("attribute_exists(#attempts)");
        self.tables.apply("put a milestone off", Table::Crm, update).await?;
        Ok(())
    }

    async fn settle(&self, row: &MilestoneRow) -> Result<(), PortError> {
        let Milestone { user, .. } = &row.milestone;
        let sent = self
            .tables
            .client
            .delete_item()
            .table_name(self.tables.name(Table::Crm))
            .set_key(Some(key(&user_key(user), &sort_key(&row.milestone))))
            .condition_expression("attribute_not_exists(first_at) OR first_at = :seen")
            .expression_attribute_values(":seen", text(row.first_at.to_string()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(failed("remove a milestone")(error)),
            },
        }
    }
}
