//! The ledger of every user, and the lease on it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rollcall_crm::dead_letter::DeadLetterChange;
use rollcall_crm::desk::Edit;
use rollcall_crm::ledger::{Acknowledged, FacetEntry, Lease, LeaseAttempt, Ledger, Refused};
use rollcall_crm::port::{Confirmation, LedgerStore};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::{DeadLetterId, UserId};
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::time::Timestamp;
use rollcall_resources::Table;
use serde::{Deserialize, Serialize};

use super::{CrmTable, dead_letters, named, user_key};
use crate::item::{Attributes, from_item, from_value, number, text, to_value};
use crate::update::{Applied, ItemUpdate};

pub(super) const LEDGER: &str = "ledger";
const CONFIRM: &str = "confirm what the CRM acknowledged";

#[derive(Debug, Deserialize)]
pub(super) struct LedgerItem {
    contact_id: Option<String>,
    #[serde(default)]
    facets: BTreeMap<Facet, EntryItem>,
    lease_token: Option<String>,
    /// In milliseconds since the epoch.
    lease_until: Option<i64>,
    #[serde(default)]
    milestones_refused: BTreeMap<String, DeadLetterId>,
    removal: Option<String>,
    removal_id: Option<String>,
    removal_email: Option<String>,
    removal_asked_at: Option<Timestamp>,
    removed_at: Option<Timestamp>,
}

impl LedgerItem {
    fn into_ledger(self, edits: BTreeMap<Facet, Edit>) -> Result<Ledger, PortError> {
        let removal = self.removal()?;
        let facets = self.facets.into_iter().map(|(facet, entry)| (facet, entry.into()));
        Ok(Ledger {
            contact_id: self.contact_id,
            facets: facets.collect(),
            removal,
            milestones_refused: self.milestones_refused,
            edits,
        })
    }

    fn removal(&self) -> Result<Option<Removal>, PortError> {
        let Some(kind) = &self.removal else { return Ok(None) };
        let (Some(id), Some(asked_at)) = (&self.removal_id, self.removal_asked_at) else {
            let text = "a removal without id or time";
            return Err(PortError::new("decode an item", PortErrorClass::Corrupt, text));
        };
        Ok(Some(Removal {
            id: id.clone(),
            kind: named(&RemovalKind::ALL, RemovalKind::as_str, kind)?,
            email: self.removal_email.clone().filter(|email| !email.is_empty()),
            asked_at,
            done_at: self.removed_at,
        }))
    }
}

/// What an operator replaced in a refused state.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EditItem {
    of: String,
    properties: BTreeMap<String, Option<String>>,
}

impl From<&Edit> for EditItem {
    fn from(edit: &Edit) -> Self {
        let Edit { of, properties } = edit.clone();
        Self { of, properties }
    }
}

impl From<EditItem> for Edit {
    fn from(item: EditItem) -> Self {
        Self { of: item.of, properties: item.properties }
    }
}

/// A ledger, and until when somebody may send about its user.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) ledger: Ledger,
    pub(super) leased_until: Option<Timestamp>,
}

impl Entered {
    /// The ledger, without what a sender may have changed of whom nobody heard the end; and whether
    /// somebody sends at `now`.
    pub(super) fn seen(self, now: Timestamp) -> (Ledger, bool) {
        let Self { ledger, leased_until } = self;
        match leased_until {
            None => (ledger, false),
            Some(until) => (ledger.doubted(), until >= now),
        }
    }
}

/// Where the edit of a facet stands: by itself, since operators write it and senders do not.
pub(super) fn edit_name(facet: Facet) -> String {
    format!("edit_{facet}")
}

fn edits(item: &mut Attributes) -> Result<BTreeMap<Facet, Edit>, PortError> {
    let mut edits = BTreeMap::new();
    for facet in Facet::ALL {
        if let Some(value) = item.remove(&edit_name(facet)) {
            let edit: EditItem = from_value(value)?;
            edits.insert(facet, edit.into());
        }
    }
    Ok(edits)
}

/// A stored ledger.
pub(super) fn entered(mut item: Attributes) -> Result<Entered, PortError> {
    let edits = edits(&mut item)?;
    let item: LedgerItem = from_item(item)?;
    let leased_until = item.lease_token.as_ref().and(item.lease_until);
    let leased_until = leased_until.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(Entered { ledger: item.into_ledger(edits)?, leased_until })
}

