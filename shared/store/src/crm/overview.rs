//! Where the sync stands.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::Select;
use futures::future::{try_join, try_join_all, try_join4};
use rollcall_crm::dead_letter::Status;
use rollcall_crm::limits::{DUE_SHARDS, STATUS_ROWS_MAX};
use rollcall_crm::port::{BudgetStore, Overseer, Overview};
use rollcall_domain::facet::Facet;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::{CRM_DUE, CRM_LETTERS};
use serde::Deserialize;

use super::{CrmTable, milestones, pending};
use crate::error::failed;
use crate::item::{from_item, text};
use crate::update::ItemUpdate;

pub(super) const MARK: &str = "mark";

/// What is counted of a pending row.
#[derive(Debug, Deserialize)]
struct Waiting {
    facet: Facet,
    first_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct ReconcileItem {
    table: String,
}

pub(super) fn reconcile_key(table: &str) -> String {
    format!("reconcile#{table}")
}

impl CrmTable {
    /// Rows of a part of the index, and whether there are more.
    async fn waiting(&self, shard: String) -> Result<(Vec<Waiting>, bool), PortError> {
        let rows_max = STATUS_ROWS_MAX / usize::from(DUE_SHARDS);
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_DUE.name)
            .key_condition_expression("#shard = :shard")
            .projection_expression("#facet, #first_at")
            .expression_attribute_names("#shard", CRM_DUE.partition_key)
            .expression_attribute_names("#facet", "facet")
            .expression_attribute_names("#first_at", "first_at")
            .expression_attribute_values(":shard", text(shard))
            .limit(i32::try_from(rows_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("count pending rows"))?;
        let rows = page.items.unwrap_or_default().into_iter().map(from_item);
        Ok((rows.collect::<Result<_, _>>()?, page.last_evaluated_key.is_some()))
    }

    /// How many milestones wait in a part of the index, and whether there are more.
    async fn milestones_waiting(&self, shard: String) -> Result<(usize, bool), PortError> {
        let rows_max = STATUS_ROWS_MAX / usize::from(DUE_SHARDS);
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_DUE.name)
            .select(Select::Count)
            .key_condition_expression("#shard = :shard")
            .expression_attribute_names("#shard", CRM_DUE.partition_key)
            .expression_attribute_values(":shard", text(shard))
            .limit(i32::try_from(rows_max).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("count milestones"))?;
        let count = usize::try_from(page.count).unwrap_or_default();
        Ok((count, page.last_evaluated_key.is_some()))
    }

    async fn count_letters(&self, status: Status) -> Result<usize, PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .index_name(CRM_LETTERS.name)
            .select(Select::Count)
            .key_condition_expression("#shard = :shard")
            .expression_attribute_names("#shard", CRM_LETTERS.partition_key)
            .expression_attribute_values(":shard", text(status.as_str()))
            .limit(i32::try_from(STATUS_ROWS_MAX).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(failed("count dead letters"))?;
        Ok(usize::try_from(page.count).unwrap_or_default())
    }

    async fn to_reconcile(&self) -> Result<Vec<String>, PortError> {
        let streamed = Table::ALL.into_iter().filter(|table| table.has_stream());
        let reading = streamed.map(|table| async move {
            let pk = reconcile_key(table.name());
            self.tables.get::<ReconcileItem>(Table::Crm, &pk, MARK).await
        });
        let items = try_join_all(reading).await?;
        Ok(items.into_iter().flatten().map(|item| item.table).collect())
    }
}

#[async_trait]
impl Overseer for CrmTable {
    async fn overview(&self) -> Result<Overview, PortError> {
        let counting = try_join_all(pending::shards().map(|shard| self.waiting(shard)));
        let milestones =
            try_join_all(milestones::shards().map(|shard| self.milestones_waiting(shard)));
        let letters =
            try_join(self.count_letters(Status::Open), self.count_letters(Status::Replaying));
        let (counted, milestones, letters, versioned) =
            try_join4(counting, milestones, letters, self.load()).await?;
        let (dead_letters_open, dead_letters_replaying) = letters;
        let mut overview = Overview {
            budget: versioned.budget,
            dead_letters_open,
            dead_letters_replaying,
            tables_to_reconcile: self.to_reconcile().await?,
            pending: BTreeMap::new(),
            ..Overview::default()
        };
        for (count, has_more) in milestones {
            overview.milestones_pending += count;
            overview.pending_has_more |= has_more;
        }
        for (rows, has_more) in counted {
            overview.pending_has_more |= has_more;
            for row in rows {
                *overview.pending.entry(row.facet).or_default() += 1;
                let since = overview.pending_since.into_iter().chain([row.first_at]).min();
                overview.pending_since = since;
            }
        }
        Ok(overview)
    }

    async fn need_reconcile(&self, table: &str, now: Timestamp) -> Result<(), PortError> {
        let update = ItemUpdate::of(&reconcile_key(table), MARK)
            .set("table", text(table))
            .set_once("first_at", text(now.to_string()))
            .set("updated_at", text(now.to_string()));
        self.tables.apply("note that a table has to be compared", Table::Crm, update).await?;
        Ok(())
    }
}
