//! Where one user stands: everything of the table that is in their partition.

use aws_sdk_dynamodb::types::AttributeValue;
use rollcall_crm::ledger::Ledger;
use rollcall_crm::milestone::MilestoneRow;
use rollcall_crm::pending::PendingRow;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use rollcall_resources::table::SORT_KEY;
use serde::Deserialize;

use super::inbound::{DRIFT, OURS};
use super::ledger::{Entered, LEDGER, entered};
use super::milestones::{self, MilestoneItem};
use super::pending::{self, PendingItem};
use super::{CrmTable, user_key};
use crate::error::failed;
use crate::item::{Attributes, from_item, text};

/// Items of one user that are looked at: the ledger, a row for each facet, edits, and milestones.
const ITEMS_MAX: i32 = 200;

/// Where one user stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserSync {
    /// What the CRM acknowledged; `None`: nobody ever sent anything about the user.
    pub ledger: Option<Ledger>,
    /// Until when somebody may send about the user, if somebody may.
    pub leased_until: Option<Timestamp>,
    /// Facets that wait.
    pub pending: Vec<PendingRow>,
    /// Milestones that wait.
    pub milestones: Vec<MilestoneRow>,
    /// What somebody changed of ours in the CRM.
    pub edits: Vec<ForeignEdit>,
    /// Whether more waits than is told here.
    pub has_more: bool,
}

/// Something of ours that somebody changed in the CRM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignEdit {
    /// A property's name, or [`rollcall_crm::inbound::WHOLE_CONTACT`].
    pub what: String,
    /// When, as the CRM said.
    pub at: Timestamp,
    /// Whether what we hold was written again.
    pub is_ours_again: bool,
}

#[derive(Deserialize)]
struct DriftItem {
    drift_at: Timestamp,
    resolution: String,
}

impl CrmTable {
    /// Where `user` stands, strongly consistent.
    pub async fn sync_of(&self, user: &UserId) -> Result<UserSync, PortError> {
        let page = self
            .tables
            .client
            .query()
            .table_name(self.tables.name(Table::Crm))
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(user_key(user)))
            .consistent_read(true)
            .limit(ITEMS_MAX)
            .send()
            .await
            .map_err(failed("read where a user stands"))?;
        let mut sync =
            UserSync { has_more: page.last_evaluated_key.is_some(), ..UserSync::default() };
        for item in page.items.unwrap_or_default() {
            sync.add(item)?;
        }
        Ok(sync)
    }
}

impl UserSync {
    fn add(&mut self, item: Attributes) -> Result<(), PortError> {
        let sort_key = item.get(SORT_KEY).map(AttributeValue::as_s);
        let sort_key = sort_key.and_then(Result::ok).cloned().unwrap_or_default();
        if sort_key == LEDGER {
            let Entered { ledger, leased_until } = entered(item)?;
            (self.ledger, self.leased_until) = (Some(ledger), leased_until);
        } else if sort_key.starts_with(pending::PREFIX) {
            self.pending.push(from_item::<PendingItem>(item)?.try_into()?);
        } else if sort_key.starts_with(milestones::PREFIX) {
            self.milestones.push(from_item::<MilestoneItem>(item)?.try_into()?);
        } else if let Some(what) = sort_key.strip_prefix(DRIFT) {
            let DriftItem { drift_at: at, resolution } = from_item(item)?;
            let is_ours_again = resolution == OURS;
            self.edits.push(ForeignEdit { what: what.to_owned(), at, is_ours_again });
        }
        Ok(())
    }
}