#[derive(Debug, Serialize, Deserialize)]
struct EntryItem {
    acknowledged: Option<AcknowledgedItem>,
    refused: Option<RefusedItem>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AcknowledgedItem {
    hash: String,
    version: u64,
    at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct RefusedItem {
    hash: String,
    dead_letter: DeadLetterId,
}

impl From<&FacetEntry> for EntryItem {
    fn from(entry: &FacetEntry) -> Self {
        let FacetEntry { acknowledged, refused } = entry.clone();
        Self {
            acknowledged: acknowledged.map(|Acknowledged { hash, version, at }| AcknowledgedItem {
                hash,
                version,
                at,
            }),
            refused: refused.map(|Refused { hash, dead_letter }| RefusedItem { hash, dead_letter }),
        }
    }
}

impl From<EntryItem> for FacetEntry {
    fn from(item: EntryItem) -> Self {
        let EntryItem { acknowledged, refused } = item;
        Self {
            acknowledged: acknowledged.map(|AcknowledgedItem { hash, version, at }| Acknowledged {
                hash,
                version,
                at,
            }),
            refused: refused.map(|RefusedItem { hash, dead_letter }| Refused { hash, dead_letter }),
        }
    }
}

#[async_trait]
impl LedgerStore for CrmTable {
    // A lease that ran out is still on the item, which is how the next holder knows. So is one of
    // our own that was stored without us hearing of it: then nobody knows who held it before.
    async fn take_lease(
        &self,
        user: &UserId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<LeaseAttempt, PortError> {
        let update = ItemUpdate::of(&user_key(user), LEDGER)
            .set("lease_token", text(&lease.token))
            .set("lease_until", number(lease.until.as_millisecond()))
            .value("now", number(now.as_millisecond()))
            .only_if(
                "attribute_not_exists(#lease_token) OR #lease_until < :now \
                 OR #lease_token = :lease_token",
            );
        let Some(before) = self.tables.apply("take a lease", Table::Crm, update).await? else {
            return Ok(LeaseAttempt::Busy);
        };
        let Entered { ledger, leased_until } = entered(before)?;
        Ok(LeaseAttempt::Taken { ledger, abandoned: leased_until.is_some() })
    }

    async fn confirm(
        &self,
        user: &UserId,
        token: &str,
        ledger: &Ledger,
        dead_letters: &[DeadLetterChange],
    ) -> Result<Confirmation, PortError> {
        let facets: BTreeMap<Facet, EntryItem> =
            ledger.facets.iter().map(|(facet, entry)| (*facet, entry.into())).collect();
        let update = ItemUpdate::of(&user_key(user), LEDGER)
            .put("contact_id", ledger.contact_id.as_deref().map(text))
            .set("facets", to_value(&facets)?)
            .set("milestones_refused", to_value(&ledger.milestones_refused)?)
            .remove("lease_token")
            .remove("lease_until")
            .value("token", text(token));
        let update = match &ledger.removal {
            None => update.only_if("#lease_token = :token"),
            Some(removal) => Facet::ALL
                .into_iter()
                .fold(update, |update, facet| update.remove(&edit_name(facet)))
                // Empty and not absent: see how a wish is stored.
                .set("removal_email", text(removal.email.as_deref().unwrap_or_default()))
                .put("removed_at", removal.done_at.map(|at| text(at.to_string())))
                .name("removal_id")
                .value("removal_id", text(&removal.id))
                .only_if("#lease_token = :token AND #removal_id = :removal_id"),
        };
        if dead_letters.is_empty() {
            let applied = self.tables.apply(CONFIRM, Table::Crm, update).await?;
            return Ok(applied.map_or(Confirmation::LeaseLost, |_| Confirmation::Confirmed));
        }
        let mut updates = vec![update];
        for change in dead_letters {
            updates.push(dead_letters::update(change)?);
        }
        match self.tables.apply_all(CONFIRM, Table::Crm, updates).await? {
            Applied::All => Ok(Confirmation::Confirmed),
            Applied::Refused(0) => Ok(Confirmation::LeaseLost),
            Applied::Refused(_) => Err(PortError::new(
                CONFIRM,
                PortErrorClass::Corrupt,
                "the ledger names a dead letter that is not there, or one is there already",
            )),
        }
    }

    async fn forget_contact(&self, user: &UserId) -> Result<(), PortError> {
        self.forget(user).await
    }
}
