//! The wish that a contact leaves the CRM, as a part of whatever transaction it follows from.

use aws_sdk_dynamodb::types::TransactWriteItem;
use rollcall_crm::pending::{Dirty, Mark, Reason};
use rollcall_crm::removal::{Removal, RemovalKind};
use rollcall_domain::facet::Facet;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::time::Timestamp;
use rollcall_resources::{Grant, Table};
use serde::Deserialize;

use super::ledger::LEDGER;
use super::{named, pending, user_key};
use crate::item::text;
use crate::tables::{Tables, capability};
use crate::update::ItemUpdate;

#[derive(Debug, Deserialize)]
struct RemovedItem {
    removal: Option<String>,
    removed_at: Option<Timestamp>,
}

/// How the CRM had to let go of a user's contact, or has to, strongly consistent.
pub(crate) async fn removal_of(
    tables: &Tables,
    user: &UserId,
) -> Result<Option<RemovalKind>, PortError> {
    let item: Option<RemovedItem> = tables.get(Table::Crm, &user_key(user), LEDGER).await?;
    let kind = item.and_then(|item| item.removal);
    kind.map(|kind| named(&RemovalKind::ALL, RemovalKind::as_str, &kind)).transpose()
}

/// That the CRM hears nothing of a user whom it never heard of, as a part of a transaction: a wish that
/// is fulfilled, so that nobody looks for a contact. One that is there already stays.
pub(crate) fn closed_part(
    tables: &Tables,
    user: &UserId,
    removal: &Removal,
) -> Result<TransactWriteItem, PortError> {
    let done = removal.done_at.unwrap_or(removal.asked_at);
    let closed = ItemUpdate::of(&user_key(user), LEDGER)
        .set_once("removal", text(removal.kind.as_str()))
        .set_once("removal_id", text(&removal.id))
        .set_once("removal_email", text(""))
        .set_once("removal_asked_at", text(removal.asked_at.to_string()))
        .set_once("removed_at", text(done.to_string()));
    closed.into_part(tables.name(Table::Crm))
}

/// Whether the CRM has let go of a user's contact, strongly consistent.
pub(crate) async fn is_removed(tables: &Tables, user: &UserId) -> Result<bool, PortError> {
    let item: Option<RemovedItem> = tables.get(Table::Crm, &user_key(user), LEDGER).await?;
    Ok(item.is_some_and(|item| item.removed_at.is_some()))
}

capability! {
    /// Asks that a user's contact leaves the CRM. From then on nothing is sent about the user, and
    /// the sync takes the contact out, whatever else happens.
    ContactErasure, Grant::table(Table::Crm, &["dynamodb:UpdateItem"])
}

impl ContactErasure {
    /// The wish as parts of a transaction of another table, so that both happen or neither: the wish
    /// on the ledger row, and a pending row that brings the sync to it. A repetition changes nothing
    /// that matters. To erase overrides an archiving; to archive never overrides anything.
    pub(crate) fn parts(
        &self,
        user: &UserId,
        removal: &Removal,
    ) -> Result<Vec<TransactWriteItem>, PortError> {
        let table = self.tables.name(Table::Crm);
        let updates = [wish(user, removal), pending::marked(&mark(user, removal))];
        updates.into_iter().map(|update| update.into_part(table.clone())).collect()
    }

    /// The wish alone, for a user who stays.
    pub async fn ask(&self, user: &UserId, removal: &Removal) -> Result<(), PortError> {
        self.tables.transact("ask for the removal of a contact", self.parts(user, removal)?).await
    }
}

fn wish(user: &UserId, removal: &Removal) -> ItemUpdate {
    let update = ItemUpdate::of(&user_key(user), LEDGER);
    // All of them always, so that what is set once stands or falls as a whole.
    let attributes = [
        ("removal", text(removal.kind.as_str())),
        ("removal_id", text(&removal.id)),
        ("removal_email", text(removal.email.as_deref().unwrap_or_default())),
        ("removal_asked_at", text(removal.asked_at.to_string())),
    ];
    let attributes = attributes.into_iter();
    match removal.kind {
        RemovalKind::Erase => attributes
            .fold(update, |update, (name, value)| update.set(name, value))
            .remove("removed_at"),
        RemovalKind::Archive => {
            attributes.fold(update, |update, (name, value)| update.set_once(name, value))
        }
    }
}

fn mark(user: &UserId, removal: &Removal) -> Mark {
    Mark {
        dirty: Dirty { user: user.clone(), facet: Facet::Identity, trace_id: None },
        mark: removal.id.clone(),
        reason: Reason::Removal,
        attempts: 0,
        now: removal.asked_at,
        due_at: removal.asked_at,
    }
}
